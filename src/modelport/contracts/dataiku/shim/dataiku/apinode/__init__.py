"""What code on an API node may use."""

from __future__ import annotations

from dataiku.apinode import predict, utils
from dataiku.apinode.answers import DkuCustomApiException, DkuCustomHttpResponse

__all__ = ["DkuCustomApiException", "DkuCustomHttpResponse", "predict", "utils"]

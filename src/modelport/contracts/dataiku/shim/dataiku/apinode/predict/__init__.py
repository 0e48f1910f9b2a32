"""Python prediction endpoints."""

from __future__ import annotations

from dataiku.apinode.predict import predictor

__all__ = ["predictor"]

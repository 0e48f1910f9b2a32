"""What a component says of itself."""

from __future__ import annotations

import os
from typing import Any

from modelport.contracts.seldon.metadata import complete

MODEL_IMAGE = os.environ.get("PREDICTIVE_UNIT_IMAGE")


class SeldonInvalidMetadataError(Exception):
    """Says what the platform does not allow."""


def validate_model_metadata(data: dict[str, Any]) -> dict[str, Any]:
    """The metadata with its defaults."""
    try:
        return complete(data, MODEL_IMAGE or "")
    except ValueError as fault:
        raise SeldonInvalidMetadataError(str(fault)) from None

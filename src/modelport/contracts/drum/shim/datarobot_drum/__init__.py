"""Stand-in for the vendor's package: what a ``custom.py`` imports to read its runtime parameters."""

from __future__ import annotations

import json
import os
from typing import Any

_PREFIX = "MLOPS_RUNTIME_PARAM_"


class RuntimeParameters:
    """The parameters that ``model-metadata.yaml`` defines."""

    @classmethod
    def has(cls, key: str) -> bool:
        """Whether the parameter has a value."""
        return _PREFIX + key in os.environ

    @classmethod
    def get(cls, key: str) -> Any:
        """The parameter's value in its own type; None where it has none."""
        given = os.environ.get(_PREFIX + key)
        return None if given is None else json.loads(given)["payload"]


__all__ = ["RuntimeParameters"]

"""Stand-in for the vendor's package: what a ``custom.py`` imports to read its runtime parameters."""

from __future__ import annotations

import os
import sys
from typing import Any

from modelport.contracts.drum.parameters import OLD as _OLD
from modelport.contracts.drum.parameters import payload as _payload


class RuntimeParameters:
    """The parameters that ``model-metadata.yaml`` defines."""

    @classmethod
    def has(cls, key: str) -> bool:
        """Whether the parameter has a value."""
        return _OLD + key in os.environ

    @classmethod
    def get(cls, key: str) -> Any:
        """The parameter's value in its own type; None where it has none."""
        given = os.environ.get(_OLD + key)
        return None if given is None else _payload(given)


__all__ = ["RuntimeParameters"]


def _missing(name: str) -> ImportError:
    return ImportError(f"there is no {name}: this {__name__} is a stand-in that has only RuntimeParameters")


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise _missing(f"{__name__}.{name}")


class _Submodules:
    """Finds none, and says why."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        if name.startswith(f"{__name__}."):
            raise _missing(name)


sys.meta_path.append(_Submodules)

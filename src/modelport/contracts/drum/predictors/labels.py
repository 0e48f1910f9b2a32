"""Class labels as text: the form in which they are told, and asked for."""

from __future__ import annotations

from typing import Any


def label(value: Any) -> str:
    """0 and 0.0 are "0", truth values "True" and "False", bytes their text."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def labels(classes: Any) -> list[str] | None:
    """The classes of a model, where it has one list of them."""
    if classes is None or not len(classes) or any(getattr(value, "shape", ()) for value in classes):
        return None
    return [label(value) for value in classes]

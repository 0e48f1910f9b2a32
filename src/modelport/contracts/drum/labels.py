"""Class labels as text: the form in which they are told, and asked for."""

from __future__ import annotations

from collections.abc import Sequence
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


def aligned(names: Sequence[Any], stated: list[str]) -> list[str] | None:
    """The stated label for each name, however it is written there: 1.0 for 1, true for True.

    None where the two are not the same classes.
    """
    known = dict(zip(map(_canonical, stated), stated))
    if len(known) != len(stated):  # two that differ in nothing but how they are written
        known = {name: name for name in stated}
        found = [known.get(label(name)) for name in names]
    else:
        found = [known.get(_canonical(label(name))) for name in names]
    is_whole = len(found) == len(stated) == len(set(found)) and None not in found
    return [name for name in found if name is not None] if is_whole else None


def _canonical(text: str) -> str:
    if text.lower() in ("true", "false"):
        return text.capitalize()
    try:
        return label(float(text))
    except ValueError:
        return text

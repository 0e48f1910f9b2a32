"""What a model predicts, in the platform's words: its card, and what the loaded model says where that is silent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from modelport.core.model import Description

CLASSES = ("binary", "multiclass")
NAME = "target"
"""What is predicted, where nobody says how it is called."""


class Target(NamedTuple):
    """``labels`` are the classes, of a binary target the positive one first."""

    name: str
    kind: str
    labels: Sequence[str]
    threshold: float

    @property
    def positive(self) -> str | None:
        return self.labels[0] if self.kind == "binary" else None

    @property
    def is_classes(self) -> bool:
        return self.kind in CLASSES


def target_of(card: dict[str, Any] | None, model: Description | None) -> Target:
    """The target; without a loaded model what is known before."""
    stated: dict[str, Any] = (card or {}).get("target") or {}
    details = model.details if model is not None else {}
    labels = stated.get("classLabels")
    positive = stated.get("positiveClass")
    if labels is None and model is not None and model.labels:
        labels = list(map(str, model.labels))
    kind = stated.get("type") or details.get("targetType")
    if kind is None:
        kind = "regression" if not labels else CLASSES[len(labels) > 2]
    labels = labels or []
    if kind == "binary" and len(labels) == 2:
        positive = positive if positive in labels else labels[1]
        labels = [positive, next(label for label in labels if label != positive)]
    threshold = stated.get("threshold")
    name = stated.get("name") or details.get("targetName") or NAME
    return Target(name, kind, labels, 0.5 if threshold is None else threshold)

"""Implementations that the platform's first orchestrator had built in, as components."""

from __future__ import annotations

from typing import Any

NAMES = ["class0", "class1", "class2"]


class SimpleModel:
    """Answers the same whatever it is asked; text and bytes it gives back."""

    def predict(self, X: Any, names: Any = None, meta: Any = None) -> Any:  # noqa: N803
        if isinstance(X, (str, bytes)):
            return X
        import numpy

        return numpy.array([[0.1, 0.9, 0.5]])

    def class_names(self) -> list[str]:
        return NAMES

    def metrics(self) -> list[dict[str, Any]]:
        return [
            {"type": "COUNTER", "key": "mymetric_counter", "value": 1},
            {"type": "GAUGE", "key": "mymetric_gauge", "value": 100},
            {"type": "TIMER", "key": "mymetric_timer", "value": 22.1},
        ]


class AverageCombiner:
    """The mean of matrices of one shape, with the names of the first one's columns."""

    def __init__(self) -> None:
        self._names: Any = None

    def aggregate(self, features: list[Any], names: list[Any]) -> Any:
        import numpy

        arrays = [numpy.asarray(item) for item in features]
        shapes = {array.shape for array in arrays}
        if any(array.ndim != 2 or array.dtype.kind not in "biuf" for array in arrays) or len(shapes) != 1:
            told = ", ".join("x".join(map(str, array.shape)) or array.dtype.name for array in arrays)
            raise ValueError(f"averages are of matrices of numbers, all of one shape; these are {told}")
        width = arrays[0].shape[1]
        self._names = list(names[0]) if len(names[0]) == width else [f"t:{at}" for at in range(width)]
        return numpy.mean(arrays, axis=0)

    def class_names(self) -> Any:
        return self._names

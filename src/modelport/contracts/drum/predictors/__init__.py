"""Models that need no code: which artifact is there, and what reads it.

Each kind of artifact has a module ``<kind>_model`` here: ``read(path)`` answers the object in one, ``wrap(model)`` what
predicts with an object of its library, a ``Predictor``, and ``load(path)`` does both.
"""

from __future__ import annotations

import importlib
import os
from typing import Any, Protocol

from modelport.contracts.drum.detect import ARTIFACTS, artifacts, kind_of
from modelport.errors import LoadError

CLASSES = {
    ("xgboost", "Booster"): "xgboost",
    ("lightgbm", "Booster"): "lightgbm",
    ("catboost", "CatBoost"): "catboost",
    ("torch", "Module"): "torch",
    ("keras", "Model"): "keras",
    ("tf_keras", "Model"): "keras",
    ("onnxruntime", "InferenceSession"): "onnx",
    ("pypmml", "Model"): "pmml",
}
"""Whose objects are known by a class among their bases, without importing it; any other may still be an estimator."""


POINTER = b"version https://git-lfs"


class Predictor(Protocol):
    """A loaded artifact.

    ``classes`` are the labels of a classifier in the order of its columns, where it knows them; ``columns`` the
    names of the features it was fitted on, where it knows them; ``is_classifier`` is None where only whoever made it
    can tell; ``is_numeric`` says that all it takes is known to be numbers; ``model`` is the object that hooks get.
    """

    model: Any
    classes: list[str] | None
    columns: list[str] | None
    is_classifier: bool | None
    is_numeric: bool

    def predict(self, frame: Any, is_classification: bool) -> Any:
        """A number a row, or for a classification the probabilities: a column a class, or the positive one's."""
        ...


def choose(folder: str, named: str | None) -> str:
    """The path of the one artifact in a folder. Raises ``LoadError`` for none, and for several."""
    if named is not None:
        return os.path.join(folder, named)
    found = artifacts(folder)
    if not found:
        raise LoadError(
            f"{folder} has no model file",
            hint=f"one of {', '.join(ARTIFACTS)}, or a custom.py with load_model",
        )
    if len(found) > 1:
        raise LoadError(
            f"{folder} has several model files: {', '.join(found)}",
            hint="keep one, name it as options.artifact in modelport.yaml, or load them in load_model of custom.py",
        )
    return os.path.join(folder, found[0])


def load(path: str) -> Predictor:
    """What predicts with an artifact, by its suffix. Raises ``LoadError`` saying what would help."""
    predictor: Predictor = _module(_kind(path)).load(path)
    return predictor


def read(path: str) -> Any:
    """The object in an artifact, which need not be one that predicts. Raises ``LoadError`` saying what would help."""
    return _module(_kind(path)).read(path)


def _kind(path: str) -> str:
    name = os.path.basename(path)
    kind = kind_of(path)
    with open(path, "rb") as file:
        begin = file.read(len(POINTER))
    if not begin:
        raise LoadError(f"{name} is empty", hint="copy it once more")
    if begin == POINTER:
        raise LoadError(f"{name} is a pointer of Git LFS, and not the model", hint="git lfs pull")
    if kind is None:
        raise LoadError(f"{name} is no model file", hint=f"known are {', '.join(ARTIFACTS)}")
    return kind


def wrap(model: Any, source: str = "load_model") -> Predictor:
    """What predicts with an object that came from ``source``. Raises ``LoadError`` where nobody knows how."""
    bases = [(base.__module__.partition(".")[0], base.__name__) for base in type(model).__mro__]
    kind = next((CLASSES[base] for base in bases if base in CLASSES), None)
    if kind is None and callable(getattr(model, "predict", None)):
        kind = "estimator"
    if kind is None:
        raise LoadError(
            f"{source} gave an object of type {type(model).__name__}, and nobody knows how to predict with it",
            hint="add a score hook to custom.py",
        )
    predictor: Predictor = _module(kind).wrap(model)
    return predictor


def _module(kind: str) -> Any:
    return importlib.import_module(f"{__name__}.{kind}_model")

"""Pickles and joblib files. To load one is to run it, so it happens in the worker only."""

from __future__ import annotations

import logging
import mmap
import os
import pickle
import warnings
from typing import Any

from modelport.contracts.drum import predictors
from modelport.contracts.drum.predictors.libraries import brief, needed
from modelport.contracts.drum.predictors.unpickling import SQUEEZED, explained
from modelport.errors import InvalidOutput


def load(path: str) -> predictors.Predictor:
    """A pickle, or what joblib writes."""
    model, age = _read(path)
    predictor = predictors.wrap(model, os.path.basename(path))
    return predictor if age is None else Aged(predictor, *age)


def read(path: str) -> Any:
    """Whatever was pickled."""
    return _read(path)[0]


def _read(path: str) -> tuple[Any, tuple[str, str] | None]:
    """The object, and where another version of scikit-learn made it, that in words, and what would help."""
    model, versions = _unpickled(path)
    if not versions:
        return model, None
    made, here = versions
    told = f"{os.path.basename(path)} was made with scikit-learn {made}, and {here} is installed"
    logging.getLogger(__name__).warning("%s: pip install scikit-learn==%s if it fails or answers differ", told, made)
    return model, (told, f"pip install scikit-learn=={made}")


class Aged:
    """A model that another version of scikit-learn made: what it stumbles over is most likely that."""

    def __init__(self, inner: predictors.Predictor, told: str, hint: str) -> None:
        self.model = inner.model
        self.classes = inner.classes
        self.columns = inner.columns
        self.is_classifier = inner.is_classifier
        self.is_numeric = inner.is_numeric
        self._inner = inner
        self._told = told
        self._hint = hint

    def predict(self, frame: Any, is_classification: bool) -> Any:
        try:
            return self._inner.predict(frame, is_classification)
        except AttributeError as fault:
            raise InvalidOutput(f"{self._told}: {brief(fault)}", hint=self._hint) from fault


def _unpickled(path: str) -> tuple[Any, tuple[str, str] | None]:
    """The object, and the versions of scikit-learn that made and read it where they differ."""
    joblib = needed("joblib", path) if _is_joblib(path) else None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            if joblib is not None:
                model = joblib.load(path)
            else:
                with open(path, "rb") as file:
                    model = pickle.load(file)  # noqa: S301 - that is what serving a pickle means
        except MemoryError:
            raise
        except Exception as fault:
            with open(path, "rb") as file:
                raise explained(path, fault, file.read()) from fault
    versions = None
    for item in caught:
        made = getattr(item.message, "original_sklearn_version", None)
        if made is not None:
            versions = str(made), str(getattr(item.message, "current_sklearn_version", "another version"))
        else:
            warnings.warn_explicit(item.message, item.category, item.filename, item.lineno)
    return model, versions


def _is_joblib(path: str) -> bool:
    """Whether joblib wrote it: it compresses, and puts arrays between the instructions of a pickle."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content[:2].startswith(tuple(SQUEEZED)) or content.find(b"joblib.numpy_pickle") >= 0

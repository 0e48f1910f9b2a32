"""XGBoost's own files, JSON and UBJSON, and boosters without their scikit-learn wrapper."""

from __future__ import annotations

import importlib
import json
from typing import Any

from modelport.contracts.drum.predictors.features import Features
from modelport.contracts.drum.predictors.libraries import needed, unreadable
from modelport.errors import InvalidOutput


def load(path: str) -> BoosterPredictor:
    """What predicts with such a file."""
    return BoosterPredictor(read(path))


def read(path: str) -> Any:
    """The booster in a file that ``save_model`` wrote."""
    xgboost = needed("xgboost", path)
    with open(path, "rb") as file:
        content = bytearray(file.read())  # of a file it would go by the suffix, and not by what is inside
    try:
        return xgboost.Booster(model_file=content)
    except (xgboost.core.XGBoostError, ValueError) as fault:
        raise unreadable(path, xgboost, fault) from fault


class BoosterPredictor:
    """Its classes are numbers from 0: what they stood for, the booster was never told."""

    def __init__(self, booster: Any) -> None:
        self.model = booster
        self._features = Features(booster.feature_names, booster.num_features())
        learner = json.loads(booster.save_config())["learner"]
        self._objective: str = learner["objective"]["name"]
        self.is_classifier = self._objective.startswith(("binary:", "multi:"))
        count = max(2, int(learner["learner_model_param"]["num_class"]))
        self.classes = [str(number) for number in range(count)] if self.is_classifier else None
        self.columns = self._features.names
        self.is_numeric = "c" not in (booster.feature_types or [])
        best = booster.attr("best_iteration")
        self._rounds = (0, int(best) + 1) if best is not None else (0, 0)

    def predict(self, frame: Any, is_classification: bool) -> Any:
        xgboost = importlib.import_module("xgboost")
        named = self._features.names is not None
        rows = xgboost.DMatrix(
            self._features.frame(frame) if named else self._features.matrix(frame), enable_categorical=named
        )
        if not is_classification or self._objective not in ("multi:softmax", "binary:logitraw", "binary:hinge"):
            return self.model.predict(rows, iteration_range=self._rounds)
        if self._objective == "binary:hinge":
            raise InvalidOutput("a model of the objective binary:hinge has no probabilities")
        return _probabilities(self.model.predict(rows, iteration_range=self._rounds, output_margin=True))


wrap = BoosterPredictor


def _probabilities(margins: Any) -> Any:
    """Of the scores that an objective without probabilities leaves as they are."""
    import numpy

    if margins.ndim == 1:
        return 1 / (1 + numpy.exp(-margins))
    powers = numpy.exp(margins - margins.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)

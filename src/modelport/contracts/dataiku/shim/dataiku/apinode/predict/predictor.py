"""The base classes of Python prediction endpoints."""

from __future__ import annotations

from typing import Any


class _Predictor:
    def __init__(self, data_folder: Any = None) -> None:
        self.data_folder = data_folder

    def predict(self, features_df: Any) -> Any:
        raise NotImplementedError("a predictor needs a predict(features_df) method")


class RegressionPredictor(_Predictor):
    """``predict`` returns a series, or (series, custom keys)."""


class ClassificationPredictor(_Predictor):
    """``predict`` returns a series, (series, probabilities), or (series, probabilities, custom keys)."""

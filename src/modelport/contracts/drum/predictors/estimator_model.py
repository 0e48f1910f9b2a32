"""What scikit-learn calls an estimator, whoever wrote it: ``predict``, perhaps ``predict_proba`` and ``classes_``."""

from __future__ import annotations

from typing import Any

from modelport.contracts.drum.labels import labels
from modelport.contracts.drum.predictors.features import Features
from modelport.errors import InvalidInput, InvalidOutput

TEXTS = "sklearn.feature_extraction.text"
"""Where those are that take a list of texts, and no table."""
NUMERIC = tuple(
    f"sklearn.{name}"
    for name in (
        "cluster", "covariance", "cross_decomposition", "decomposition", "discriminant_analysis", "ensemble._forest",
        "ensemble._gb", "ensemble._iforest", "gaussian_process", "linear_model", "naive_bayes", "neighbors",
        "neural_network", "preprocessing._data", "svm", "tree",
    )
)  # fmt: skip
"""Where those are that take nothing but numbers."""


class Estimator:
    """Gets a DataFrame if it was fitted on one, else an array; a pipeline that begins with text, its one column."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._features = Features(getattr(model, "feature_names_in_", None), getattr(model, "n_features_in_", None))
        first = _first(model)
        self._takes_text = type(first).__module__ == TEXTS
        self.is_numeric = _takes_numbers(first)
        self.classes = labels(getattr(model, "classes_", None))
        self.columns = self._features.names
        self.is_classifier: bool | None = self.classes is not None
        if not self.is_classifier and hasattr(model, "predict_proba"):
            self.is_classifier = None

    def predict(self, frame: Any, is_classification: bool) -> Any:
        if not is_classification:
            return self.model.predict(self._data(frame))
        predict = getattr(self.model, "predict_proba", None)
        if predict is None:
            kind = type(self.model).__name__
            raise InvalidOutput(
                f"this {kind} has no probabilities: it has no predict_proba, or was fitted without",
                hint=f"fit it so that it has (CalibratedClassifierCV gives them to any {kind}), or add a score hook",
            )
        return predict(self._data(frame))

    def _data(self, frame: Any) -> Any:
        features = self._features
        if self._takes_text:
            if len(frame.columns) != 1:
                raise InvalidInput(f"the model takes one column, of text, and {len(frame.columns)} came")
            return frame.iloc[:, 0].fillna("")
        is_plain = features.names is None and features.count is not None
        return features.matrix(frame) if is_plain else features.frame(frame)


wrap = Estimator


def _first(model: Any) -> Any:
    """What gets the data first in a pipeline or a search, else the model."""
    while True:
        steps = getattr(model, "steps", None)
        inner = steps[0][1] if isinstance(steps, list) and steps else getattr(model, "best_estimator_", None)
        if inner is None:
            return model
        model = inner


def _takes_numbers(model: Any) -> bool:
    """Whether it takes numbers only, as far as can be told."""
    module = type(model).__module__
    if module.startswith("xgboost."):
        return "c" not in (model.get_booster().feature_types or [])
    if module.startswith("lightgbm."):
        return not model.booster_.pandas_categorical
    return module.startswith(NUMERIC)

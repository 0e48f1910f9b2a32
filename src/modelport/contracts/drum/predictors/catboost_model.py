"""CatBoost models: its own ``.cbm`` files, and its objects in pickles."""

from __future__ import annotations

from typing import Any

from modelport.contracts.drum.labels import labels
from modelport.contracts.drum.predictors.features import Features
from modelport.contracts.drum.predictors.libraries import needed, unreadable


def load(path: str) -> CatBoostPredictor:
    """What predicts with a ``.cbm`` file."""
    return CatBoostPredictor(read(path))


def read(path: str) -> Any:
    """The classifier or regressor in a ``.cbm`` file."""
    catboost = needed("catboost", path)
    try:
        plain = catboost.CatBoost().load_model(path)
        kind = catboost.CatBoostClassifier if len(plain.classes_) else catboost.CatBoostRegressor
        return kind().load_model(path)
    except catboost.CatBoostError as fault:
        raise unreadable(path, catboost, fault) from fault


class CatBoostPredictor:
    """Columns that were fitted without names go by their places."""

    def __init__(self, model: Any) -> None:
        self.model = model
        names = model.feature_names_
        is_named = names != [str(at) for at in range(len(names))]
        self._features = Features(names if is_named else None, len(names))
        self.classes = labels(model.classes_)
        self.is_classifier = self.classes is not None
        self.columns = self._features.names
        strange = (model.get_cat_feature_indices, model.get_text_feature_indices, model.get_embedding_feature_indices)
        self.is_numeric = not any(len(indices()) for indices in strange)

    def predict(self, frame: Any, is_classification: bool) -> Any:
        rows = self._features.frame(frame) if self._features.names is not None else self._features.matrix(frame)
        if is_classification:
            return self.model.predict(rows, prediction_type="Probability")
        return self.model.predict(rows)


wrap = CatBoostPredictor

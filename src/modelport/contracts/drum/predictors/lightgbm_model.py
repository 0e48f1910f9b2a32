"""LightGBM's own text files, and boosters without their scikit-learn wrapper."""

from __future__ import annotations

from typing import Any

from modelport.contracts.drum.predictors.features import Features
from modelport.contracts.drum.predictors.libraries import needed, unreadable


def load(path: str) -> BoosterPredictor:
    """What predicts with such a file."""
    return BoosterPredictor(read(path))


def read(path: str) -> Any:
    """The booster in a file that its ``save_model`` wrote."""
    lightgbm = needed("lightgbm", path)
    try:
        return lightgbm.Booster(model_file=path)
    except (lightgbm.basic.LightGBMError, ValueError) as fault:
        raise unreadable(path, lightgbm, fault) from fault


class BoosterPredictor:
    """Its classes are numbers from 0: what they stood for, the booster was never told."""

    def __init__(self, booster: Any) -> None:
        self.model = booster
        self._features = Features(booster.feature_name(), booster.num_feature())
        about = booster.dump_model(num_iteration=1)
        objective = str(about.get("objective", "")).partition(" ")[0]
        self.is_classifier = objective in ("binary", "multiclass", "multiclassova") if objective else None
        count = max(2, int(about["num_class"]))
        self.classes = [str(number) for number in range(count)] if self.is_classifier else None
        self.columns = self._features.names
        self.is_numeric = not booster.pandas_categorical

    def predict(self, frame: Any, is_classification: bool) -> Any:
        if self._features.names is None:
            return self.model.predict(self._features.matrix(frame))
        rows = self._features.frame(frame)
        if self.model.pandas_categorical:
            import pandas

            texts = [name for name in rows if not pandas.api.types.is_numeric_dtype(rows[name].dtype)]
            rows = rows.astype(dict.fromkeys(texts, "category"))
        return self.model.predict(rows)


wrap = BoosterPredictor

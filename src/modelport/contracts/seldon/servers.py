"""The platform's ready-made servers, as components: models that need no code, from a folder on this machine."""

from __future__ import annotations

import os
from typing import Any

from modelport.errors import LoadError, ModelRejected

METHODS = ("predict_proba", "predict", "decision_function")
KINDS = ("ndarray", "dataframe")
BAD_DATA = "MICROSERVICE_BAD_DATA"


class ModelServer:
    """What the servers have in common: a folder, or a file in one, and metadata beside the model."""

    def __init__(self, model_uri: str) -> None:
        self._folder = model_uri if os.path.isdir(model_uri) else os.path.dirname(model_uri)
        self._given = "" if os.path.isdir(model_uri) else model_uri

    def _file(self, *names: str) -> str:
        """The model's file: the one given, else the first of these that is there. Raises ``LoadError``."""
        files = [self._given] if self._given else [os.path.join(self._folder, name) for name in names]
        found = next((file for file in files if os.path.isfile(file)), None)
        if found is None:
            raise LoadError(f"there is no {' or '.join(names)} in {self._folder}")
        return found

    def init_metadata(self) -> dict[str, Any]:
        """What metadata.yaml beside the model says."""
        file = os.path.join(self._folder, "metadata.yaml")
        if not os.path.isfile(file):
            return {}
        try:
            import yaml
        except ImportError as fault:
            raise LoadError(f"{file} needs PyYAML in the model's environment") from fault
        with open(file, encoding="utf-8") as text:
            said = yaml.safe_load(text)
        return said if isinstance(said, dict) else {}


class SklearnServer(ModelServer):
    """``model.joblib``, or a pickled one, and the method by which it predicts."""

    def __init__(self, model_uri: str, method: str = "predict_proba") -> None:
        super().__init__(model_uri)
        if method not in METHODS:
            raise LoadError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
        self._method = method

    def load(self) -> None:
        import joblib

        self._model = joblib.load(self._file("model.joblib", "model.pickle", "model.pkl"))
        if not hasattr(self._model, self._method):
            raise LoadError(
                f"{type(self._model).__name__} has no {self._method}",
                hint=f"parameter method: {', '.join(m for m in METHODS if hasattr(self._model, m))}",
            )

    def predict(self, X: Any, names: Any, meta: Any = None) -> Any:  # noqa: N803
        try:
            return getattr(self._model, self._method)(X)
        except Exception as fault:  # the platform answers so, if with fewer words
            raise ModelRejected(type(fault).__name__, str(fault), 400, reason=BAD_DATA) from fault


class XgboostServer(ModelServer):
    """``model.bst``, or one in another of the library's own formats."""

    def load(self) -> None:
        import xgboost

        self._booster = xgboost.Booster(model_file=self._file("model.bst", "model.json", "model.ubj"))

    def predict(self, X: Any, names: Any, meta: Any = None) -> Any:  # noqa: N803
        import xgboost

        return self._booster.predict(xgboost.DMatrix(X))


class MlflowServer(ModelServer):
    """A folder that MLflow wrote; ``xtype`` says as what its model gets the rows."""

    def __init__(self, model_uri: str, xtype: str = "ndarray") -> None:
        super().__init__(model_uri)
        if xtype not in KINDS:
            raise LoadError(f"xtype must be one of {', '.join(KINDS)}, not {xtype!r}")
        self._xtype = xtype

    def load(self) -> None:
        from mlflow import pyfunc

        self._model = pyfunc.load_model(self._given or self._folder)

    def predict(self, X: Any, names: Any, meta: Any = None) -> Any:  # noqa: N803
        import numpy

        if self._xtype == "dataframe":
            import pandas

            X = pandas.DataFrame(X, columns=list(names) or None)  # noqa: N806
        answer = self._model.predict(X)
        return numpy.asarray(answer) if hasattr(answer, "to_numpy") else answer

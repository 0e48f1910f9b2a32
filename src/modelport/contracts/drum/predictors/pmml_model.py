"""PMML models, by pypmml on Java."""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

from modelport.contracts.drum.labels import labels
from modelport.contracts.drum.predictors.features import Features
from modelport.contracts.drum.predictors.libraries import needed, unreadable
from modelport.errors import InvalidOutput, LoadError

DIGITS = 15
"""Decimals of the numbers that go to Java: pandas would write ten."""
JAVA = "install Java 11 or newer (Debian: apt-get install default-jre-headless), or set JAVA_HOME"


def load(path: str) -> PmmlPredictor:
    """What predicts with a PMML file."""
    return PmmlPredictor(read(path))


def read(path: str) -> Any:
    """The model in a PMML file."""
    pypmml = needed("pypmml", path)
    if not has_java():
        raise LoadError(f"{os.path.basename(path)} needs Java, which is not installed", hint=JAVA)
    heap = os.environ.get("DRUM_JAVA_XMX")
    try:
        pypmml.PMMLContext.getOrCreate(java_opts=[f"-Xmx{heap}"] if heap else None)
        return pypmml.Model.fromFile(path)
    except pypmml.PMMLError as fault:
        raise unreadable(path, pypmml, PmmlFault(": ".join(map(str, fault.args)))) from fault


def has_java() -> bool:
    """Whether Java is where pypmml looks for it."""
    home = os.environ.get("JAVA_HOME")
    return bool(home and os.path.exists(os.path.join(home, "bin", "java"))) or shutil.which("java") is not None


class PmmlFault(Exception):
    """What Java said, in one sentence."""


class PmmlPredictor:
    """Rows go to Java as JSON, and its answers come back so."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._features = Features(model.inputNames)
        self.classes = labels(model.classes)
        self.columns = self._features.names
        self.is_numeric = False
        self.is_classifier = str(model.functionName) == "classification"
        fields = model.outputFields
        self._value = next((item.name for item in fields if item.feature == "predictedValue"), None)
        by_label = {str(item.value): item.name for item in fields if item.feature == "probability"}
        self._probabilities = [by_label.get(name) for name in self.classes or []]

    def predict(self, frame: Any, is_classification: bool) -> Any:
        import numpy

        if is_classification and (not self._probabilities or None in self._probabilities):
            raise InvalidOutput("the PMML model has no output for the probability of each class")
        rows = self._features.frame(frame).to_json(orient="split", index=False, double_precision=DIGITS)
        answer = json.loads(self.model.call("predict", rows))
        names = answer["columns"]
        if is_classification:
            places = [names.index(name) for name in self._probabilities]
            return numpy.array([[row[at] for at in places] for row in answer["data"]], dtype=float)
        at = names.index(self._value) if self._value in names else 0
        values = [row[at] for row in answer["data"]]
        return numpy.array(values, dtype=object if any(isinstance(value, str) for value in values) else float)


wrap = PmmlPredictor

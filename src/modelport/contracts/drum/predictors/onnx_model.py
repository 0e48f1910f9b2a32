"""ONNX models, by onnxruntime: one input with all columns, or one input a column."""

from __future__ import annotations

import os
from typing import Any

from modelport.contracts.drum.labels import label
from modelport.contracts.drum.predictors.features import Features
from modelport.contracts.drum.predictors.libraries import needed, unreadable
from modelport.contracts.drum.predictors.onnx_graph import class_labels
from modelport.errors import InvalidInput, LoadError

DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(bool)": "bool",
    "tensor(string)": "object",
}
"""The element types that columns can be made of, as numpy calls them."""
PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


def load(path: str) -> SessionPredictor:
    """What predicts with an ``.onnx`` file."""
    return SessionPredictor(read(path), path)


def read(path: str) -> Any:
    """The session of an ``.onnx`` file."""
    onnxruntime = needed("onnxruntime", path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    providers = [name for name in PROVIDERS if name in onnxruntime.get_available_providers()]
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as fault:  # its exceptions have no base of their own
        raise unreadable(path, onnxruntime, fault) from fault


class SessionPredictor:
    """A classifier answers with a label and its probabilities, as one tensor or a map a row; other models with one."""

    def __init__(self, session: Any, path: str | None = None) -> None:
        self.model = session
        self._inputs = session.get_inputs()
        strange = [f"{item.name!r} is {item.type}" for item in self._inputs if item.type not in DTYPES]
        if strange:
            raise LoadError(f"the ONNX model takes no columns: {'; '.join(strange)}", hint="add a score hook")
        self._outputs = session.get_outputs()
        self._is_alone = len(self._inputs) == 1
        self._is_wide = self._is_alone and not _is_column(self._inputs[0].shape)
        self._features = self._found_features()
        self._probabilities = self._found_probabilities()
        self.columns = self._features.names
        self.is_numeric = all(DTYPES[item.type] != "object" for item in self._inputs)
        self.classes = class_labels(path) if path is not None and self._probabilities is not None else None
        self.is_classifier = True if self._probabilities is not None else None

    def _found_features(self) -> Features:
        if not self._is_wide:
            return Features([item.name for item in self._inputs])
        width = self._inputs[0].shape[1] if len(self._inputs[0].shape) == 2 else None
        return Features(count=width if isinstance(width, int) else None)

    def _found_probabilities(self) -> int | None:
        """Which output is that of the probabilities: maps always are, a tensor may be beside that of the labels."""
        named = [at for at, item in enumerate(self._outputs) if "prob" in item.name.lower()]
        maps = [at for at, item in enumerate(self._outputs) if item.type.startswith("seq(map(")]
        if maps or len(self._outputs) < 2:
            return maps[0] if maps else None
        numbers = [at for at, item in enumerate(self._outputs) if item.type in ("tensor(float)", "tensor(double)")]
        found = named or (numbers if len(numbers) == 1 else [])
        return found[0] if found else None

    def predict(self, frame: Any, is_classification: bool) -> Any:
        at = (self._probabilities or 0) if is_classification else 0
        answer = self.model.run([self._outputs[at].name], self._fed(frame))[0]
        return self._unzipped(answer) if isinstance(answer, list) else answer

    def _fed(self, frame: Any) -> dict[str, Any]:
        if self._is_wide:
            item = self._inputs[0]
            return {item.name: self._array(self._features, frame, item)}
        if self._is_alone and len(frame.columns) == 1:  # whatever it is called
            frame = frame.set_axis(self._features.names, axis=1)
        picked = self._features.frame(frame)
        return {
            item.name: self._array(Features([item.name]), picked, item).reshape(-1, *item.shape[1:])
            for item in self._inputs
        }

    def _array(self, features: Features, frame: Any, item: Any) -> Any:
        dtype = DTYPES[item.type]
        if dtype != "object":
            return features.numbers(frame, dtype)
        picked = features.frame(frame)
        if picked.isna().any(axis=None):
            gaps = [f"column {name!r}" for name in picked.columns if picked[name].isna().any()]
            raise InvalidInput("the model takes text, and some is missing", faults=gaps)
        return picked.map(label).to_numpy(dtype=object)

    def _unzipped(self, rows: list[dict[Any, float]]) -> Any:
        """A column a class, of one map a row."""
        import numpy

        keys = list(rows[0]) if rows else []
        if self.classes is not None:
            by_label = {label(key): key for key in keys}
            if set(by_label) == set(self.classes):
                keys = [by_label[name] for name in self.classes]
        return numpy.array([[row[key] for key in keys] for row in rows])


wrap = SessionPredictor


def _is_column(shape: list[Any]) -> bool:
    """Whether an input takes one value a row."""
    return len(shape) == 1 or shape[1:] == [1]


def _threads() -> int:
    """As many as the worker was given; onnxruntime does not look by itself."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdigit() else 0

"""Keras 3 models, on whichever backend is installed; the older ``.h5`` as well."""

from __future__ import annotations

import os
import sys
import zipfile
from typing import Any

from modelport.contracts.drum.predictors.features import Features
from modelport.contracts.drum.predictors.libraries import is_installed, needed, unreadable
from modelport.errors import LoadError

BACKENDS = ("tensorflow", "torch", "jax")
BATCH = 4096
"""Rows at once: Keras would take 32."""


def load(path: str) -> KerasPredictor:
    """What predicts with a file of Keras."""
    return KerasPredictor(read(path))


def read(path: str) -> Any:
    """The model in a file of Keras 3, or an older ``.h5``."""
    _choose_backend(path)
    keras = needed("keras", path)
    with open(path, "rb") as file:
        begin = file.read(8)
    if not (begin.startswith(b"\x89HDF") or zipfile.is_zipfile(path)):
        raise LoadError(
            f"{os.path.basename(path)} is no Keras model, or not all of one: it begins with {begin!r}",
            hint="model.save() of Keras writes a .keras or .h5 file",
        )
    try:
        return keras.models.load_model(path, compile=False)
    except (KeyError, OSError, TypeError, ValueError) as fault:
        raise unreadable(path, keras, fault) from fault


class KerasPredictor:
    """Gets one float32 array of all columns; what it answers is taken as it is, so probabilities are its affair."""

    def __init__(self, model: Any) -> None:
        shape = getattr(model, "input_shape", None)
        if isinstance(shape, (dict, list)) and len(shape) == 1:
            shape = next(iter(shape.values() if isinstance(shape, dict) else shape))
        if isinstance(shape, (dict, list)):
            raise LoadError(f"the Keras model takes {len(shape)} inputs, not one table", hint="add a score hook")
        self.model = model
        self.classes = None
        self.columns = None
        self.is_classifier = None
        self.is_numeric = True
        self._features = Features(count=shape[1] if shape is not None and len(shape) == 2 else None)

    def predict(self, frame: Any, is_classification: bool) -> Any:
        return self.model.predict(self._features.numbers(frame, "float32"), batch_size=BATCH, verbose=0)


wrap = KerasPredictor


def _choose_backend(path: str) -> None:
    """Keras falls back to TensorFlow: where that is not installed, another is named."""
    if "keras" in sys.modules or os.environ.get("KERAS_BACKEND"):
        return
    for backend in BACKENDS:
        if is_installed(backend):
            if backend != "tensorflow":
                os.environ["KERAS_BACKEND"] = backend
            return
    raise LoadError(
        f"{os.path.basename(path)} needs Keras with a backend, and there is none",
        hint=f"pip install keras and one of {', '.join(BACKENDS)}, for {sys.executable}",
    )

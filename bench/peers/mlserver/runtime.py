"""An MLServer runtime for the pickled model. MODEL comes from the environment."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


def read_model() -> Any:
    """Unpickle the model."""
    return pickle.loads(Path(os.environ["MODEL"]).read_bytes())


class Linear(MLModel):
    """One tensor of rows in, one tensor of predictions out."""

    async def load(self) -> bool:
        """Load the model."""
        self.model = read_model()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Predict for all rows in one call."""
        rows = NumpyCodec.decode_input(payload.inputs[0])
        output = NumpyCodec.encode_output("y", self.model.predict(rows))
        return InferenceResponse(model_name=self.name, outputs=[output])

"""LitServe, one worker process. PORT, MODEL and BATCH (0 or 1) come from the environment."""
# ruff: noqa: I002 - LitServe looks at the annotations themselves, and takes no text for them

import os
import pickle
from pathlib import Path
from typing import Any

import litserve
import numpy as np


class Linear(litserve.LitAPI):
    """Rows as nested lists in, predictions as a list out."""

    def setup(self, device: str) -> None:
        """Load the model, once in each worker process."""
        self.model = pickle.loads(Path(os.environ["MODEL"]).read_bytes())

    def decode_request(self, request: dict[str, Any]) -> Any:
        """Make an array of the rows."""
        return np.asarray(request["x"], dtype=float)

    def predict(self, x: Any) -> Any:
        """Predict for all rows in one call."""
        return self.model.predict(x)

    def batch(self, inputs: list[Any]) -> Any:
        """Join the rows of several requests."""
        self.borders = np.cumsum([len(rows) for rows in inputs])[:-1]
        return np.concatenate(inputs)

    def unbatch(self, output: Any) -> Any:
        """Give every request its own predictions back."""
        return np.split(output, self.borders)

    def encode_response(self, output: Any) -> dict[str, Any]:
        """Make a plain list of the predictions."""
        return {"y": output.tolist()}


if __name__ == "__main__":
    batching = {"max_batch_size": 32, "batch_timeout": 0.002} if os.environ["BATCH"] == "1" else {}
    server = litserve.LitServer(Linear(**batching), accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )

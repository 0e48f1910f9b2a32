"""KServe's model server, one process. PORT and MODEL come from the environment."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import kserve
import numpy as np
import uvicorn

configure = uvicorn.Config.__init__


def configure_on_loopback(self: uvicorn.Config, *args: Any, **options: Any) -> None:
    """Listen on loopback only: KServe has no setting for it and takes 0.0.0.0."""
    configure(self, *args, **{**options, "host": "127.0.0.1"})


class Linear(kserve.Model):
    """Rows as nested lists in (protocol v1), predictions as a list out."""

    def __init__(self) -> None:
        super().__init__("lin")
        self.model = pickle.loads(Path(os.environ["MODEL"]).read_bytes())
        self.ready = True

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> dict[str, Any]:
        """Predict for all rows in one call."""
        rows = np.asarray(payload["instances"], dtype=float)
        return {"predictions": self.model.predict(rows).tolist()}


if __name__ == "__main__":
    uvicorn.Config.__init__ = configure_on_loopback
    kserve.ModelServer(http_port=int(os.environ["PORT"]), workers=1, enable_grpc=False, access_log_format=None).start(
        [Linear()]
    )

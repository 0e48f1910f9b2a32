"""Models for the contract in ``plugin/``, written to disk, and the server that has them."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import Any

PLUGIN = Path(__file__).parent / "plugin"
ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(filter(None, [str(PLUGIN), os.environ.get("PYTHONPATH")]))}
ADMIN = "an-admin-key"

SOURCES = {
    # answers with what it got
    "noop": """
        from modelport.core.call import Outcome

        class Model:
            def predict(self, tensors):
                return Outcome(payload=tensors)
        """,
    # a logistic regression of four columns, as the recorded one
    "sk": """
        import numpy as np

        COEF = np.full((1, 4), 0.4615202250757829)
        INTERCEPT = np.array([-2.7692277419410143])

        class Model:
            inputs = [("x", "FP64", [-1, 4])]
            outputs = [("predict", "INT64", [-1, 1])]

            def predict(self, tensors):
                columns = [np.asarray(t.data, dtype=float).reshape(t.rows, -1) for t in tensors.items]
                X = np.hstack(columns)
                return (X @ COEF.T + INTERCEPT > 0).astype("int64")[:, 0]
        """,
    "raiser": """
        class Model:
            def predict(self, tensors):
                raise ValueError("boom in model")
        """,
    # says of each input what reached it
    "typed": """
        from modelport.core.call import Outcome
        from modelport.core.payload import Tensor, Tensors

        class Model:
            def predict(self, tensors):
                told = [
                    f"{t.datatype} {list(t.shape)} {sorted(t.parameters.items())} {t.nested()!r}" for t in tensors.items
                ]
                items = [Tensor(t.name, "BYTES", (1,), [text]) for t, text in zip(tensors.items, told)]
                return Outcome(payload=Tensors(items))
        """,
    # takes its time over the sum of each row; fails for any row of 13
    "slow": """
        import time
        import numpy as np

        class Model:
            def predict(self, tensors):
                time.sleep(0.03)
                rows = np.hstack([np.frombuffer(t.data, dtype="f8").reshape(t.rows, -1) for t in tensors.items])
                if (rows == 13).any():
                    raise ValueError("thirteen")
                return rows.sum(axis=1)
        """,
    # writes its reply itself: what its one input says
    "writer": """
        from modelport.core.call import Outcome, Reply

        class Model:
            def predict(self, tensors):
                status, name, value, body = tensors.items[0].data
                text = [cell if isinstance(cell, str) else cell.decode() for cell in (status, name, value, body)]
                return Outcome(reply=Reply(int(text[0]), [(text[1], text[2])], iter([text[3].encode(), b"!"])))
        """,
    # answers what is hard to write down
    "odd": """
        import math, struct
        from array import array
        from modelport.core.call import Outcome
        from modelport.core.payload import Tensor, Tensors, raw_buffer

        class Model:
            def predict(self, tensors):
                n = len(tensors)
                return Outcome(payload=Tensors([
                    Tensor("nan", "FP64", (3,), array("d", [math.nan, math.inf, 0.1])),
                    Tensor("many_nan", "FP32", (100,), array("f", [math.nan] * 100)),
                    Tensor("half", "FP16", (2,), raw_buffer(struct.pack("<2e", 1.5, -2.0), "FP16")),
                    Tensor("brain", "BF16", (2,), b"\\x80\\x3f\\x00\\x40"),
                    Tensor("text", "BYTES", (2,), ["h\\u00e9", None]),
                    Tensor("bytes", "BYTES", (1,), [b"\\xff\\xfe"]),
                    Tensor("empty", "INT32", (0, 3), array("i")),
                ]))
        """,
}

VERSIONS = {"noop": "v1", "sk": "v2", "raiser": "v1", "typed": "v1"}


def write(folder: Path, name: str, **manifest: Any) -> Path:
    """The folder of one of ``SOURCES``."""
    place = folder / name
    place.mkdir(parents=True)
    (place / "model.py").write_text(textwrap.dedent(SOURCES[name]))
    lines = {"contract": "tensors", "component": "model.py:Model", "name": name, **manifest}
    if name in VERSIONS:
        lines.setdefault("version", VERSIONS[name])
    (place / "modelport.yaml").write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))
    return place


def write_all(folder: Path) -> list[Path]:
    return [write(folder, name) for name in SOURCES]

"""What one process can do with no server around it: decode, predict, encode, over and over.

ceiling.py FOLDER reads lines "FORMAT SECONDS" from standard input; FORMAT names a body in the
folder (FORMAT.body). It answers each with one line of JSON: how many requests it did, in how many seconds.
"""

from __future__ import annotations

import gc
import io
import itertools
import json
import operator
import pickle
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd

COLUMNS = "abcdefghij"


def open_inference(model: Any, body: bytes) -> bytes:
    """Answer an Open Inference Protocol request with one flat tensor."""
    tensor = orjson.loads(body)["inputs"][0]
    rows = np.array(tensor["data"], dtype=float).reshape(tensor["shape"])
    y = model.predict(rows)
    output = {"name": "y", "shape": y.shape, "datatype": "FP64", "data": y}
    return orjson.dumps({"model_name": "lin", "outputs": [output]}, option=orjson.OPT_SERIALIZE_NUMPY)


def predict_multi(model: Any, body: bytes) -> bytes:
    """Answer a Dataiku predict-multi request.

    Picking values by name straight into one array was the quickest of six ways to the frame that trust
    no key order.
    """
    features = [item["features"] for item in orjson.loads(body)["items"]]
    values = itertools.chain.from_iterable(map(operator.itemgetter(*COLUMNS), features))
    array = np.fromiter(values, float, len(features) * len(COLUMNS)).reshape(-1, len(COLUMNS))
    frame = pd.DataFrame(array, columns=list(COLUMNS))
    y = model.predict(frame.to_numpy())
    results = [{"prediction": value, "ignored": False} for value in y.tolist()]
    return orjson.dumps({"results": results})


def csv(model: Any, body: bytes) -> bytes:
    """Answer a CSV table; the model was fitted on an array. The quickest of six ways to read with pandas."""
    frame = pd.read_csv(io.BytesIO(body), engine="c", low_memory=False)
    y = model.predict(frame.to_numpy())
    return orjson.dumps({"predictions": y}, option=orjson.OPT_SERIALIZE_NUMPY)


WORK: dict[str, Callable[[Any, bytes], bytes]] = {
    "oip-10000": open_inference,
    "dataiku-10000": predict_multi,
    "csv-10000": csv,
}


def main(folder: Path) -> None:
    """Serve the requests on standard input."""
    gc.disable()  # nothing here makes cycles; collecting amid 20,000 new objects doubles predict-multi's time
    model = pickle.loads((folder / "model.pkl").read_bytes())
    for line in sys.stdin:
        name, seconds = line.split()
        work, body = WORK[name], (folder / f"{name}.body").read_bytes()
        done, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < float(seconds):
            work(model, body)
            done += 1
        print(json.dumps({"requests": done, "seconds": spent}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

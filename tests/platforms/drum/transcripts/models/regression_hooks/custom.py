# transform adds 1 to x; score doubles it; post_process adds 0.5: row x -> 2*(x+1)+0.5
from __future__ import annotations

import pandas as pd

TRACE = []


def init(code_dir=None, **kwargs):
    TRACE.append("init")


def load_model(code_dir):
    assert TRACE == ["init"], TRACE
    return 2.0


def transform(data, model):
    data = data.copy()
    data["x"] = data["x"] + 1
    return data


def score(data, model, **kwargs):
    return pd.DataFrame({"Predictions": data["x"] * model})


def post_process(predictions, model):
    return predictions + 0.5

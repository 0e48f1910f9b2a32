"""Text generation: one column, named after the target."""

from __future__ import annotations

import os

import pandas as pd


def load_model(code_dir):
    return os.environ["GREETING"]  # a runtime parameter, with its default in model-metadata.yaml


def score(data, model, **kwargs):
    return pd.DataFrame({"completion": model + ", " + data["prompt"] + "!"})

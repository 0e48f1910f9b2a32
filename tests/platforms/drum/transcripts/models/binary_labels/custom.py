# Column names come from the label kwargs; p(positive) is the value of column p.
from __future__ import annotations

import pandas as pd


def load_model(code_dir):
    return "any"


def score(data, model, positive_class_label=None, negative_class_label=None, **kwargs):
    return pd.DataFrame({positive_class_label: data["p"], negative_class_label: 1.0 - data["p"]})

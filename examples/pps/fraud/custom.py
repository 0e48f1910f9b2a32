"""A binary classification whose every effect can be told by hand: the likelihood of fraud grows with the amount."""

from __future__ import annotations

import pandas as pd

RISK = {"US": 0.0, "FR": 0.05, "GB": 0.1}


def load_model(code_dir):
    return RISK


def score(data, model, **kwargs):
    likelihood = data["amount"].astype(float) / 400 + data["country"].map(model).fillna(0.2)
    likelihood = likelihood.clip(0.01, 0.99)
    return pd.DataFrame({"yes": likelihood, "no": 1 - likelihood})

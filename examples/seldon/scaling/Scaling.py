"""Brings numbers into the range that a model was trained on, and its answers back."""

from __future__ import annotations

import numpy as np
from seldon_core.user_model import SeldonComponent


class Scaling(SeldonComponent):
    def __init__(self, mean: float = 100.0, spread: float = 50.0):
        super().__init__()
        self.mean = mean
        self.spread = spread

    def transform_input(self, X, names, meta=None):
        return (np.asarray(X, dtype=float) - self.mean) / self.spread

    def transform_output(self, X, names, meta=None):
        return np.asarray(X, dtype=float) * self.spread + self.mean

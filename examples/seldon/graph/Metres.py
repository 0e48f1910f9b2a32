"""Square feet become square metres; rooms stay rooms."""

from __future__ import annotations

import numpy as np
from seldon_core.user_model import SeldonComponent


class Metres(SeldonComponent):
    def transform_input(self, X, names, meta=None):
        return np.asarray(X, dtype=float) * [0.09290304, 1]

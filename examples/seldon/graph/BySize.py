"""Small flats go to the first child, all others to the second."""

from __future__ import annotations

import numpy as np
from seldon_core.user_model import SeldonComponent


class BySize(SeldonComponent):
    def __init__(self, limit: float):
        super().__init__()
        self.limit = limit

    def route(self, X, names, meta=None):
        return 0 if np.max(np.asarray(X)[:, 0]) < self.limit else 1

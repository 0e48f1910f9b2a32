"""The measured model, written as a Seldon component."""

from __future__ import annotations

import os
import pickle

from seldon_core.user_model import SeldonComponent


class Linear(SeldonComponent):
    """A pickled scikit-learn regression."""

    def __init__(self):
        with open(os.environ["MODEL"], "rb") as file:
            self.model = pickle.load(file)

    def predict(self, x, names, meta=None):
        """Predict for all rows in one call."""
        return self.model.predict(x)

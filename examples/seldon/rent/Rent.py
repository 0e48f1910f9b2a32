"""What a flat costs a month, by its area and rooms."""

from __future__ import annotations

import numpy as np
from seldon_core.flask_utils import SeldonMicroserviceException
from seldon_core.user_model import SeldonComponent, SeldonResponse


class Rent(SeldonComponent):
    def __init__(self, per_metre: float = 14.0, per_room: float = 250.0):
        super().__init__()
        self.weights = np.array([per_metre, per_room])
        self.rewards: list[float] = []

    def predict(self, X, names, meta=None):
        flats = np.asarray(X, dtype=float)
        if (flats < 0).any():
            raise SeldonMicroserviceException("a flat has no negative area", status_code=422, reason="NEGATIVE_AREA")
        rents = flats @ self.weights
        largest = {"type": "GAUGE", "key": "rent_largest", "value": float(rents.max())}
        return SeldonResponse(rents.reshape(-1, 1), tags={"currency": "EUR"}, metrics=[largest])

    def class_names(self):
        return ["rent"]

    def metrics(self):
        return [{"type": "COUNTER", "key": "rent_requests", "value": 1}]

    def send_feedback(self, features, feature_names, reward, truth, routing=None):
        self.rewards.append(reward)
        return np.array([sum(self.rewards) / len(self.rewards)])

    def init_metadata(self):
        columns = {"names": ["area", "rooms"], "shape": [2]}
        return {
            "name": "rent",
            "versions": ["1"],
            "platform": "numpy",
            "inputs": [{"messagetype": "ndarray", "schema": columns}],
            "outputs": [{"messagetype": "ndarray", "schema": {"names": ["rent"], "shape": [1]}}],
        }

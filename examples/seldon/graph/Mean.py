"""The mean of what its children answer."""

from __future__ import annotations

import numpy as np
from seldon_core.user_model import SeldonComponent


class Mean(SeldonComponent):
    def aggregate(self, features_list, feature_names_list):
        return np.mean([np.asarray(answer, dtype=float) for answer in features_list], axis=0)

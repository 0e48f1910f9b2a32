"""The measured model, written the way Dataiku API nodes ask for it."""

from __future__ import annotations

import os
import pickle

import pandas as pd
from dataiku.apinode.predict.predictor import RegressionPredictor


class Predictor(RegressionPredictor):
    """A pickled scikit-learn regression."""

    def __init__(self, data_folder=None):
        with open(os.path.join(data_folder, "model.pkl"), "rb") as file:
            self.model = pickle.load(file)

    def predict(self, features_df):
        """Predict for all rows in one call."""
        return pd.Series(self.model.predict(features_df.to_numpy()))

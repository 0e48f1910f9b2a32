"""Servers for Seldon's REST API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Running, function, predictor, regression, serving, write_service
from tests.platforms.drum.folders import write_folder

COMPONENTS = Path(__file__).parent / "components"

LABELS = """
def score(data, model, **kwargs):
    import pandas as pd
    return pd.DataFrame({"no": [0.25] * len(data), "yes": [0.75] * len(data)})
"""


@pytest.fixture(scope="session")
def echo() -> Iterator[Running]:
    """The component that returns what it was given, alone; tests must leave it as it is."""
    with serving(COMPONENTS / "EchoModel.py") as server:
        yield server


@pytest.fixture(scope="session")
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Models of other platforms: "total" and "sum" of a row, "classes", and "text" and "fn", which echo."""
    place = tmp_path_factory.mktemp("others")
    total = "def score(data, model, **kwargs):\n    return data.sum(axis=1).to_frame('Predictions')\n"
    folders = [
        write_folder(place / "total", total, "name: total\ntype: inference\ntargetType: regression\n"),
        write_folder(place / "classes", LABELS, LABELED),
        write_folder(place / "text", "def score_unstructured(model, data, **kwargs):\n    return data\n"),
    ]
    service = write_service(
        place / "service",
        regression("sum"),
        function(),
        code={
            "predictor.py": predictor("return features_df.sum(axis=1, numeric_only=True)"),
            "functions.py": "def run(**data):\n    return data\n",
        },
    )
    with serving(*folders, service) as server:
        yield server


LABELED = """
name: classes
type: inference
targetType: binary
inferenceModel:
  targetName: answer
  positiveClassLabel: "yes"
  negativeClassLabel: "no"
"""

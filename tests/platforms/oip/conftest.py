"""Servers for the Open Inference Protocol."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Running, function, predictor, regression, serving, write_service
from tests.platforms.drum.folders import write_folder
from tests.platforms.oip import models

RPC = ("--grpc-port", 0)
REPORT = """
said = [
    "; ".join(f"{name}={value!r}" for name, value in zip(features_df.columns, row))
    for row in features_df.astype(object).itertuples(index=False)
]
return pd.Series(said)
"""
"""A predictor that answers what it got."""


@pytest.fixture(scope="session")
def tensors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Noop, sk, raiser, typed and odd; tests must leave them as they are."""
    with serving(*models.write_all(tmp_path_factory.mktemp("tensors")), *RPC, env=models.ENVIRONMENT) as server:
        yield server


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Regression endpoints "sum" (of a row), "report" (says what it got), and the function "fn" (echoes)."""
    folder = write_service(
        tmp_path_factory.mktemp("tables") / "service",
        regression("sum", testQueries=[{"q": {"features": {"a": 1.0, "b": 2.0}}}]),
        regression("report", "report.py"),
        function(),
        code={
            "predictor.py": predictor("return features_df.sum(axis=1, numeric_only=True)"),
            "report.py": predictor(REPORT),
            "functions.py": "def run(**data):\n    return data\n",
        },
    )
    with serving(folder, *RPC) as server:
        yield server


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """DRUM code folders "total" (of a row) and "echo" (unstructured: says what it got)."""
    place = tmp_path_factory.mktemp("folders")
    score = "data.sum(axis=1).to_frame('Predictions')"
    total = write_folder(place / "total", f"def score(data, model, **kwargs):\n    return {score}\n")
    echo = write_folder(place / "echo", "def score_unstructured(model, data, **kwargs):\n    return data\n")
    with serving(total, echo, *RPC) as server:
        yield server


@pytest.fixture(scope="session")
def components(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A Seldon component "Total" (of a row)."""
    folder = tmp_path_factory.mktemp("components")
    (folder / "Total.py").write_text(
        "import numpy as np\n\n\n"
        "class Total:\n"
        "    def predict(self, X, names, meta=None):\n"
        "        return np.asarray(X, dtype=float).sum(axis=1)\n"
    )
    (folder / "modelport.yaml").write_text("contract: seldon\n")
    with serving(folder / "Total.py", *RPC) as server:
        yield server


SCALE = """
from webargs import fields


def get_predict_args():
    return {"x": fields.Float(required=True), "by": fields.List(fields.Float(), load_default=[1.0])}


def predict(x, by):
    return {"scaled": [x * factor for factor in by]}
"""


@pytest.fixture(scope="session")
def entries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A package with the DEEPaaS model "scale" (multiplies)."""
    folder = tmp_path_factory.mktemp("entries")
    (folder / "scale.py").write_text(SCALE)
    (folder / "setup.cfg").write_text("[options.entry_points]\ndeepaas.v2.model =\n    scale = scale\n")
    with serving(folder, *RPC) as server:
        yield server


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A folder for models of a test's own server."""
    return tmp_path / "models"

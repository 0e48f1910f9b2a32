"""A node with models that do what a query tells them to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness import Answer, Running, function, regression, serving, write_service

KEYS = ["key123", "tok.abc.def"]
"""What the keyed service takes: the key and the token that the recorded requests carry."""

FUNCTIONS = """
import time

def run(**data):
    return data

def compute(code):
    import datetime, decimal, uuid
    import numpy as np
    import pandas as pd
    return eval(code, dict(locals()))

def add(a, b=1):
    return a + b
"""


def evaluated(base: str) -> str:
    """A predictor that returns what the feature "code" says in Python; 1.5 for each row when there is none."""
    return f"""
import datetime, decimal, uuid
import numpy as np
import pandas as pd
from dataiku.apinode.predict.predictor import {base}

class Evaluated({base}):
    def predict(self, features_df):
        df, n = features_df, len(features_df)
        code = df["code"].iloc[0] if "code" in df else "pd.Series([1.5] * n)"
        names = dict(df=df, n=n, np=np, pd=pd, datetime=datetime, decimal=decimal, uuid=uuid)
        return eval(code, names)
"""


def classification(name: str = "cl", code: str = "classifier.py", **more: Any) -> dict[str, Any]:
    """The ``service.json`` entry of a classification endpoint."""
    return {"id": name, "type": "CUSTOM_PREDICTION", "predictionType": "CLASSIFICATION", "code": code, **more}


SOURCES = {
    "regressor.py": evaluated("RegressionPredictor"),
    "classifier.py": evaluated("ClassificationPredictor"),
    "functions.py": FUNCTIONS,
}


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Service "svc", generation v2, open to all: "ep" and "cl" (evaluated), "fn", "compute", "add".

    Service "keyed", generation v1, with API keys: "kep" (evaluated), "kfn".
    """
    root = tmp_path_factory.mktemp("node")
    svc = write_service(
        root / "svc",
        regression("ep", "regressor.py"),
        classification(),
        function("fn"),
        function("compute", function="compute"),
        function("add", function="add"),
        code=SOURCES,
        generation="v2",
    )
    keyed = write_service(
        root / "keyed",
        regression("kep", "regressor.py"),
        function("kfn"),
        code=SOURCES,
        serviceId="keyed",
        authMethod="API_KEYS",
        apiKeys=KEYS,
    )
    with serving(svc, keyed, "--max-body", 1 << 20) as server:
        yield server


def ask(server: Running, endpoint: str, code: str, rows: int = 2, service: str = "svc") -> Answer:
    """Lets the predictor return what ``code`` says, for so many rows."""
    items = [{"features": {"code": code, "row": row}} for row in range(rows)]
    return server.post(f"/public/api/v1/{service}/{endpoint}/predict-multi", {"items": items})


def results(server: Running, endpoint: str, code: str, rows: int = 2, service: str = "svc") -> list[dict[str, Any]]:
    """The same, for code that is legal."""
    answer = ask(server, endpoint, code, rows, service)
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json()["results"]
    return found

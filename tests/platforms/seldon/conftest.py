"""Servers for Seldon's REST API."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Running, function, launch, predictor, regression, serving, until, write_service
from tests.platforms.drum.folders import write_folder

COMPONENTS = Path(__file__).parent / "components"

MICROSERVICE = ("seldon", "microservice")
PORTS = ("--host", "127.0.0.1", "--http-port", "0", "--metrics-port", "0", "--grpc-port", "0")


def launched(*arguments: str, cwd: Path = COMPONENTS, **more: Any) -> Running:
    """``modelport seldon microservice`` on free ports of this machine, without waiting for it."""
    return launch(*PORTS, *arguments, verb=MICROSERVICE, cwd=cwd, **more)


@contextlib.contextmanager
def microservice(*arguments: str, cwd: Path = COMPONENTS, **more: Any) -> Iterator[Running]:
    """The same once it is up; killed afterwards."""
    with serving(*PORTS, *arguments, verb=MICROSERVICE, cwd=cwd, **more) as server:
        yield server


def metrics_port(server: Running) -> int:
    """Where such a server shows its components' metrics."""
    pattern = re.compile(r"metrics  http://.*:(\d+)")
    return int(until(lambda: next(filter(None, map(pattern.fullmatch, server.said)), None))[1])


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
    """Models of other platforms."""
    with serving(*other_models(tmp_path_factory.mktemp("others"))) as server:
        yield server


def other_models(place: Path) -> list[Path]:
    """Models of other platforms: "total" and "sum" of a row, "classes", and "text" and "fn", which echo."""
    total = "def score(data, model, **kwargs):\n    return data.sum(axis=1).to_frame('Predictions')\n"
    service = write_service(
        place / "service",
        regression("sum"),
        function(),
        code={
            "predictor.py": predictor("return features_df.sum(axis=1, numeric_only=True)"),
            "functions.py": "def run(**data):\n    return data\n",
        },
    )
    return [
        write_folder(place / "total", total, "name: total\ntype: inference\ntargetType: regression\n"),
        write_folder(place / "classes", LABELS, LABELED),
        write_folder(place / "text", "def score_unstructured(model, data, **kwargs):\n    return data\n"),
        service,
    ]


LABELED = """
name: classes
type: inference
targetType: binary
inferenceModel:
  targetName: answer
  positiveClassLabel: "yes"
  negativeClassLabel: "no"
"""

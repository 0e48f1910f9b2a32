"""The folders under ``examples/seldon`` answer what lies beside them: from the shell, and served."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness import serving
from tests.platforms.seldon.conftest import metrics_port, microservice

EXAMPLES = Path(__file__).parents[3] / "examples" / "seldon"
PATHS = {"rent": "/api/v1.0/predictions", "scaling": "/transform-input", "vote": "/aggregate"}
JSON = {"Content-Type": "application/json"}


def component(name: str) -> Path:
    return EXAMPLES / name / f"{name.capitalize()}.py"


def lying_there(name: str, file: str) -> Any:
    return json.loads((EXAMPLES / name / file).read_text())


def modelport(*arguments: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "modelport", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


@pytest.mark.parametrize("name", PATHS)
def test_asked_from_the_shell(name: str) -> None:
    done = modelport("call", component(name))
    assert (done.returncode, json.loads(done.stdout)) == (0, lying_there(name, "expected.json"))
    done = modelport("check", component(name))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", PATHS)
def test_served_behind_its_own_protocol(name: str) -> None:
    with serving(component(name)) as server:
        answer = server.post(PATHS[name], lying_there(name, "request.json"), headers=JSON)
        assert (answer.status, answer.json()) == (200, lying_there(name, "expected.json"))


GRAPH = EXAMPLES / "graph" / "deployment.yaml"


def assert_as_expected(answer: Any) -> None:
    """But for the last digits of its numbers."""
    expected = lying_there("graph", "expected.json")
    for side in (answer, expected):
        side["numbers"] = [side["data"].pop("ndarray"), [metric.pop("value") for metric in side["meta"]["metrics"]]]
    assert np.allclose(answer["numbers"].pop(0), expected["numbers"].pop(0))
    assert np.allclose(answer.pop("numbers"), expected.pop("numbers"))
    assert answer == expected


def test_the_graph_from_the_shell() -> None:
    done = modelport("call", GRAPH)
    assert done.returncode == 0, done.stderr
    assert_as_expected(json.loads(done.stdout))
    done = modelport("check", GRAPH)
    assert done.returncode == 0, done.stdout
    done = modelport("inspect", GRAPH)
    folder = GRAPH.parent
    assert done.stdout == "\n".join(
        [
            f"flats  seldon, version 1, 1 worker(s): {GRAPH}",
            f"metres  transform-input  Metres.Metres in {folder}",
            f"└─ by-size  route, send-feedback  BySize.BySize in {folder}",
            f"   ├─ small  predict, send-feedback  Rent.Rent in {EXAMPLES / 'rent'}",
            f"   └─ mean  aggregate  Mean.Mean in {folder}",
            f"      ├─ old  predict, send-feedback  Rent.Rent in {EXAMPLES / 'rent'}",
            f"      └─ new  predict, send-feedback  Rent.Rent in {EXAMPLES / 'rent'}",
            "              own workers: it is marked as isolated",
            "",
        ]
    )
    told = json.loads(modelport("inspect", GRAPH, "--json").stdout)
    (router,) = told[0]["graph"]["children"]
    assert [child["name"] for child in router["children"]] == ["small", "mean"]


def test_the_graph_served() -> None:
    with serving(GRAPH, "--port", "0", verb=("seldon", "deployment")) as server:
        answer = server.post(
            "/seldon/homes/flats/api/v1.0/predictions", lying_there("graph", "request.json"), headers=JSON
        )
        assert answer.status == 200, answer
        assert_as_expected(answer.json())
        small = {"data": {"ndarray": [[300, 1]]}, "meta": {}}
        answer = server.post("/api/v1.0/predictions", small, headers=JSON)
        assert answer.json()["meta"]["routing"]["by-size"] == 0
        metrics = [server.metric("rent_requests_total", model_name=name) for name in ("small", "old", "new")]
        assert metrics == [1, 1, 1]


def test_all_that_the_model_does() -> None:
    with microservice("Rent", cwd=EXAMPLES / "rent") as server:
        server.post("/predict", lying_there("rent", "request.json"), headers=JSON)
        text = server.get("/metrics", port=metrics_port(server)).body.decode()
        assert "rent_requests_total{" in text
        assert "rent_largest{" in text
        refused = server.post("/predict", {"data": {"ndarray": [[-1, 2]]}}, headers=JSON)
        assert (refused.status, refused.json()["status"]["reason"]) == (422, "NEGATIVE_AREA")
        for reward, mean in ((1, 1.0), (0, 0.5)):
            answer = server.post("/send-feedback", {"reward": reward}, headers=JSON)
            assert answer.json()["data"]["tensor"]["values"] == [mean]
        assert server.get("/metadata").json()["platform"] == "numpy"


def test_the_model_with_parameters_behind_other_protocols() -> None:
    parameters = '[{"name": "per_room", "value": "300", "type": "FLOAT"}]'
    with microservice("Rent", "--parameters", parameters, cwd=EXAMPLES / "rent") as server:
        area = {"name": "area", "datatype": "FP64", "shape": [2], "data": [50, 80]}
        rooms = {"name": "rooms", "datatype": "FP64", "shape": [2], "data": [2, 3]}
        (output,) = server.post("/v2/models/Rent/infer", {"inputs": [area, rooms]}).json()["outputs"]
        assert output["data"] == [1300, 2020]
        csv = b"area,rooms\n50,2\n80,3\n"
        answer = server.post("/drum/predict/", csv, headers={"Content-Type": "text/csv"})
        assert answer.json() == {"predictions": [1300, 2020]}
        assert server.metric("rent_requests_total", method="predict") == 2

"""The folders under ``examples/seldon`` answer what lies beside them: from the shell, and served."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

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

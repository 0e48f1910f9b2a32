"""The verbs on components of Seldon: new, check, call, score, bench, doctor."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelport import config
from modelport.cli.dialects import dialect_of
from modelport.core.model import ModelSpec
from modelport.packages.find import find
from tests.cli.conftest import modelport
from tests.harness import serving

ROUTER = """
from seldon_core.user_model import SeldonComponent

class Sizer(SeldonComponent):
    def route(self, X, names, meta=None):
        return int(X.shape[1] > 2)

    def send_feedback(self, features, names, reward, truth, routing=None):
        return [reward]
"""
ECHO = """
import seldon_core

class Echo:
    def predict(self, X, names=None, meta=None):
        return X
"""
COLUMNS = ["sepal length", "sepal width", "petal length", "petal width"]
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def component(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``new`` makes."""
    place = tmp_path_factory.mktemp("new") / "my iris"
    done = modelport("new", "seldon", place)
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture
def router(tmp_path: Path) -> Path:
    (tmp_path / "Sizer.py").write_text(ROUTER)
    return tmp_path / "Sizer.py"


@pytest.fixture
def echo(tmp_path: Path) -> Path:
    (tmp_path / "Echo.py").write_text(ECHO)
    return tmp_path / "Echo.py"


def spec_of(path: Path) -> ModelSpec:
    (spec,) = find(str(path), config.resolve({}))
    return spec


def checked(*arguments: Any) -> dict[str, tuple[str, str]]:
    done = modelport("check", *arguments, "--json")
    (model,) = json.loads(done.stdout)["models"]
    return {finding["check"]: (finding["state"], finding["detail"]) for finding in model["findings"]}


# --- new -----------------------------------------------------------------------------------------------------


def test_new_makes_all_that_its_readme_names(component: Path) -> None:
    named = re.findall(r"^\| `([^`]+)` \|", (component / "README.md").read_text(), re.MULTILINE)
    assert sorted([*named, "README.md", "iris.joblib"]) == sorted(path.name for path in component.iterdir())
    texts = [path.read_text() for path in component.iterdir() if path.suffix != ".joblib"]
    assert "{{" not in "".join(texts)


def test_what_new_made_passes_every_check_and_its_own_unit_test(component: Path) -> None:
    found = checked(component)
    assert {state for state, _ in found.values()} <= {"ok", "note"}
    assert found["saved queries"][0] == "ok"
    assert found["nulls"] == ("ok", "answered for each of 4 columns")
    assert "batching is safe" in found["neighbours"][1]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(component)]
    done = subprocess.run(command, cwd=component, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout


def test_what_new_made_is_served_with_its_metrics(component: Path) -> None:
    with serving(component) as server:
        answer = server.post("/api/v1.0/predictions", (component / "request.json").read_bytes(), headers=JSON).json()
        assert [max(zip(row, answer["data"]["names"], strict=True))[1] for row in answer["data"]["ndarray"]] == [
            "setosa", "versicolor", "virginica",
        ]  # fmt: skip
        assert answer["meta"]["tags"] == {"trained_on": "iris"}
        assert server.metric("iris_predictions_total", method="predict") == 1
        described = server.get("/v2/models/my-iris").json()
        assert [item["name"] for item in described["inputs"]] == COLUMNS


# --- call ----------------------------------------------------------------------------------------------------


def test_call_sends_the_saved_message(component: Path) -> None:
    done = modelport("call", component)
    assert done.returncode == 0
    assert len(json.loads(done.stdout)["data"]["ndarray"]) == 3
    assert "my-iris predict" in done.stderr


def test_call_makes_a_message_of_rows(component: Path) -> None:
    done = modelport("call", component, "--data", f"@{component / 'data.csv'}")
    assert len(json.loads(done.stdout)["data"]["ndarray"]) == 6


def test_call_asks_a_component_what_it_does(router: Path) -> None:
    message = '{"data": {"ndarray": [[1, 2, 3]]}}'
    for arguments, answer in (
        (("--data", message), [[1]]),
        (("--data", '{"data": {"ndarray": [[1, 2]]}}'), [[0]]),
        (("--data", '{"reward": 0.5}'), [0.5]),
        (("--data", message, "--verb", "transform-input"), [[1, 2, 3]]),
    ):
        done = modelport("call", router, *arguments)
        assert done.returncode == 0, done.stderr
        data = json.loads(done.stdout)["data"]
        assert data.get("ndarray", data.get("tensor", {}).get("values")) == answer


def test_call_says_what_a_component_answers(echo: Path) -> None:
    done = modelport("call", echo, "--data", "{}", "--verb", "explain")
    assert done.returncode == 2
    assert "it answers predict, transform-input, route" in done.stderr


def test_call_tells_what_the_component_says_of_a_bad_message(echo: Path) -> None:
    for data in ("{}", "[1", "text"):
        done = modelport("call", echo, "--data", data)
        assert done.returncode == 1
        assert json.loads(done.stdout)["status"]["reason"] == "MICROSERVICE_BAD_DATA"


def test_a_saved_file_that_is_no_json_is_told(echo: Path) -> None:
    (echo.parent / "request.json").write_text("{")
    done = modelport("call", echo)
    assert done.returncode == 2
    assert "request.json" in done.stderr


# --- check ---------------------------------------------------------------------------------------------------


def test_check_without_a_message_says_how_to_save_one(echo: Path) -> None:
    state, detail = checked(echo)["saved queries"]
    assert state == "note"
    assert "put a message beside the component as request.json" in detail


def test_check_tries_a_router_with_what_is_saved(router: Path) -> None:
    messages = [{"data": {"ndarray": [[1, 2]]}}, {"reward": 1}, {"strData": "x"}]
    (router.parent / "request.json").write_text(json.dumps(messages[:2]))
    found = checked(router)
    assert found["saved queries"] == ("ok", found["saved queries"][1])
    assert "2 answered" in found["saved queries"][1]
    assert "row counts" not in found
    (router.parent / "request.json").write_text(json.dumps(messages))
    state, detail = checked(router)["saved queries"]
    assert (state, "query 3 of 3 failed" in detail) == ("fail", True)


def test_check_takes_rows_beside_the_component_or_given(echo: Path) -> None:
    assert checked(echo, "--data", '{"data": {"tensor": {"shape": [2, 1], "values": [1, 2]}}}')["row counts"][0] == "ok"
    (echo.parent / "data.csv").write_text("a,b\n1,2\n3,4\n5,6\n")
    found = checked(echo)
    assert "3 answered" in found["saved queries"][1]
    assert found["row counts"] == ("ok", "as many answers as rows, for 1, 2, 4")


def test_check_finds_a_component_that_remembers(tmp_path: Path) -> None:
    source = ECHO.replace("return X", "self.n = getattr(self, 'n', 0) + 1\n        return X * self.n")
    (tmp_path / "Echo.py").write_text(source)
    found = checked(tmp_path / "Echo.py", "--data", '{"data": {"ndarray": [[1, 2]]}}')
    assert found["repeated calls"][0] == "note"


# --- score, bench, doctor ------------------------------------------------------------------------------------


def test_score_names_the_columns_after_the_classes(component: Path, tmp_path: Path) -> None:
    done = modelport("score", component, "--input", component / "data.csv", "--output", tmp_path / "out.csv")
    assert done.returncode == 0, done.stderr
    head, *rows = (tmp_path / "out.csv").read_text().splitlines()
    assert head == "setosa,versicolor,virginica"
    assert len(rows) == 6


def test_bench_asks_the_components_own_route(router: Path) -> None:
    (router.parent / "request.json").write_text('{"data": {"ndarray": [[1, 2]]}}')
    done = modelport("bench", router, "--rate", "40", "--seconds", "0.5", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["url"].endswith("/route")
    assert report["steps"][0]["good"] > 0


def test_doctor_says_what_a_component_needs(tmp_path: Path) -> None:
    source = ECHO.replace("import seldon_core", "import seldon_core\nimport no_such_library")
    (tmp_path / "Echo.py").write_text(source)
    done = modelport("doctor", tmp_path / "Echo.py", "--json")
    assert done.returncode == 1
    texts = [finding["text"] for finding in json.loads(done.stdout)["findings"]]
    assert "imports what is not there: no_such_library" in texts
    (tmp_path / "Echo.py").write_text(ECHO)
    texts = [
        each["text"] for each in json.loads(modelport("doctor", tmp_path / "Echo.py", "--json").stdout)["findings"]
    ]
    assert any(text.endswith("imports numpy, seldon_core") for text in texts)


# --- how rows and messages are told apart --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "rows"),
    [
        ({"data": {"names": ["a"], "ndarray": [[1], [2]]}}, [{"a": 1}, {"a": 2}]),
        ({"data": {"ndarray": [[1, "x"]]}}, [{"0": 1, "1": "x"}]),
        ({"data": {"tensor": {"shape": [2, 2], "values": [1, 2, 3, 4]}}}, [{"0": 1, "1": 2}, {"0": 3, "1": 4}]),
        ({"data": {"ndarray": [1, 2]}}, []),
        ({"data": {"ndarray": []}}, []),
        ({"data": {"tensor": {"shape": [2, 0], "values": []}}}, [{}, {}]),
        ({"data": {"tensor": {"values": [1]}}}, []),
        ({"data": []}, []),
        ({"strData": "x"}, []),
        ([], []),
    ],
)
def test_rows_of_a_message(echo: Path, message: Any, rows: list[Any]) -> None:
    (echo.parent / "request.json").write_text(json.dumps([message]))
    spec = spec_of(echo)
    dialect = dialect_of(spec)
    assert dialect.rows(spec) == rows
    if rows and rows[0]:
        again = json.loads(bytes(dialect.ask(spec, rows).body))["data"]
        assert again.get("names") == message["data"].get("names")
        assert again["ndarray"] == [list(row.values()) for row in rows]


@pytest.mark.parametrize(
    ("reply", "answers"),
    [
        ({"data": {"names": [], "ndarray": [[1, 2], [3, 4]]}}, [[1, 2], [3, 4]]),
        ({"data": {"tensor": {"shape": [2, 2], "values": [1, 2, 3, 4]}}}, [[1, 2], [3, 4]]),
        ({"data": {"tensor": {"shape": [3], "values": [1, 2, 3]}}}, [1, 2, 3]),
        ({"data": {"tensor": {"shape": [2, 1, 2], "values": [1, 2, 3, 4]}}}, [[[1, 2]], [[3, 4]]]),
        ({"jsonData": {"a": 1}}, [{"a": 1}]),
        ({"strData": "x"}, ["x"]),
        ({"jsonData": None}, [None]),
    ],
)
def test_answers_leave_out_what_differs_from_call_to_call(echo: Path, reply: Any, answers: list[Any]) -> None:
    body = json.dumps({**reply, "meta": {"puid": "p", "tags": {"n": 1}}}).encode()
    assert dialect_of(spec_of(echo)).answers(body) == answers

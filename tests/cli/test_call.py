"""``modelport call``"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import modelport
from tests.harness import Running, function, serving, write_service


def test_a_path_is_asked_its_first_saved_query(example: Path) -> None:
    done = modelport("call", example, "--endpoint", "iris")
    assert done.returncode == 0
    assert json.loads(done.stdout)["result"]["prediction"] == "setosa"
    assert done.stderr.startswith("200 OK (iris predict, ")


@pytest.mark.parametrize("way", ["text", "file", "stdin"])
def test_data_may_come_in_three_ways(way: str, example: Path, tmp_path: Path) -> None:
    text = '{"weight": 80, "height": 2}'
    file = tmp_path / "query.json"
    file.write_text(text)
    data = {"text": text, "file": f"@{file}", "stdin": "-"}[way]
    done = modelport("call", example, "--endpoint", "bmi", "--data", data, input=text)
    assert json.loads(done.stdout)["response"] == {"bmi": 20.0}


def test_items_are_asked_together(example: Path) -> None:
    features = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": None}
    data = json.dumps({"items": [{"features": features}]})
    done = modelport("call", example, "--endpoint", "iris", "--data", data)
    assert json.loads(done.stdout)["results"][0]["ignored"] is True
    assert "predict-multi" in done.stderr


def test_a_verb_with_a_query_string(example: Path) -> None:
    query = "sepal_length=5.1&sepal_width=3.5&petal_length=1.4&petal_width=0.2"
    done = modelport("call", example, "--endpoint", "iris", "--verb", "predict-simple", "--data", query)
    assert json.loads(done.stdout)["result"]["prediction"] == "setosa"


@pytest.mark.parametrize(
    ("data", "status"), [('{"weight": 1, "height": 0}', "400 Bad Request"), ("{", "400 Bad Request")]
)
def test_an_answer_that_is_no_success_exits_1(data: str, status: str, example: Path) -> None:
    done = modelport("call", example, "--endpoint", "bmi", "--data", data)
    assert done.returncode == 1
    assert "errorType" in json.loads(done.stdout)
    assert done.stderr.startswith(status)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--endpoint with one of diabetes, iris, bmi"),
        (["--endpoint", "irsi"], "did you mean iris?"),
        (["--endpoint", "iris", "--verb", "run"], "it answers predict"),
        (["--endpoint", "iris", "--data", "@nowhere.json"], "cannot read nowhere.json"),
    ],
)
def test_what_cannot_be_asked_is_told(arguments: list[str], said: str, example: Path) -> None:
    done = modelport("call", example, *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_model_that_does_not_load_is_told_once(tmp_path: Path) -> None:
    folder = write_service(
        tmp_path / "s", function(testQueries=[{"q": {}}]), code={"functions.py": "import no_such_module\n"}
    )
    done = modelport("call", folder)
    assert done.returncode == 2
    assert done.stderr.count("functions.py") == 1
    assert "hint: install 'no_such_module'" in done.stderr


def test_a_model_without_saved_queries_needs_data(tmp_path: Path) -> None:
    folder = write_service(tmp_path / "s", function(), code={"functions.py": "def run():\n    return 1\n"})
    done = modelport("call", folder)
    assert done.returncode == 2
    assert "has no saved test query" in done.stderr


def test_a_server_is_read_with_get_and_asked_with_post(plain: Running) -> None:
    read = modelport("call", f"{plain.base}/v2/models/ep")
    assert json.loads(read.stdout)["name"] == "ep"
    data = '{"features": {"a": 1, "b": 2}}'
    asked = modelport("call", f"{plain.base}/public/api/v1/svc/ep/predict", "--data", data)
    assert json.loads(asked.stdout)["result"]["prediction"] == 3
    assert asked.stderr.startswith("200 OK (POST, ")


def test_a_server_gets_the_key(tmp_path: Path) -> None:
    code = {"functions.py": "def run():\n    return 1\n"}
    folder = write_service(tmp_path / "s", function(), code=code, authMethod="API_KEYS", apiKeys=["k"])
    with serving(folder) as server:
        url = f"{server.base}/public/api/v1/svc/fn/run"
        assert modelport("call", url, "--data", "{}").returncode == 1
        assert modelport("call", url, "--data", "{}", "--key", "k").returncode == 0


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:1/x", "Connection refused"),
        ("http://[bad/x", "is no URL"),
        ("http://localhost:99999/", "is no URL"),
        ("http://", "is no URL"),
    ],
)
def test_a_url_that_does_not_answer_is_told(url: str, said: str) -> None:
    done = modelport("call", url)
    assert done.returncode == 2
    assert said in done.stderr

"""What ``modelport serve`` says when it has started."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.harness import Running, function, predictor, regression, serving, until, write_service


def announced(server: Running) -> list[str]:
    """All lines of the announcement; the last one lists the server's own routes."""
    until(lambda: any(line.startswith("server ") for line in server.said), 30, "the announcement")
    return server.said


def pasted(line: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = line.strip().removeprefix("try").strip()
    return subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, timeout=30, check=False, env={**os.environ, **env}
    )


def test_every_curl_line_works_when_pasted(example: Path) -> None:
    with serving(example) as server:
        lines = [line for line in announced(server) if line.strip().startswith("try")]
        answers = [json.loads(pasted(line).stdout) for line in lines]
    assert isinstance(answers[0]["result"]["prediction"], float)
    assert answers[1]["result"]["prediction"] == "setosa"
    assert answers[1]["result"]["customKeys"] == {"sure": True}
    assert answers[2]["response"] == {"bmi": 22.9}


def test_text_with_quotes_can_be_pasted_too(tmp_path: Path) -> None:
    text = 'it\'s "so" $HOME `x` \\ é'
    endpoint = function(testQueries=[{"q": {"text": text}}])
    folder = write_service(tmp_path / "s", endpoint, code={"functions.py": "def run(text):\n    return text\n"})
    with serving(folder) as server:
        line = next(line for line in announced(server) if line.strip().startswith("try"))
        assert json.loads(pasted(line).stdout)["response"] == text


def test_a_line_for_a_protected_model_has_a_place_for_the_key(tmp_path: Path) -> None:
    folder = write_service(
        tmp_path / "s",
        function(testQueries=[{"q": {"a": 1}}]),
        code={"functions.py": "def run(a):\n    return a\n"},
        authMethod="API_KEYS",
        apiKeys=["secret-key"],
    )
    with serving(folder) as server:
        said = announced(server)
        line = next(line for line in said if line.strip().startswith("try"))
        assert json.loads(pasted(line.replace("KEY:", "secret-key:")).stdout)["response"] == 1
    assert "secret-key" not in "\n".join(said)


def test_routes_are_grouped_by_model(example: Path) -> None:
    with serving(example) as server:
        said = "\n".join(announced(server))
    assert "POST /public/api/v1/my-service/iris{/predict,/predict-multi}" in said
    assert "POST /v2/models/iris[/versions/v1]/infer" in said
    assert "/v2/repository" not in said
    assert said.splitlines()[-1].startswith("server  /healthz/live")


def test_the_repository_routes_are_listed_once_they_are_on(tmp_path: Path) -> None:
    folder = write_service(tmp_path / "s", function(), code={"functions.py": "def run():\n    return 1\n"})
    with serving(folder, "--repository") as server:
        assert "/v2/repository/models/fn{/load,/unload}" in "\n".join(announced(server))


def test_a_model_that_does_not_load_is_told_with_traceback_and_hint(tmp_path: Path) -> None:
    source = "import no_such_module\n"
    folder = write_service(tmp_path / "s", function(), function("other"), code={"functions.py": source})
    with serving(folder) as server:
        said = "\n".join(announced(server))
    assert said.count('functions.py", line 1') == 1
    assert said.count("No module named 'no_such_module'") == 3  # two causes, one traceback
    assert "install 'no_such_module' into" in said


def test_more_workers_than_processors_are_warned_of(tmp_path: Path) -> None:
    code = {"functions.py": "def run():\n    return 1\n", "predictor.py": predictor("return features_df['a']")}
    endpoints = function(pool={"ceil": 5000}), regression(pool={"ceil": 1})
    with serving(write_service(tmp_path / "s", *endpoints, code=code)) as server:
        announced(server)
        server.stop()
    warnings = [line for line in server.logs if "ceil is above" in line["message"]]
    assert [line["level"] for line in warnings] == ["warning"]
    assert warnings[0]["message"].startswith("fn: ")

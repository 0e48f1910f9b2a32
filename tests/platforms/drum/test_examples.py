"""The folders under ``examples/drum`` answer what lies beside them: from the shell, and behind every protocol."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.harness import serving

EXAMPLES = Path(__file__).parents[3] / "examples" / "drum"
STRUCTURED = ["energy", "churn", "greeting", "cleaning"]


def score(folder: Path, file: str, *options: str) -> subprocess.CompletedProcess[bytes]:
    command = [
        sys.executable,
        "-m",
        "modelport",
        "drum",
        "score",
        "--code-dir",
        folder,
        "--input",
        folder / file,
    ]
    return subprocess.run([*command, *options], capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("name", STRUCTURED)
def test_scored_from_the_shell(name: str) -> None:
    done = score(EXAMPLES / name, "input.csv")
    assert (done.returncode, done.stderr[:7]) == (0, b"scored ")
    assert done.stdout.decode() == (EXAMPLES / name / "expected.csv").read_text()


def test_text_is_scored_as_it_is() -> None:
    folder = EXAMPLES / "wordcount"
    done = score(folder, "input.txt")
    assert (done.returncode, json.loads(done.stdout)) == (0, json.loads((folder / "expected.json").read_text()))
    done = score(folder, "input.txt", "--query", "least=2")
    assert json.loads(done.stdout) == {"and": 2, "the": 3}


def rows(text: str) -> list[dict[str, Any]]:
    """Rows of a CSV, numbers as numbers."""
    return [{name: _value(cell) for name, cell in row.items()} for row in csv.DictReader(io.StringIO(text))]


def _value(cell: str) -> Any:
    try:
        return float(cell)
    except ValueError:
        return cell


@pytest.mark.parametrize("name", STRUCTURED)
def test_served_behind_its_own_protocol(name: str) -> None:
    folder = EXAMPLES / name
    expected = rows((folder / "expected.csv").read_text())
    if name == "energy":
        expected = [row["Predictions"] for row in expected]
    with serving(folder) as server:
        answer = server.post("/predict/", (folder / "input.csv").read_bytes(), headers={"Content-Type": "text/csv"})
        assert (answer.status, answer.json()) == (200, {"predictions": expected})


def test_served_behind_the_others() -> None:
    folder = EXAMPLES / "churn"
    records = rows((folder / "input.csv").read_text())
    expected = rows((folder / "expected.csv").read_text())
    with serving(folder) as server:
        items = {"items": [{"features": record} for record in records]}
        results = server.post("/public/api/v1/churn/churn/predict-multi", items).json()["results"]
        assert [result["probas"] for result in results] == expected
        assert [result["prediction"] for result in results] == ["no", "yes", "yes"]
        inputs = [
            {"name": name, "datatype": "FP64", "shape": [3], "data": [record[name] for record in records]}
            for name in records[0]
        ]
        outputs = {
            output["name"]: output
            for output in server.post("/v2/models/churn/infer", {"inputs": inputs}).json()["outputs"]
        }
        assert outputs["predict"]["data"] == ["no", "yes", "yes"]
        assert outputs["predict_proba"]["data"] == [value for row in expected for value in row.values()]


def test_an_unstructured_one_served_behind_the_others() -> None:
    folder = EXAMPLES / "wordcount"
    with serving(folder) as server:
        answer = server.post("/predictUnstructured/?least=2", (folder / "input.txt").read_bytes())
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json;charset=utf8")
        assert answer.json() == {"and": 2, "the": 3}
        text = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a b a"]}]}
        (output,) = server.post("/v2/models/wordcount/infer", text).json()["outputs"]
        assert json.loads(output["data"][0]) == {"a": 2, "b": 1}
        answer = server.post("/public/api/v1/wordcount/wordcount/run", {"x": "y y"})
        assert answer.json()["response"] == {"x": 1, "y": 2}

"""``modelport drum``, and the other verbs on code folders"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
import typing
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelport.cli import drum
from modelport.cli.drum.options import Target
from modelport.contracts.drum.detect import HOOKS
from modelport.contracts.drum.manifest import TARGETS
from tests.cli.conftest import modelport
from tests.cli.test_main import HEAVY
from tests.harness import Running, serving, until

BINARY = (
    "return pd.DataFrame({kwargs['positive_class_label']: data['a'], kwargs['negative_class_label']: 1 - data['a']})"
)
SUM = "return pd.DataFrame({'Predictions': data['a'] + data['b']})"
ROWS = "a,b,c\n0.25,1,x\n0.5,2,y\n0.75,3,\n1.0,4,z\n"


def code(tmp_path: Path, body: str = SUM, hook: str = "score(data, model, **kwargs)", **files: str) -> Path:
    """A code folder whose ``score`` hook, or another, has this body; "data_csv" is the file data.csv."""
    folder = tmp_path / "model"
    folder.mkdir()
    head = "import os\nimport pandas as pd\n\nSEEN = []\n\n\n"
    (folder / "custom.py").write_text(f"{head}def {hook}:\n{textwrap.indent(textwrap.dedent(body), '    ')}\n")
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "rows.csv"
    file.write_text(ROWS)
    return file


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that ``drum new model`` makes; tests must not change it."""
    folder = tmp_path_factory.mktemp("made") / "my model"
    done = modelport("drum", "new", "model", "--language", "python", folder)
    assert done.returncode == 0, done.stderr
    return folder


@contextlib.contextmanager
def server(*arguments: Any, env: dict[str, str] | None = None) -> Iterator[Running]:
    """A started ``modelport drum server``; killed afterwards, whatever happens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "modelport", "drum", "server", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "MODELPORT_LOG_FORMAT": "json", **(env or {})},
    )
    running = Running(process)
    try:
        until(lambda: running.port or process.poll() is not None, 60, "the server to start")
        yield running
    finally:
        running.kill()


# --- the folder that is made -----------------------------------------------------------------------------


def test_a_folder_is_made_with_all_that_its_readme_names(made: Path) -> None:
    readme = (made / "README.md").read_text()
    named = re.findall(r"^\| `([^`]+)` \|", readme, re.MULTILINE)
    assert [name for name in named if not (made / name).exists()] == []
    assert (made / "model.pkl").exists()
    assert "{{" not in "".join(path.read_text() for path in made.iterdir() if path.suffix != ".pkl")


def test_the_commands_of_its_readme_work(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^\$ modelport (.*?)(?:  #.*)?$", (made / "README.md").read_text(), re.MULTILINE)
    assert len(commands) == 6
    for command in commands:
        words = shlex.split(command)
        if words[:2] == ["drum", "server"]:
            continue  # another test has it
        more = {"bench": ["--seconds", "0.2"], "drum": ["--seconds", "0.05"] if "perf-test" in words else []}
        done = modelport(*words, *more.get(words[0], []))
        assert done.returncode == 0, (command, done.stdout, done.stderr)


def test_it_answers_at_the_platforms_own_routes(made: Path) -> None:
    data = (made / "data.csv").read_bytes()
    with server("--code-dir", made, "--address", "127.0.0.1:0") as running:
        assert running.get("/ping/").status == 200
        answer = running.post("/predict/", data, headers={"Content-Type": "text/csv"})
    assert answer.status == 200
    predictions = answer.json()["predictions"]
    assert len(predictions) == 12
    assert set(predictions[0]) == {"malignant", "benign"}


def test_every_hook_of_it_can_be_uncommented(made: Path) -> None:
    source = re.sub(r"^# (?=import |def |    )", "", (made / "custom.py").read_text(), flags=re.MULTILINE)
    hooks: dict[str, Any] = {}
    exec(source, hooks)
    assert hooks.keys() >= set(HOOKS) - {"score_unstructured"}
    assert hooks["read_input_data"](b"a;b\n1;2\n").to_dict("list") == {"a": [1], "b": [2]}
    assert hooks["load_model"](str(made)).classes_.tolist() == ["benign", "malignant"]


@pytest.mark.parametrize("arguments", [["new", "drum"], ["drum", "new", "model", "--code-dir"]])
def test_there_are_three_ways_to_make_it(arguments: list[str], tmp_path: Path, made: Path) -> None:
    done = modelport(*arguments, tmp_path / "model")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == sorted(path.name for path in made.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--language", "r", "x"], "models written in r are not supported here"),
        (["--language", "julia", "x"], "models written in julia are not supported here"),
        (["--language", "cobol", "x"], "cobol is not known"),
        ([], "name one folder"),
        (["x", "--code-dir", "y"], "name one folder"),
    ],
)
def test_a_folder_that_cannot_be_made(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = modelport("drum", "new", "model", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


# --- options ---------------------------------------------------------------------------------------------


def scored(folder: Path, rows: Path, *arguments: str) -> list[dict[str, str]]:
    done = modelport("drum", "score", "--code-dir", folder, "--input", rows, *arguments)
    assert done.returncode == 0, done.stderr
    return list(csv.DictReader(io.StringIO(done.stdout)))


def test_without_labels_it_is_a_regression(tmp_path: Path, rows: Path) -> None:
    assert scored(code(tmp_path), rows)[0] == {"Predictions": "1.25"}


def test_a_classifiers_file_without_labels_is_a_regression_too(tmp_path: Path, made: Path) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    (folder / "model.pkl").write_bytes((made / "model.pkl").read_bytes())
    text = (made / "data.csv").read_text()
    rows = tmp_path / "rows.csv"
    rows.write_text("".join(line.partition(",")[2] for line in text.splitlines(keepends=True)))
    done = modelport("drum", "score", "--code-dir", folder, "--input", rows)
    assert done.returncode == 1
    assert "a classifier needs its target type or its class labels" in done.stderr
    assert set(scored(folder, rows, "--target-type", "binary")[0]) == {"benign", "malignant"}
    assert modelport("score", folder, "--input", rows).returncode == 0  # which is not the platform's own verb


@pytest.mark.parametrize(
    "way", ["options", "file", "several", "environment", "metadata", "options before the environment"]
)
def test_labels_come_from_many_places(way: str, tmp_path: Path, rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = code(tmp_path, BINARY)
    (tmp_path / "labels.txt").write_text("no\nyes\n")
    pair = ["--positive-class-label", "yes", "--negative-class-label", "no"]
    arguments = {
        "options": pair,
        "file": ["--class-labels-file", str(tmp_path / "labels.txt")],
        "several": ["--class-labels", "no", "yes", "--target-type", "binary"],
        "options before the environment": pair,
    }.get(way, [])
    if "environment" in way:
        other = way != "environment"
        monkeypatch.setenv("POSITIVE_CLASS_LABEL", "other" if other else "yes")
        monkeypatch.setenv("NEGATIVE_CLASS_LABEL", "another" if other else "no")
    if way == "metadata":
        (folder / "model-metadata.yaml").write_text(
            "targetType: binary\ninferenceModel: {positiveClassLabel: 'yes', negativeClassLabel: 'no'}\n"
        )
    assert scored(folder, rows, *arguments)[0] == {"no": "0.75", "yes": "0.25"}


def test_runtime_parameters_come_from_a_file(tmp_path: Path, rows: Path) -> None:
    folder = code(tmp_path, "return pd.DataFrame({'Predictions': data['a'] * float(os.environ['FACTOR'])})")
    (folder / "model-metadata.yaml").write_text(
        "runtimeParameterDefinitions:\n- {fieldName: FACTOR, type: numeric, defaultValue: 2}\n"
    )
    file = tmp_path / "parameters.yaml"
    file.write_text("FACTOR: 100\n")
    assert scored(folder, rows)[0]["Predictions"] == "0.5"
    assert scored(folder, rows, "--runtime-params-file", str(file))[0]["Predictions"] == "25.0"
    file.write_text("FACTR: 100\n")
    done = modelport("drum", "score", "--code-dir", folder, "--input", rows, "--runtime-params-file", file)
    assert done.returncode == 2
    assert "'FACTR' is not defined" in done.stderr
    file.write_text("- 1\n")
    done = modelport("drum", "score", "--code-dir", folder, "--input", rows, "--runtime-params-file", file)
    assert done.returncode == 2
    assert "name: value" in done.stderr


def test_every_target_type_can_be_said() -> None:
    assert set(typing.get_args(Target)) == set(TARGETS)


def test_a_code_folder_needs_no_marks(tmp_path: Path, rows: Path) -> None:
    """Where the command says what it is, nothing is guessed."""
    folder = tmp_path / "model"
    folder.mkdir()
    done = modelport("drum", "score", "--code-dir", folder, "--input", rows)
    assert done.returncode == 1
    assert "has no model file" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["score", "--code-dir", "nowhere", "--input", "x"], "there is nothing at nowhere"),
        (["score", "--input", "x"], "--code-dir"),
        (["score", "--code-dir", ".", "--inptu", "x"], "Did you mean --input"),
        (["score", "--code-dir", ".", "--input", "x", "--allow-dr-api-access"], "--allow-dr-api-access"),
        (["score", "--code-dir", ".", "--input", "x", "--target-type", "ranking"], "textgeneration"),
        (["scor"], 'Did you mean "score"?'),
        (["server", "--code-dir", ".", "--address", "127.0.0.1:x"], "is no address"),
        (["server", "--code-dir", ".", "--address", "http://127.0.0.1:1"], "is no address"),
        (["server", "--code-dir", ".", "--address", "127.0.0.1:99999"], "is no address"),
        (["server", "--code-dir", ".", "--address", "127.0.0.1", "--port", "1"], "names host and port already"),
        (["server", "--code-dir", ".", "--workers", "0"], "--workers must be 1 or more"),
        (["server", "--code-dir", ".", "--address", "0.0.0.0:0"], "or say --insecure"),
        (["validation", "--code-dir", ".", "--input", "nowhere.csv"], "cannot read nowhere.csv"),
        (["perf-test", "--code-dir", ".", "--input", "x", "--output", "plot.png"], "neither .svg nor .html"),
        (["perf-test", "--code-dir", ".", "--input", "x", "--samples", "0"], "--samples must be 1 or more"),
        (["perf-test", "--code-dir", ".", "--input", "x", "--iterations", "0"], "--iterations must be 1 or more"),
        (["perf-test", "--code-dir", ".", "--input", "nowhere.csv"], "cannot read nowhere.csv"),
    ],
)
def test_misuse_is_told_with_exit_code_2(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(code(tmp_path))
    done = modelport("drum", *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert said in done.stderr


# --- server ----------------------------------------------------------------------------------------------


def test_the_platforms_prefix_and_workers(tmp_path: Path) -> None:
    folder = code(tmp_path)
    more = ["--address", "127.0.0.1:0", "--workers", "2"]
    with server("--code-dir", folder, *more, env={"URL_PREFIX": "/models/a"}) as running:
        assert running.get("/models/a/ping/").status == 200
        until(lambda: len(running.workers()) == 2, 30, "two workers")
        answer = running.post("/models/a/predict/", ROWS.encode(), headers={"Content-Type": "text/csv"})
        assert answer.json() == {"predictions": [1.25, 2.5, 3.75, 5.0]}


def test_several_models_at_a_path_are_each_named_once(tmp_path: Path) -> None:
    folders = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        folders.append(code(tmp_path / name).rename(tmp_path / name / name))
    with serving(*folders) as running:
        answer = running.get("/info/")
    assert answer.status == 404
    told = answer.json()["message"]
    assert [told.count(f"/drum/{name}/info/") for name in ("one", "two")] == [1, 1], told


def test_a_flag_goes_before_the_platforms_prefix(tmp_path: Path) -> None:
    arguments = ["--code-dir", code(tmp_path), "--port", "0", "--url-prefix", "/b"]
    with server(*arguments, env={"URL_PREFIX": "/a"}) as running:
        assert running.get("/b/ping/").status == 200
        assert running.get("/a/ping/").status == 404


def test_a_load_that_fails_answers_513_or_ends_it(tmp_path: Path) -> None:
    folder = code(tmp_path, "raise OSError('no such table')", hook="load_model(code_dir)")
    with server("--code-dir", folder, "--address", "127.0.0.1:0") as running:
        answer = running.get("/health/")
        assert answer.status == 513
        assert "no such table" in answer.json()["message"]
    with server("--code-dir", folder, "--address", "127.0.0.1:0", "--exit-on-load-error") as running:
        assert running.process.wait(30) == 2


# --- validation and check --------------------------------------------------------------------------------


def validated(folder: Path, rows: Path, *arguments: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit code, and check to state and detail."""
    done = modelport("drum", "validation", "--code-dir", folder, "--input", rows, "--json", *arguments)
    (model,) = json.loads(done.stdout)["models"]
    return done.returncode, {item["check"]: (item["state"], item["detail"]) for item in model["findings"]}


def test_a_good_model_passes(made: Path) -> None:
    status, found = validated(made, made / "data.csv")
    assert status == 0
    assert {name: state for name, (state, _) in found.items() if state != "ok"}.keys() <= {"wrong types", "no input"}
    assert found["nulls"][1] == "answered for each of 7 columns"
    assert found["row counts"][1] == "as many answers as rows, for 1, 2, 12"
    assert "12 rows" in found["row order"][1]
    assert "in modelport.yaml" in found["neighbours"][1]


def test_it_is_a_table(made: Path) -> None:
    done = modelport("drum", "validation", "--code-dir", made, "--input", made / "data.csv")
    assert done.returncode == 0
    assert done.stdout.startswith("my-model  drum binary, takes table")
    assert "side effects" in done.stdout
    assert done.stdout.rstrip().endswith("all good")


BAD = {
    "nulls": ("assert data['b'].notna().all(), 'b is needed'\n" + SUM, "refused in b: AssertionError: b is needed"),
    "repeated calls": ("SEEN.append(1)\nreturn pd.DataFrame({'Predictions': data['a'] + len(SEEN)})", "equal calls"),
    "side effects": (
        """
        key = tuple(data['a'])
        if len(data) > 1:
            SEEN.append(key)
        return pd.DataFrame({'Predictions': data['a'] + (len(data) == 1) * len(SEEN)})
        """,
        "after others",
    ),
    "neighbours": ("return pd.DataFrame({'Predictions': data['a'] - data['a'].mean()})", "row 1 alone"),
    "row order": ("return pd.DataFrame({'Predictions': range(len(data))})", "order of the rows"),
}


@pytest.mark.parametrize("check", BAD)
def test_a_bad_model_fails(check: str, tmp_path: Path, rows: Path) -> None:
    body, said = BAD[check]
    status, found = validated(code(tmp_path, body), rows)
    assert status == 1
    assert found[check][0] == "fail", found
    assert said in found[check][1]


@pytest.mark.parametrize(("noise", "state"), [(1e-8, "ok"), (1e-3, "fail")])
@pytest.mark.parametrize(("check", "factor"), [("neighbours", "len(data)"), ("row order", "np.arange(len(data))")])
def test_last_digits_may_depend_on_the_batch(
    check: str, factor: str, noise: float, state: str, tmp_path: Path, rows: Path
) -> None:
    """As they do of float32 networks, whose sums are made in another order."""
    body = f"import numpy as np\nreturn pd.DataFrame({{'Predictions': data['b'] * (1 + {noise} * {factor})}})"
    status, found = validated(code(tmp_path, body), rows)
    assert found[check][0] == state, found
    assert status == (state == "fail")


@pytest.mark.parametrize(("noise", "state"), [(1e-12, "ok"), (1e-8, "fail")])
def test_equal_calls_must_give_equal_answers(noise: float, state: str, tmp_path: Path, rows: Path) -> None:
    body = f"SEEN.append(1)\nreturn pd.DataFrame({{'Predictions': data['b'] * (1 + {noise} * len(SEEN))}})"
    _, found = validated(code(tmp_path, body), rows)
    assert found["repeated calls"][0] == found["side effects"][0] == state, found


def test_cells_are_asked_as_they_are_in_the_file(tmp_path: Path, rows: Path) -> None:
    cells = ["01234", "1.10", "-0", "+7", "1e3", ".5", " 8", "123456789012345678901"]
    rows.write_text("code,b\n" + "".join(f"{cell},{row}\n" for row, cell in enumerate(cells)))
    body = f"assert set(data['code'].dropna()) <= {{'12345', *{cells}}}, data['code'].tolist()\nreturn data[['b']]"
    folder = code(tmp_path, body, hook="transform(data, model)")
    with (folder / "custom.py").open("a") as file:
        file.write("\n\ndef read_input_data(input_binary_data):\n")
        file.write("    import io\n    return pd.read_csv(io.BytesIO(input_binary_data), dtype=str)\n")
    status, found = validated(folder, rows, "--target-type", "transform")
    assert status == 0, found
    assert found["nulls"] == ("ok", "answered for each of 2 columns")
    assert found["wrong types"] == ("ok", "answered for each of 2 columns")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("data", "refused in each of 4 columns, in a: AssertionError: column 'a' has gaps"),
        (
            "['b', 'c', 'd']",
            "refused in 3 of 4 columns (b, c, d), in b: AssertionError: column 'b' has gaps",
        ),
        ("['d']", "refused in d: AssertionError: column 'd' has gaps"),
    ],
)
def test_refusals_that_name_their_column_are_counted(columns: str, said: str, tmp_path: Path, rows: Path) -> None:
    rows.write_text("a,b,c,d\n1,2,3,4\n5,6,7,8\n")
    body = f"for name in {columns}:\n    assert data[name].notna().all(), f'column {{name!r}} has gaps'\n{SUM}"
    _, found = validated(code(tmp_path, body), rows)
    assert found["nulls"] == ("fail", said)


def test_too_few_answers_fail(tmp_path: Path, rows: Path) -> None:
    body = "return pd.DataFrame({'Predictions': data['a'].iloc[:1]})"
    status, found = validated(code(tmp_path, body), rows)
    assert status == 1
    assert found["row counts"] == ("fail", "2 rows together: InvalidOutput: score returned 1 rows for 2")


def test_a_model_that_does_not_load_is_not_valid(tmp_path: Path, rows: Path) -> None:
    folder = code(tmp_path, "raise OSError('no such table')", hook="load_model(code_dir)")
    status, found = validated(folder, rows)
    assert status == 1
    assert found["loads"][0] == "fail"


def test_rows_come_from_csv_or_json(tmp_path: Path, rows: Path) -> None:
    folder = code(tmp_path)
    records = tmp_path / "rows.json"
    records.write_text(json.dumps([{"a": 1.5, "b": 2}, {"a": 2.5, "b": 1}]))
    status, found = validated(folder, records)
    assert status == 0
    assert found["nulls"][1].startswith("answered for each of 2 columns")
    rows.write_bytes(ROWS.encode("utf-16"))
    done = modelport("drum", "validation", "--code-dir", folder, "--input", rows)
    assert done.returncode == 2
    assert "text/csv; charset=utf-16" in done.stderr


def test_text_stays_text_where_its_only_cell_has_digits(tmp_path: Path, rows: Path) -> None:
    body = "lengths = data['name'].map(lambda name: 0 if name != name else len(name))\n"
    folder = code(tmp_path, body + "return pd.DataFrame({'Predictions': lengths + data['x']})")
    rows.write_text("name,x\nab,1\n7,2.50\nc,3\n12,4\n")
    status, found = validated(folder, rows)
    assert found["row counts"] == ("ok", "as many answers as rows, for 1, 2, 4")
    assert found["neighbours"][0] == "ok", found
    assert found["wrong types"][0] == "note", "a number is none of the texts"
    assert status == 0


def test_data_that_only_the_model_reads_is_sent_as_it_is(tmp_path: Path) -> None:
    body = "return pd.DataFrame({'Predictions': data['a'] + data['b']})"
    folder = code(tmp_path, body, data_csv="a;b\n1;2\n3;4\n")
    with (folder / "custom.py").open("a") as file:
        file.write("\n\ndef read_input_data(input_binary_data):\n")
        file.write("    import io\n    return pd.read_csv(io.BytesIO(input_binary_data), sep=';')\n")
    assert list(checked(folder)) == ["loads", "saved queries", "repeated calls"]
    assert json.loads(modelport("call", folder).stdout) == {"predictions": [3.0, 7.0]}


def checked(folder: Path, *arguments: object) -> dict[str, tuple[str, str]]:
    done = modelport("check", folder, "--json", *arguments)
    assert done.returncode == 0, done.stdout
    (model,) = json.loads(done.stdout)["models"]
    return {item["check"]: (item["state"], item["detail"]) for item in model["findings"]}


def test_check_says_how_to_give_rows(tmp_path: Path, rows: Path) -> None:
    folder = code(tmp_path)
    found = checked(folder)
    assert list(found) == ["loads", "saved queries"]
    assert "put rows beside the model as data.csv, or say --data" in found["saved queries"][1]
    given = checked(folder, "--data", f"@{rows}")
    assert given["nulls"][1] == "answered for each of 3 columns, 2 of them without a prediction"
    (folder / "data.csv").write_text(ROWS)
    assert checked(folder).keys() == given.keys()


def test_an_unstructured_model_is_tried_with_its_data(tmp_path: Path) -> None:
    hook = "score_unstructured(model, data, **kwargs)"
    folder = code(tmp_path, "return data.upper() + kwargs['mimetype']", hook=hook, data_txt="hello")
    assert list(checked(folder)) == ["loads", "saved queries", "repeated calls"]
    done = modelport("call", folder)
    assert done.stdout == "HELLOtext/plain"
    done = modelport("call", folder, "--data", "bye", "--content-type", "text/x-note")
    assert done.stdout == "BYEtext/x-note"


# --- call, bench, doctor ---------------------------------------------------------------------------------


def test_a_folder_is_asked_its_first_row(made: Path) -> None:
    done = modelport("call", made)
    assert done.returncode == 0
    (answer,) = json.loads(done.stdout)["predictions"]
    assert answer["malignant"] > 0.9
    assert done.stderr.startswith("200 OK (my-model predict, ")


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_folder_is_asked_what_is_given(form: str, tmp_path: Path) -> None:
    data = {"csv": "a,b\n1,2\n", "json": '[{"a": 1, "b": 2}]'}[form]
    done = modelport("call", code(tmp_path), "--data", data)
    assert json.loads(done.stdout) == {"predictions": [3.0]}


def test_a_server_is_asked_with_the_type_of_the_file(tmp_path: Path, rows: Path) -> None:
    with server("--code-dir", code(tmp_path), "--address", "127.0.0.1:0") as running:
        done = modelport("call", f"{running.base}/predict/", "--data", f"@{rows}")
        assert json.loads(done.stdout) == {"predictions": [1.25, 2.5, 3.75, 5.0]}
        done = modelport("bench", f"{running.base}/predict/", "--data", f"@{rows}", "--rate", "20", "--seconds", "0.2")
        assert done.returncode == 0, done.stderr


def test_doctor_names_what_the_model_file_needs(made: Path, tmp_path: Path) -> None:
    found = json.loads(modelport("doctor", made, "--json").stdout)["findings"]
    (mine,) = [item for item in found if item["about"] == "my-model"]
    assert mine["state"] == "ok"
    assert "sklearn" in mine["text"]
    folder = code(tmp_path, data_csv=ROWS)
    (folder / "model.onnx").write_bytes(b"")
    (folder / "custom.py").write_text("import helper\nimport no_such_module\n")
    (folder / "helper.py").write_text("import another_one\n")
    done = modelport("doctor", folder, "--json")
    told = [item["text"] for item in json.loads(done.stdout)["findings"] if item["about"] == "model"]
    assert any("no_such_module" in text and "another_one" in text for text in told)


# --- perf-test -------------------------------------------------------------------------------------------


def test_sizes_are_measured_and_drawn(made: Path, tmp_path: Path) -> None:
    plot = tmp_path / "plot.svg"
    command = ["drum", "perf-test", "--code-dir", made, "--input", made / "data.csv", "--json", "--output", plot]
    done = modelport(*command, "--samples", "1", "30", "--iterations", "5")
    assert done.returncode == 0, done.stderr
    one, thirty = json.loads(done.stdout)["sizes"]
    assert (one["rows"], thirty["rows"]) == (1, 30)
    assert one["requests"] == thirty["requests"] == 5
    assert thirty["bytes"] > 10 * one["bytes"] / 2
    for size in (one, thirty):
        times = size["ms"]
        assert 0 < times["min"] <= times["mean"] <= times["max"]
        assert times["min"] <= times["p95"] <= times["max"]
        assert size["rows_per_second"] == pytest.approx(size["rows"] / times["mean"] * 1000, rel=1e-3, abs=0.1)
        assert size["peak_memory"] > 20 << 20
    root = ET.fromstring(plot.read_text())
    assert len(root.findall(".//{http://www.w3.org/2000/svg}polyline")) == 3


@pytest.mark.parametrize("verb", ["score", "validation", "perf-test"])
def test_what_the_model_prints_is_shown_on_request(verb: str, tmp_path: Path, rows: Path) -> None:
    more = ["--samples", "1", "--iterations", "1"] if verb == "perf-test" else []
    folder = code(tmp_path, f"import logging\nprint('hello')\nlogging.warning('careful')\n{SUM}")
    command = ["drum", verb, "--code-dir", folder, "--input", rows, *more]
    usual, verbose = modelport(*command), modelport(*command, "--verbose")
    assert usual.returncode == verbose.returncode == 0
    assert "hello" not in usual.stderr
    assert "hello" in verbose.stderr
    assert "careful" in verbose.stderr
    if verb == "score":
        assert verbose.stdout == usual.stdout


def test_sizes_grow_while_there_is_time(tmp_path: Path, rows: Path) -> None:
    body = "import time\ntime.sleep(0.0002 * len(data))\n" + SUM
    page = tmp_path / "plot.html"
    command = ["drum", "perf-test", "--code-dir", code(tmp_path, body), "--input", rows, "--seconds", "0.3"]
    done = modelport(*command, "--output", page)
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert head.split() == [
        *("rows", "sent", "min", "ms", "mean", "ms", "p95", "ms", "max", "ms", "rows/s", "MB/s", "peak", "MB")
    ]
    assert [line.split()[0] for line in lines] == ["1", "10", "100", "1,000"]
    text = page.read_text()
    assert text.count("<polyline") == 3
    assert "{{" not in text


def test_a_model_that_fails_is_not_measured(tmp_path: Path, rows: Path) -> None:
    folder = code(tmp_path, "raise ValueError('never')")
    done = modelport("drum", "perf-test", "--code-dir", folder, "--input", rows)
    assert done.returncode == 1
    assert "error: 1 rows: ValueError: never" in done.stderr


# --- help ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [*drum.VERBS, "new model"])
def test_help_of_each_verb_has_an_example(verb: str) -> None:
    done = modelport("drum", *verb.split(), "--help")
    assert done.returncode == 0
    assert f"modelport drum {verb}" in done.stdout.partition("Examples:")[2]


def test_help_names_each_verb_and_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "modelport", "drum", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [verb for verb in [*drum.VERBS, "new"] if verb not in done.stdout] == []
    assert {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()} & HEAVY == set()


def test_the_server_has_every_setting_of_serve() -> None:
    done = modelport("drum", "server", "--help")
    assert "--max-body" in done.stdout
    assert "--code-dir" in done.stdout
    assert "--exit-on-load-error" in done.stdout

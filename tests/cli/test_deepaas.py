"""``modelport deepaas`` and the folder that ``modelport new deepaas`` makes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import modelport
from tests.harness import serving

MODEL = """
from webargs import fields, validate


def get_metadata():
    return {"name": "m", "description": "for the shell"}


def warm():
    print("warmed")


def get_predict_args():
    return {
        "x": fields.Float(required=True, metadata={"description": "100% of it"}),
        "flag": fields.Bool(load_default=False),
        "listed": fields.List(fields.Int(), load_default=[]),
        "commas": fields.DelimitedList(fields.Int(), load_default=[]),
        "named": fields.Dict(load_default={}),
        "data": fields.Raw(load_default=None, metadata={"type": "file", "location": "form"}),
        "url": fields.Url(load_default=None),
        "accept": fields.Str(validate=validate.OneOf(["application/json", "image/png"])),
    }


def predict(accept, data, **kwargs):
    print("predicting")
    if kwargs["x"] < 0:
        raise ValueError("too small")
    if accept == "image/png":
        return b"PNG"
    if data is not None:
        with open(data.filename) as file:
            data = [data.original_filename, data.content_type, file.read()]
    return {**kwargs, "data": data}


def get_train_args():
    return {"epochs": fields.Int(load_default=2)}


def train(epochs):
    for number in range(epochs):
        print("epoch", number)
    if epochs > 9:
        raise RuntimeError("too long")
    return {"loss": 0.5}
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shell") / "m"
    folder.mkdir()
    (folder / "model.py").write_text(MODEL)
    (folder / "setup.cfg").write_text("[options.entry_points]\ndeepaas.v2.model =\n    m = model\n")
    (folder / "a.txt").write_text("words")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of ``modelport new deepaas``; tests must not change it."""
    folder = tmp_path_factory.mktemp("made") / "my iris"
    done = modelport("new", "deepaas", folder)
    assert done.returncode == 0, done.stderr
    return folder


# --- cli ---------------------------------------------------------------------------------------------------


def test_metadata_without_a_function(package: Path) -> None:
    done = modelport("deepaas", "cli", package)
    assert json.loads(done.stdout) == {"name": "m", "description": "for the shell"}
    assert "warmed" in done.stderr


def test_arguments_of_every_kind(package: Path) -> None:
    words = ["--x", "1.5", "--flag", "yes", "--listed", "[1, 2]", "--commas", "[3, 4]", "--data", package / "a.txt"]
    done = modelport("deepaas", "cli", package, "predict", *words)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)["predictions"]
    assert answer == {
        "x": 1.5, "flag": True, "listed": [1, 2], "commas": [3, 4], "named": {}, "url": None,
        "data": ["a.txt", "text/plain", "words"],
    }  # fmt: skip
    assert "predicting" in done.stderr


def test_help_on_a_function(package: Path) -> None:
    done = modelport("deepaas", "cli", package, "predict", "--help")
    assert done.returncode == 0
    assert re.search(r"--x VALUE +100% of it; type: number", done.stdout)
    assert "choices: ['application/json', 'image/png', '*/*']" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["predict"], 2, "--x"),
        (["predict", "--x", "a"], 1, "x: Not a valid number."),
        (["predict", "--x", "-1"], 1, "ValueError: too small"),
        (["predict", "--x", "1", "--data", "nowhere"], 2, "there is no file nowhere"),
        (["predict", "--x", "1", "--listed", "["], 2, "--listed cannot be '['"),
        (["train", "--epochs", "10"], 1, "error: RuntimeError: too long"),
        (["fly"], 2, "'fly' is none of the functions"),
    ],
)
def test_what_goes_wrong(package: Path, words: list[str], code: int, told: str) -> None:
    done = modelport("deepaas", "cli", package, *words)
    assert (done.returncode, told in done.stderr) == (code, True), done.stderr


def test_the_answer_in_a_file(package: Path, tmp_path: Path) -> None:
    words = ["predict", "--x", "1", "--accept", "image/png", "--deepaas_method_output", tmp_path / "out"]
    assert modelport("deepaas", "cli", package, *words).returncode == 0
    assert (tmp_path / "out.png").read_bytes() == b"PNG"


def test_a_training(package: Path) -> None:
    done = modelport("deepaas", "cli", package, "train", "--epochs", "3")
    told = json.loads(done.stdout)
    assert (told["status"], told["args"], told["result"]["output"]) == ("done", {"epochs": 3}, {"loss": 0.5})
    assert "epoch 2" in done.stderr


def test_one_of_several_models(old: Path) -> None:
    done = modelport("deepaas", "cli", "--env", old, "get_metadata")
    assert done.returncode == 2
    assert "DEEPAAS_V2_MODEL" in done.stderr
    done = modelport("deepaas", "cli", "--env", old, "--model-name", "mp-module", "predict", "--x", "2")
    assert json.loads(done.stdout)["predictions"]["y"] == 5.0


# --- predict -----------------------------------------------------------------------------------------------


def test_a_file_and_a_url(made: Path, tmp_path: Path) -> None:
    done = modelport("deepaas", "predict", made, "-i", made / "flowers.csv", "-o", tmp_path, "-ct", "text/csv")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "flowers.csv").read_text().startswith("species,setosa,versicolor,virginica\nsetosa,")


def test_a_model_that_takes_no_url(made: Path, tmp_path: Path) -> None:
    done = modelport("deepaas", "predict", made, "-i", "http://a.example/", "-o", tmp_path, "--url")
    assert (done.returncode, "the model takes no url" in done.stderr) == (2, True)


def test_no_file(package: Path, tmp_path: Path) -> None:
    done = modelport("deepaas", "predict", package, "-i", "nowhere", "-o", tmp_path)
    assert (done.returncode, "there is no file nowhere" in done.stderr) == (2, True)


# --- new, and what verbs of any platform make of it --------------------------------------------------------


def test_it_has_all_that_its_readme_names(made: Path) -> None:
    named = re.findall(r"^\| `([^`]+)` \|", (made / "README.md").read_text(), re.MULTILINE)
    assert [name for name in [*named, "model.joblib"] if not (made / name).exists()] == []
    assert "{{" not in "".join(path.read_text() for path in made.glob("*.*") if path.suffix != ".joblib")


def test_it_is_good(made: Path) -> None:
    done = modelport("check", made, "--json")
    assert done.returncode == 0, done.stdout
    (told,) = json.loads(done.stdout)["models"]
    findings = {finding["check"]: finding["state"] for finding in told["findings"]}
    assert (findings["loads"], findings["saved queries"]) == ("ok", "ok")


def test_it_is_called(made: Path) -> None:
    done = modelport("call", made)
    assert json.loads(done.stdout)["predictions"][0]["species"] == "setosa"
    done = modelport("call", made, "--data", '{"petal_length": "long"}')
    assert (done.returncode, json.loads(done.stdout)) == (1, {"petal_length": ["Not a valid number."]})


def test_a_call_for_each_row(made: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("petal_length,petal_width\n1.4,0.2\n6.0,2.5\n")
    done = modelport("score", made, "--input", tmp_path / "rows.csv")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "species,setosa,versicolor,virginica"
    assert [line.partition(",")[0] for line in done.stdout.splitlines()[1:]] == ["setosa", "virginica"]
    (tmp_path / "bad.csv").write_text("petal_length\n1.4\nlong\n")
    done = modelport("score", made, "--input", tmp_path / "bad.csv", "--output", tmp_path / "out.csv")
    assert (done.returncode, "row 2 of " in done.stderr) == (1, True), done.stderr
    assert "petal_length: Not a valid number." in done.stderr
    assert not (tmp_path / "out.csv").exists()


def test_answers_of_other_forms(package: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("x,url\n1,http://a.example/\n2,\n")
    done = modelport("score", package, "--input", tmp_path / "rows.csv")
    assert done.stdout.splitlines() == [
        "x,flag,listed,commas,named,url,data",
        "1.0,false,[],[],{},http://a.example/,",
        "2.0,false,[],[],{},,",
    ]


def test_doctor_sees_what_it_imports(made: Path) -> None:
    done = modelport("doctor", made, "--json")
    texts = [finding["text"] for finding in json.loads(done.stdout)["findings"]]
    assert any("imports joblib, pandas, sklearn, webargs" in text for text in texts)


def test_it_is_served(made: Path) -> None:
    with serving(made) as server:
        (line,) = [line for line in server.said if "/predict/" in line and "try" in line]
        assert "curl -s -X POST" in line
        assert server.post("/v2/models/my-iris/predict/").json()["predictions"][0]["species"] == "versicolor"

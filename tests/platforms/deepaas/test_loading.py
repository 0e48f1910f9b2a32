"""How models are found, and what is made of what they declare."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from modelport.config import Settings
from modelport.contracts.deepaas import detect
from modelport.contracts.deepaas.adapter import contract
from modelport.core.call import Call
from modelport.core.model import ModelSpec
from modelport.core.payload import Args, Json
from modelport.errors import ConfigError, InvalidArguments, InvalidOutput, LoadError, ModelRejected
from modelport.packages.find import find
from modelport.worker import imports

PYPROJECT = (
    '[project]\nname = "p"\nversion = "1"\n[project.entry-points."deepaas.v2.model"]\n"my-model" = "code:Model"\n'
)
POETRY = '[tool.poetry.plugins."deepaas.v2.model"]\n"my-model" = "code:Model"\n'
CFG = "[options.entry_points]\ndeepaas.v2.model =\n    my-model = code:Model\n"
PBR = "[entry_points]\ndeepaas.v2.model =\n    my-model = code:Model\n"
SETUP_DICT = 'from setuptools import setup\nsetup(entry_points={"deepaas.v2.model": ["my-model = code:Model"]})\n'
SETUP_TEXT = 'from setuptools import setup\nsetup(entry_points="""\n[deepaas.v2.model]\nmy-model = code:Model\n""")\n'


@pytest.fixture(autouse=True)
def own_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has models called alike."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in [name for name in sys.modules if name == "code" or name.partition(".")[0] == "deepaas"]:
        monkeypatch.delitem(sys.modules, name)


def load(folder: Path, source: str, value: str = "code", **options: Any) -> Any:
    """The model of this code, as a worker loads it."""
    (folder / "code.py").write_text(textwrap.dedent(source))
    sys.modules.pop("code", None)
    given = {"path": ["."], "entry": value, "warm": True, **options}
    spec = ModelSpec(name="m", contract="deepaas", root=str(folder), options=given)
    imports.prepare(spec, contract.shims())
    return contract.load(spec)


def ask(model: Any, verb: str = "predict", **values: Any) -> Any:
    """The JSON that the model answers to arguments in the query."""
    places = {"query": {name: [value] for name, value in values.items()}}
    outcome = model.call(Args({}, places), Call("1", "deepaas", verb, {}, "", ""))
    assert isinstance(outcome.payload, Json)
    return outcome.payload.value


# --- where models are declared -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("pyproject.toml", PYPROJECT),
        ("pyproject.toml", POETRY),
        ("setup.cfg", CFG),
        ("setup.cfg", PBR),
        ("setup.py", SETUP_DICT),
        ("setup.py", SETUP_TEXT),
    ],
)
def test_a_folder_declares_its_models(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).write_text(text)
    (tmp_path / "src").mkdir()
    (spec,) = find(str(tmp_path), Settings())
    assert (spec.name, spec.contract, spec.options["entry"]) == ("my-model", "deepaas", "code:Model")
    assert spec.options["path"] == [".", "src"]
    assert detect.find(str(tmp_path)) == "it declares the model my-model"


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("pyproject.toml", "[project]\nname = 'x'\n"),
        ("pyproject.toml", "not [TOML"),
        ("setup.cfg", "[metadata]\nname = x\n"),
        ("setup.cfg", "broken"),
        ("setup.py", "def ("),
        ("setup.py", "setup(entry_points=POINTS)"),
    ],
)
def test_other_packages_are_none(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).write_text(text)
    assert detect.find(str(tmp_path)) is None


def test_an_environment_with_models(old: Path) -> None:
    specs = find(str(old), Settings())
    assert len(specs) == 16
    assert {spec.environment for spec in specs} == {str(old)}


def test_one_of_several(old: Path) -> None:
    (spec,) = find(str(old), Settings(), {"contract": "deepaas", "options": {"modelName": "mp_under.dot"}})
    assert spec.name == "mp_under.dot"


def test_one_that_is_not_there(old: Path) -> None:
    with pytest.raises(ConfigError, match=r"Model 'nope' not found in namespace 'deepaas\.v2\.model'"):
        find(str(old), Settings(), {"contract": "deepaas", "options": {"modelName": "nope"}})


def test_an_environment_without_models() -> None:
    with pytest.raises(ConfigError, match="no model is installed in"):
        find(sys.prefix, Settings(), {"contract": "deepaas"})


def test_names_that_no_url_can_have(tmp_path: Path) -> None:
    (tmp_path / "setup.cfg").write_text("[options.entry_points]\ndeepaas.v2.model =\n    a/b = code\n")
    with pytest.raises(ConfigError, match="names that they cannot have"):
        find(str(tmp_path), Settings())


# --- what the entry point names ----------------------------------------------------------------------------


def test_a_class_whose_functions_need_an_object(tmp_path: Path) -> None:
    source = """
        class Model:
            def __init__(self):
                self.warmed = 0
            def warm(self):
                self.warmed += 1
            def predict(self):
                return self.warmed
        """
    model = load(tmp_path, source, "code:Model")
    assert [ask(model), ask(model)] == [1, 1]


def test_a_class_that_needs_none(tmp_path: Path) -> None:
    source = """
        class Model:
            def __init__(self):
                raise RuntimeError("nobody makes one")
            @staticmethod
            def predict(**kwargs):
                return "static"
            @classmethod
            def get_metadata(cls):
                return {"name": cls.__name__}
        """
    model = load(tmp_path, source, "code:Model")
    assert ask(model) == "static"
    assert model.description.details["metadata"] == {"name": "Model"}


def test_the_abstract_class(tmp_path: Path) -> None:
    source = """
        from deepaas.model.v2 import base
        class Model(base.BaseModel):
            def get_metadata(self): raise NotImplementedError
            def warm(self): return super().warm()
            def get_predict_args(self): return super().get_predict_args()
            def predict(self, **kwargs): return "made"
            def get_train_args(self): return {}
            def train(self, **kwargs): return None
        """
    model = load(tmp_path, source, "code:Model")
    assert ask(model) == "made"
    unknown = "Could not load description from underlying model (loaded 'm')"
    assert model.description.details["metadata"] == {"id": "0", "description": unknown}


def test_an_abstract_class_that_lacks_a_function(tmp_path: Path) -> None:
    source = """
        from deepaas.model.v2.base import BaseModel
        class Model(BaseModel):
            def predict(self, **kwargs): return 1
        """
    with pytest.raises(TypeError, match="abstract"):
        load(tmp_path, source, "code:Model")


def test_not_warmed(tmp_path: Path) -> None:
    source = "def warm():\n    raise RuntimeError('warm')\n\ndef predict():\n    return 1\n"
    assert ask(load(tmp_path, source, warm=False)) == 1
    with pytest.raises(RuntimeError, match="warm"):
        load(tmp_path, source)


def test_nothing_at_all(tmp_path: Path) -> None:
    model = load(tmp_path, "")
    for verb in ("predict", "train"):
        with pytest.raises(ModelRejected, match=r"Not implemented by underlying model \(loaded 'm'\)") as caught:
            ask(model, verb)
        assert caught.value.status == 501


def test_metadata_that_cannot_be_told(tmp_path: Path) -> None:
    model = load(tmp_path, "def get_metadata():\n    return 1 / 0\n\ndef predict():\n    return 1\n")
    assert model.description.details["metadata"] is None
    assert ask(model) == 1


# --- declarations ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("returned", "words"),
    [("[1]", "get_predict_args returned list"), ("{'a': 1}", "'a' is int, and no field")],
)
def test_what_is_no_declaration(tmp_path: Path, returned: str, words: str) -> None:
    with pytest.raises(LoadError, match=words):
        load(tmp_path, f"def get_predict_args():\n    return {returned}\n")


def test_a_schema_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="the model's schema is str"):
        load(tmp_path, "schema = 'x'\n")


ACCEPT = """
from webargs import fields, validate

def get_predict_args():
    return {"accept": fields.Str(required=True, validate=validate.OneOf(%s))}

def predict(accept):
    return "text" if accept == "text/plain" else accept
"""


@pytest.mark.parametrize("choices", ['["text/plain", "application/json"]', '("text/plain", "application/json")'])
def test_the_first_choice_is_the_default(tmp_path: Path, choices: str) -> None:
    model = load(tmp_path, ACCEPT % choices)
    assert model.description.details["produces"] == ["text/plain", "application/json", "*/*"]
    outcome = model.call(Args({}, {}), Call("1", "deepaas", "predict", {}, "", ""))
    assert (outcome.payload.data, outcome.payload.media_type) == (b"text", "text/plain")
    assert ask(model, accept="*/*") == "*/*"
    with pytest.raises(InvalidArguments) as caught:
        ask(model, accept="image/png")
    assert caught.value.misfits == {"accept": ["Must be one of: text/plain, application/json."]}


PLACES = """
from webargs import fields

def get_predict_args():
    return {
        "anywhere": fields.Int(),
        "cookie": fields.Str(metadata={"location": "cookies"}),
        "header": fields.Str(metadata={"location": "headers"}, data_key="X-Some"),
        "query": fields.Str(metadata={"location": "querystring"}),
        "body": fields.Dict(metadata={"location": "json"}),
        "listed": fields.List(fields.Int()),
    }

def predict(**kwargs):
    return kwargs
"""


def test_where_arguments_come_from(tmp_path: Path) -> None:
    model = load(tmp_path, PLACES)
    places: dict[str, dict[str, Any]] = {
        "query": {"query": ["q", "second"], "cookie": ["no"], "listed": ["1", "2"], "unknown": ["x"]},
        "form": {"anywhere": ["7"], "query": ["no"], "body": ["no"]},
        "json": {"anywhere": 8, "body": {"a": None}, "listed": [9]},
        "headers": {"x-some": ["h"]},
        "cookies": {"cookie": ["c"]},
    }
    outcome = model.call(Args({}, places), Call("1", "deepaas", "predict", {}, "", ""))
    want = {"anywhere": 7, "cookie": "c", "header": "h", "query": "q", "body": {"a": None}, "listed": [1, 2]}
    assert outcome.payload.value == want


def test_by_name_alone(tmp_path: Path) -> None:
    """As other platforms' protocols name arguments: no place matters."""
    model = load(tmp_path, PLACES)
    given = {"anywhere": 1, "cookie": "c", "X-Some": "h", "listed": 5}
    outcome = model.call(Args(given), Call("1", "oip", "infer", {}, "", ""))
    assert outcome.payload.value == {"anywhere": 1, "cookie": "c", "header": "h", "listed": [5]}


# --- answers -----------------------------------------------------------------------------------------------


def test_a_schema_is_checked(tmp_path: Path) -> None:
    source = """
        from marshmallow import fields
        schema = {"n": fields.Int(required=True)}
        VALUES = iter([{"n": "1"}, {"n": 1, "m": 2}, None])
        def predict():
            return next(VALUES)
        """
    model = load(tmp_path, source)
    assert ask(model) == {"n": "1"}
    for _ in range(2):
        with pytest.raises(InvalidOutput, match=r"^ERROR validating model response, check server logs\.$"):
            ask(model)


ANSWERS = """
import gzip, io, tempfile
from webargs import fields

def get_predict_args():
    return {"accept": fields.Str(load_default="text/plain"), "how": fields.Str()}

def written(mode):
    file = open(tempfile.mkstemp()[1], mode)
    file.write("h\u00e9" if mode == "w+" else b"h\\xc3\\xa9")
    return file

def packed():
    path = tempfile.mkstemp()[1]
    with gzip.open(path, "wb") as file:
        file.write(b"h\\xc3\\xa9")
    return gzip.open(path)

HOW = {
    "bytes": lambda: b"h\\xc3\\xa9",
    "array": lambda: bytearray(b"h\\xc3\\xa9"),
    "text": lambda: "h\u00e9",
    "BytesIO": lambda: io.BytesIO(b"h\\xc3\\xa9"),
    "StringIO": lambda: io.StringIO("h\u00e9"),
    "file, not yet flushed": lambda: written("w+b"),
    "text file": lambda: written("w+"),
    "packed file": packed,
}

def predict(accept, how):
    return HOW[how]()
"""


@pytest.mark.parametrize(
    "how", ["bytes", "array", "text", "BytesIO", "StringIO", "file, not yet flushed", "text file", "packed file"]
)
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_whatever_holds_bytes(tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    model = load(tmp_path, ANSWERS)
    outcome = model.call(Args({}, {"query": {"how": [how]}}), Call("1", "deepaas", "predict", {}, "", ""))
    assert bytes(outcome.payload.data) == "hé".encode()

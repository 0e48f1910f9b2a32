"""The hooks of ``custom.py``: which are called, when, with what."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelport.errors import InvalidInput, InvalidOutput, LoadError
from tests.platforms.drum.folders import ask, load, write_folder

TRACED = """
    import pandas as pd
    from beside import note, TRACE

    def init(**kwargs):
        note("init", sorted(kwargs), kwargs["code_dir"])

    def load_model(code_dir):
        note("load_model", code_dir)
        return "the model"

    def read_input_data(input_binary_data):
        note("read_input_data", type(input_binary_data).__name__, bytes(input_binary_data))
        return pd.DataFrame({"a": [1.0, 2.0]})

    def transform(data, model):
        note("transform", list(data["a"]), model)
        return data * 10

    def score(data, model, **kwargs):
        note("score", list(data["a"]), model, kwargs)
        return pd.DataFrame({"Predictions": data["a"]})

    def post_process(predictions, model):
        note("post_process", list(predictions["Predictions"]), model)
        return predictions + 1
    """
BESIDE = "TRACE = []\n\ndef note(*what):\n    TRACE.append(what)\n"
ECHO = """
    import json

    def load_model(code_dir):
        return "model"

    def score_unstructured(model, data, **kwargs):
        shown = data if isinstance(data, str) else data.hex()
        return json.dumps([model, type(data).__name__, shown, kwargs], ensure_ascii=False)
    """


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Models are loaded in this process: what a worker would keep to itself is put back."""
    modules = set(sys.modules)
    environment = dict(os.environ)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in set(sys.modules) - modules:
        if not hasattr(sys.modules[name], "__file__") or str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]
    os.environ.clear()
    os.environ.update(environment)


def test_every_hook_is_called_once_in_its_order_with_its_arguments(tmp_path: Path) -> None:
    model = load(write_folder(tmp_path, TRACED, beside__py=BESIDE), "regression")
    outcome = ask(model, b"raw \xff bytes")
    assert list(outcome.predictions) == [11.0, 21.0]
    assert [
        ("init", ["code_dir"], str(tmp_path)),
        ("load_model", str(tmp_path)),
        ("read_input_data", "bytes", b"raw \xff bytes"),
        ("transform", [1.0, 2.0], "the model"),
        ("score", [10.0, 20.0], "the model", {}),
        ("post_process", [10.0, 20.0], "the model"),
    ] == sys.modules["beside"].TRACE
    ask(model, b"again")
    assert [name for name, *_ in sys.modules["beside"].TRACE[6:]] == [
        "read_input_data", "transform", "score", "post_process",
    ]  # fmt: skip


def test_score_of_a_binary_model_is_told_the_labels(tmp_path: Path) -> None:
    custom = """
        import pandas as pd

        def load_model(code_dir):
            return 0.25

        def score(data, model, positive_class_label, negative_class_label, **rest):
            assert not rest, rest
            return pd.DataFrame({negative_class_label: [1 - model] * len(data), positive_class_label: model})
        """
    model = load(write_folder(tmp_path, custom), positiveClassLabel="yes", negativeClassLabel="no")
    outcome = ask(model, "a\n1\n2\n")
    assert outcome.predictions == ["no", "no"]
    assert {label: list(column) for label, column in (outcome.probabilities or {}).items()} == {
        "no": [0.75, 0.75],
        "yes": [0.25, 0.25],
    }


def test_missing_values_and_odd_names_reach_the_hook_as_pandas_reads_them(tmp_path: Path) -> None:
    custom = """
        import pandas as pd
        SEEN = []

        def score(data, model, **kwargs):
            SEEN.append(data)
            return pd.DataFrame({"Predictions": data.isna().sum(axis=1)})
        """
    model = load(write_folder(tmp_path, custom), "regression")
    outcome = ask(model, 'Age (years),a/b, c ,"q""q"\n1,,x,"two\nlines"\n,NA,,\n')
    (seen,) = sys.modules["custom"].SEEN
    assert list(seen.columns) == ["Age (years)", "a/b", " c ", 'q"q']
    assert seen.iloc[0, 3] == "two\nlines"
    assert list(outcome.predictions) == [1.0, 4.0]


@pytest.mark.parametrize("hook", ["load_model", "read_input_data"])
def test_a_hook_that_must_return_something(tmp_path: Path, hook: str) -> None:
    custom = f"""
        import pandas as pd

        def {hook}(anything):
            pass

        def score(data, model, **kwargs):
            return data
        """
    folder = write_folder(tmp_path, custom)
    with pytest.raises((LoadError, InvalidOutput), match=f"{hook} returned None"):
        ask(load(folder, "regression"), "a\n1\n")


def test_read_input_data_may_return_anything_that_score_takes(tmp_path: Path) -> None:
    custom = """
        import json
        import pandas as pd

        def read_input_data(input_binary_data):
            return json.loads(input_binary_data)

        def score(data, model, **kwargs):
            return pd.DataFrame({"Predictions": data["numbers"]})
        """
    outcome = ask(load(write_folder(tmp_path, custom), "regression"), '{"numbers": [1, 2, 3]}')
    assert list(outcome.predictions) == [1.0, 2.0, 3.0]


def test_a_transformer_answers_with_its_table(tmp_path: Path) -> None:
    custom = """
        def transform(data, model):
            return data.assign(double=data["a"] * 2, text="x")
        """
    model = load(write_folder(tmp_path, custom))
    table: Any = ask(model, "a\n1\n2\n").payload
    assert table.to_records() == [{"a": 1, "double": 2, "text": "x"}, {"a": 2, "double": 4, "text": "x"}]


@pytest.mark.parametrize(
    ("media_type", "charset", "body", "expected"),
    [
        ("", None, "né".encode(), ["str", "né", "text/plain", "utf8"]),
        ("text/plain", "latin-1", b"n\xe9", ["str", "né", "text/plain", "latin-1"]),
        ("text/csv", None, b"a,b", ["str", "a,b", "text/csv", "utf8"]),
        ("application/json", None, b"{}", ["str", "{}", "application/json", "utf8"]),
        ("application/octet-stream", None, b"\x00\xff", ["bytes", "00ff", "application/octet-stream", "utf8"]),
        ("image/png", "ascii", b"\x89", ["bytes", "89", "image/png", "ascii"]),
    ],
)
def test_unstructured_data_is_text_or_bytes_by_its_type(
    tmp_path: Path, media_type: str, charset: str | None, body: bytes, expected: list[str]
) -> None:
    model = load(write_folder(tmp_path, ECHO))
    answer: Any = ask(model, body, media_type, charset, query="a=1&b=%C3%A9&empty=").payload
    kind, value, mimetype, told = expected
    assert json.loads(answer.data) == [
        "model", kind, value, {"mimetype": mimetype, "charset": told, "query": {"a": "1", "b": "é", "empty": ""}},
    ]  # fmt: skip
    assert (answer.media_type, answer.charset) == ("text/plain", "utf8")


@pytest.mark.parametrize(("body", "charset"), [(b"\xff", None), (b"x", "no-such-charset")])
def test_text_that_is_none_is_the_clients_fault(tmp_path: Path, body: bytes, charset: str | None) -> None:
    with pytest.raises(InvalidInput, match=r"not utf8 text|is not known"):
        ask(load(write_folder(tmp_path, ECHO)), body, "text/plain", charset)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("'né'", ("text/plain", "utf8", "né".encode())),
        ("b'\\x00'", ("application/octet-stream", None, b"\x00")),
        ("('{}', {'mimetype': 'application/json'})", ("application/json", "utf8", b"{}")),
        ("('né', {'charset': 'latin-1'})", ("text/plain", "latin-1", b"n\xe9")),
        ("(b'x', {'mimetype': 'a/b', 'charset': 'c'})", ("a/b", "c", b"x")),
        ("('x', {})", ("text/plain", "utf8", b"x")),
        ("('é', {'mimetype': 'text/html; charset=latin-1'})", ("text/html; charset=latin-1", "latin-1", b"\xe9")),
    ],
)
def test_what_score_unstructured_may_return(tmp_path: Path, answer: str, expected: Any) -> None:
    custom = f"def score_unstructured(model, data, **kwargs):\n    return {answer}\n"
    blob: Any = ask(load(write_folder(tmp_path, custom)), "x", "").payload
    assert (blob.media_type, blob.charset, blob.data) == expected


@pytest.mark.parametrize(
    "answer",
    [
        "None",
        "7",
        "['x']",
        "('x',)",
        "('x', 'y')",
        "('x', {}, {})",
        "('x', {'mimetype': 7})",
        "('x', {'mimetype': 'x' * 201})",
        "('é', {'charset': 'ascii'})",
        "(7, {})",
    ],
)
def test_what_score_unstructured_may_not_return(tmp_path: Path, answer: str) -> None:
    custom = f"def score_unstructured(model, data, **kwargs):\n    return {answer}\n"
    with pytest.raises(InvalidOutput):
        ask(load(write_folder(tmp_path, custom)), "x", "")


@pytest.mark.parametrize(
    ("custom", "target", "told"),
    [
        ("score = 7\n", "regression", "custom.py: score is int; a function was expected"),
        ("def init(**kwargs):\n    pass\n", "unstructured", "an unstructured model needs score_unstructured"),
        ("def init(**kwargs):\n    pass\n", "regression", "has no model file"),
        (
            "def load_model(code_dir):\n    return object()\n",
            "regression",
            "nobody knows how to predict with it",
        ),
        ("def load_model(code_dir):\n    return 1\n", "transform", "a transform task needs the hook transform"),
        (
            "def score(data, model, **kwargs):\n    return data\n",
            "binary",
            "the class labels of this binary model are not known",
        ),
    ],
)
def test_what_cannot_be_loaded_says_why(tmp_path: Path, custom: str, target: str, told: str) -> None:
    folder = write_folder(tmp_path, custom)
    with pytest.raises(LoadError) as caught:
        load(folder, target)
    assert told in caught.value.message


PARAMETERS = """
    runtimeParameterDefinitions:
      - fieldName: text
        type: string
        defaultValue: Default
      - fieldName: flag
        type: boolean
        defaultValue: true
      - fieldName: number
        type: numeric
        defaultValue: 3
      - fieldName: nothing
        type: string
      - fieldName: login
        type: credential
      - fieldName: DRUM_X
        type: string
        defaultValue: kept
    """


def test_runtime_parameters_are_delivered_both_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("text", "flag", "number", "nothing", "login", "DRUM_X"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("number", "4.5")
    custom = "def score(data, model, **kwargs):\n    return data\n"
    folder = write_folder(tmp_path, custom, PARAMETERS)
    load(folder, "regression", runtimeParameters={"login": {"user": "u"}, "text": "given"})
    assert {name: os.environ.get(name) for name in ("text", "flag", "number", "nothing", "login", "DRUM_X")} == {
        "text": "given", "flag": "true", "number": "4.5", "nothing": None, "login": '{"user": "u"}', "DRUM_X": None,
    }  # fmt: skip
    old = {
        name[20:]: json.loads(value) for name, value in os.environ.items() if name.startswith("MLOPS_RUNTIME_PARAM_")
    }
    assert old == {
        "text": {"type": "string", "payload": "given"},
        "flag": {"type": "boolean", "payload": True},
        "number": {"type": "numeric", "payload": 4.5},
        "login": {"type": "credential", "payload": {"user": "u"}},
        "DRUM_X": {"type": "string", "payload": "kept"},
    }


def test_custom_code_reads_them_by_the_vendors_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from modelport.contracts.drum.adapter import contract

    monkeypatch.syspath_prepend(contract.shims()[0])
    custom = """
        import pandas as pd
        from datarobot_drum import RuntimeParameters

        def score(data, model, **kwargs):
            assert RuntimeParameters.has("number") and not RuntimeParameters.has("nothing")
            assert RuntimeParameters.get("nothing") is None
            return pd.DataFrame({"Predictions": [RuntimeParameters.get("number")]})
        """
    model = load(write_folder(tmp_path, custom, PARAMETERS), "regression")
    assert list(ask(model, "a\n1\n").predictions) == [3.0]

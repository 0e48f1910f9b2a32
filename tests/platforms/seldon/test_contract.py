"""Components as the platform's wrapper treats them, where no recording says it; and behind other platforms' APIs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelport.config import Settings
from modelport.contracts.seldon import metadata, metrics, protojson
from modelport.errors import ConfigError
from modelport.packages.find import find
from tests.harness import Answer, Running, serving

ROWS = {"data": {"names": ["a", "b"], "ndarray": [[1, 2], [3, 4]]}}
UNKNOWN = "Unknown data type returned as payload (must be list or np array)"
META = {
    "puid": "p",
    "tags": {"t": 1},
    "routing": {"r": 1},
    "requestPath": {"before": "img:1"},
    "metrics": [{"key": "k", "type": "GAUGE", "value": 1}],
}


def write(folder: Path, source: str, name: str = "Model", **manifest: Any) -> Path:
    """A folder with one component file, and a manifest that says whose it is."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(textwrap.dedent(source))
    said = {"name": folder.name, "contract": "seldon", "component": f"{name}.{name}", **manifest}
    (folder / "modelport.yaml").write_text(json.dumps(said))
    return folder


KITCHEN = '''
import numpy as np
from seldon_core.flask_utils import SeldonMicroserviceException
from seldon_core.user_model import SeldonComponent, SeldonNotImplementedError, SeldonResponse

METRIC = {"type": "COUNTER", "key": "own", "value": 1}


class Teapot(SeldonMicroserviceException):
    status_code = 418


class Model(SeldonComponent):
    """Does what the text it is given says; sums rows."""

    def __init__(self, **parameters):
        self.parameters = parameters

    def predict(self, X, names, meta=None):
        if not isinstance(X, str):
            return X.sum(axis=1)
        return getattr(self, "do_" + X)(names, meta)

    def do_parameters(self, names, meta):
        return {name: [type(value).__name__, value] for name, value in self.parameters.items()}

    def do_meta(self, names, meta):
        meta["tags"]["seen"] = True
        meta["puid"] = "changed"
        return {"meta": dict(meta), "names": names}

    def do_teapot(self, names, meta):
        raise Teapot("short and stout")

    def do_strange(self, names, meta):
        raise SeldonMicroserviceException("no status", status_code=7, reason="R")

    def do_bad_metric(self, names, meta):
        return SeldonResponse("x", metrics=[{"type": "COUNTER", "key": "a"}])

    def do_tuple(self, names, meta):
        return (1, 2)

    def do_scalars(self, names, meta):
        return {"int": np.int64(1), "float": np.float32(0.5), "array": np.arange(2)}

    def do_mixed(self, names, meta):
        return [[1, "z"]]

    def do_bytes(self, names, meta):
        return bytearray(b"ab")

    def do_wide(self, names, meta):
        return np.zeros((1, 2), dtype="float32")

    def tags(self):
        return {"own": 1}

    def metrics(self):
        return [METRIC]

    def route(self, X, names):
        return SeldonResponse(True, tags={"routed": 1})

    def send_feedback(self, features, names, reward, truth, routing=None):
        return {"types": [str(features.dtype), type(reward).__name__], "reward": reward, "routing": routing}
'''


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A component that does as it is told."""
    folder = write(
        tmp_path_factory.mktemp("seldon") / "kitchen",
        KITCHEN,
        options={
            "parameters": [
                {"name": "whole", "value": 3, "type": "INT"},
                {"name": "both", "value": "here", "type": "STRING"},
                {"name": "off", "value": "F", "type": "BOOL"},
                {"name": "ratio", "value": "2", "type": "DOUBLE"},
            ]
        },
    )
    env = {
        "PREDICTIVE_UNIT_ID": "unit",
        "PREDICTIVE_UNIT_IMAGE": "reg:5000/own/unit:1.2",
        "PREDICTIVE_UNIT_PARAMETERS": '[{"name": "both", "value": "there", "type": "STRING"}]',
        "INCLUDE_METRICS_IN_CLIENT_RESPONSE": "yes",
        "MODEL_METADATA": "{name: from-env, custom: {day: 2020-01-01}}",
    }
    with serving(folder, env=env) as server:
        yield server


def ask(server: Running, message: Any, path: str = "/predict") -> Answer:
    return server.post(path, message, headers={"Content-Type": "application/json"})


def told(server: Running, word: str, **more: Any) -> Any:
    answer = ask(server, {"strData": word, **more})
    assert answer.status == 200, answer.body
    return answer.json()


def test_parameters_have_their_types_and_the_environment_goes_first(kitchen: Running) -> None:
    assert told(kitchen, "parameters")["jsonData"] == {
        "whole": ["int", 3],
        "both": ["str", "there"],
        "off": ["bool", False],
        "ratio": ["float", 2.0],
    }


def test_meta_is_the_requests_own_and_what_is_the_replys(kitchen: Running) -> None:
    reply = told(kitchen, "meta", meta=META)
    assert reply["jsonData"]["meta"]["routing"] == {"r": 1}
    assert reply["meta"] == {
        "puid": "changed",
        "tags": {"t": 1, "seen": True, "own": 1},
        "requestPath": {"unit": "reg:5000/own/unit:1.2", "before": "img:1"},
        "metrics": [{"key": "k", "type": "GAUGE", "value": 1}],  # its own are not to be shown
    }


def test_a_route_keeps_only_the_puid(kitchen: Running) -> None:
    reply = ask(kitchen, {**ROWS, "meta": META}, "/route").json()
    assert reply["data"] == {"names": ["t:0"], "ndarray": [[True]]}
    assert reply["meta"] == {
        "puid": "p",
        "tags": {"own": 1, "routed": 1},
        "requestPath": {"unit": "reg:5000/own/unit:1.2"},
    }


@pytest.mark.parametrize(
    ("word", "status", "reason", "info"),
    [
        ("teapot", 418, "MICROSERVICE_BAD_DATA", "short and stout"),
        ("strange", 500, "R", "no status"),
        (
            "tuple",
            400,
            "MICROSERVICE_BAD_DATA",
            "Unknown data type returned as payload (must be list or np array):(1, 2)",
        ),
        (
            "bad_metric",
            500,
            "MICROSERVICE_BAD_METRIC",
            'Bad metric created during request: [{"type": "COUNTER", "key": "a"}]',
        ),
    ],
)
def test_errors_have_their_status_and_reason(kitchen: Running, word: str, status: int, reason: str, info: str) -> None:
    answer = ask(kitchen, {"strData": word})
    assert answer.status == status
    assert answer.json() == {"status": {"status": 1, "info": info, "code": -1, "reason": reason}}


def test_kinds_of_answers(kitchen: Running) -> None:
    assert told(kitchen, "scalars")["jsonData"] == {"int": 1, "float": 0.5, "array": [0, 1]}
    assert told(kitchen, "mixed")["data"] == {"names": ["t:0", "t:1"], "ndarray": [[1, "z"]]}
    assert told(kitchen, "bytes")["binData"] == "YWI="
    wide = {"names": ["t:0", "t:1"], "tensor": {"shape": [1, 2], "values": [0.0, 0.0]}}
    assert told(kitchen, "wide")["data"] == wide


def test_an_empty_tensor_cannot_claim_a_huge_shape(kitchen: Running) -> None:
    answer = ask(kitchen, {"data": {"tensor": {"shape": [0, 10**9], "values": []}}}, "/transform-input")
    assert answer.status == 500
    assert "cannot have the shape" in answer.json()["status"]["info"]


def test_feedback_comes_as_protobuf_would_have_it(kitchen: Running) -> None:
    message = {"request": ROWS, "reward": 0.1, "response": {"meta": {"routing": {"unit": 1}}}}
    reply = ask(kitchen, message, "/send-feedback").json()
    assert reply["jsonData"] == {"types": ["float64", "float"], "reward": pytest.approx(0.1), "routing": 1.0}
    assert reply["jsonData"]["reward"] != 0.1  # single precision
    assert reply["meta"] == {"tags": {"own": 1.0}, "requestPath": {"unit": "reg:5000/own/unit:1.2"}}


def test_metadata_of_the_environment_goes_first(kitchen: Running) -> None:
    assert kitchen.get("/metadata").json() == {
        "name": "from-env",
        "versions": ["1.2"],
        "platform": "",
        "inputs": [],
        "outputs": [],
        "custom": {"day": "2020-01-01"},
    }


def test_other_protocols_reach_predict(kitchen: Running) -> None:
    infer = {"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP64", "data": [1, 2, 3, 4.5]}]}
    answer = kitchen.post("/v2/models/kitchen/infer", infer).json()
    assert answer["outputs"] == [{"name": "predict", "datatype": "FP64", "shape": [2, 1], "data": [3.0, 7.5]}]
    answer = kitchen.post("/public/api/v1/kitchen/kitchen/predict", {"features": {"a": 1, "b": 2}})
    assert answer.json()["result"]["prediction"] == 3
    answer = kitchen.post("/drum/predict/", b"a,b\n1,2\n3,4\n", headers={"Content-Type": "text/csv"})
    assert answer.json() == {"predictions": [3, 7]}


ODD = '''
import numpy as np


class Model:
    """Of no base; answers a table by what is in its first cell."""

    class_names = ["no", "yes"]

    def predict(self, X, names):
        kind = X[0, 0] if X.size else ""
        answers = {
            "names": {"names": list(names), "types": [type(cell).__name__ for cell in X[0]]},
            "text": "wörds",
            "bytes": b"\\x00\\xff",
            "wide": np.array([[0.25, 0.75]]),
            "cube": np.zeros((1, 2, 3), dtype="float32"),
            "half": np.zeros((1, 3), dtype="float16"),
            "words": np.array([["a", "b", "c"]]),
            "two": [1, 2],
            "none": None,
            "truth": [True],
        }
        return answers[kind]
'''


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(write(tmp_path_factory.mktemp("seldon") / "odd", ODD)) as server:
        yield server


@pytest.mark.parametrize(
    ("kind", "outputs"),
    [
        ("text", [("response", "BYTES", [1], ["wörds"])]),
        ("wide", [("no", "FP64", [1], [0.25]), ("yes", "FP64", [1], [0.75])]),
        ("cube", [("predict", "FP32", [1, 2, 3], [0.0] * 6)]),
        ("words", [("predict", "BYTES", [1, 3], ["a", "b", "c"])]),
        ("truth", [("predict", "BOOL", [1, 1], [True])]),
        ("names", [("names", "BYTES", [2], ["what", "n"]), ("types", "BYTES", [2], ["str", "int"])]),
    ],
)
def test_what_the_open_protocol_makes_of_answers(odd: Running, kind: str, outputs: list[Any]) -> None:
    inputs = [
        {"name": "what", "shape": [1], "datatype": "BYTES", "data": [kind]},
        {"name": "n", "shape": [1], "datatype": "INT64", "data": [1]},
    ]
    answer = odd.post("/v2/models/odd/infer", {"inputs": inputs})
    assert answer.status == 200, answer.body
    got = [(o["name"], o["datatype"], o["shape"], o["data"]) for o in answer.json()["outputs"]]
    assert got == outputs


def test_half_floats_survive(odd: Running) -> None:
    inputs = [{"name": "what", "shape": [1, 1], "datatype": "BYTES", "data": ["half"]}]
    answer = odd.post(
        "/v2/models/odd/infer",
        {"inputs": inputs, "outputs": [{"name": "predict", "parameters": {"binary_data": True}}]},
    )
    size = int(answer.headers["inference-header-content-length"])
    assert json.loads(answer.body[:size])["outputs"][0]["datatype"] == "FP16"
    assert answer.body[size:] == bytes(6)


@pytest.mark.parametrize(("kind", "cause"), [("two", "2 values for 1 rows"), ("none", "predict returned NoneType")])
def test_answers_that_are_none(odd: Running, kind: str, cause: str) -> None:
    answer = odd.post("/public/api/v1/odd/odd/predict", {"features": {"what": kind}})
    assert answer.status == 500
    assert cause in answer.body.decode()


RAW = """
class Model:
    def predict_rest(self, message):
        if message.get("strData") == "raw":
            from seldon_core.user_model import SeldonNotImplementedError

            raise SeldonNotImplementedError("not for this one")
        return {"strData": "rest", "got": message}

    def predict_raw(self, message):
        return {"strData": "raw", "meta": {"metrics": [{"key": "a", "value": 1}], "tags": {"a": 1}}}

    def transform_input_raw(self, message):
        return [message]

    def health_status_raw(self):
        return {"up": True}

    def send_feedback_rest(self, text):
        return {"strData": text, "meta": {"tags": {"n": 1}}}
"""


def test_hooks_for_whole_messages(tmp_path: Path) -> None:
    with serving(write(tmp_path / "raw", RAW), env={"INCLUDE_METRICS_IN_CLIENT_RESPONSE": "false"}) as server:
        assert ask(server, {"x": 1}).json() == {"strData": "rest", "got": {"x": 1}}
        assert ask(server, {"strData": "raw"}).json() == {"strData": "raw", "meta": {"tags": {"a": 1}}}
        assert ask(server, 3, "/transform-input").json() == [3]
        assert server.get("/health/status").json() == {"up": True}
        reply = ask(server, {"reward": 2}, "/send-feedback").json()
        assert json.loads(reply["strData"]) == {"reward": 2.0}
        assert reply["meta"] == {"tags": {"n": 1.0}}
        infer = {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "INT64", "data": [5]}]}
        outputs = server.post("/v2/models/raw/infer", infer).json()["outputs"]
        assert [(output["name"], output["data"]) for output in outputs] == [("response", ["rest"])]


PASSING = """
class Model:
    def predict_raw(self, body):
        if isinstance(body, dict):
            return str(body)
        return body if body != b"number" else 3
"""


def test_a_body_that_is_passed_through(tmp_path: Path) -> None:
    with serving(write(tmp_path / "passing", PASSING), env={"PAYLOAD_PASSTHROUGH": "t"}) as server:
        answer = server.post("/predict", b"\x00\xff", headers={"Content-Type": "application/x-own"})
        assert (answer.status, answer.body) == (200, b"\x00\xff")
        form = b'--b\r\nContent-Disposition: form-data; name="strData"\r\n\r\nhi\r\n--b--\r\n'
        answer = server.post("/predict", form, headers={"Content-Type": "multipart/form-data; boundary=b"})
        assert (answer.status, answer.body) == (200, b"{'strData': 'hi'}")
        answer = server.post("/predict", b"number")
        assert answer.status == 500
        assert "must return bytes or str; it returned int" in answer.json()["status"]["info"]


FLASK = """
import flask
from seldon_core.flask_utils import SeldonMicroserviceException, get_request


class Lost(Exception):
    pass


class Model:
    model_error_handler = flask.Blueprint("handlers", __name__)

    @model_error_handler.app_errorhandler(Lost)
    def on_lost(error):
        return str(error), 410, {"X-Own": flask.request.path}

    @model_error_handler.app_errorhandler(Exception)
    def on_anything(error):
        return "never asked", 200

    @model_error_handler.after_app_request
    def mark(response):
        response.headers["X-After"] = "yes"
        return response

    def predict(self, X, names=None):
        if X == "lost":
            raise Lost("gone")
        if X == "value":
            raise ValueError("plain")
        if X == "own":
            raise SeldonMicroserviceException("own", status_code=409)
        if X == "abort":
            flask.abort(403)
        request = flask.request
        seen = {"header": request.headers["X-Trace"], "args": request.args.to_dict(), "path": request.path}
        return {**seen, "body": get_request()}
"""


def test_flask_is_there_for_those_who_use_it(tmp_path: Path) -> None:
    pytest.importorskip("flask")
    with serving(write(tmp_path / "flasked", FLASK)) as server:
        answer = server.post(
            "/predict?a=1", {"strData": "x"}, headers={"Content-Type": "application/json", "X-Trace": "t1"}
        )
        seen = {"header": "t1", "args": {"a": "1"}, "body": {"strData": "x"}, "path": "/predict"}
        assert answer.json()["jsonData"] == seen
        answer = ask(server, {"strData": "lost"})
        assert (answer.status, answer.body) == (410, b"gone")
        assert (answer.headers["x-own"], answer.headers["x-after"]) == ("/predict", "yes")
        for word, status, info in (("value", 500, "plain"), ("own", 409, "own"), ("abort", 500, "403 Forbidden: ")):
            answer = ask(server, {"strData": word})
            assert answer.status == status
            assert answer.json()["status"]["info"].startswith(info)


# --- finding and loading ---------------------------------------------------------------------------------


def test_a_file_that_imports_the_package_needs_no_manifest(tmp_path: Path) -> None:
    file = tmp_path / "Echo.py"
    file.write_text("from seldon_core.user_model import SeldonComponent\n\nclass Echo(SeldonComponent):\n    pass\n")
    (spec,) = find(str(file), Settings())
    assert (spec.name, spec.contract, spec.options["component"]) == ("Echo", "seldon", "Echo.Echo")
    assert (spec.pool.floor, spec.pool.ceil, spec.all_headers) == (1, 1, False)


@pytest.mark.parametrize(
    "source",
    [
        "class Plain:\n    def predict(self, X, names):\n        return X\n",
        "import seldon_core\n\nclass Other:\n    pass\n\nclass Another:\n    pass\n",
        "import seldon_core\n",
        "import seldon_core_helpers\n\nclass Plain:\n    pass\n",
        "import seldon_core\nclass Plain(:\n",
    ],
)
def test_plain_files_are_never_guessed_at(tmp_path: Path, source: str) -> None:
    (tmp_path / "Plain.py").write_text(source)
    with pytest.raises(ConfigError, match="no model of a known platform"):
        find(str(tmp_path / "Plain.py"), Settings())


def test_the_only_class_of_a_file_is_its_component(tmp_path: Path) -> None:
    (tmp_path / "my_model.py").write_text("import seldon_core\n\nclass MyModel:\n    pass\n")
    (spec,) = find(str(tmp_path / "my_model.py"), Settings())
    assert (spec.name, spec.options["component"]) == ("my_model", "my_model.MyModel")


def test_a_class_that_is_not_there_is_guessed_at(tmp_path: Path) -> None:
    (tmp_path / "my_model.py").write_text("class MyModel:\n    pass\n")
    (tmp_path / "modelport.yaml").write_text("contract: seldon\ncomponent: my_model.MyModle\n")
    with pytest.raises(ConfigError) as raised:
        find(str(tmp_path / "my_model.py"), Settings())
    assert raised.value.faults == ["my_model.py defines no class MyModle; did you mean MyModel? it has: MyModel"]


@pytest.mark.parametrize("line", ["MODEL_NAME=Model", "API_TYPE=REST\nMODEL_NAME='Model'\nSERVICE_TYPE=MODEL"])
def test_a_folder_from_which_the_platform_builds_an_image(tmp_path: Path, line: str) -> None:
    (tmp_path / ".s2i").mkdir()
    (tmp_path / ".s2i" / "environment").write_text(f"{line}\n")
    (tmp_path / "Model.py").write_text("class Model:\n    pass\n")
    (spec,) = find(str(tmp_path), Settings())
    assert spec.options["component"] == "Model.Model"


@pytest.mark.parametrize("content", [b"", b"API_TYPE=REST\n", b"MODEL_NAME=\n", b"\xff"])
def test_a_folder_whose_image_has_no_component(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".s2i").mkdir()
    (tmp_path / ".s2i" / "environment").write_bytes(content)
    with pytest.raises(ConfigError, match="no model of a known platform"):
        find(str(tmp_path), Settings())


def test_every_fault_of_a_manifest_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREDICTIVE_UNIT_PARAMETERS", '[{"name": "n", "value": "three", "type": "INT"}]')
    monkeypatch.setenv("GUNICORN_WORKERS", "many")
    parameters = [{"name": "b", "value": "maybe", "type": "BOOL"}, {"name": "f", "value": "x", "type": "FLOAT"}]
    write(tmp_path / "m", "class Model: pass", component="not a class", options={"parameters": parameters})
    with pytest.raises(ConfigError) as caught:
        find(str(tmp_path / "m"), Settings())
    faults = "\n".join(caught.value.faults)
    for told in ("'not a class' is not module.Class", "parameter n of type INT", "parameter b of type BOOL"):
        assert told in faults
    assert "parameter f of type FLOAT" in faults
    assert "GUNICORN_WORKERS must be 1 to 64, not many" in faults


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ("[{", "is not JSON"),
        ('{"name": "a"}', "valid list"),
        ('[{"name": "a", "value": "1", "type": "LONG"}]', "0.type: Input should be"),
    ],
)
def test_parameters_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, told: str) -> None:
    monkeypatch.setenv("PREDICTIVE_UNIT_PARAMETERS", variable)
    with pytest.raises(ConfigError) as caught:
        find(str(write(tmp_path / "m", "class Model: pass")), Settings())
    assert told in caught.value.faults[0]


def test_a_component_in_a_module_below(tmp_path: Path) -> None:
    folder = write(tmp_path / "deep", "", component="own.models.Best")
    (folder / "own").mkdir()
    (folder / "own" / "models.py").write_text("class Best:\n    def predict(self, X, names):\n        return 'deep'\n")
    with serving(folder) as server:
        assert ask(server, {"strData": "x"}).json() == {"meta": {}, "strData": "deep"}


def test_a_load_without_an_attribute_is_overlooked_and_any_other_failure_is_not(tmp_path: Path) -> None:
    source = "class Model:\n    def load(self):\n        {}\n    def predict(self, X, names):\n        return 'up'\n"
    with serving(write(tmp_path / "m", source.format("self.nothing"))) as server:
        assert told(server, "x")["strData"] == "up"
        assert "overlooked" in "\n".join(server.raw_logs)
    with serving(write(tmp_path / "m", source.format("raise ValueError('no file')"))) as server:
        assert ask(server, {"strData": "x"}).status >= 500
        assert "no file" in "\n".join(server.raw_logs)


def test_text_needs_no_numpy_and_an_old_python_will_do(tmp_path: Path) -> None:
    old = shutil.which("python3.9") or sys.executable
    if subprocess.run([old, "--version"], capture_output=True, check=False).returncode:
        old = sys.executable
    subprocess.run([old, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    source = """
    import sys
    from seldon_core.user_model import SeldonComponent

    class Model(SeldonComponent):
        def predict(self, X, names, meta=None):
            return {"text": X, "modules": [name for name in ("numpy", "flask") if name in sys.modules]}
    """
    with serving(write(tmp_path / "m", source, environment=str(tmp_path / "venv"))) as server:
        assert told(server, "x")["jsonData"] == {"text": "x", "modules": []}
        assert ask(server, {"reward": "x"}, "/send-feedback").status == 400


# --- the rules in themselves -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "is_allowed"),
    [
        ({"messagetype": "tensor"}, True),
        ({"messagetype": "ndarray", "schema": {"names": ["a"], "shape": [1]}}, True),
        ({"messagetype": "tensor", "schema": {"names": [1]}}, False),
        ({"messagetype": "tensor", "schema": {"shape": [1.5]}}, False),
        ({"messagetype": "tensor", "schema": {"more": 1}}, False),
        ({"messagetype": "jsonData", "schema": {"type": "object"}}, True),
        ({"messagetype": "jsonData", "schema": 1}, False),
        ({"messagetype": "strData"}, True),
        ({"messagetype": "strData", "schema": {}}, False),
        ({"messagetype": "own", "schema": {}}, True),
        ({"messagetype": "own", "more": 1}, False),
        ({"messagetype": 1}, False),
        ({"name": "a", "datatype": "FP32", "shape": [1, -1]}, True),
        ({"datatype": "FP99"}, False),
        ({"name": "a", "messagetype": "tensor"}, False),
        ({}, True),
        ("tensor", False),
    ],
)
def test_metadata_has_five_forms_of_inputs(item: Any, is_allowed: bool) -> None:
    for side in ("inputs", "outputs"):
        if is_allowed:
            assert metadata.complete({side: [item]}, "own:1")[side] == [item]
        else:
            with pytest.raises(ValueError, match=rf"{side}\[0\] is of no known form"):
                metadata.complete({side: [item]}, "own:1")


def test_every_fault_of_metadata_is_listed() -> None:
    with pytest.raises(ValueError, match="versions") as caught:
        metadata.complete({"name": 1, "versions": "v1", "custom": {"a": 1}, "inputs": {}, "more": 1}, "")
    assert len(str(caught.value).split("; ")) == 5


@pytest.mark.parametrize(
    ("reported", "is_valid"),
    [
        ([], True),
        ([{"type": "TIMER", "key": "k", "value": 1.5, "tags": {"a": "b"}}], True),
        (({"type": "TIMER", "key": "k", "value": 1},), False),
        ([{"type": "OTHER", "key": "k", "value": 1}], False),
        ([{"type": "GAUGE", "key": "k", "value": "1"}], False),
        ([{"type": "GAUGE", "key": "k", "value": 1, "tags": None}], False),
        ([{"key": "k", "value": 1}], False),
        ([1], False),
        (None, False),
    ],
)
def test_metrics(reported: Any, is_valid: bool) -> None:
    assert metrics.are_valid(reported) is is_valid


def test_recording_leaves_the_components_own_metrics_alone() -> None:
    own = [{"type": "GAUGE", "key": "k", "value": 1, "tags": {"a": "b"}}, {"type": "GAUGE", "key": "k", "value": 1}]
    recorded = metrics.recorded(own, "predict")
    assert [metric.get("tags") for metric in recorded] == [{"a": "b", "method": "predict"}, None]
    assert own[0]["tags"] == {"a": "b"}


@pytest.mark.parametrize(
    ("feedback", "parsed"),
    [
        ({"reward": "0.5", "request": None}, {"reward": 0.5}),
        ({"reward": 0, "request": {}}, {"request": {}}),
        ({"truth": {"strData": ""}}, {"truth": {"strData": ""}}),
        ({"request": {"binData": "_-8"}}, {"request": {"binData": b"\xff\xef"}}),
        ({"request": {"jsonData": None}}, {"request": {"jsonData": None}}),
        ({"request": {"data": {"ndarray": [1, [True, "a"]]}}}, {"request": {"data": {"ndarray": [1.0, [True, "a"]]}}}),
        ({"response": {"meta": {"routing": {"r": "2"}}}}, {"response": {"meta": {"routing": {"r": 2}}}}),
        ({"response": {"status": {"status": 1, "code": 0}}}, {"response": {"status": {"status": "FAILURE"}}}),
    ],
)
def test_feedback_as_protobuf_reads_it(feedback: Any, parsed: Any) -> None:
    assert protojson.parse(feedback, "Feedback") == parsed


@pytest.mark.parametrize(
    ("feedback", "cause"),
    [
        ([1], "Feedback must be an object"),
        ({"reward": "x"}, "Feedback.reward: Couldn't parse float: x"),
        ({"reward": 1e300}, "Feedback.reward: Float value too large"),
        ({"request": {"zz": 1}}, 'SeldonMessage" has no field named "zz" at "Feedback.request"'),
        ({"request": {"strData": "s", "jsonData": 1}}, "should not have multiple"),
        ({"request": {"strData": 5}}, "Feedback.request.strData: expected string"),
        ({"request": {"data": {"names": "ab"}}}, "Feedback.request.data.names must be in"),
        ({"request": {"data": {"tensor": {"shape": [1.5]}}}}, r"shape\[0\]: Couldn't parse integer"),
        ({"request": {"data": {"tensor": {"shape": [1 << 40]}}}}, "out of range"),
        ({"request": {"meta": {"tags": [1]}}}, "must be in a dict"),
        ({"request": {"meta": {"metrics": [{"type": "FOO"}]}}}, r"metrics\[0\].type: Invalid enum value"),
    ],
)
def test_feedback_that_protobuf_refuses(feedback: Any, cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        protojson.parse(feedback, "Feedback")


def test_a_reply_as_protobuf_writes_it() -> None:
    metric = {"key": "k", "type": "TIMER", "value": 0.1, "tags": {"a": "b"}}
    message = {
        "data": {"names": [], "tensor": {"shape": [2], "values": [1, float("nan")]}},
        "meta": {"metrics": [metric, {"key": "c", "type": "COUNTER", "value": 2}], "tags": {"n": 1}},
    }
    assert protojson.write(message) == {
        "data": {"tensor": {"shape": [2], "values": [1.0, "NaN"]}},
        "meta": {"metrics": [metric, {"key": "c", "value": 2.0}], "tags": {"n": 1.0}},
    }
    assert protojson.write({"strData": "", "meta": {}}) == {"strData": "", "meta": {}}

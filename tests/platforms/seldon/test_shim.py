"""The stand-in package: the names that components import, in a process that has nothing else of the platform."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from modelport.contracts.seldon.adapter import contract

SOURCE = str(Path(contract.shims()[0]).parents[3])


def run(code: str, *options: str, **env: str) -> Any:
    """What ``code`` leaves as ``told``; it finds the stand-ins and our source beside what ``options`` leave."""
    head = f"import json, sys\nsys.path += {[*contract.shims(), SOURCE]!r}"
    script = f"{head}\n{textwrap.dedent(code)}\nprint(json.dumps(told))"
    done = subprocess.run(
        [sys.executable, *options, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **env},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_module_loads_with_the_standard_library_alone() -> None:
    told = run(
        """
        import seldon_core
        from seldon_core import Storage, flask_utils, metadata, metrics, user_model, utils
        from seldon_core.flask_utils import SeldonMicroserviceException, get_request, jsonify
        from seldon_core.metrics import SeldonMetrics, create_counter, create_gauge, create_timer
        from seldon_core.utils import getenv, getenv_as_bool
        told = [seldon_core.__version__, [name for name in ("flask", "numpy", "orjson") if name in sys.modules]]
        """,
        "-I",
        "-S",
    )
    assert told == ["1.17.1", []]


def test_the_base_class_has_every_hook() -> None:
    told = run(
        """
        from seldon_core.user_model import SeldonComponent, SeldonNotImplementedError, SeldonResponse
        component, told = SeldonComponent(a=1), {}
        component.load()
        calls = dict.fromkeys(("predict", "transform_input", "transform_output", "route", "aggregate"), 2)
        calls["send_feedback"] = 4
        raw = {f"{name}_raw": 1 for name in calls}
        own = dict.fromkeys(("tags", "metrics", "class_names", "feature_names", "health_status", "init_metadata"), 0)
        for name, count in {**calls, **raw, **own, "health_status_raw": 0}.items():
            try:
                getattr(component, name)(*[None] * count)
            except SeldonNotImplementedError as fault:
                told[name] = [fault.message, fault.status_code, str(fault)]
        response = SeldonResponse.create(SeldonResponse([1]))
        told["response"] = [response.data, response.tags, response.metrics]
        """
    )
    assert told.pop("response") == [[1], {}, []]
    assert len(told) == 19
    assert all(words == [f"{name} is not implemented", 400, ""] for name, words in told.items())


def test_exceptions() -> None:
    told = run(
        """
        from seldon_core.flask_utils import SeldonMicroserviceException as Fault
        faults = Fault("a"), Fault("b", status_code=409, payload={"x": 1}, reason="MINE")
        told = [[f.status_code, f.payload, f.to_dict()["status"]] for f in faults]
        """
    )
    assert told == [
        [400, None, {"status": 1, "info": "a", "code": -1, "reason": "MICROSERVICE_BAD_DATA"}],
        [409, {"x": 1}, {"status": 1, "info": "b", "code": -1, "reason": "MINE"}],
    ]


def test_flask_requests_and_answers() -> None:
    pytest.importorskip("flask")
    told = run(
        """
        import flask
        from seldon_core.flask_utils import SeldonMicroserviceException, get_request, jsonify
        app, told = flask.Flask("own"), []
        for request in ({"json": {"a": 1}}, {"data": {"json": '{"b": 2}'}}, {"query_string": {"json": "[3]"}}, {}):
            with app.test_request_context("/", method="POST", **request):
                try:
                    told.append([get_request(), jsonify(get_request()).get_json()])
                except SeldonMicroserviceException as fault:
                    told.append(fault.message)
        with app.test_request_context("/", method="POST", data=b"raw"):
            told.append(get_request(skip_decoding=True).decode())
            told.append(jsonify(b"{}", skip_encoding=True).get_data(as_text=True))
        """
    )
    assert told == [[{"a": 1}] * 2, [{"b": 2}] * 2, [[3]] * 2, "Can't find JSON in data", "raw", "{}"]


def test_metrics_and_metadata() -> None:
    told = run(
        """
        from seldon_core.metadata import SeldonInvalidMetadataError, validate_model_metadata
        from seldon_core.metrics import create_counter, create_gauge, create_timer, split_image_tag, validate_metrics
        made = [create_counter("c", 1), create_gauge("g", 2), create_timer("t", 3.5)]
        told = {"made": made, "valid": [validate_metrics(made), validate_metrics(made[0])], "faults": []}
        told["tags"] = [split_image_tag(tag) for tag in ("reg:5000/a:1", "a:1", "a", "")]
        told["metadata"] = validate_model_metadata({"name": "own"})
        for call in (lambda: create_counter("c", "x"), lambda: validate_model_metadata({"more": 1})):
            try:
                call()
            except (TypeError, SeldonInvalidMetadataError) as fault:
                told["faults"].append(type(fault).__name__)
        """,
        PREDICTIVE_UNIT_IMAGE="own:2",
    )
    assert [(metric["type"], metric["key"], metric["value"]) for metric in told["made"]] == [
        ("COUNTER", "c", 1),
        ("GAUGE", "g", 2),
        ("TIMER", "t", 3.5),
    ]
    assert told["valid"] == [True, False]
    assert told["tags"] == [["reg:5000/a", "1"], ["a", "1"], ["", "a"], ["", ""]]
    assert told["metadata"] == {
        "name": "own",
        "versions": ["2"],
        "platform": "",
        "inputs": [],
        "outputs": [],
        "custom": {},
    }
    assert told["faults"] == ["TypeError", "SeldonInvalidMetadataError"]


def test_messages_as_values_and_back() -> None:
    told = run(
        """
        import numpy as np
        from seldon_core.flask_utils import SeldonMicroserviceException
        from seldon_core.utils import array_to_rest_datadef, construct_response_json, extract_request_parts_json

        class Own:
            def class_names(self):
                return ["x", "y"]

        rows = {"data": {"names": ["a", "b"], "ndarray": [[1, 2]]}, "meta": {"puid": "p", "tags": {"t": 1}}}
        value, meta, data, kind = extract_request_parts_json(rows)
        told = {"parts": [value.tolist(), meta, data["names"], kind]}
        told["text"] = extract_request_parts_json({"strData": "s"})
        told["answer"] = construct_response_json(Own(), False, rows, value * 2)
        told["request"] = construct_response_json(Own(), True, rows, value)["data"]["names"]
        told["tensor"] = construct_response_json(
            None, False, {"strData": "s"}, [[1.5]], meta={}, custom_metrics=[{"key": "k"}], runtime_tags={"r": 1}
        )
        told["datadef"] = [array_to_rest_datadef(kind, np.eye(2), ["a"]) for kind in ("tensor", "ndarray")]
        told["faults"] = []
        for call in (lambda: extract_request_parts_json({}), lambda: construct_response_json(None, False, {}, 3)):
            try:
                call()
            except SeldonMicroserviceException as fault:
                told["faults"].append([fault.message, fault.status_code])
        """,
        PREDICTIVE_UNIT_ID="unit",
    )
    path = {"unit": "NOT_IMPLEMENTED:NOT_IMPLEMENTED"}
    assert told["parts"] == [[[1, 2]], {"puid": "p", "tags": {"t": 1}}, ["a", "b"], "data"]
    assert told["text"] == ["s", None, None, "strData"]
    assert told["answer"]["data"] == {"names": ["x", "y"], "ndarray": [[2, 4]]}
    assert told["answer"]["meta"] == {"puid": "p", "requestPath": path}
    assert told["request"] == ["a", "b"]
    assert told["tensor"] == {
        "data": {"names": ["t:0"], "tensor": {"shape": [1, 1], "values": [1.5]}},
        "meta": {"metrics": [{"key": "k"}], "tags": {"r": 1}, "requestPath": path},
    }
    assert told["datadef"] == [
        {"names": ["a"], "tensor": {"shape": [2, 2], "values": [1.0, 0.0, 0.0, 1.0]}},
        {"names": ["a"], "ndarray": [[1.0, 0.0], [0.0, 1.0]]},
    ]
    assert told["faults"] == [
        ["Invalid request data type: {}", 400],
        ["Unknown data type returned as payload (must be list or np array):3", 400],
    ]


def test_hooks_called_by_hand() -> None:
    told = run(
        """
        import numpy as np
        from seldon_core import user_model as um
        from seldon_core.metrics import SeldonMetrics

        class Bare:
            pass

        class Own:
            def predict(self, X, names):
                return um.SeldonResponse("p", tags={"a": 1})
            def route(self, X, names, meta=None):
                return X
            def tags(self):
                return {"t": 1}
            def metrics(self):
                return [{"key": "k", "type": "GAUGE", "value": 1}]

        bare, own, array = Bare(), Own(), np.array([[1, 2]])
        told = [um.client_predict(it, array, []).data for it in (bare, own)]
        told.append(um.client_transform_input(bare, "x", []).data)
        told.append(um.client_route(own, 1, []).data)
        told.append([um.client_class_names(bare, array), um.client_class_names(bare, array[0])])
        told.append([um.client_custom_tags(bare), um.client_custom_tags(own)])
        timer = {"key": "r", "type": "TIMER", "value": 1}
        told.append(um.client_custom_metrics(own, SeldonMetrics(), "predict", [timer]))
        told.append([um.client_health_status(bare), um.client_health_status(um.SeldonComponent())])
        told.append(um.client_feature_names(bare, ["f"]))
        told.append(um.client_send_feedback(bare, array, [], 1.0, array, None).data)
        for call in (lambda: um.client_route(own, "x", []), lambda: um.client_aggregate(um.SeldonComponent(), [], [])):
            try:
                call()
            except um.SeldonMicroserviceException as fault:
                told.append(fault.message)
        """
    )
    assert told == [
        [],
        "p",
        "x",
        1,
        [["t:0", "t:1"], []],
        [{}, {"t": 1}],
        [{"key": "k", "type": "GAUGE", "value": 1}, {"key": "r", "type": "TIMER", "value": 1}],
        ["healthy", "not implemented - assuming healthy"],
        ["f"],
        None,
        "Routing response must be int but got x",
        "aggregate is not implemented",
    ]


def test_the_environment() -> None:
    told = run(
        """
        from seldon_core.utils import getenv, getenv_as_bool
        told = [getenv("NOT_THERE", "OWN_A"), getenv("NOT_THERE", default=3)]
        told += [getenv_as_bool(name) for name in ("OWN_A", "OWN_T", "OWN_1", "OWN_YES", "NOT_THERE")]
        told.append(getenv_as_bool("NOT_THERE", default=True))
        """,
        OWN_A="a",
        OWN_T="True",
        OWN_1="1",
        OWN_YES="yes",
    )
    assert told == ["a", 3, False, True, True, False, False, True]


def test_storage_is_local(tmp_path: Path) -> None:
    (tmp_path / "my model").mkdir()
    (tmp_path / "my model" / "weights").write_text("w")
    told = run(
        f"""
        import os
        from seldon_core import Storage
        place = {str(tmp_path)!r}
        told = [Storage.download(place + "/my model"), Storage.download("file://" + place + "/my%20model")]
        told.append(os.listdir(Storage.download(place + "/my model", place + "/copy")))
        told.append(os.listdir(Storage.download(place + "/my model/weights", place + "/one")))
        for uri in ("gs://bucket/model", place + "/nothing"):
            try:
                Storage.download(uri)
            except RuntimeError as fault:
                told.append(str(fault))
        """
    )
    assert told[:4] == [str(tmp_path / "my model")] * 2 + [["weights"]] * 2
    assert "gs://bucket/model is not on this machine" in told[4]
    assert "there is nothing at" in told[5]

"""Components in the same process, as their authors' unit tests have them: the stand-in's servers without a socket."""

from __future__ import annotations

import base64
import importlib
import io
import json
import os
import re
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import any_pb2, json_format, struct_pb2

from tests.platforms.seldon.remote import message, pb, refused, services, utils
from tests.platforms.seldon.test_transcripts import CASES, HERE, compare

wrapper: Any = importlib.import_module("seldon_core.wrapper")
methods: Any = importlib.import_module("seldon_core.seldon_methods")
user_model: Any = importlib.import_module("seldon_core.user_model")
metrics: Any = importlib.import_module("seldon_core.metrics")
metadata: Any = importlib.import_module("seldon_core.metadata")
faults: Any = importlib.import_module("seldon_core.flask_utils")

ROWS = {"data": {"names": ["a", "b"], "ndarray": [[1, 2]]}}
OWN = [
    {"type": "COUNTER", "key": "calls", "value": 1},
    {"type": "TIMER", "key": "took", "value": 20.2},
    {"type": "GAUGE", "key": "level", "value": 2.5, "tags": {"site": "x"}},
]


class Echo(user_model.SeldonComponent):  # type: ignore[misc]
    """Gives back what it is given, with tags and metrics."""

    def __init__(self) -> None:
        self.rewards: list[float] = []

    def predict(self, x: Any, names: Any, meta: Any = None) -> Any:
        if isinstance(x, str) and x == "refuse":
            raise faults.SeldonMicroserviceException("not this", status_code=403)
        return x

    def transform_input(self, x: Any, names: Any) -> Any:
        return user_model.SeldonResponse(x, tags={"runtime": 1}, metrics=[metrics.create_gauge("now", 42)])

    transform_output = transform_input

    def aggregate(self, values: Any, names: Any) -> Any:
        return values[0]

    def route(self, x: Any, names: Any) -> int:
        return 22

    def send_feedback(self, x: Any, names: Any, reward: float, truth: Any, routing: Any = None) -> None:
        self.rewards.append(reward)

    def tags(self) -> dict[str, Any]:
        return {"mine": 1}

    def metrics(self) -> list[dict[str, Any]]:
        return OWN

    def init_metadata(self) -> dict[str, Any]:
        return {"name": "echo", "inputs": [{"messagetype": "tensor"}]}


class Raw:
    """Words its answers itself, in the form that it was asked in."""

    def predict_raw(self, given: Any) -> Any:
        told = {"strData": type(given).__name__, "meta": {"metrics": OWN}}
        return told if isinstance(given, dict) else json_format.ParseDict(told, pb.SeldonMessage())


@pytest.fixture
def counted() -> Any:
    return metrics.SeldonMetrics()


@pytest.fixture
def client(counted: Any) -> Any:
    return wrapper.get_rest_microservice(Echo(), counted).test_client()


@pytest.fixture
def servicer(counted: Any) -> Any:
    return wrapper.SeldonModelGRPC(Echo(), counted)


def test_messages_by_every_way(client: Any) -> None:
    for answer in (
        client.get("/predict", query_string={"json": json.dumps(ROWS)}),
        client.post("/api/v1.0/predictions", json=ROWS),
        client.post("/api/v0.1/predictions", data={"json": json.dumps(ROWS)}),
        client.post("/predict", data={"data": json.dumps(ROWS["data"])}, content_type="multipart/form-data"),
    ):
        assert answer.status_code == 200
        told = json.loads(answer.data)
        assert told["data"] == {"names": ["t:0", "t:1"], "ndarray": [[1, 2]]}
        assert told["meta"]["tags"] == {"mine": 1}
        assert [metric["key"] for metric in told["meta"]["metrics"]] == ["calls", "took", "level"]


def test_files_in_a_form(client: Any) -> None:
    parts = {"meta": '{"puid": "7"}', "binData": (io.BytesIO(b"\x00\xff"), "own.bin")}
    told = client.post("/predict", data=parts, content_type="multipart/form-data").get_json()
    assert (told["binData"], told["meta"]["puid"]) == (base64.b64encode(b"\x00\xff").decode(), "7")


def test_the_other_routes(client: Any) -> None:
    assert client.get("/health/ping").data == b"pong"
    assert client.get("/health/status").get_json()["strData"] == "not implemented - assuming healthy"
    assert client.get("/metadata").get_json()["inputs"] == [{"messagetype": "tensor"}]
    assert client.get("/seldon.json").get_json()["openapi"].startswith("3.")
    assert client.post("/route", json=ROWS).get_json()["data"]["ndarray"] == [[22]]
    assert client.post("/aggregate", json={"seldonMessages": [ROWS]}).get_json()["data"]["ndarray"] == [[1, 2]]
    told = client.post("/transform-input", json=ROWS).get_json()["meta"]
    assert told["tags"] == {"mine": 1, "runtime": 1}
    assert told["metrics"][-1] == {"type": "GAUGE", "key": "now", "value": 42}


def test_errors(client: Any) -> None:
    assert client.get("/predict").status_code == 400
    assert client.post("/predict", json={"strData": "refuse"}).status_code == 403
    answer = client.get("/nowhere")
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (500, "*")
    assert client.put("/predict").status_code == 500


@pytest.mark.parametrize("name", ["echo_transport", "raised_errors", "model_error_handler", "predict_raw"])
def test_recordings(name: str, monkeypatch: pytest.MonkeyPatch, counted: Any) -> None:
    """The same answers as the real server's, which are those recorded."""
    case = CASES[name]
    for variable, value in case.get("env", {}).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.syspath_prepend(HERE / "components")
    made = getattr(importlib.import_module(case["interface"]), case["interface"])()
    client = wrapper.get_rest_microservice(made, counted).test_client()
    problems = {}
    for step in case["steps"]:
        asked = step.get("request", {})
        if not asked or asked.get("port") == "metrics" or step["id"] == "metrics-on-http-port":
            continue
        body, headers = asked.get("body_text", "").encode(), dict(asked.get("headers", {}))
        if "body_json" in asked:
            body = json.dumps(asked["body_json"]).encode()
            headers.setdefault("Content-Type", "application/json")
        elif "body_b64" in asked:
            body = base64.b64decode(asked["body_b64"])
        got = client.open(asked["path"], method=asked["method"], data=body, headers=headers)
        found = compare(step, Told(got.status_code, {k.lower(): v for k, v in got.headers.items()}, got.data))
        if found:
            problems[step["id"]] = found
    assert problems == {}


class Told:
    """An answer as recordings are compared with."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def json(self) -> Any:
        return json.loads(self.body)


def test_names_that_tests_patch(monkeypatch: pytest.MonkeyPatch, counted: Any) -> None:
    monkeypatch.setattr("seldon_core.utils.get_model_name", lambda: "mine")
    monkeypatch.setattr("seldon_core.utils.get_image_name", lambda: "image:1")
    monkeypatch.setattr("seldon_core.metadata.MODEL_IMAGE", "reg:5000/own:2")
    monkeypatch.setattr("seldon_core.seldon_methods.INCLUDE_METRICS_IN_CLIENT_RESPONSE", False)
    client = wrapper.get_rest_microservice(Raw(), counted).test_client()
    assert client.get("/metadata").get_json()["name"] == "reg:5000/own"
    assert client.post("/predict", json=ROWS).get_json()["meta"] == {}
    servicer = wrapper.SeldonModelGRPC(Echo(), counted)
    told = utils.seldon_message_to_json(servicer.Predict(message(strData="x"), None))
    assert told["meta"] == {"tags": {"mine": 1.0}, "requestPath": {"mine": "image:1"}}


def test_messages_of_protobuf(servicer: Any) -> None:
    asked = pb.SeldonMessage(data=pb.DefaultData(tensor=pb.Tensor(shape=(2, 1), values=np.array([1, 2]))))
    json_format.ParseDict({"puid": "7", "tags": {"t": 1}}, asked.meta)
    told = utils.seldon_message_to_json(servicer.Predict(asked, None))
    assert told["data"] == {"names": ["t:0"], "tensor": {"shape": [2, 1], "values": [1.0, 2.0]}}
    assert (told["meta"]["puid"], told["meta"]["tags"]) == ("7", {"t": 1.0, "mine": 1.0})
    several = pb.SeldonMessageList(seldonMessages=[asked, asked])
    assert list(servicer.Aggregate(several, None).data.tensor.values) == [1.0, 2.0]
    assert list(servicer.Route(asked, None).data.tensor.values) == [22.0]
    servicer.SendFeedback(pb.Feedback(request=asked, reward=1.5), None)
    assert servicer.user_model.rewards == [1.5]
    assert servicer.ModelMetadata(pb.SeldonModelMetadataRequest(name="x"), None).inputs[0].messagetype == "tensor"
    with pytest.raises(faults.SeldonMicroserviceException) as refusal:
        servicer.Predict(message(strData="refuse"), None)
    assert refusal.value.status_code == 403
    with pytest.raises(NotImplementedError, match="not available on the Model level"):
        servicer.GraphMetadata(pb.SeldonModelMetadataRequest(), None)


def test_metrics_are_counted_for_each_method(client: Any, servicer: Any, counted: Any) -> None:
    asked = message(**ROWS)
    calls = {
        "predict": (lambda: client.post("/predict", json=ROWS), lambda: servicer.Predict(asked, None)),
        "inputtransform": (
            lambda: client.post("/transform-input", json=ROWS),
            lambda: servicer.TransformInput(asked, None),
        ),
        "outputtransform": (
            lambda: client.post("/transform-output", json=ROWS),
            lambda: servicer.TransformOutput(asked, None),
        ),
        "router": (lambda: client.post("/route", json=ROWS), lambda: servicer.Route(asked, None)),
        "aggregate": (
            lambda: client.post("/aggregate", json=[ROWS]),
            lambda: servicer.Aggregate(pb.SeldonMessageList(seldonMessages=[asked]), None),
        ),
        "health": (lambda: client.get("/health/status"), lambda: client.get("/health/status")),
    }
    for method, both in calls.items():
        for call in both:
            call()
        data = counted.data[os.getpid()]
        key = f"method-{method}"
        assert data["COUNTER", "calls", key] == {"value": 2, "tags": {"method": method}}
        assert data["GAUGE", "level", f"{key}_site-x"] == {"value": 2.5, "tags": {"site": "x", "method": method}}
        buckets, total = data["TIMER", "took", key]["value"]
        assert np.allclose(buckets, np.histogram([0.0202, 0.0202], metrics.BINS)[0])
        assert total == pytest.approx(0.0404)


def test_rewards_are_counted(client: Any, servicer: Any, counted: Any) -> None:
    client.post("/send-feedback", json={"reward": 42})
    servicer.SendFeedback(pb.Feedback(reward=42), None)
    servicer.SendFeedback(pb.Feedback(), None)
    data = counted.data[os.getpid()]
    assert data["COUNTER", metrics.FEEDBACK_KEY, "method-feedback"]["value"] == 2
    assert data["COUNTER", metrics.FEEDBACK_REWARD_KEY, "method-feedback"]["value"] == 84.0


@pytest.mark.parametrize("component", [Echo, Raw])
def test_the_page_of_metrics(component: Any, counted: Any) -> None:
    client = wrapper.get_metrics_microservice(counted).test_client()
    empty = client.get("/metrics")
    assert (empty.status_code, empty.data) == (200, b"")
    wrapper.SeldonModelGRPC(component(), counted).Predict(message(**ROWS), None)
    wrapper.get_rest_microservice(component(), counted).test_client().post("/predict", json=ROWS)
    text = client.get("/metrics").data.decode()
    samples = {match[1]: (match[2], match[3]) for match in re.finditer(r"(?m)^(\w+)\{(.*)\} (\S+)$", text)}
    assert samples["calls_total"][1] == "2.0"
    assert samples["level"][1] == "2.5"
    assert samples["took_count"][1] == "2.0"
    assert f'worker_id="{os.getpid()}"' in samples["calls_total"][0]
    assert 'method="predict"' in samples["level"][0]
    assert client.get("/other").status_code == 404


def test_bad_metrics(counted: Any) -> None:
    class Bad:
        def metrics(self) -> Any:
            return [{"type": "BAD", "key": "k", "value": 1}]

    client = wrapper.get_rest_microservice(Bad(), counted).test_client()
    assert client.post("/predict", json=ROWS).status_code == 500
    with pytest.raises(faults.SeldonMicroserviceException) as fault:
        user_model.client_custom_metrics(Bad(), counted, "predict")
    assert (fault.value.status_code, fault.value.reason) == (500, "MICROSERVICE_BAD_METRIC")


@pytest.fixture
def listening(counted: Any) -> Iterator[grpc.Channel]:
    """The stand-in's own gRPC server, on a free port."""
    server = wrapper.get_grpc_server(Echo(), counted, {"seldon.io/grpc-max-message-size": "2000"})
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    server.stop(None).wait()


def test_its_own_grpc_server(listening: grpc.Channel) -> None:
    for stub in (services.ModelStub(listening), services.SeldonStub(listening)):
        assert stub.Predict(message(strData="x"), timeout=30).strData == "x"
    assert services.TransformerStub(listening).TransformInput(message(strData="x"), timeout=30).strData == "x"
    told = refused(services.ModelStub(listening).Predict, message(strData="refuse"))
    assert told == ("UNKNOWN", "Exception calling application: ")
    assert refused(services.ModelStub(listening).Predict, message(strData="x" * 4000))[0] == "RESOURCE_EXHAUSTED"


def test_servicers_of_ones_own(counted: Any) -> None:
    """The base classes answer nothing but that they do not."""

    class Context:
        def set_code(self, code: Any) -> None:
            self.code = code

        def set_details(self, text: str) -> None:
            pass

    context = Context()
    with pytest.raises(NotImplementedError):
        services.RouterServicer().Route(message(), context)
    assert context.code is grpc.StatusCode.UNIMPLEMENTED


# --- the verbs and the helpers ---------------------------------------------------------------------------


def test_the_verbs_take_either_form(counted: Any) -> None:
    for verb in (methods.predict, methods.transform_input, methods.transform_output):
        assert verb(Echo(), {"strData": "x"}, counted)["strData"] == "x"
        assert verb(Echo(), message(strData="x"), counted).strData == "x"
    assert methods.route(Echo(), ROWS, counted)["data"]["ndarray"] == [[22]]
    assert methods.aggregate(Echo(), [{"strData": "x"}], counted)["strData"] == "x"
    assert methods.health_status(Echo(), counted)["strData"] == "not implemented - assuming healthy"
    assert methods.init_metadata(Echo())["name"] == "echo"

    class Routed:
        def send_feedback(self, x: Any, names: Any, reward: float, truth: Any, routing: Any = None) -> Any:
            return {"routing": routing}

    feedback = utils.json_to_feedback({"response": {"meta": {"routing": {"mine": 3}}}})
    assert methods.send_feedback(Routed(), feedback, "mine", counted).jsonData.struct_value["routing"] == 3.0


def test_values_of_messages_and_back() -> None:
    array = np.array([[1.0, 2.0]])
    for form in ("tensor", "ndarray"):
        data = utils.array_to_grpc_datadef(form, array, ["a", "b"])
        asked = pb.SeldonMessage(data=data, meta=pb.Meta(puid="7"))
        value, meta, datadef, kind = utils.extract_request_parts(asked)
        assert (value.tolist(), meta, kind) == (array.tolist(), {"puid": "7"}, "data")
        assert datadef == data
        assert utils.grpc_datadef_to_array(data).tolist() == array.tolist()
        answer = utils.construct_response(Echo(), False, asked, array * 2, {"tags": {"t": 1}}, [OWN[0]], {"r": 2})
        assert answer.data.WhichOneof("data_oneof") == form
        told = utils.seldon_message_to_json(answer.meta)
        assert told["tags"] == {"t": 1.0, "mine": 1.0, "r": 2.0}
        assert (told["metrics"], told["puid"]) == ([{"key": "calls", "value": 1.0}], "7")
    assert list(utils.construct_response(Echo(), True, asked, array).data.names) == ["a", "b"]
    for value, kind in ((b"x", "binData"), ("x", "strData"), ({"a": [1]}, "jsonData"), (any_pb2.Any(), "customData")):
        answer = utils.construct_response(Echo(), False, pb.SeldonMessage(), value)
        assert answer.WhichOneof("data_oneof") == kind
        assert utils.get_data_from_proto(answer) == value
    values = utils.array_to_list_value(np.array([[1, 2]]))
    assert isinstance(values, struct_pb2.ListValue)
    assert values[0][1] == 2.0
    feedback = utils.json_to_feedback({"request": ROWS, "reward": 2})
    datadef, features, truth, reward = utils.extract_feedback_request_parts(feedback)
    assert (features.tolist(), truth.tolist(), reward) == (array.tolist(), [], 2.0)
    assert utils.feedback_to_json(feedback)["reward"] == 2.0
    several = utils.json_to_seldon_messages({"seldonMessages": [ROWS, ROWS]})
    assert len(utils.seldon_messages_to_json(several)["seldonMessages"]) == 2


def test_what_is_no_message() -> None:
    for call, given in ((utils.json_to_seldon_message, {"x": 1}), (utils.json_to_feedback, {"x": 1})):
        with pytest.raises(faults.SeldonMicroserviceException) as fault:
            call(given)
        assert re.match(r'Invalid JSON: Message type "seldon\.protos\.\w+" has no field named "x"', fault.value.message)
    with pytest.raises(faults.SeldonMicroserviceException):
        utils.get_data_from_proto(pb.SeldonMessage())
    assert utils.json_to_seldon_message(None) == pb.SeldonMessage()


def test_metadata_as_a_message() -> None:
    said = metadata.validate_model_metadata(
        {
            "name": "own",
            "inputs": [{"messagetype": "tensor", "schema": {"names": ["a"], "shape": [2]}}],
            "outputs": [{"name": "o", "datatype": "BYTES", "shape": [3]}],
            "custom": {"k": "v"},
        }
    )
    told = json_format.MessageToDict(utils.json_to_seldon_model_metadata(said))
    assert told["inputs"] == [{"messagetype": "tensor", "schema": {"names": ["a"], "shape": [2.0]}}]
    assert told["outputs"] == [{"name": "o", "datatype": "BYTES", "shape": ["3"]}]
    assert told["custom"] == {"k": "v"}


def test_messages_take_the_librarys_own_objects() -> None:
    value = struct_pb2.Value()
    value.struct_value.update({"a": [1, {"b": None}]})
    asked = pb.SeldonMessage(jsonData=value, status=pb.Status(status="FAILURE", code=3))
    asked.meta.tags["t"].CopyFrom(struct_pb2.Value(bool_value=True))
    asked.meta.metrics.add(key="k", type=pb.Metric.TIMER, value=1)
    assert json_format.MessageToDict(asked) == {
        "jsonData": {"a": [1.0, {"b": None}]},
        "status": {"code": 3, "status": "FAILURE"},
        "meta": {"tags": {"t": True}, "metrics": [{"key": "k", "type": "TIMER", "value": 1.0}]},
    }
    assert pb.SeldonMessage.FromString(asked.SerializeToString()) == asked
    assert pb.DefaultData(ndarray=struct_pb2.ListValue(values=[value])).ndarray[0]["a"][0] == 1.0
    tensor = pb.DefaultData().tftensor
    tensor.tensor_shape.dim.add(size=2)
    assert json_format.MessageToDict(pb.DefaultData(tftensor=tensor))["tftensor"]["tensorShape"] == {
        "dim": [{"size": "2"}]
    }

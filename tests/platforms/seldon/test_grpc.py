"""Components and models of other platforms behind Seldon's gRPC services, asked by real stubs."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2, empty_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from modelport.schemas.seldon import MESSAGES, SERVICES
from tests.harness import Running, until
from tests.platforms.drum.folders import write_folder
from tests.platforms.seldon.conftest import other_models
from tests.platforms.seldon.remote import message, pb, predict, refused, services, speaking, utils
from tests.platforms.seldon.test_contract import write

ROWS = {"data": {"names": ["a", "b"], "ndarray": [[1, 2], [3, 4]]}}
TENSOR = {"data": {"names": ["a", "b"], "tensor": {"shape": [2, 2], "values": [1, 2, 3, 4]}}}
CALLED = "Exception calling application: "

TELLER = """
import sys
import numpy as np
from seldon_core.user_model import SeldonComponent, SeldonResponse


class Model(SeldonComponent):
    def predict(self, X, names, meta=None):
        if isinstance(X, np.ndarray) and X.dtype == float and X.flags.writeable:
            X += 1
            return {"type": "float64", "sum": X.sum(), "names": list(names), "meta": meta}
        if not isinstance(X, str):
            return {"value": repr(X)}
        if X == "exit":
            import os
            os._exit(3)
        if X == "tuple":
            return (1, 2)
        if X == "scalar":
            return np.array(7)
        if X == "nan":
            return [float("nan"), float("inf")]
        if X == "tenth":
            return np.array([0.1])
        if X == "half":
            return np.array([[0.5]], dtype="float16")
        if X == "protobuf":
            return {"imported": "google.protobuf" in sys.modules}
        if X == "bad tag":
            return SeldonResponse("x", tags={"a": object()})
        if X == "numbered tag":
            return SeldonResponse("x", tags={1: "a"})
        if X == "numpy metric":
            return SeldonResponse("x", metrics=[{"key": "k", "type": "GAUGE", "value": np.float32(1.5)}])
        return {"value": repr(X)}
"""


@pytest.fixture(scope="module")
def teller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, grpc.Channel]]:
    """A component that tells what it got, and answers oddly where it is told to."""
    with speaking(write(tmp_path_factory.mktemp("seldon") / "teller", TELLER)) as both:
        yield both


def test_what_a_component_gets(teller: tuple[Running, grpc.Channel]) -> None:
    _, channel = teller
    meta = {"puid": "p", "tags": {"t": [1, {"n": None}]}, "metrics": [{"key": "k", "type": "TIMER", "value": 0.1}]}
    for form in (ROWS, TENSOR):
        told = predict(channel, **form, meta=meta)
        assert told["jsonData"] == {"type": "float64", "sum": 14.0, "names": ["a", "b"], "meta": meta}
        assert told["meta"] == meta
    assert predict(channel, binData="AAH/")["jsonData"] == {"value": repr(b"\x00\x01\xff")}
    assert predict(channel, jsonData={"a": [1, None, True, "x"]})["jsonData"] == {
        "value": repr({"a": [1.0, None, True, "x"]})
    }
    assert predict(channel, jsonData=None)["jsonData"] == {"value": "None"}
    assert predict(channel, data={"ndarray": ["x", "y"]})["jsonData"]["value"].startswith("array(['x', 'y']")


def test_a_component_needs_no_protobuf_library(tmp_path: Path) -> None:
    with speaking(write(tmp_path / "bare", TELLER)) as (_, channel):
        assert predict(channel, strData="protobuf")["jsonData"] == {"imported": False}


def test_what_a_component_answers(teller: tuple[Running, grpc.Channel]) -> None:
    _, channel = teller
    assert predict(channel, strData="scalar") == {"meta": {}, "data": {"tensor": {"values": [7.0]}}}
    assert predict(channel, strData="nan")["data"]["tensor"]["values"] == ["NaN", "Infinity"]
    assert predict(channel, strData="tenth")["data"]["tensor"]["values"] == [0.1]
    half = {"names": ["t:0"], "tensor": {"shape": [1, 1], "values": [0.5]}}
    assert predict(channel, strData="half")["data"] == half
    metric = {"key": "k", "type": "GAUGE", "value": 1.5}
    assert predict(channel, strData="numpy metric")["meta"] == {"metrics": [metric]}
    custom = any_pb2.Any()
    custom.Pack(empty_pb2.Empty())
    reply = services.ModelStub(channel).Predict(pb.SeldonMessage(customData=custom), timeout=30)
    assert "google.protobuf.Empty" in utils.seldon_message_to_json(reply)["jsonData"]["value"]


def test_answers_that_no_message_carries(teller: tuple[Running, grpc.Channel]) -> None:
    server, channel = teller
    call = services.SeldonStub(channel).Predict
    tuples = 'can only concatenate str (not "tuple") to str'
    assert refused(call, message(strData="tuple")) == ("UNKNOWN", f"{CALLED}{tuples}")
    status, text = refused(call, message(strData="bad tag"))
    assert (status, text.split(":")[0]) == ("UNKNOWN", CALLED.strip(" :"))
    assert "Meta.tags[a]" in text
    status, text = refused(call, message(strData="numbered tag"))
    assert (status, text) == ("UNKNOWN", f"{CALLED}Map field Meta.tags must have strings for keys, not 1")
    # of the platform's own exceptions the client learns nothing, and the log all
    assert refused(services.RouterStub(channel).Route, message(strData="x")) == ("UNKNOWN", CALLED)
    until(lambda: any("route over gRPC" in line for line in server.raw_logs))


def test_hostile_bytes(teller: tuple[Running, grpc.Channel]) -> None:
    """Each is refused for what it is, or answered; none gets as far as an error that nobody foresaw."""
    server, channel = teller
    whole = message(**TENSOR, meta={"tags": {"a": {"b": [1, "c"]}}}).SerializeToString()
    rng = random.Random(7)
    bodies = [
        b"\xff" * 40,
        b"\x1a\xff\xff\xff\xff\x0f",  # data of 4 GB
        b"\x2a\x02\xff\xfe",  # text that is not UTF-8
        b"\x1a\x04\x12\x02\x12\x03",  # values cut off
        b"\x32" + nested(400),
        *(whole[:at] for at in range(1, len(whole), 3)),
        *(bytes(rng.randrange(256) for _ in range(rng.randrange(1, 60))) for _ in range(50)),
    ]
    told = []
    for body in bodies:
        for path in ("Model/Predict", "Combiner/Aggregate", "Model/SendFeedback"):
            call = channel.unary_unary(f"/seldon.protos.{path}")
            try:
                call(body, timeout=30)
            except grpc.RpcError as error:
                fault: Any = error
                told.append((fault.code().name, fault.details()))
    assert {status for status, _ in told} <= {"INVALID_ARGUMENT", "UNKNOWN"}
    assert ("INVALID_ARGUMENT", "the message ends within the field data") in told
    assert not [text for _, text in told if "internal error" in text or "could not be understood" in text]
    assert predict(channel, **ROWS)["jsonData"]["sum"] == 14.0
    assert len(server.workers()) == 1


def nested(depth: int) -> bytes:
    """A Value of lists within lists, with its length before it."""
    value = b""
    for _ in range(depth):
        for tag in (b"\x0a", b"\x32"):
            value = tag + varint(len(value)) + value
    return varint(len(value)) + value


def varint(number: int) -> bytes:
    return bytes([number & 127 | 128]) + varint(number >> 7) if number > 127 else bytes([number])


def test_a_message_where_feedback_belongs(teller: tuple[Running, grpc.Channel]) -> None:
    """What has another form than its field is passed over, as protobuf's libraries do."""
    _, channel = teller
    call = channel.unary_unary("/seldon.protos.Model/SendFeedback")
    assert call(message(**ROWS).SerializeToString(), timeout=30) == bytes.fromhex("12001a0512030a0100")


def test_an_empty_tensor_cannot_claim_a_huge_shape(teller: tuple[Running, grpc.Channel]) -> None:
    _, channel = teller
    asked = message(data={"tensor": {"shape": [0, 1 << 30], "values": []}})
    status, text = refused(services.TransformerStub(channel).TransformInput, asked)
    assert (status, "cannot have the shape" in text) == ("UNKNOWN", True)


def test_a_worker_that_dies(teller: tuple[Running, grpc.Channel]) -> None:
    _, channel = teller
    status, text = refused(services.ModelStub(channel).Predict, message(strData="exit"))
    assert (status, "ended while" in text or "died" in text or "exit" in text) == ("UNAVAILABLE", True), text
    assert predict(channel, **ROWS)["jsonData"]["sum"] == 14.0


# --- hooks that take whole messages ----------------------------------------------------------------------

WHOLE = """
from google.protobuf import json_format
from seldon_core.proto import prediction_pb2
from seldon_core.utils import json_to_seldon_message, seldon_message_to_json


def told(hook, given):
    kind = type(given).__name__
    if isinstance(given, (dict, list, str)):
        return {"strData": f"{hook} {kind}"}
    return prediction_pb2.SeldonMessage(strData=f"{hook} {kind}")


class Model:
    def predict_rest(self, message):
        return told("rest", message)

    def predict_grpc(self, message):
        assert isinstance(message, prediction_pb2.SeldonMessage)
        return told("grpc", message)

    def predict_raw(self, message):
        return told("raw", message)

    def transform_input_rest(self, message):
        return told("rest", message)

    def transform_input_grpc(self, message):
        return told("grpc", message)

    def transform_output_grpc(self, message):
        return told("grpc", message)

    def route_raw(self, message):
        return told("raw", message)

    def aggregate_raw(self, messages):
        reply = told("raw", messages)
        if hasattr(reply, "meta"):
            json_format.ParseDict({"metrics": [{"key": "k", "value": len(messages.seldonMessages)}]}, reply.meta)
        return reply

    def send_feedback_raw(self, feedback):
        reply = told("raw", feedback)
        reply.meta.puid = f"{feedback.reward} {feedback.truth.strData}"
        return reply
"""


def test_hooks_that_take_whole_messages(tmp_path: Path) -> None:
    folder = write(tmp_path / "whole", WHOLE)
    with speaking(folder, env={"INCLUDE_METRICS_IN_CLIENT_RESPONSE": "false"}) as (server, channel):
        asked = message(strData="x")
        every, router = services.GenericStub(channel), services.RouterStub(channel)
        several = pb.SeldonMessageList(seldonMessages=[asked, asked])
        feedback = pb.Feedback(reward=2.5, truth=asked)
        assert services.ModelStub(channel).Predict(asked).strData == "grpc SeldonMessage"
        assert every.TransformInput(asked).strData == "rest SeldonMessage"
        assert every.TransformOutput(asked).strData == "grpc SeldonMessage"
        assert router.Route(asked).strData == "raw SeldonMessage"
        joined = every.Aggregate(several)
        assert (joined.strData, list(joined.meta.metrics)) == ("raw SeldonMessageList", [])
        learnt = router.SendFeedback(feedback)
        assert (learnt.strData, learnt.meta.puid) == ("raw Feedback", "2.5 x")

        def rest(path: str, body: Any) -> Any:
            return server.post(path, body, headers={"Content-Type": "application/json"}).json()

        assert rest("/predict", {"strData": "x"}) == {"strData": "rest dict"}
        assert rest("/transform-output", {"strData": "x"}) == {"strData": "grpc dict"}
        assert rest("/route", {"strData": "x"}) == {"strData": "raw dict"}
        assert rest("/aggregate", [{"strData": "x"}]) == {"strData": "raw list"}
        told = rest("/send-feedback", {"reward": 2.5, "truth": {"strData": "x"}})
        assert told == {"strData": "raw Feedback", "meta": {"puid": "2.5 x"}}
        bad = server.post("/send-feedback", {"nonsense": 1}, headers={"Content-Type": "application/json"})
        assert (bad.status, "no field named" in bad.json()["status"]["info"]) == (400, True)


FEEDBACK = """
from seldon_core.user_model import SeldonComponent, SeldonNotImplementedError


class Model(SeldonComponent):
    def send_feedback_rest(self, text):
        if '"reward": 1.0' in text:
            raise SeldonNotImplementedError("not this one")
        return {"strData": text} if '"reward": 2.0' in text else None

    def send_feedback_grpc(self, feedback):
        return {"jsonData": {"type": type(feedback).__name__, "reward": feedback.reward}}
"""


def test_older_hooks_for_feedback(tmp_path: Path) -> None:
    with speaking(write(tmp_path / "older", FEEDBACK)) as (_, channel):
        tell = services.ModelStub(channel).SendFeedback
        assert '"reward": 2.0' in tell(pb.Feedback(reward=2)).strData
        assert tell(pb.Feedback(reward=3)).SerializeToString() == b""
        answer = utils.seldon_message_to_json(tell(pb.Feedback(reward=1)))
        assert answer == {"jsonData": {"type": "Feedback", "reward": 1.0}}


EITHER = """
from seldon_core.proto import prediction_pb2


class Model:
    def predict_raw(self, message):
        return prediction_pb2.SeldonMessage(strData="protobuf", meta=prediction_pb2.Meta(puid="7"))

    def transform_input_raw(self, message):
        return {"data": {"tensor": {"shape": [1], "values": [0.5]}}, "meta": {"tags": {"a": 1}}}

    def transform_output_raw(self, message):
        return {"nonsense": 1}
"""


def test_hooks_may_answer_in_either_form(tmp_path: Path) -> None:
    with speaking(write(tmp_path / "either", EITHER)) as (server, channel):
        asked, headers = message(strData="x"), {"Content-Type": "application/json"}
        both = {"strData": "protobuf", "meta": {"puid": "7"}}
        assert predict(channel, strData="x") == both
        assert server.post("/predict", {"strData": "x"}, headers=headers).json() == both
        told = services.TransformerStub(channel).TransformInput(asked)
        assert (list(told.data.tensor.values), told.meta.tags["a"].number_value) == ([0.5], 1.0)
        status, text = refused(services.OutputTransformerStub(channel).TransformOutput, asked)
        assert (status, 'no field named "nonsense"' in text) == ("UNKNOWN", True)


WITHOUT = """
import sys
sys.modules["google"] = None


class Model:
    def predict_raw(self, message):
        return message
"""


def test_an_environment_without_protobuf(tmp_path: Path) -> None:
    with speaking(write(tmp_path / "without", WITHOUT)) as (server, channel):
        status, text = refused(services.ModelStub(channel).Predict, message(strData="x"))
        assert (status, "needs the package protobuf" in text) == ("UNKNOWN", True)
        assert server.post("/predict", {"strData": "x"}, headers={"Content-Type": "application/json"}).status == 200


# --- the user's own use of protobuf ----------------------------------------------------------------------

CLASHING = """
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


def register():
    pool = descriptor_pool.Default()
    for name, package, message in (
        ("proto/prediction.proto", "seldon.protos", "SeldonMessage"),
        ("tensorflow/core/framework/tensor.proto", "tensorflow", "TensorProto"),
    ):
        file = descriptor_pb2.FileDescriptorProto(name=name, package=package, syntax="proto3")
        field = file.message_type.add(name=message).field.add(name="own", number=1, type=9, label=1)
        assert field
        pool.AddSerializedFile(file.SerializeToString())
    found = pool.FindMessageTypeByName("seldon.protos.SeldonMessage")
    make = getattr(message_factory, "GetMessageClass", None)
    return make(found) if make else message_factory.MessageFactory(pool).GetPrototype(found)
"""
CLASHES = """
{first}
{second}


class Model:
    def predict_raw(self, message):
        assert isinstance(message, prediction_pb2.SeldonMessage)
        return prediction_pb2.SeldonMessage(strData=Own(own=message.strData).own + "!")
"""
OWN, THEIRS = "import clashing\nOwn = clashing.register()", "from seldon_core.proto import prediction_pb2"


@pytest.mark.parametrize(("first", "second"), [(OWN, THEIRS), (THEIRS, OWN)], ids=["before", "after"])
def test_code_that_registers_the_same_files_and_symbols(tmp_path: Path, first: str, second: str) -> None:
    folder = write(tmp_path / "clashes", CLASHES.format(first=first, second=second))
    (folder / "clashing.py").write_text(CLASHING)
    with speaking(folder) as (_, channel):
        assert predict(channel, strData="mine") == {"strData": "mine!"}


# --- models of other platforms ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[grpc.Channel]:
    """Models of other platforms, as over REST."""
    with speaking(*other_models(tmp_path_factory.mktemp("others"))) as (_, channel):
        yield channel


def ask(channel: grpc.Channel, name: str, **fields: Any) -> dict[str, Any]:
    """A model's prediction: the metadata names the model."""
    call = services.SeldonStub(channel).Predict
    told: dict[str, Any] = utils.seldon_message_to_json(
        call(message(**fields), timeout=30, metadata=(("seldon", name), ("namespace", "any")))
    )
    return told


def test_other_models_answer(others: grpc.Channel) -> None:
    for form in (ROWS, TENSOR):
        (kind,) = form["data"].keys() - {"names"}
        told = {"tensor": {"shape": [2], "values": [3.0, 7.0]}} if kind == "tensor" else {"ndarray": [3.0, 7.0]}
        assert ask(others, "total", **form) == {"meta": {}, "data": told}
        assert ask(others, "sum", **form) == {"meta": {}, "data": told}
    told = ask(others, "classes", **TENSOR)["data"]
    assert dict(zip(told["names"], told["tensor"]["values"][:2], strict=True)) == {"no": 0.25, "yes": 0.75}


def test_other_models_are_given_text_bytes_and_json(others: grpc.Channel) -> None:
    assert ask(others, "text", strData="häh") == {"meta": {}, "strData": "häh"}
    assert ask(others, "text", binData="AAH/") == {"meta": {}, "binData": "AAH/"}
    given = {"a": [1, {"b": None}], "c": "d"}
    assert ask(others, "fn", jsonData=given) == {"meta": {}, "jsonData": given}


def test_what_is_known_of_other_models(others: grpc.Channel) -> None:
    asked = pb.SeldonModelMetadataRequest(name="any")
    told = services.SeldonStub(others).ModelMetadata(asked, timeout=30, metadata=(("seldon", "total"),))
    assert (told.name, told.platform, list(told.versions)) == ("total", "drum", ["1"])
    assert refused(services.ModelStub(others).Metadata, empty_pb2.Empty())[0] == "NOT_FOUND"


def test_what_other_models_refuse(others: grpc.Channel) -> None:
    call = services.SeldonStub(others)
    named = {"metadata": (("seldon", "total"),)}
    status, text = refused(call.Predict, message(), **named)
    assert (status, "none of data, jsonData" in text) == ("INVALID_ARGUMENT", True)
    short = message(data={"tensor": {"shape": [3, 2], "values": [1]}})
    assert refused(call.Predict, short, **named)[0] == "INVALID_ARGUMENT"
    status, text = refused(call.SendFeedback, pb.Feedback(), **named)
    assert (status, "nothing but predict" in text) == ("UNIMPLEMENTED", True)
    status, text = refused(call.Predict, message(**ROWS))
    assert (status, "'seldon' names the model" in text) == ("NOT_FOUND", True)
    status, text = refused(call.Predict, message(**ROWS), metadata=(("seldon", "nobody"),))
    assert (status, "'nobody' not found" in text) == ("NOT_FOUND", True)


def test_a_model_that_raises(tmp_path: Path) -> None:
    code = "def score(data, model, **kwargs):\n    raise RuntimeError('broken')\n"
    folder = write_folder(tmp_path / "raises", code, "name: raises\ntype: inference\ntargetType: regression\n")
    with speaking(folder) as (_, channel):
        told = refused(services.ModelStub(channel).Predict, message(**ROWS))
        assert told == ("UNKNOWN", f"{CALLED}broken")


# --- what is said of the services ------------------------------------------------------------------------


def test_reflection_knows_the_seven_services(teller: tuple[Running, grpc.Channel]) -> None:
    _, channel = teller
    database = ProtoReflectionDescriptorDatabase(channel)
    own = {name for name in database.get_services() if name.startswith("seldon.protos.")}
    assert own == {f"seldon.protos.{name}" for name in SERVICES}
    file = database.FindFileContainingSymbol("seldon.protos.SeldonMessage")
    told = {message.name: [field.name for field in message.field] for message in file.message_type}
    assert told.keys() == MESSAGES.keys()
    assert told["SeldonMessage"] == ["status", "meta", "data", "binData", "strData", "jsonData", "customData"]
    (metric,) = [message for message in file.message_type if message.name == "Metric"]
    assert [value.name for value in metric.enum_type[0].value] == ["COUNTER", "GAUGE", "TIMER"]
    assert database.FindFileByName("tensorflow/core/framework/tensor.proto").package == "tensorflow"


def test_one_component_answers_whatever_the_metadata_names(tmp_path: Path) -> None:
    """On the platform that chooses the deployment, which is then this one."""
    shutil.copy(Path(__file__).parent / "components" / "EchoModel.py", tmp_path)
    (tmp_path / "modelport.yaml").write_text("contract: seldon\ncomponent: EchoModel\n")
    with speaking(tmp_path) as (_, channel):
        assert ask(channel, "elsewhere", strData="x")["strData"] == "x"

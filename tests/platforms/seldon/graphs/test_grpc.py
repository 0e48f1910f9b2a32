"""Graphs over gRPC: the same order, messages of protobuf, errors that name the node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2

from tests.platforms.seldon.graphs.conftest import Graphs
from tests.platforms.seldon.graphs.test_graphs import feedback
from tests.platforms.seldon.remote import TIMEOUT, calling, message, pb, refused, services, utils

CALLED = "Exception calling application: "


@pytest.fixture(scope="module")
def stub(served: Graphs) -> Iterator[Any]:
    with calling(served.server) as channel:
        yield services.SeldonStub(channel)


def to(name: str) -> tuple[tuple[str, str], ...]:
    return (("seldon", name), ("namespace", "ns"))


def ask(stub: Any, name: str, **fields: Any) -> dict[str, Any]:
    reply = stub.Predict(message(**fields), timeout=TIMEOUT, metadata=to(name))
    told: dict[str, Any] = utils.seldon_message_to_json(reply)
    return told


def trace(stub: Any, name: str, **more: Any) -> Any:
    return ask(stub, name, jsonData=more)["jsonData"]["trace"]


def test_order(stub: Any) -> None:
    assert trace(stub, "chain") == ["t.in", "m.predict", "last.predict", "o.out"]
    assert trace(stub, "joined") == [[["x.predict"], ["y.predict"], ["z.predict"]], "j.join"]
    assert trace(stub, "methods") == ["w.in", "x.predict", "w.out"]
    assert trace(stub, "routed", routes={"r": 1}) == ["b.in", "c.predict"]


def test_a_combiner_averages_tensors(stub: Any) -> None:
    tensor = {"tensor": {"shape": [1, 2], "values": [1.5, 2.5]}, "names": ["a", "b"]}
    assert ask(stub, "sums", data=tensor)["data"] == {
        "names": ["t:0", "t:1"],
        "tensor": {"shape": [1, 2], "values": [1.5, 2.5]},
    }


def test_built_in_nodes(stub: Any) -> None:
    answer = ask(stub, "built", data={"ndarray": [[1, 2, 3]]})
    assert answer["data"] == {"names": ["class0", "class1", "class2"], "ndarray": [[0.55, 1.45, 1.75]]}


def test_meta_adds_up_and_tells_the_route(stub: Any) -> None:
    meta = ask(stub, "chain", jsonData={}, meta={"puid": "p", "tags": {"mine": 1}})["meta"]
    assert meta["puid"] == "p"
    assert meta["tags"] == {"mine": 1, "t": True, "o": True, "m": True, "last": True}
    assert sorted(meta["requestPath"]) == ["last", "m", "o", "t"]
    assert meta["routing"] == {"t": -1, "o": -1, "m": -1, "last": -1}


def test_every_answer_has_a_prediction_id(stub: Any) -> None:
    for name in ("chain", "one"):
        for sent in ((), (("seldon-puid", "mine"),)):
            _, call = stub.Predict.with_call(message(jsonData={}), timeout=TIMEOUT, metadata=(*to(name), *sent))
            puid = dict(call.trailing_metadata())["seldon-puid"]
            assert puid == "mine" if sent else len(puid) == 36


@pytest.mark.parametrize("at", ["t", "o", "r", "j", "m"])
def test_a_node_that_raises_is_named(served: Graphs, stub: Any, at: str) -> None:
    sent = message(jsonData={"routes": {"r": 0}, "fault": {"at": at, "how": "raise"}})
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(sent, timeout=TIMEOUT, metadata=to("faulty"))
    error: Any = caught.value
    assert (error.code().name, error.details()) == ("UNKNOWN", f"{CALLED}{at} does not like it")
    assert dict(error.trailing_metadata())["x-modelport-node"] == at


def test_a_node_whose_process_ends(served: Graphs, stub: Any) -> None:
    sent = message(jsonData={"routes": {"r": 0}, "fault": {"at": "j", "how": "exit"}})
    code, text = refused(stub.Predict, sent, metadata=to("faulty"))
    assert code == "UNAVAILABLE"
    assert "ended while it ran this request" in text
    assert trace(stub, "faulty", routes={"r": 0})[-1] == "o.out"


def test_a_branch_that_there_is_not(stub: Any) -> None:
    code, text = refused(stub.Predict, message(jsonData={"routes": {"r": 5}}), metadata=to("routed"))
    assert code == "UNKNOWN"
    assert "r chose a branch that is not there: 5 is none of its 3 children" in text


@pytest.mark.parametrize(("routing", "asked"), [({"r": 1}, "rc"), ({}, "racd"), ({"r": -2}, "r")])
def test_feedback_follows_the_recorded_route(served: Graphs, stub: Any, routing: dict[str, int], asked: str) -> None:
    for name in "rabcd":
        served.noted(name)
    sent = utils.json_to_feedback(feedback(**routing))
    reply = stub.SendFeedback(sent, timeout=TIMEOUT, metadata=to("routed"))
    assert utils.seldon_message_to_json(reply)["data"]["ndarray"] == [[0.5, routing.get("r", -99)]]
    assert {name for name in "rabcd" if "feedback" in served.noted(name)} == set(asked)


def test_feedback_to_a_graph_whose_first_node_takes_none(served: Graphs, stub: Any) -> None:
    served.noted("follower")
    reply = stub.SendFeedback(utils.json_to_feedback(feedback()), timeout=TIMEOUT, metadata=to("lead"))
    assert reply == pb.SeldonMessage()
    assert "feedback" in served.noted("follower")


def test_metadata(stub: Any) -> None:
    told = stub.GraphMetadata(empty_pb2.Empty(), timeout=TIMEOUT, metadata=to("joined"))
    assert told.name == "main"
    assert sorted(told.models) == ["j", "x", "y", "z"]
    asked = pb.SeldonModelMetadataRequest(name="x")
    assert stub.ModelMetadata(asked, timeout=TIMEOUT, metadata=to("joined")).versions == [""]
    code, text = refused(stub.ModelMetadata, pb.SeldonModelMetadataRequest(name="gone"), metadata=to("joined"))
    assert code == "NOT_FOUND"
    assert "there are j, x, y, z" in text


def test_the_metadata_must_name_a_deployment(stub: Any) -> None:
    for metadata in ((), (("seldon", "gone"),), (("seldon", "chain"), ("namespace", "other"))):
        code, text = refused(stub.Predict, message(jsonData={}), metadata=metadata)
        assert code == "NOT_FOUND", text


def test_a_graph_does_not_do_what_a_component_does(served: Graphs) -> None:
    with calling(served.server) as channel:
        generic = services.GenericStub(channel)
        assert refused(generic.TransformInput, message(strData="a"), metadata=to("chain"))[0] == "UNIMPLEMENTED"


@pytest.mark.parametrize("body", [b"\xff", b"\x1a\xff\xff\xff\xff\x0f", b"\x1a\x05ab"])
def test_hostile_bytes(served: Graphs, body: bytes) -> None:
    with calling(served.server) as channel:
        for method in ("Predict", "SendFeedback"):
            call = channel.unary_unary(f"/seldon.protos.Seldon/{method}")
            assert refused(call, body, metadata=to("routed"))[0] in ("INVALID_ARGUMENT", "UNKNOWN")

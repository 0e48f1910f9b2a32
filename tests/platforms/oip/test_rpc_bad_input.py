"""Messages that are wrong: each is refused in words, and the server lives on."""

from __future__ import annotations

import random
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2

from tests.harness import Running
from tests.platforms.oip.test_rpc_client import SERVICE, asked, call, infer

Output = service_pb2.ModelInferRequest.InferRequestedOutputTensor


def refused(server: Running, *inputs: Any, model: str = "noop", **more: Any) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        infer(server, model, *inputs, **more)
    return caught.value.code().name, caught.value.details()


def named(tensor: Any, name: str) -> Any:
    tensor.name = name
    return tensor


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no inputs": ({"inputs": []}, "there must be 1 to 1024 inputs, not 0"),
    "no name": ({"inputs": [asked("", "FP64", [1], fp64_contents=[1])]}, "inputs[0].name must be a string"),
    "twice the same name": (
        {"inputs": [asked("a", "FP64", [0]), asked("a", "FP64", [0])]}, "there are two inputs named 'a'",
    ),
    "unknown data type": ({"inputs": [asked("a", "FP99", [0])]}, "inputs[0].datatype must be one of BF16, BOOL"),
    "negative size": ({"inputs": [asked("a", "FP64", [-1])]}, "inputs[0].shape must be a list"),
    "too many dimensions": ({"inputs": [asked("a", "FP64", [1] * 33)]}, "inputs[0].shape must be a list of up to 32"),
    "a huge shape": (
        {"inputs": [asked("a", "FP64", [1 << 40, 1 << 40])]}, "contents has 0 values, and shape [1099511627776",
    ),
    "too few values": (
        {"inputs": [asked("a", "INT64", [2], int64_contents=[1])]}, "contents has 1 values, and shape [2] takes 2",
    ),
    "values of another type": (
        {"inputs": [asked("a", "FP64", [1], int_contents=[1])]}, "FP64 takes fp64_contents, not int_contents",
    ),
    "a value out of range": (
        {"inputs": [asked("a", "INT8", [1], int_contents=[300])]}, "inputs[0].contents: 300 is not a INT8",
    ),
    "half floats in words": ({"inputs": [asked("a", "FP16", [1])]}, "FP16 travels in raw_input_contents only"),
    "raw data too short": (
        {"inputs": [asked("a", "INT64", [2])], "raw_input_contents": [b"12345678"]},
        "INT64 of shape [2] takes 16 bytes, not 8",
    ),
    "raw truth values": (
        {"inputs": [asked("a", "BOOL", [2])], "raw_input_contents": [b"\1\2"]}, "a BOOL is a byte 0 or 1",
    ),
    "raw strings cut off": (
        {"inputs": [asked("a", "BYTES", [1])], "raw_input_contents": [b"\5\0\0\0ab"]},
        "does not hold 1 length-prefixed elements",
    ),
    "raw data for some": (
        {"inputs": [asked("a", "FP64", [0]), asked("b", "FP64", [0])], "raw_input_contents": [b""]},
        "there are 2 inputs and 1 raw_input_contents",
    ),
    "raw data and values": (
        {"inputs": [asked("a", "FP64", [1], fp64_contents=[1])], "raw_input_contents": [b"12345678"]},
        "inputs[0].contents must be empty in a request with raw_input_contents",
    ),
    "an output that there is not": (
        {"inputs": [asked("a", "FP64", [0])], "outputs": [Output(name="b")]}, "the model has no output 'b'; it has a",
    ),
    "an output twice": (
        {"inputs": [asked("a", "FP64", [0])], "outputs": [Output(name="a"), Output(name="a")]}, "is asked for twice",
    ),
    "several faults": (
        {"inputs": [asked("", "FP64", [0]), asked("b", "X", [0])]}, "inputs[1].datatype must be one of",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", FAULTS)
def test_faulty_requests(tensors: Running, what: str) -> None:
    request, words = FAULTS[what]
    code, text = refused(tensors, *request["inputs"], **{k: v for k, v in request.items() if k != "inputs"})
    assert code == "INVALID_ARGUMENT"
    assert words in text
    assert "Traceback" not in text


BODIES = {
    "no protobuf": b"\xff\xff\xff",
    "cut off": service_pb2.ModelInferRequest(model_name="noop", id="x" * 50).SerializeToString()[:-5],
    "a huge length": b"\x0a\x04noop\x1a\xff\xff\xff\xff\x07",
    "a wrong wire type": b"\x0a\x04noop\x18\x01",
    "not UTF-8": b"\x0a\x04noop\x1a\x02\xff\xfe",
    "groups within groups": b"\x0a\x04noop" + b"\xa3\x06" * 100_000,
    "many empty inputs": b"\x0a\x04noop" + b"\x2a\x00" * 500_000,
}


@pytest.mark.parametrize("what", BODIES)
def test_bodies_that_cannot_be_read(tensors: Running, what: str) -> None:
    with grpc.insecure_channel(tensors.rpc) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(SERVICE + "ModelInfer")(BODIES[what], timeout=20)
    assert caught.value.code().name in ("INVALID_ARGUMENT", "NOT_FOUND")
    assert caught.value.details()
    assert "Traceback" not in caught.value.details()
    assert "internal" not in caught.value.details()


def test_more_messages_than_anybody_needs(tensors: Running) -> None:
    with grpc.insecure_channel(tensors.rpc) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(SERVICE + "ModelInfer")(b"\x0a\x04noop" + b"\x2a\x00" * 1_100_000, timeout=20)
    assert caught.value.code().name == "RESOURCE_EXHAUSTED"


def test_any_bytes(tensors: Running) -> None:
    chance = random.Random(5)
    good = service_pb2.ModelInferRequest(
        model_name="noop", inputs=[asked("a", "INT64", [3], int64_contents=[1, 2, 3])]
    ).SerializeToString()
    with grpc.insecure_channel(tensors.rpc) as channel:
        for method in ("ModelInfer", "ModelMetadata", "ModelReady", "ModelStatistics", "ServerLive"):
            stub = channel.unary_unary(SERVICE + method)
            for _ in range(60):
                body = bytearray(good)
                for _ in range(chance.randrange(1, 6)):
                    body[chance.randrange(len(body))] = chance.randrange(256)
                made = stub.future(bytes(body), timeout=20)
                assert made.code().name in ("OK", "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED")
                assert "could not be understood" not in (made.details() or "")
    assert infer(tensors, "noop", asked("a", "INT64", [1], int64_contents=[1])).outputs[0].name == "a"


def test_a_name_that_does_not_come_early_is_not_looked_for(tensors: Running) -> None:
    late = b"\x1a\x00" * 100 + b"\x0a\x04noop"  # a hundred ids first
    with grpc.insecure_channel(tensors.rpc) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(SERVICE + "ModelInfer")(late, timeout=20)
    assert caught.value.code().name == "NOT_FOUND"


def test_a_name_given_twice_reaches_no_other_model(tensors: Running) -> None:
    one = service_pb2.ModelInferRequest(model_name="noop", inputs=[asked("a", "INT64", [0])]).SerializeToString()
    with grpc.insecure_channel(tensors.rpc) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(SERVICE + "ModelInfer")(one + b"\x0a\x02sk", timeout=20)
    assert caught.value.code().name == "NOT_FOUND"
    assert "'sk'" in caught.value.details()


def test_a_content_encoding_in_the_metadata_means_nothing(tensors: Running) -> None:
    request = service_pb2.ModelInferRequest(model_name="noop", inputs=[asked("a", "INT64", [0])])
    answer = call(
        tensors, "ModelInfer", request, service_pb2.ModelInferResponse, metadata=(("content-encoding", "gzip"),)
    )
    assert answer.outputs[0].name == "a"


def test_an_unknown_method(tensors: Running) -> None:
    with grpc.insecure_channel(tensors.rpc) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(SERVICE + "Nothing")(b"", timeout=20)
    assert caught.value.code().name == "UNIMPLEMENTED"

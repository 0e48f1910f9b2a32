"""Every data type and shape as messages: what is decoded encodes to the same, and means what it means over HTTP."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from modelport.core.call import Call, Outcome
from modelport.core.model import Description, ModelSpec
from modelport.core.payload import Tensor, Tensors
from modelport.errors import ModelportError
from modelport.protocols.oip import codec as http
from modelport.protocols.oip.messages import SCHEMA
from modelport.protocols.oip.rpc_codec import CONTENTS, codec
from modelport.protocols.oip.tensors import RAW_ONLY, raw_of
from tests.core.strategies import DATATYPES, same, tensors

SPEC = ModelSpec("m", "tensors", "/nowhere", version="v1")
MODEL = Description("tensors", "tensors")
CALL = Call("an-id", "oip.grpc", "infer", {}, "", "/")
UNTIMED = settings(deadline=None)
TYPED = [datatype for datatype in DATATYPES if datatype not in RAW_ONLY]


def decode(body: bytes) -> tuple[list[Tensor], Any]:
    payload, memory = codec.decode(CALL, body, SPEC, MODEL)
    assert isinstance(payload, Tensors)
    return payload.items, memory


def message(items: list[Tensor], is_raw: bool) -> Any:
    """A request with these tensors, by the published classes."""
    request = service_pb2.ModelInferRequest(model_name="m")
    for tensor in items:
        given_ = request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if is_raw:
            request.raw_input_contents.append(raw_of(tensor))
        elif tensor.datatype == "BYTES":
            given_.contents.bytes_contents.extend(cell.encode() for cell in tensor.data)
        else:
            getattr(given_.contents, CONTENTS[tensor.datatype]).extend(tensor.flat())
    return request


def unique(items: list[Tensor]) -> list[Tensor]:
    return list({tensor.name: tensor for tensor in items}.values())


def told(items: list[Tensor]) -> list[Any]:
    def plain(tensor: Tensor) -> Any:
        cells = tensor.flat()
        if tensor.datatype == "BYTES":
            return [cell if isinstance(cell, bytes) else cell.encode() for cell in cells]
        return cells

    return [[tensor.name, tensor.datatype, tensor.shape, plain(tensor)] for tensor in items]


@UNTIMED
@given(st.lists(tensors(), min_size=1, max_size=4).map(unique))
def test_raw_tensors_mean_what_they_mean_over_http(items: list[Tensor]) -> None:
    got, memory = decode(message(items, is_raw=True).SerializeToString())
    assert same(told(got), told(items))
    tails = [raw_of(tensor) for tensor in items]
    inputs = [
        {"name": t.name, "datatype": t.datatype, "shape": t.shape, "parameters": {"binary_data_size": len(tail)}}
        for t, tail in zip(items, tails, strict=True)
    ]
    head = json.dumps({"inputs": inputs}).encode()
    call = CALL._replace(headers={http.LENGTH_HEADER: str(len(head))})
    payload, _ = http.codec.decode(call, b"".join([head, *tails]), SPEC, MODEL)
    assert isinstance(payload, Tensors)
    assert same(told(payload.items), told(got))
    reply = codec.encode(CALL, memory, Outcome(payload=Tensors(got)), SPEC, MODEL, 0.0)
    answer = service_pb2.ModelInferResponse.FromString(reply.body)
    assert list(answer.raw_output_contents) == tails
    assert [output.name for output in answer.outputs] == [tensor.name for tensor in items]


@UNTIMED
@given(st.lists(tensors(TYPED), min_size=1, max_size=4).map(unique))
def test_typed_tensors_come_back_as_they_went(items: list[Tensor]) -> None:
    request = message(items, is_raw=False)
    got, memory = decode(request.SerializeToString())
    assert same(told(got), told(items))
    reply = codec.encode(CALL, memory, Outcome(payload=Tensors(got)), SPEC, MODEL, 0.0)
    answer = service_pb2.ModelInferResponse.FromString(reply.body)
    assert not answer.raw_output_contents
    again = service_pb2.ModelInferRequest(model_name="m")
    for output in answer.outputs:
        again.inputs.add(name=output.name, datatype=output.datatype, shape=output.shape, contents=output.contents)
    assert same(told(decode(again.SerializeToString())[0]), told(items))


@UNTIMED
@given(tensors(TYPED), st.data())
def test_a_model_may_write_into_what_it_gets(tensor: Tensor, data: st.DataObject) -> None:
    (got,), _ = decode(message([tensor], data.draw(st.booleans())).SerializeToString())
    assert got.datatype == "BYTES" or not memoryview(got.data).readonly or not got.size


@UNTIMED
@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(ModelportError):
        decode(b"\x0a\x01m" + body)


@pytest.mark.parametrize("verb", ["infer", "stream"])
def test_the_answer_of_a_stream_is_wrapped_once_more(verb: str) -> None:
    body = message([Tensor("a", "BYTES", (1,), ["x"])], is_raw=False).SerializeToString()
    payload, memory = codec.decode(CALL._replace(verb=verb), body, SPEC, MODEL)
    reply = codec.encode(CALL._replace(verb=verb), memory, Outcome(payload=payload), SPEC, MODEL, 0.0)
    kind = "ModelStreamInferResponse" if verb == "stream" else "ModelInferResponse"
    read = SCHEMA.decode(kind, reply.body)
    assert (read["infer_response"] if verb == "stream" else read)["id"] == "an-id"

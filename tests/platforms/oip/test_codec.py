"""Every data type and shape, as JSON and as binary data: what is decoded encodes to the same."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelport.core import jsontext
from modelport.core.call import Call, Outcome
from modelport.core.model import Description, ModelSpec
from modelport.core.payload import Tensor, Tensors
from modelport.errors import InvalidBody, InvalidInput, RequestError, Unconvertible
from modelport.protocols.oip.codec import LENGTH_HEADER, RAW_ONLY, codec
from tests.core.strategies import DATATYPES, elements, pack, same, shapes

SPEC = ModelSpec("m", "tensors", "/nowhere", version="v1")
MODEL = Description("tensors", "tensors")
UNTIMED = settings(deadline=None)


def decode(body: bytes, length: int | str | None = None) -> tuple[Tensors, Any]:
    headers = {} if length is None else {LENGTH_HEADER: str(length)}
    payload, memory = codec.decode(Call("an-id", "oip", "infer", headers, "", "/"), body, SPEC, MODEL)
    assert isinstance(payload, Tensors)
    return payload, memory


def encode(payload: Tensors | None, memory: Any, **outcome: Any) -> tuple[dict[str, Any], bytes]:
    """The answer's JSON head and its binary tail."""
    call = Call("an-id", "oip", "infer", {}, "", "/")
    reply = codec.encode(call, memory, Outcome(payload=payload, **outcome), SPEC, MODEL, 0.0)
    headers = dict(reply.headers)
    assert reply.status == 200
    size = int(headers.get(LENGTH_HEADER, len(reply.body)))
    assert headers["content-type"] == ("application/octet-stream" if LENGTH_HEADER in headers else "application/json")

    def refuse(token: str) -> Any:
        raise AssertionError(f"a bare {token}")

    return json.loads(bytes(reply.body[:size]), parse_constant=refuse), bytes(reply.body[size:])


def nest(flat: list[Any], shape: list[int]) -> Any:
    if not shape:
        return flat[0]
    width = math.prod(shape[1:])
    return [nest(flat[i * width : (i + 1) * width], shape[1:]) for i in range(shape[0])]


@st.composite
def inputs(draw: st.DrawFn, datatype: str) -> tuple[list[int], list[Any]]:
    shape = draw(shapes)
    count = math.prod(shape)
    return shape, draw(st.lists(elements(datatype), min_size=count, max_size=count))


@pytest.mark.parametrize("datatype", [name for name in DATATYPES if name not in RAW_ONLY])
@UNTIMED
@given(data=st.data(), nested=st.booleans(), with_orjson=st.booleans())
def test_json_round_trip(datatype: str, data: st.DataObject, nested: bool, with_orjson: bool) -> None:
    shape, flat = data.draw(inputs(datatype))
    sent = {"name": "a", "datatype": datatype, "shape": shape, "data": nest(flat, shape) if nested else flat}
    without = mock.patch.multiple(jsontext, orjson=None, WRITES_ARRAYS=False)
    with contextlib.nullcontext() if with_orjson else without:
        payload, memory = decode(json.dumps({"id": "x", "inputs": [sent]}).encode())
        answer, tail = encode(payload, memory)
    assert (answer["model_name"], answer["model_version"], answer["id"], tail) == ("m", "v1", "x", b"")
    (output,) = answer["outputs"]
    assert same(output, {"name": "a", "datatype": datatype, "shape": shape, "data": flat})


@pytest.mark.parametrize("datatype", DATATYPES)
@UNTIMED
@given(data=st.data())
def test_binary_round_trip(datatype: str, data: st.DataObject) -> None:
    sent = data.draw(st.lists(inputs(datatype), min_size=1, max_size=3))
    raws = [pack(flat, datatype) for _, flat in sent]
    heads = [
        {"name": f"i{at}", "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(raw), "x": at}}
        for at, ((shape, _), raw) in enumerate(zip(sent, raws, strict=True))
    ]
    head = json.dumps({"inputs": heads, "parameters": {"binary_data_output": True}}).encode()
    payload, memory = decode(head + b"".join(raws), len(head))
    for tensor, (shape, flat) in zip(payload.items, sent, strict=True):
        assert list(tensor.shape) == shape
        assert same([bytes(x).decode() if isinstance(x, bytes) else x for x in tensor.flat()], flat)
    answer, tail = encode(payload, memory)
    for got, want in zip(answer["outputs"], heads, strict=True):
        assert got == want
    assert tail == b"".join(raws)


@pytest.mark.parametrize("length", [65, 1000])
@pytest.mark.parametrize("datatype", ["FP32", "FP64", "INT64", "UINT64", "BOOL"])
def test_long_tensors_are_written_as_short_ones(datatype: str, length: int) -> None:
    """Long ones go through numpy where it is loaded."""
    import numpy as np  # noqa: F401

    flat = [bool(i % 2) if datatype == "BOOL" else i / 2 if "FP" in datatype else 2**62 + i for i in range(length)]
    sent = {"name": "a", "datatype": datatype, "shape": [length, 1], "data": flat}
    answer, _ = encode(*decode(json.dumps({"inputs": [sent]}).encode()))
    assert answer["outputs"][0] == sent


@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
@pytest.mark.parametrize("length", [3, 99])
def test_nan_comes_in_as_token_or_null_and_goes_out_as_null(datatype: str, length: int) -> None:
    data = "[NaN,null,Infinity" + ",-Infinity" * (length - 3) + "]"
    body = f'{{"inputs":[{{"name":"a","datatype":"{datatype}","shape":[{length}],"data":{data}}}]}}'
    payload, memory = decode(body.encode())
    values = payload.items[0].flat()
    assert all(map(math.isnan, values[:2]))
    assert math.isinf(values[2])
    answer, _ = encode(payload, memory)
    assert answer["outputs"][0]["data"] == [None] * length


def test_half_floats_always_go_out_as_binary_data() -> None:
    payload = Tensors([Tensor("h", "FP16", (1,), b"\x00\x3e"), Tensor("b", "BF16", (1,), b"\x80\x3f")])
    _, memory = decode(b'{"inputs":[{"name":"a","datatype":"BOOL","shape":[1],"data":[true]}]}')
    answer, tail = encode(payload, memory)
    assert [output["parameters"] for output in answer["outputs"]] == [{"binary_data_size": 2}] * 2
    assert tail == b"\x00\x3e\x80\x3f"


def test_bytes_that_are_no_text_need_binary_data() -> None:
    head = b'{"inputs":[{"name":"a","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":5}}]}'
    payload, memory = decode(head + b"\x01\x00\x00\x00\xff", len(head))
    with pytest.raises(Unconvertible, match="not UTF-8 text") as caught:
        encode(payload, memory)
    assert caught.value.hint == "ask for it with binary_data: true"


@pytest.mark.parametrize(
    ("all_binary", "own", "is_binary"),
    [
        (True, None, True), (True, False, False), (True, True, True), (False, True, True),
        (None, True, True), (False, None, False), (None, None, False), (False, False, False),
    ],
)  # fmt: skip
def test_the_output_s_own_wish_wins(all_binary: bool | None, own: bool | None, is_binary: bool) -> None:
    asked: dict[str, Any] = {"inputs": [{"name": "a", "datatype": "INT8", "shape": [1], "data": [1]}]}
    if all_binary is not None:
        asked["parameters"] = {"binary_data_output": all_binary}
    asked["outputs"] = [{"name": "a", "parameters": {} if own is None else {"binary_data": own}}]
    answer, tail = encode(*decode(json.dumps(asked).encode()))
    assert ("data" in answer["outputs"][0]) != is_binary
    assert tail == (b"\x01" if is_binary else b"")


def test_outputs_come_in_the_order_asked_for() -> None:
    asked = {
        "inputs": [{"name": name, "datatype": "INT8", "shape": [1], "data": [1]} for name in "abc"],
        "outputs": [{"name": "c"}, {"name": "a"}],
    }
    answer, _ = encode(*decode(json.dumps(asked).encode()))
    assert [output["name"] for output in answer["outputs"]] == ["c", "a"]


def test_predictions_and_probabilities_become_tensors() -> None:
    _, memory = decode(b'{"inputs":[{"name":"a","datatype":"BOOL","shape":[1],"data":[true]}]}')
    answer, _ = encode(None, memory, predictions=["no", "yes"], probabilities={"no": [0.75, 0.25], "yes": [0.25, 0.75]})
    predict, probabilities = answer["outputs"]
    assert predict == {"name": "predict", "datatype": "BYTES", "shape": [2, 1], "data": ["no", "yes"]}
    assert probabilities["shape"] == [2, 2]
    assert probabilities["data"] == [0.75, 0.25, 0.25, 0.75]
    assert json.loads(probabilities["parameters"]["labels"]) == ["no", "yes"]


def test_an_answer_as_json_announces_no_binary_data() -> None:
    given_head = {"name": "a", "datatype": "INT8", "shape": [1], "parameters": {"binary_data_size": 1, "x": 2}}
    head = json.dumps({"inputs": [given_head]}).encode()
    answer, tail = encode(*decode(head + b"\x05", len(head)))
    assert answer["outputs"] == [{"name": "a", "datatype": "INT8", "shape": [1], "data": [5], "parameters": {"x": 2}}]
    assert tail == b""


@UNTIMED
@given(body=st.binary(max_size=60), length=st.none() | st.integers(-5, 70) | st.text(max_size=5))
def test_garbage_is_refused(body: bytes, length: Any) -> None:
    with pytest.raises((InvalidBody, InvalidInput)):
        decode(body, length)


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | st.floats() | st.text(max_size=3) | st.sampled_from(DATATYPES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)
almost_inputs = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("a") | anything,
        "datatype": st.sampled_from(DATATYPES) | anything,
        "shape": st.lists(st.integers(0, 3), max_size=2) | anything,
        "data": anything,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_size": st.integers(0, 9) | anything}) | anything,
    },
)
almost_requests = st.fixed_dictionaries(
    {"inputs": st.lists(almost_inputs | anything, max_size=3) | anything},
    optional={
        "id": anything,
        "parameters": anything,
        "outputs": st.lists(st.fixed_dictionaries({"name": st.just("a")}, optional={"parameters": anything}))
        | anything,
    },
)


@UNTIMED
@given(asked=almost_requests, tail=st.binary(max_size=12))
def test_almost_requests_are_answered_or_refused_in_words(asked: Any, tail: bytes) -> None:
    """Nothing but a ``RequestError`` ever comes of what a client sends."""
    head = json.dumps(asked).encode()
    with contextlib.suppress(RequestError):
        payload, memory = decode(head + tail, len(head))
        encode(payload, memory)

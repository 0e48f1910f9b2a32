"""What is read from requests, and how answers are written."""

from __future__ import annotations

import datetime
import json
import math
from typing import Any

import numpy
import pytest

from modelport.core.call import Call, Outcome
from modelport.core.model import Description, ModelSpec
from modelport.core.payload import Args, Blob, Table, Upload
from modelport.errors import InvalidBody, InvalidOutput
from modelport.protocols.deepaas.codec import codec, written
from modelport.protocols.deepaas.errors import BrokenJson

SPEC = ModelSpec(name="m", contract="deepaas", root="/")
OWN = Description("args", "deepaas")


def read(body: bytes = b"", query: str = "", spec: ModelSpec = SPEC, takes: str = "args", **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    call = Call("1", "deepaas", "predict", named, query, "")
    return codec.decode(call, body, spec, Description(takes, spec.contract))[0]


def places(body: bytes = b"", query: str = "", **headers: str) -> Any:
    payload = read(body, query, **headers)
    assert isinstance(payload, Args)
    return payload.places


def form(*parts: bytes) -> tuple[bytes, str]:
    body = b"".join(b"--b\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts) + b"--b--\r\n"
    return body, "multipart/form-data; boundary=b"


# --- requests ----------------------------------------------------------------------------------------------


def test_the_query() -> None:
    assert places(query="a=1&a=2&b=&c=%C3%A9+x")["query"] == {"a": ["1", "2"], "b": [""], "c": ["é x"]}


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "application/x+json"])
def test_json(content_type: str) -> None:
    assert places(b'{"a": [1, null]}', content_type=content_type)["json"] == {"a": [1, None]}


@pytest.mark.parametrize("body", [b"", b"[1]", b"1", b"null"])
def test_json_that_names_nothing(body: bytes) -> None:
    assert places(body, content_type="application/json")["json"] == {}


@pytest.mark.parametrize("body", [b"{", b'{"a": 1', b"\xff", b"[" * 100_000])
def test_json_that_is_none(body: bytes) -> None:
    with pytest.raises(BrokenJson):
        places(body, content_type="application/json")


def test_json_by_another_name() -> None:
    assert "json" not in places(b'{"a": 1}', content_type="text/plain")


def test_cookies() -> None:
    assert places(cookie="a=1; b=two")["cookies"] == {"a": ["1"], "b": ["two"]}
    assert places(cookie="a b=\x00")["cookies"] == {}


def test_parts() -> None:
    body, content_type = form(
        b'name="text"\r\n\r\nw\xc3\xb6rd',
        b'name="latin"\r\nContent-Type: text/plain; charset=latin-1\r\n\r\nw\xf6rd',
        b'name="bytes"\r\nContent-Type: image/png\r\n\r\n\x89PNG',
        b'name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n\x89PNG',
        b'name="empty"; filename=""\r\nContent-Type: application/octet-stream\r\n\r\n',
    )
    found = places(body, content_type=content_type)["form"]
    assert (found["text"], found["latin"], found["bytes"]) == (["wörd"], ["wörd"], [bytearray(b"\x89PNG")])
    assert found["empty"] == [bytearray()]
    (upload,) = found["file"]
    assert isinstance(upload, Upload)
    assert (upload.filename, upload.content_type, bytes(upload.data)) == ("a.png", "image/png", b"\x89PNG")


def test_a_form_without_its_boundary() -> None:
    assert places(b"", content_type="multipart/form-data")["form"] == {}
    with pytest.raises(InvalidBody):
        places(b"x", content_type="multipart/form-data")


def test_a_model_of_rows_gets_a_row_or_the_only_file() -> None:
    other = ModelSpec(name="m", contract="drum", root="/")
    row = read(b'{"a": 1}', "b=x", other, "table", content_type="application/json")
    assert isinstance(row, Table)
    assert row.to_records() == [{"a": 1, "b": "x"}]
    body, content_type = form(b'name="any"; filename="a.csv"\r\nContent-Type: text/csv\r\n\r\na,b\n1,2\n')
    blob = read(body, "", other, "table", content_type=content_type)
    assert isinstance(blob, Blob)
    assert (bytes(blob.data), blob.media_type) == (b"a,b\n1,2\n", "text/csv")
    arguments = read(body, "", other, "args", content_type=content_type)
    assert isinstance(arguments, Args)
    assert arguments.values == {"any": b"a,b\n1,2\n"}


# --- answers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (math.nan, "NaN"),
        ({"a": [math.inf, None]}, '{"a":[Infinity,null]}'),
        ({"a": numpy.float32(0.5), "b": None}, '{"a":0.5,"b":null}'),
        (numpy.array([[1, 2]]), "[[1,2]]"),
        ({1: "é", "n": None}, '{"1":"é","n":null}'),
        ((1, "a"), '[1,"a"]'),
        ([datetime.date(2026, 1, 2), None], '["2026-01-02",null]'),
    ],
)
def test_what_json_can_say(value: Any, text: str) -> None:
    assert written(value).decode() == text


@pytest.mark.parametrize(
    "value", [b"x", {"a": b"x"}, [[{1, 2}]], {"a": {"b": bytearray(b"x")}}, object(), [None, object()]]
)
def test_what_it_cannot(value: Any) -> None:
    with pytest.raises(InvalidOutput, match="has no JSON form"):
        written(value)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a b.png", 'attachment; filename="a b.png"'),
        ('a"\r\nX: y\\.png', 'attachment; filename="a___X: y_.png"'),
        ("é.png", "attachment; filename*=UTF-8''%C3%A9.png"),
    ],
)
def test_the_name_of_a_file(name: str, header: str) -> None:
    outcome = Outcome(payload=Blob(b"x", "image/png"), extras={"deepaas": {"filename": name}})
    reply = codec.encode(Call("1", "deepaas", "predict", {}, "", ""), None, outcome, SPEC, OWN, 0.0)
    assert dict(reply.headers) == {"content-type": "image/png", "content-disposition": header}


@pytest.mark.parametrize("media_type", ["text/plain\r\nX: y", "text/é", ""])
def test_what_is_no_media_type(media_type: str) -> None:
    outcome = Outcome(payload=Blob(b"x", media_type))
    with pytest.raises(InvalidOutput, match="is no media type"):
        codec.encode(Call("1", "deepaas", "predict", {}, "", ""), None, outcome, SPEC, OWN, 0.0)


def test_classes_and_their_probabilities() -> None:
    outcome = Outcome(predictions=["a", "b"], probabilities={"a": [0.75, 0.25], "b": [0.25, 0.75]})
    other = ModelSpec(name="m", contract="drum", root="/")
    reply = codec.encode(Call("1", "deepaas", "predict", {}, "", ""), None, outcome, other, OWN, 0.0)
    assert json.loads(reply.body)["predictions"] == [
        {"prediction": "a", "probabilities": {"a": 0.75, "b": 0.25}},
        {"prediction": "b", "probabilities": {"a": 0.25, "b": 0.75}},
    ]

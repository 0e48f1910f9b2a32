"""Seldon's REST API: where a message may be, how answers and errors are written, and what is at which path."""

from __future__ import annotations

import gzip
import json
import re
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

import numpy as np
import pandas as pd
import pytest

from modelport.core.call import Call, Outcome
from modelport.core.model import Description, ModelSpec
from modelport.errors import InvalidOutput
from modelport.protocols.seldon import codec, jsonbody
from tests.harness import Answer, Running, serving
from tests.platforms.seldon.conftest import COMPONENTS

PREDICTIONS = "/api/v1.0/predictions"
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=b0"}
NO_JSON = "Can't find JSON in data"
NOT_FOUND = re.compile("404 Not Found: ")
NOT_ALLOWED = re.compile("405 Method Not Allowed: ")


def text(value: str) -> str:
    return json.dumps({"strData": value})


def multipart(*parts: tuple[str, str | None, bytes]) -> bytes:
    """A body of (name, file name, content)."""
    body = b""
    for name, filename, content in parts:
        file = f'; filename="{filename}"' if filename else ""
        body += f'--b0\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"
    return body + b"--b0--\r\n"


def said(answer: Answer) -> Any:
    assert answer.status == 200, answer.body
    return answer.json()["strData"]


def refused(answer: Answer, status: int, reason: str) -> str:
    """The text of an error, which has this status and reason."""
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["access-control-allow-origin"] == "*"
    body = answer.json()
    assert body.keys() == {"status"}
    assert body["status"].keys() == {"code", "info", "reason", "status"}
    assert (body["status"]["code"], body["status"]["status"], body["status"]["reason"]) == (-1, 1, reason)
    info: str = body["status"]["info"]
    return info


def bad_data(answer: Answer) -> str:
    return refused(answer, 400, "MICROSERVICE_BAD_DATA")


def internal(answer: Answer) -> str:
    return refused(answer, 500, "MICROSERVICE_INTERNAL_ERROR")


# --- where a message may be ------------------------------------------------------------------------------


def test_parts_go_before_query(echo: Running) -> None:
    query = "?" + urlencode({"json": text("query")})
    body = multipart(("strData", None, "part é".encode()))
    assert said(echo.post(PREDICTIONS + query, body, headers=MULTIPART)) == "part é"


def test_form_goes_before_query_and_query_before_body(echo: Running) -> None:
    path = f"{PREDICTIONS}?{urlencode({'other': 1, 'json': text('query é')})}"
    form = urlencode({"a": "", "json": text("form é")}).encode()
    assert said(echo.post(path, form, headers=FORM)) == "form é"
    assert said(echo.post(path, text("body").encode(), headers=JSON)) == "query é"
    assert said(echo.post(path, b"no JSON", headers=JSON)) == "query é"
    assert said(echo.post(path)) == "query é"
    assert said(echo.get(path.replace(PREDICTIONS, "/predict"))) == "query é"


def test_a_field_that_is_not_asked_for_leaves_the_body(echo: Running) -> None:
    assert said(echo.post(f"{PREDICTIONS}?x=1", text("body").encode(), headers=JSON)) == "body"


def test_the_first_of_equal_fields_counts(echo: Running) -> None:
    form = urlencode([("json", text("one")), ("json", text("two"))]).encode()
    assert said(echo.post(PREDICTIONS, form, headers=FORM)) == "one"
    parts = multipart(("strData", None, b"one"), ("strData", None, b"two"))
    assert said(echo.post(PREDICTIONS, parts, headers=MULTIPART)) == "one"


def test_a_file_goes_before_a_field_of_its_name(echo: Running) -> None:
    parts = multipart(("strData", "a.txt", b"file"), ("strData", None, b"field"))
    assert said(echo.post(PREDICTIONS, parts, headers=MULTIPART)) == "file"


@pytest.mark.parametrize("marked", ["application/json", "Application/JSON ; charset=utf-8", "application/a.b+json"])
def test_bodies_that_are_json(echo: Running, marked: str) -> None:
    assert said(echo.post(PREDICTIONS, text("é").encode(), headers={"Content-Type": marked})) == "é"


@pytest.mark.parametrize(
    "marked", ["text/json", "application/octet-stream", "text/x+json", "json", "application/jsonx"]
)
def test_bodies_that_are_none(echo: Running, marked: str) -> None:
    assert bad_data(echo.post(PREDICTIONS, text("a").encode(), headers={"Content-Type": marked})) == NO_JSON


@pytest.mark.parametrize("body", [b"", b"null", b"{", b'{"strData": "\xff"}', b"[" * 100_000, b'{"a": 1} {}'])
def test_json_bodies_without_a_message(echo: Running, body: bytes) -> None:
    assert bad_data(echo.post(PREDICTIONS, body, headers=JSON)) == NO_JSON


def test_a_field_without_text_is_not_there(echo: Running) -> None:
    for query in ("json=", "json"):
        assert said(echo.post(f"{PREDICTIONS}?{query}", text("body").encode(), headers=JSON)) == "body"
        assert bad_data(echo.get(f"/predict?{query}")) == NO_JSON
    assert said(echo.post(f"{PREDICTIONS}?{urlencode({'json': text('query')})}", b"json=", headers=FORM)) == "query"


def test_null_in_a_field_is_no_message(echo: Running) -> None:
    assert bad_data(echo.get("/predict?json=null")) == NO_JSON
    assert bad_data(echo.post(PREDICTIONS, b"json=null", headers=FORM)) == NO_JSON


def test_json_in_a_field_that_cannot_be_read(echo: Running) -> None:
    assert internal(echo.get("/predict?json=+")) == "Expecting value: line 1 column 2 (char 1)"
    assert internal(echo.post(PREDICTIONS, b"json=[1,", headers=FORM)) == "Expecting value: line 1 column 4 (char 3)"
    parts = multipart(("data", None, b"{x}"))
    words = "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
    assert internal(echo.post(PREDICTIONS, parts, headers=MULTIPART)) == words


def test_parts_that_cannot_be_taken_apart(echo: Running) -> None:
    assert "boundary" in bad_data(echo.post(PREDICTIONS, b"x", headers={"Content-Type": "multipart/form-data"}))
    assert "cut short" in bad_data(echo.post(PREDICTIONS, multipart(("a", None, b"1"))[:-8], headers=MULTIPART))


def test_compressed_and_large_bodies(echo: Running) -> None:
    long = "x" * 3_000_000
    assert said(echo.post(PREDICTIONS, text(long).encode(), headers=JSON)) == long
    packed = gzip.compress(text(long).encode())
    assert said(echo.post(PREDICTIONS, packed, headers={**JSON, "Content-Encoding": "gzip"})) == long
    parts = multipart(("strData", "a.txt", long.encode()))
    assert said(echo.post(PREDICTIONS, parts, headers=MULTIPART)) == long


# --- how answers are written -----------------------------------------------------------------------------


def test_answers_have_sorted_keys_ascii_and_a_newline(echo: Running) -> None:
    body = echo.post(
        PREDICTIONS, {"jsonData": {"z": "é", "a": 2**64 - 1, "m": None}, "meta": {"puid": "p"}}, headers=JSON
    )
    assert body.body == b'{"jsonData":{"a":18446744073709551615,"m":null,"z":"\\u00e9"},"meta":{"puid":"p"}}\n'


def test_what_is_not_finite_stays_so(echo: Running) -> None:
    answer = echo.post(PREDICTIONS, b'{"data": {"ndarray": [NaN, Infinity, -Infinity, 0.1]}}', headers=JSON)
    assert answer.body == b'{"data":{"names":[],"ndarray":[NaN,Infinity,-Infinity,0.1]},"meta":{}}\n'
    answer = echo.post(PREDICTIONS, b'{"jsonData": {"a": [NaN, null]}}', headers=JSON)
    assert answer.body == b'{"jsonData":{"a":[NaN,null]},"meta":{}}\n'


MESSAGES: list[tuple[Any, bytes]] = [
    ({"data": {"names": [], "ndarray": np.array([[1.5, np.nan]])}}, b'{"data":{"names":[],"ndarray":[[1.5,NaN]]}}\n'),
    ({"data": {"ndarray": np.array([0.1], "float32")}}, b'{"data":{"ndarray":[0.10000000149011612]}}\n'),
    (
        {"data": {"tensor": {"values": np.array([0.1], "float32"), "shape": [1]}}},
        b'{"data":{"tensor":{"shape":[1],"values":[0.10000000149011612]}}}\n',
    ),
    ({"data": {"ndarray": np.arange(6).reshape(2, 3).T}}, b'{"data":{"ndarray":[[0,3],[1,4],[2,5]]}}\n'),
    ({"data": {"ndarray": np.array([True, False])}}, b'{"data":{"ndarray":[true,false]}}\n'),
    ({"data": {"ndarray": np.array(["a", None], object)}}, b'{"data":{"ndarray":["a",null]}}\n'),
    ({"data": {"ndarray": np.array(["é"])}}, b'{"data":{"ndarray":["\\u00e9"]}}\n'),
    ({"jsonData": {"b": np.int64(1), "a": np.float64("inf")}}, b'{"jsonData":{"a":Infinity,"b":1}}\n'),
    ({"jsonData": {2: "b", 1: "a"}}, b'{"jsonData":{"1":"a","2":"b"}}\n'),
    ({"jsonData": date(2020, 1, 2)}, b'{"jsonData":"Thu, 02 Jan 2020 00:00:00 GMT"}\n'),
    ({"jsonData": [datetime.fromisoformat("2020-01-02T03:04")]}, b'{"jsonData":["Thu, 02 Jan 2020 03:04:00 GMT"]}\n'),
    (
        {"jsonData": datetime(2020, 1, 2, 3, tzinfo=timezone(timedelta(hours=2)))},
        b'{"jsonData":"Thu, 02 Jan 2020 01:00:00 GMT"}\n',
    ),
    (
        {"data": {"ndarray": np.array(["2020-01-02"], "M8[D]")}},
        b'{"data":{"ndarray":["Thu, 02 Jan 2020 00:00:00 GMT"]}}\n',
    ),
    ({"jsonData": pd.NaT}, b'{"jsonData":null}\n'),
    ({"jsonData": [Decimal("1.50"), UUID(int=5)]}, b'{"jsonData":["1.50","00000000-0000-0000-0000-000000000005"]}\n'),
    ([1, "a", None], b'[1,"a",null]\n'),
    ("null", b'"null"\n'),
]  # fmt: skip


@pytest.mark.parametrize("with_orjson", [True, False])
@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: repr(message[1]))
def test_written(message: tuple[Any, bytes], with_orjson: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not with_orjson:
        monkeypatch.setattr(jsonbody, "orjson", None)
    assert jsonbody.written(message[0]) == message[1]


def test_what_has_no_json_form() -> None:
    loop: list[Any] = []
    loop.append(loop)
    for odd in ({"jsonData": {"a": object()}}, {"jsonData": {(1, 2): 3}}, loop):
        with pytest.raises(InvalidOutput):
            jsonbody.written(odd)


@pytest.mark.parametrize(
    ("code", "status"), [(409, 409), (200, 200), (-1, 200), (0, 200), (99, 200), (600, 200), ("409", 200)]
)
def test_statuses_that_a_message_may_ask_for(code: Any, status: int) -> None:
    call = Call("1", "seldon", codec.PREDICT, {}, "", "/predict")
    outcome = Outcome(extras={"seldon": {"status": {"code": code}}})
    model = Description("table", "seldon")
    spec = ModelSpec("m", "seldon", "/")
    assert codec.codec.encode(call, None, outcome, spec, model, 0.0).status == status
    assert codec.codec.encode(call._replace(verb="route"), None, outcome, spec, model, 0.0).status == 200


# --- what is where ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/nope", "/", "/predict/", "/seldon/nope", "/seldon/nope/predict", "/explain"])
def test_what_does_not_exist(echo: Running, path: str) -> None:
    assert NOT_FOUND.match(internal(echo.get(path)))
    assert echo.request("HEAD", path).status == 500
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert NOT_ALLOWED.match(internal(echo.request(method, path)))


def test_methods_that_a_path_does_not_have(echo: Running) -> None:
    for path in (PREDICTIONS, "/api/v0.1/feedback"):
        assert NOT_FOUND.match(internal(echo.get(path)))
    for path in (PREDICTIONS, "/predict"):
        assert NOT_ALLOWED.match(internal(echo.request("PUT", path)))
    for path in ("/health/ping", "/health/status", "/metadata", "/seldon.json"):
        assert NOT_ALLOWED.match(internal(echo.post(path)))


def test_other_protocols_keep_their_words(echo: Running) -> None:
    assert echo.get("/v2/models/nope").status == 404
    assert echo.get("/v2/models/nope").json().keys() == {"error"}
    assert echo.post("/v2/health/live").status == 405
    assert echo.get("/public/api/v1/a/b/predict").json()["errorType"] == "NotFound"
    assert "access-control-allow-origin" not in echo.get("/v2/models/nope").headers
    assert echo.get("/healthz/live").json() == {"live": True}
    assert "access-control-allow-origin" not in echo.get("/metrics").headers


def test_other_places_of_the_same_component(echo: Running) -> None:
    for base in ("", "/seldon", "/seldon/EchoModel"):
        assert said(echo.post(base + PREDICTIONS, text("a").encode(), headers=JSON)) == "a"
        assert echo.get(f"{base}/health/ping").body == b"pong"
        assert echo.get(f"{base}/metadata").json()["custom"] == {}


@pytest.mark.parametrize("path", ["/health/ping", "/health/status", "/metadata", "/seldon.json", "/predict?json={}"])
def test_head_is_get_without_a_body(echo: Running, path: str) -> None:
    got, head = echo.get(path), echo.request("HEAD", path)
    assert (head.status, head.body) == (got.status, b"")
    assert head.headers["content-type"] == got.headers["content-type"]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (PREDICTIONS, "HEAD, GET, POST, OPTIONS"),
        ("/predict", "HEAD, GET, POST, OPTIONS"),
        ("/health/ping", "HEAD, GET, OPTIONS"),
        ("/metadata", "HEAD, GET, OPTIONS"),
    ],
)
def test_options(echo: Running, path: str, allowed: str) -> None:
    answer = echo.request("OPTIONS", path, headers={"Origin": "http://a.example"})
    assert (answer.status, answer.body, answer.headers["allow"]) == (200, b"", allowed)
    assert answer.headers["access-control-allow-methods"] == allowed
    assert "content-type" in answer.headers["access-control-allow-headers"]


def test_pages_from_everywhere_may_read_every_answer(echo: Running) -> None:
    origin = {"Origin": "http://a.example"}
    asked = [
        echo.post(PREDICTIONS, text("a").encode(), headers={**JSON, **origin}),
        echo.post(PREDICTIONS, b"", headers=origin),
        echo.get("/health/ping", headers=origin),
        echo.get("/nope", headers=origin),
        echo.request("PUT", "/predict", headers=origin),
    ]
    assert [answer.headers["access-control-allow-origin"] for answer in asked] == ["http://a.example"] * 5
    assert [answer.headers["vary"] for answer in asked] == ["origin"] * 5
    assert "vary" not in echo.get("/health/ping").headers


def test_the_openapi_document(echo: Running) -> None:
    document = echo.get("/seldon.json").json()
    assert document["openapi"] == "3.0.0"
    paths = ["/aggregate", "/predict", "/route", "/send-feedback", "/transform-input", "/transform-output"]
    assert sorted(document["paths"]) == paths
    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(document))) == schemas


def test_keys_and_limits_in_the_platforms_words() -> None:
    with serving(COMPONENTS / "EchoModel.py", "--api-key", "k", "--max-body", "1000") as server:
        refused(server.post("/predict", text("a").encode(), headers=JSON), 401, "MICROSERVICE_BAD_DATA")
        given = {**JSON, "Authorization": "Bearer k"}
        assert said(server.post("/predict", text("a").encode(), headers=given)) == "a"
        refused(server.post("/predict", text("a" * 2000).encode(), headers=given), 413, "MICROSERVICE_BAD_DATA")


def test_a_url_prefix() -> None:
    with serving(COMPONENTS / "EchoModel.py", "--url-prefix", "/x") as server:
        assert said(server.post("/x/predict", text("a").encode(), headers=JSON)) == "a"
        assert NOT_FOUND.match(internal(server.get("/predict")))


def test_several_components() -> None:
    with serving(COMPONENTS / "EchoModel.py", COMPONENTS / "DoubleNamed.py") as server:
        rows = {"data": {"ndarray": [[1, 2]]}}
        for path in ("/predict", "/seldon/predict"):
            choices = "/seldon/EchoModel/predict, /seldon/DoubleNamed/predict"
            info = refused(server.post(path, rows, headers=JSON), 404, "MICROSERVICE_BAD_DATA")
            assert info == f"several models are served here: name the one that is meant ({choices})"
        assert server.post("/seldon/EchoModel/predict", rows, headers=JSON).json()["data"]["ndarray"] == [[1, 2]]
        assert server.post("/seldon/DoubleNamed/predict", rows, headers=JSON).json()["data"]["ndarray"] == [[2, 4]]
        assert server.get("/health/ping").body == b"pong"


def test_a_component_that_does_not_load(tmp_path: Path) -> None:
    (tmp_path / "Broken.py").write_text(
        "class Broken:\n    def __init__(self):\n        raise ValueError('no weights')\n"
    )
    (tmp_path / "modelport.yaml").write_text("contract: seldon\ncomponent: Broken.Broken\n")
    with serving(tmp_path) as server:
        for answer in (
            server.get("/health/ping"),
            server.get("/health/status"),
            server.get("/metadata"),
            server.post("/predict", text("a").encode(), headers=JSON),
        ):
            assert "no weights" in refused(answer, 503, "MICROSERVICE_INTERNAL_ERROR")


# --- models of other platforms ---------------------------------------------------------------------------

ROWS = [[1.5, 2], [3, 4]]
CONVERTS: list[tuple[str, Any, Any]] = [
    ("total", {"data": {"names": ["a", "b"], "ndarray": ROWS}}, {"data": {"names": [], "ndarray": [3.5, 7.0]}}),
    ("sum", {"data": {"ndarray": [["x", 2], ["y", 4]]}}, {"data": {"names": [], "ndarray": [2.0, 4.0]}}),
    ("sum", {"data": {"names": ["a", "b"], "ndarray": [[1.0, None]]}}, {"data": {"names": [], "ndarray": [1.0]}}),
    ("sum", {"data": {"names": ["a"], "ndarray": [1.5, 2.5]}}, {"data": {"names": [], "ndarray": [1.5, 2.5]}}),
    (
        "sum",
        {"data": {"tensor": {"shape": [2, 2], "values": [1.5, 2.5, 3.5, 4.5]}}},
        {"data": {"names": [], "tensor": {"shape": [2], "values": [4.0, 8.0]}}},
    ),
    (
        "sum",
        {"data": {"names": ["a", "b"], "tensor": {"shape": [1, 2], "values": [1, 2]}}},
        {"data": {"names": [], "tensor": {"shape": [1], "values": [3]}}},
    ),
    ("sum", {"jsonData": [{"a": 1.5, "b": "x"}]}, {"data": {"names": [], "tensor": {"shape": [1], "values": [1.5]}}}),
    ("sum", {"strData": "a,b\n1.5,2\n"}, {"data": {"names": [], "tensor": {"shape": [1], "values": [3.5]}}}),
    (
        "classes",
        {"data": {"names": ["a"], "ndarray": [[1], [2]]}},
        {"data": {"names": ["yes", "no"], "ndarray": [[0.75, 0.25], [0.75, 0.25]]}},
    ),
    ("text", {"strData": "é"}, {"strData": "é"}),
    ("text", {"binData": "AAH/"}, {"binData": "AAH/"}),
    ("fn", {"jsonData": {"x": [1, None], "y": "é"}}, {"jsonData": {"x": [1, None], "y": "é"}}),
    ("fn", {"data": {"names": ["a", "b"], "ndarray": [[1, "x"]]}}, {"jsonData": {"a": 1, "b": "x"}}),
]  # fmt: skip


@pytest.mark.parametrize(("model", "asked", "want"), CONVERTS, ids=str)
def test_other_models(others: Running, model: str, asked: Any, want: Any) -> None:
    answer = others.post(f"/seldon/{model}/predict", asked, headers=JSON)
    assert answer.status == 200, answer.body
    got = answer.json()
    if model == "classes":
        order = [got["data"]["names"].index(label) for label in want["data"]["names"]]
        got["data"] = {
            "names": [got["data"]["names"][at] for at in order],
            "ndarray": [[row[at] for at in order] for row in got["data"]["ndarray"]],
        }
    assert got == {**want, "meta": {}}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "none of data, jsonData, strData and binData"),
        ([1], "none of data"),
        ({"data": None}, "data must be an object"),
        ({"data": {}}, "data must have a tensor, or an ndarray"),
        ({"data": {"names": "ab", "ndarray": [[1, 2]]}}, "data.names must be a list of strings"),
        ({"data": {"names": ["a"], "ndarray": [[1, 2]]}}, "1 names, and the rows have 2"),
        ({"data": {"names": ["a", "b"], "ndarray": [1, 2]}}, "there are no rows"),
        ({"data": {"ndarray": [[1], [1, 2]]}}, "lists of different lengths"),
        ({"data": {"ndarray": [1, [2]]}}, "lists beside values"),
        ({"data": {"tensor": {"values": [1]}}}, "must have a shape and values"),
        ({"data": {"tensor": {"values": [1], "shape": [2]}}}, "has 1 values, and shape [2] takes 2"),
        ({"data": {"tensor": {"values": [1], "shape": [-1]}}}, "sizes of 0 or more"),
        ({"data": {"ndarray": [[[1, 2]]]}}, "is not a column"),
        ({"binData": "!"}, "base64"),
        ({"jsonData": 3}, "JSON must be an object"),
    ],
    ids=str,
)
def test_other_models_refuse(others: Running, asked: Any, words: str) -> None:
    assert words in bad_data(others.post("/seldon/sum/predict", asked, headers=JSON))


def test_other_models_are_told_of(others: Running) -> None:
    assert others.get("/seldon/total/health/status").json() == {"meta": {}, "strData": "healthy"}
    assert others.get("/seldon/total/metadata").json() == {
        "custom": {}, "inputs": [], "name": "total", "outputs": [], "platform": "drum", "versions": ["1"],
    }  # fmt: skip
    assert others.get("/seldon/total/health/ping").body == b"pong"


def test_unknown_paths_are_plainly_so_where_another_platform_is_native(others: Running) -> None:
    for path, words in (
        ("/seldon/nope/predict", "model 'nope' not found"),
        ("/seldon/total/route", "there is nothing at /seldon/total/route"),
    ):
        for method in ("GET", "POST"):
            assert refused(others.request(method, path), 404, "MICROSERVICE_BAD_DATA") == words
    answer = others.request("PUT", "/seldon/total/predict")
    assert "PUT is not allowed here" in refused(answer, 405, "MICROSERVICE_BAD_DATA")
    assert others.get("/api/v1.0/predictions").json().keys() == {"message"}


def test_an_example_to_paste(echo: Running) -> None:
    example = next(line for line in echo.said if " try " in line)
    assert example.split("curl -s ")[1].startswith(f"{echo.base}{PREDICTIONS} ")
    assert said(echo.get(f"/predict?json={quote(text('a'))}")) == "a"

"""Requests that cannot be served: each gets its status, and an object that the public client can read."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest

from tests.harness import Answer, Running

BASE = "/public/api/v1/svc"
PREDICT, MULTI, RUN = f"{BASE}/ep/predict", f"{BASE}/ep/predict-multi", f"{BASE}/fn/run"
LIMIT = 1 << 20
"""The body limit of the server under test."""


def check_error(answer: Answer, status: int, kind: str, words: str = "") -> dict[str, Any]:
    """The platform's form of an error, whatever the cause."""
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert {"dss-version", "dss-api-version"} <= set(answer.headers)
    error: dict[str, Any] = answer.json()
    assert set(error) == {"errorType", "message", "detailedMessage"}
    assert error["errorType"] == kind
    assert words in error["message"], error
    assert error["detailedMessage"].startswith(error["message"])
    return error


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"nope", b"{'features': {}}", b'{"features": {}} x', b'{"features": {"a": 01}}', b'{"a": "\n"}',
        b"\xff\xfe", b'{"features": {"a": "\xff"}}', b"\x00", b" ", b'{"features": {"a": 1}', b"\x80\x04N.",
        b"[" * 100_000, b'{"features":' * 50_000, b'{"features": {"a": 1' + b"0" * 5000 + b"}}",
    ],
    ids=lambda body: repr(body[:24]),
)  # fmt: skip
@pytest.mark.parametrize("path", [PREDICT, MULTI, RUN])
def test_broken_json(node: Running, path: str, body: bytes) -> None:
    check_error(node.post(path, body), 400, "InvalidBody", "the body is not valid JSON: ")


@pytest.mark.parametrize(
    ("body", "kind"),
    [("[]", "a list"), ('"a"', "a string"), ("1", "a number"), ("true", "a boolean"), ("null", "null")],
)
@pytest.mark.parametrize("path", [PREDICT, MULTI, RUN])
def test_a_body_that_is_no_object(node: Running, path: str, body: str, kind: str) -> None:
    words = f"the body must be a JSON object, not {kind}"
    check_error(node.post(path, body.encode()), 400, "InvalidBody", words)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({}, "features is missing"),
        ({"feature": {}}, "features is missing"),
        ({"features": None}, "features must be an object, not null"),
        ({"features": []}, "features must be an object, not a list"),
        ({"features": "a"}, "features must be an object, not a string"),
        ({"features": 1}, "features must be an object, not a number"),
        ({"features": {"a": 1}, "dispatch": "v2"}, "dispatch must be an object, not a string"),
    ],
)
def test_features_that_are_none(node: Running, body: dict[str, Any], fault: str) -> None:
    check_error(node.post(PREDICT, body), 400, "InvalidInput", fault)


def test_no_body_at_all(node: Running) -> None:
    check_error(node.post(PREDICT), 400, "InvalidInput", "features is missing")
    check_error(node.post(MULTI), 400, "InvalidInput", "items is missing")


@pytest.mark.parametrize(
    ("items", "fault"), [(None, "items must be a list, not null"), ({}, "items must be a list, not an object")]
)
def test_items_that_are_no_list(node: Running, items: Any, fault: str) -> None:
    check_error(node.post(MULTI, {"items": items}), 400, "InvalidInput", fault)


def test_each_faulty_item_is_listed(node: Running) -> None:
    items = [{"features": {}}, {}, 7, {"features": [1]}, None, {"features": None}, "features", []]
    message = check_error(node.post(MULTI, {"items": items}), 400, "InvalidInput")["message"]
    assert message == (
        "the request has faults: items[1].features is missing; items[2] must be an object, not a number; "
        "items[3].features must be an object, not a list; items[4] must be an object, not null; "
        "items[5].features must be an object, not null; items[6] must be an object, not a string; "
        "items[7] must be an object, not a list"
    )


def test_very_many_faulty_items_are_counted(node: Running) -> None:
    message = check_error(node.post(MULTI, {"items": [{}] * 5000}), 400, "InvalidInput")["message"]
    assert message.endswith("items[19].features is missing; and 4980 more")


@pytest.mark.parametrize("forced", ["v1", "", 2, ["v2"], {"a": 1}, "x" * 5000], ids=lambda value: repr(value)[:20])
def test_generations_that_are_not_there(node: Running, forced: Any) -> None:
    answer = node.post(PREDICT, {"features": {}, "dispatch": {"forcedGeneration": forced}})
    error = check_error(answer, 404, "NotFound", "is not loaded; v2 is")
    assert len(error["message"]) < 300


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", [PREDICT, MULTI, RUN])
def test_another_method(node: Running, path: str, method: str) -> None:
    answer = node.request(method, path)
    check_error(answer, 405, "MethodNotAllowed", f"{method} is not allowed here; POST is")
    assert answer.headers["allow"] == "POST"


def test_another_method_where_get_is_the_one(node: Running) -> None:
    answer = node.post(f"{BASE}/ep/predict-simple", {"features": {}})
    check_error(answer, 405, "MethodNotAllowed")
    assert answer.headers["allow"] == "GET"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/public/api/v1/", "there is no service ''"),
        ("/public/api/v1/nope/ep/predict", "there is no service 'nope'"),
        ("/public/api/v1/SVC/ep/predict", "there is no service 'SVC'"),
        ("/public/api/v1/svc", "service 'svc' has no endpoint ''"),
        ("/public/api/v1/svc/nope/predict", "service 'svc' has no endpoint 'nope'"),
        ("/public/api/v1/svc/kep/predict", "service 'svc' has no endpoint 'kep'"),
        (
            "/public/api/v1/svc/ep",
            "endpoint 'ep' does not answer ''; it answers predict, predict-multi, predict-simple",
        ),
        ("/public/api/v1/svc/ep/predict/", "endpoint 'ep'"),
        ("/public/api/v1/svc/ep/predict/more", "endpoint 'ep'"),
        ("/public/api/v1/svc/ep/forecast", "endpoint 'ep' does not answer 'forecast'"),
        ("/public/api/v1/svc/fn/predict", "endpoint 'fn' does not answer 'predict'; it answers run"),
        ("/dataiku/public/api/v1/svc/nope/run", "service 'svc' has no endpoint 'nope'"),
        ("/elsewhere", "there is nothing at /elsewhere"),
    ],
)
def test_unknown_paths(node: Running, path: str, words: str) -> None:
    check_error(node.post(path, {"features": {}}), 404, "NotFound", words)


def test_long_unknown_names_are_cut(node: Running) -> None:
    error = check_error(node.post(f"/public/api/v1/{'x' * 4000}/ep/predict"), 404, "NotFound")
    assert len(error["message"]) < 200


def test_a_body_over_the_limit(node: Running) -> None:
    over = b'{"features": {"a": "' + b"x" * LIMIT + b'"}}'
    for path in (PREDICT, RUN):
        error = check_error(node.post(path, over), 413, "BodyTooLarge", f"the body is over {LIMIT} bytes")
        assert "--max-body" in error["detailedMessage"]


def test_a_body_at_the_limit(node: Running) -> None:
    start, end = b'{"a": "', b'"}'
    body = start + b"x" * (LIMIT - len(start) - len(end)) + end
    assert len(body) == LIMIT
    assert node.post(RUN, body).json()["response"] == json.loads(body)


def test_bare_numbers_that_are_none_come_in_and_never_go_out(node: Running) -> None:
    answer = node.post(RUN, b'{"a": NaN, "b": [Infinity, -Infinity]}')
    assert answer.status == 200
    assert b"NaN" not in answer.body
    assert b"Infinity" not in answer.body
    assert answer.json()["response"] == {"a": None, "b": [None, None]}


def test_huge_whole_numbers(node: Running) -> None:
    assert node.post(RUN, {"a": 2**64 - 1, "b": -(2**63)}).json()["response"] == {"a": 2**64 - 1, "b": -(2**63)}
    huge = node.post(RUN, b'{"a": ' + b"9" * 4000 + b"}")
    assert huge.status in (200, 400)
    assert node.post(PREDICT, b'{"features": {"a": ' + b"9" * 400 + b"}}").status in (200, 400)


def test_the_last_of_two_equal_keys_counts(node: Running) -> None:
    assert node.post(RUN, b'{"a": 1, "a": 2}').json()["response"] == {"a": 2}
    answer = node.post(PREDICT, b'{"features": {"a": 0}, "features": {"a": 3, "code": "df[\'a\']"}}')
    assert answer.json()["result"]["prediction"] == 3


def test_nesting_that_is_deep_but_bearable(node: Running) -> None:
    body = b'{"a": ' + b"[" * 90 + b"]" * 90 + b"}"
    assert node.post(RUN, body).json()["response"] == json.loads(body)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/octet-stream", ""])
def test_json_is_read_whatever_the_content_type(node: Running, kind: str) -> None:
    answer = node.post(RUN, {"a": 1}, headers={"Content-Type": kind})
    assert answer.json()["response"] == {"a": 1}


def test_a_byte_order_mark_is_no_obstacle(node: Running) -> None:
    assert node.post(RUN, b'\xef\xbb\xbf{"a": 1}').json()["response"] == {"a": 1}


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("GZIP", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress)],
)
def test_compressed_bodies(node: Running, encoding: str, pack: Any) -> None:
    body = pack(b'{"a": "' + b"x" * 1000 + b'"}')
    answer = node.post(RUN, body, headers={"Content-Encoding": encoding})
    assert answer.json()["response"] == {"a": "x" * 1000}


def test_damaged_compressed_bodies(node: Running) -> None:
    good = gzip.compress(b'{"a": 1}')
    wrong_sum = good[:-8] + bytes(byte ^ 1 for byte in good[-8:])
    for body in (b'{"a": 1}', good[:-4], good[:12], wrong_sum, b""):
        check_error(node.post(RUN, body, headers={"Content-Encoding": "gzip"}), 400, "InvalidBody", "gzip")


def test_a_compressed_body_that_unfolds_beyond_the_limit(node: Running) -> None:
    bomb = gzip.compress(b'{"a": "' + b"x" * (100 * LIMIT) + b'"}')
    assert len(bomb) < LIMIT
    answer = node.post(RUN, bomb, headers={"Content-Encoding": "gzip"})
    check_error(answer, 413, "BodyTooLarge", f"the body is over {LIMIT} bytes once decompressed")


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "x" * 5000])
def test_encodings_that_are_unknown(node: Running, encoding: str) -> None:
    error = check_error(
        node.post(RUN, b"{}", headers={"Content-Encoding": encoding}), 400, "UnsupportedType", "is not supported"
    )
    assert "use gzip, deflate or none" in error["detailedMessage"]
    assert len(error["message"]) < 200


@pytest.mark.parametrize("encoding", ["Basic", "Basic !!!", "Basic /w==", "Bearer", "Digest x", "é"])
def test_an_unreadable_key_matters_to_keyed_services_only(node: Running, encoding: str) -> None:
    headers = {"Authorization": encoding}
    assert node.post(RUN, {"a": 1}, headers=headers).status == 200
    answer = node.post("/public/api/v1/keyed/kfn/run", {"a": 1}, headers=headers)
    check_error(answer, 401, "Unauthorized")
    assert "Basic" in answer.headers["www-authenticate"]


def test_the_server_is_well_after_all_this(node: Running) -> None:
    assert node.post(RUN, {"a": 1}).status == 200
    assert node.metric("modelport_worker_restarts_total", endpoint="fn") == 0
    assert node.metric("modelport_worker_restarts_total", endpoint="ep") == 0

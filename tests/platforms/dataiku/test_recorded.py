"""Requests recorded from the public client, sent again byte for byte."""

from __future__ import annotations

import json
import socket
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Running

LINES = (Path(__file__).parent / "transcripts" / "client-requests.jsonl").read_text().splitlines()
VERBS = ("/predict", "/predict-multi", "/run")


def in_scope(entry: dict[str, Any]) -> bool:
    """Requests of the user API for verbs that Python endpoints have."""
    return bool(entry["requests"]) and entry["requests"][0]["path"].endswith(VERBS)


RECORDED = [entry for entry in map(json.loads, LINES) if in_scope(entry)]


def replay(server: Running, request: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
    """Sends the request as it was recorded, but for the address; reads the answer as the client does."""
    lines = [f"{request['method']} {request['path']} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in request["headers"]]
    head = "\r\n".join(lines).replace("HOST:PORT", f"127.0.0.1:{server.port}") + "\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(head.encode("latin-1") + request["body_raw"].encode())
        response = HTTPResponse(connection)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, headers, json.loads(response.read())


def expected_status(request: dict[str, Any]) -> int:
    body = request["body_json"] or {}
    if "my%20ep" in request["path"] or body.get("dispatch", {}).get("forcedGeneration", "v2") != "v2":
        return 404
    return 400 if body.get("explanations", {}).get("enabled") else 200


def test_the_recordings_cover_the_verbs() -> None:
    assert len(RECORDED) >= 20
    assert {entry["requests"][0]["path"].rpartition("/")[2] for entry in RECORDED} == {
        "predict",
        "predict-multi",
        "run",
    }


@pytest.mark.parametrize("entry", RECORDED, ids=lambda entry: f"{entry['seq']}-{entry['call']}"[:60])
def test_a_recorded_request_is_answered_as_the_client_expects(node: Running, entry: dict[str, Any]) -> None:
    for request in entry["requests"]:
        status, headers, body = replay(node, request)
        assert status == expected_status(request), body
        assert headers["content-type"] == "application/json"
        assert {"dss-version", "dss-api-version"} <= set(headers)
        assert isinstance(body, dict)
        if status != 200:
            assert all(isinstance(body[key], str) for key in ("errorType", "message", "detailedMessage"))
        elif request["path"].endswith("/run"):
            assert body["response"] == (request["body_json"] or {})
        elif request["path"].endswith("/predict"):
            assert body["result"] == {"prediction": 1.5, "ignored": False}
        else:
            assert body["results"] == [{"prediction": 1.5, "ignored": False}] * len(request["body_json"]["items"])

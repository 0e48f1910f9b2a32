"""What the logs and metrics never hold: secrets, bodies, and lines that a client made up."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from urllib.parse import quote

import pytest

from modelport.monitoring.logs import clean
from tests.harness import Running, function, serving, until, write_service
from tests.security.conftest import FUNCTIONS, bearer

CANARY = "CANARY7f3a9d"
PATH = "/public/api/v1/svc/fn/run"


def send(server: Running, target: str, *headers: str, body: bytes = b"{}") -> bytes:
    """One request as it is; what comes back."""
    lines = [f"POST {target} HTTP/1.1", "Host: x", "Connection: close", f"Content-Length: {len(body)}", *headers]
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        received = b""
        while chunk := connection.recv(1 << 16):
            received += chunk
    return received


def shown(server: Running, mark: str) -> str:
    """All that the server has said so far, once the request with this id is in its log."""
    until(lambda: any(mark in line for line in server.raw_logs), what="the request in the log")
    return "\n".join([*server.said, *server.raw_logs, server.get("/metrics").body.decode()])


def test_secrets_of_requests_are_in_no_log(guarded: Running) -> None:
    for path in (PATH, "/v2/models/fn/infer", "/nowhere"):
        for header in (
            f"Authorization: Bearer {CANARY}",
            f"Authorization: Basic {CANARY}",
            f"Authorization: {CANARY}",
            f"Proxy-Authorization: Basic {CANARY}",
            f"X-API-Key: {CANARY}",
            f"DataRobot-Key: {CANARY}",
            f"Cookie: a=1; session={CANARY}",
            f"User-Agent: {CANARY}",
            f"Referer: http://user:{CANARY}@host/",
            f"X-Forwarded-For: {CANARY}",
            f"X-Request-Id: {CANARY} {CANARY}",
        ):
            send(guarded, path, header)
        send(guarded, f"{path}?apiKey={CANARY}&api_key={CANARY}&token={CANARY}")
        send(guarded, f"http://user:{CANARY}@host{path}")
        send(guarded, path, body=json.dumps({"password": CANARY, CANARY: 1}).encode())
    for broken in (f"{CANARY} / HTTP/9.9\r\n\r\n", f"GET / HTTP/1.1\r\n{CANARY}\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", guarded.port), timeout=20) as connection:
            connection.sendall(broken.encode())
            connection.recv(1 << 16)
    send(guarded, PATH, "X-Request-Id: last-of-the-secrets")
    assert CANARY not in shown(guarded, "last-of-the-secrets")


def test_bodies_and_answers_are_in_no_log(guarded: Running) -> None:
    key = bearer()["Authorization"]
    for body in (f'{{"a": "{CANARY}"}}', f'{{"a": "{CANARY}', f'["{CANARY}"]'):
        received = send(guarded, PATH, f"Authorization: {key}", body=body.encode())
        assert received.startswith(b"HTTP/1.1 ")
    send(guarded, PATH, "X-Request-Id: last-of-the-bodies")
    assert CANARY not in shown(guarded, "last-of-the-bodies")


def test_what_a_model_says_of_a_request_is_redacted(guarded: Running) -> None:
    lines = [
        f"Authorization: Basic {CANARY}==",
        f"{{'authorization': 'Bearer {CANARY}', 'x-api-key': '{CANARY}'}}",
        f"[('cookie', 'a=1; b={CANARY}'), (b'authorization', b'Basic {CANARY}')]",
        f"Cookie: theme=dark; session={CANARY}",
        f"calling http://user:{CANARY}@host/path?apiKey={CANARY}&token={CANARY}",
        f'{{"password": "{CANARY} {CANARY}", "api_key":"{CANARY}"}}',
        f"sent Bearer {CANARY}",
        "harmless words",
    ]
    answer = guarded.post(
        "/public/api/v1/svc/say/run", {"lines": lines}, headers={**bearer(), "X-Request-Id": "said-by-a-model"}
    )
    assert answer.status == 500
    text = shown(guarded, "said-by-a-model")
    assert CANARY not in text
    said = [line["message"] for line in guarded.logs if line.get("model") == "say"]
    until(lambda: [line.get("message") for line in guarded.logs].count("harmless words") >= 3, what="all three streams")
    assert any("http://***@host/path?apiKey=***&token=***" in line for line in said)


FORGERIES = [
    "%0d%0a{\"level\": \"error\", \"message\": \"FORGED\"}",
    "%0a12:00:00%20I%20FORGED",
    "%1b[31mFORGED%1b[0m",
    "%c2%9b31mFORGED",
    "%e2%80%a8FORGED%e2%80%a9",
    "%e2%80%aeFORGED",
    "%00FORGED%08%08",
    "%0b%0cFORGED%7f",
    "%c2%85FORGED",
]  # fmt: skip
UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]")


def forge(server: Running) -> None:
    for forgery in FORGERIES:
        send(server, f"/public/api/v1/{quote(forgery, safe='%')}/x/run")
        send(server, f"/{quote(forgery, safe='%')}")
    for header in ("X-Request-Id: a\x1b[31mFORGED", "X-Request-Id: " + "FORGED " * 30, "User-Agent: \x1b]0;FORGED\x07"):
        send(server, PATH, header)
    send(server, PATH, "X-Request-Id: last-of-the-forgeries")


def test_a_client_cannot_write_lines_of_its_own_as_json(guarded: Running) -> None:
    forge(guarded)
    shown(guarded, "last-of-the-forgeries")
    for line in guarded.raw_logs:
        assert not UNWANTED.search(line), repr(line)
        entry = json.loads(line)
        assert entry["message"] != "FORGED"
        assert "FORGED" not in entry.get("request", "")
        assert all(not isinstance(value, str) or not UNWANTED.search(value) for value in entry.values()), entry


def test_a_client_cannot_write_lines_of_its_own_for_people(tmp_path: Path) -> None:
    folder = write_service(tmp_path / "svc", function(function="echo"), code={"functions.py": FUNCTIONS})
    with serving(folder, "--log-format", "human") as server:
        forge(server)
        shown(server, "last-of-the-forgeries")
        entries = [line for line in server.raw_logs if re.match(r"\d\d:\d\d:\d\d [DIWE] ", line)]
        assert len(entries) > len(FORGERIES)
        assert not any(re.match(r"\S+ I FORGED", line) for line in server.raw_logs)
        for line in server.raw_logs:
            assert not UNWANTED.search(line), repr(line)
            assert line in entries or line.startswith(("    ", "warning: ")), line


def test_a_long_path_is_cut(guarded: Running) -> None:
    send(guarded, f"/{'p' * 4000}", "X-Request-Id: a-long-path")
    shown(guarded, "a-long-path")
    (line,) = [line for line in guarded.logs if line.get("request") == "a-long-path"]
    assert len(line["message"]) < 300


def test_a_request_id_that_is_plain_is_kept(guarded: Running) -> None:
    answer = guarded.post(PATH, {}, headers={**bearer(), "X-Request-Id": "order-9.a:b_c"})
    assert answer.headers["x-request-id"] == "order-9.a:b_c"
    for given in ("a b", "", "x" * 129, "-a", "é", "a\tb", "<script>"):
        told = guarded.post(PATH, {}, headers={**bearer(), "X-Request-Id": given}).headers["x-request-id"]
        assert re.fullmatch(r"[0-9a-f]+-[0-9a-f]+", told), (given, told)


@pytest.mark.parametrize(
    "line",
    [
        "worker 7 of m ended: exit 1", "POST /public/api/v1/s/e/predict 200 0.7 ms", "basic authentication is on",
        "columns: key, value", "token", "secrets of the sea", "the cookie jar", "http://host/path", "a@b.c: x",
        "KeyError: 'a'",
    ],
)  # fmt: skip
def test_ordinary_words_stay(line: str) -> None:
    assert clean(line) == line

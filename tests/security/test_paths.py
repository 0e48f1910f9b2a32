"""Tricks with the names in paths: none of them finds anything, and none of them breaks anything."""

from __future__ import annotations

import socket

import pytest

from tests.harness import Running

TRICKS = [
    "..", ".", "../", "../../etc/passwd", "..%2f", "..%2f..%2f..%2fetc%2fpasswd", "%2e%2e%2f", "%2e%2e/%2e%2e/etc",
    "%252e%252e%252f", "%252e", "..%5c", "..%5c..%5c", "%00", "ep%00", "ep%00.txt", "%00ep", "x" * 300, "x" * 7000,
    "%c0%ae%c0%ae%c0%af", "%e2%81%84", "%ef%bc%8f", "..%ef%bc%8f", "%e2%88%95", "%ff%fe", "%", "%2", "%zz", "%u002e",
    "CON", "nul", "ep%20", "%20ep", "ep%09", "ep%0d%0aX-Evil:1", "ep;x", "ep%3fx", "*", "~", "$(id)", "`id`", "{{7*7}}",
    "%7b%7b7*7%7d%7d", "__init__", "__class__", "0", "-1", "true", "null", "%f0%9f%92%a9",
]  # fmt: skip
SHAPES = [
    "/public/api/v1/{}/ep/predict",
    "/public/api/v1/svc/{}/predict",
    "/public/api/v1/svc/ep/{}",
    "/v2/models/{}/infer",
    "/v2/models/{}",
    "/v2/models/ep/versions/{}/infer",
    "/dataiku/public/api/v1/svc/{}/predict",
    "/{}",
    "/metrics/{}",
    "/healthz/{}",
]


def raw(server: Running, target: str, method: str = "POST") -> tuple[int, bytes]:
    """One request whose target goes out as it is; the status and everything received."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(f"{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}".encode("latin-1"))
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(1 << 16):
            received += chunk
    return int(received.split(b" ", 2)[1]), received


@pytest.mark.parametrize("shape", SHAPES)
def test_names_that_are_tricks(plain: Running, shape: str) -> None:
    for trick in TRICKS:
        for method in ("POST", "GET"):
            status, received = raw(plain, shape.format(trick), method)
            assert status in (400, 404, 405, 414), (trick, received[:300])
            assert b"root:" not in received
            assert b"\nX-Evil" not in received
            assert b"Traceback" not in received


@pytest.mark.parametrize(
    "target",
    ["*", "http://127.0.0.1/etc/passwd", "//evil.example/public/api/v1/svc/ep/predict", "svc/ep/predict", "?", "#"],
)
def test_targets_that_are_no_paths(plain: Running, target: str) -> None:
    status, _ = raw(plain, target)
    assert 400 <= status < 500


def test_a_host_in_the_target_changes_no_route(plain: Running) -> None:
    """The absolute form is legal HTTP; whatever host it names, the route is the path's."""
    status, received = raw(plain, "http://evil.example/public/api/v1/svc/nope/predict")
    assert status == 404, received


def test_the_server_is_well_after_all_this(plain: Running) -> None:
    assert plain.post("/public/api/v1/svc/fn/run", {"a": 1}).json()["response"] == {"a": 1}
    assert all(line["level"] != "error" for line in plain.logs)

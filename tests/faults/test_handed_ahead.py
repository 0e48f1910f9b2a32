"""A call that a quick worker is handed ahead of time is still a waiting one until it begins."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.tools import FN, Gated, head, later, not_run, send_only, waiting
from tests.harness import Running, serving, until


@pytest.fixture
def held(tmp_path: Path) -> Iterator[tuple[Gated, Running]]:
    """One worker that was quick and now runs a call that does not end; what comes next is handed to it ahead."""
    gated = Gated(tmp_path, floor=1, cruise=1, ceil=1, timeout=1500)
    gated.open("quick")
    with serving(gated.folder) as server:
        for _ in range(30):
            assert server.post(FN, {"id": "quick"}).status == 200
        later(lambda: server.post(FN, {"id": "held"}, timeout=60))
        until(lambda: "held" in gated.began())
        yield gated, server


def reached(gated: Gated) -> list[str]:
    return [name for name in gated.began() if name != "quick"]


def test_it_waits_no_longer_than_allowed_and_then_never_reaches_the_model(held: tuple[Gated, Running]) -> None:
    gated, server = held
    begin = time.monotonic()
    late = server.post(FN, {"id": "late"})
    assert (late.status, late.json()["errorType"]) == (503, "QueueTimeout")
    assert time.monotonic() - begin < 10
    gated.open()
    assert server.post(FN, {"id": "after"}).status == 200
    assert reached(gated) == ["held", "after"]


def test_whose_client_leaves_it_never_reaches_the_model(held: tuple[Gated, Running]) -> None:
    gated, server = held
    gone = send_only(server, FN, {"id": "gone"})
    until(lambda: waiting(server) == 1)
    gone.close()
    until(lambda: not_run(server, "cancelled") == 1)
    gated.open()
    assert server.post(FN, {"id": "after"}).status == 200
    assert reached(gated) == ["held", "after"]


def test_a_full_queue_refuses_a_large_body_before_it_is_sent(tmp_path: Path) -> None:
    gated = Gated(tmp_path, floor=1, cruise=1, ceil=1, queue=1)
    with serving(gated.folder) as server:
        gated.ask(server, "a")
        gated.ask(server, "b")
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as upload:
            upload.sendall(head(FN, 8 << 20))
            answer = upload.recv(65536)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["errorType"] == "QueueFull"

"""Clients that are slow on purpose or by nature hold neither a worker nor the patience of the others."""

from __future__ import annotations

import contextlib
import socket
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults.tools import ECHO, FN, busy, head, idle, later
from tests.harness import Running, function, serving, until, write_service

LARGE = "def run(size=0):\n    return 'x' * size\n"


_opened: list[socket.socket] = []


@pytest.fixture(autouse=True)
def close_connections() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close()


def connect(server: Running) -> socket.socket:
    _opened.append(socket.create_connection(("127.0.0.1", server.port), timeout=30))
    return _opened[-1]


def answer_so_far(connection: socket.socket) -> bytes | None:
    """What has arrived, None as long as there is nothing."""
    connection.setblocking(False)
    try:
        return connection.recv(65536)
    except BlockingIOError:
        return None
    except ConnectionResetError:
        return b""


def trickle(connection: socket.socket) -> bool:
    """Sends one more byte; whether the server has answered or hung up instead."""
    with contextlib.suppress(OSError):
        connection.send(b"x")
    return answer_so_far(connection) is not None


def typical(server: Running) -> float:
    times = []
    for number in range(40):
        begin = time.monotonic()
        assert server.post(FN, {"a": number}).json()["response"] == {"a": number}
        times.append(time.monotonic() - begin)
    return statistics.median(times)


def test_two_hundred_slow_heads_are_refused_and_bother_nobody(tmp_path: Path) -> None:
    folder = write_service(tmp_path / "service", function(), code={"functions.py": ECHO})
    with serving(folder, "--head-timeout", 3) as server:
        slow = [connect(server) for _ in range(200)]
        for connection in slow:
            connection.sendall(b"POST /public/api/v1/svc/fn/run HTTP/1.1\r\nX: ")
        assert typical(server) < 0.1
        first = slow.pop()
        until(lambda: answer_so_far(first) is not None, what="the first refusal")
        refused = 0
        for connection in slow:
            connection.setblocking(True)
            data = connection.recv(65536)
            assert data.startswith(b"HTTP/1.1 408 "), data
            assert b"connection: close" in data
            assert b'{"error":"the request did not arrive within 3 s"}' in data
            assert connection.recv(1) == b""
            refused += 1
            connection.close()
        assert refused == 199
        first.close()
        assert server.post(FN).status == 200


def test_a_head_that_trickles_in_is_cut_off_all_the_same(tmp_path: Path) -> None:
    folder = write_service(tmp_path / "service", function(), code={"functions.py": ECHO})
    with serving(folder, "--head-timeout", 0.5) as server:
        fresh = connect(server)
        fresh.sendall(b"GET /healthz/live HTTP/1.1\r\nX: ")
        until(lambda: trickle(fresh))
        silent = connect(server)
        assert silent.recv(100).startswith(b"HTTP/1.1 408 ")
        kept = connect(server)
        kept.sendall(b"GET /healthz/live HTTP/1.1\r\nHost: a\r\n\r\n")
        assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")
        kept.sendall(b"GET /healthz/live HTTP/1.1\r\nX: ")
        until(lambda: trickle(kept))


def test_a_slow_body_is_cut_off_and_never_holds_a_worker(tmp_path: Path) -> None:
    pool = {"floor": 1, "ceil": 1, "cruise": 1}
    folder = write_service(tmp_path / "service", function(pool=pool), code={"functions.py": ECHO})
    with serving(folder, "--body-timeout", 2) as server:
        slow = connect(server)
        slow.sendall(head(FN, 100_000) + b'{"a": "')
        assert typical(server) < 0.1
        assert busy(server) == 0
        data = until(lambda: None if not trickle_into(slow) else slow_answer(slow), what="the refusal")
        assert data.startswith(b"HTTP/1.1 408 "), data
        assert b"the request body arrives too slowly" in data
        slow.close()
        assert server.post(FN, {"a": 1}).status == 200


def trickle_into(connection: socket.socket) -> bool:
    """Sends one more byte; whether an answer can be read."""
    with contextlib.suppress(OSError):
        connection.send(b"x")
    connection.setblocking(False)
    with contextlib.suppress(BlockingIOError, ConnectionResetError):
        return bool(connection.recv(1, socket.MSG_PEEK))
    return False


def slow_answer(connection: socket.socket) -> bytes:
    connection.setblocking(True)
    return connection.recv(65536)


def test_a_body_that_is_slow_but_steady_enough_is_served(tmp_path: Path) -> None:
    folder = write_service(tmp_path / "service", function(), code={"functions.py": ECHO})
    with serving(folder, "--body-timeout", 0.5) as server:
        body = b'{"a": "' + b"x" * 20_000 + b'"}'
        slow = connect(server)
        slow.sendall(head(FN, len(body)))
        begin = time.monotonic()
        sent = 0

        def feed() -> bool:
            nonlocal sent
            due = min(len(body), int((time.monotonic() - begin) * 10_000))
            if due > sent:
                slow.sendall(body[sent:due])
                sent = due
            return sent == len(body)

        until(feed)
        assert time.monotonic() - begin > 1
        assert slow.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_who_does_not_read_a_large_answer_holds_neither_worker_nor_memory(tmp_path: Path) -> None:
    pool = {"floor": 1, "ceil": 1, "cruise": 1}
    folder = write_service(tmp_path / "service", function(pool=pool), code={"functions.py": LARGE})
    size = 60 << 20
    with serving(folder) as server:
        front = psutil.Process(server.pid)
        assert server.post(FN, {"size": 2 << 20}).status == 200
        before = front.memory_info().rss
        body = b'{"size": %d}' % size
        readers = [connect(server) for _ in range(3)]
        for reader in readers:
            reader.sendall(head(FN, len(body)) + body)
        until(lambda: server.metric("modelport_run_seconds_count", endpoint="fn") == 4, 60)
        until(lambda: idle(server) == 1)
        quick = later(lambda: server.post(FN, {"size": 1}))
        assert quick.result(20).json()["response"] == "x"
        assert front.memory_info().rss - before < 40 << 20
        for reader in readers:
            got = 0
            while got < size:
                data = reader.recv(1 << 20)
                assert data
                got += len(data)
            reader.close()

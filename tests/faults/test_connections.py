"""Connections end, whatever their clients do, and no request costs another its answer."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults.tools import FN, Gated, later
from tests.harness import Running, function, serving, until, write_service


@pytest.fixture
def short(tmp_path: Path) -> Iterator[tuple[Gated, Running]]:
    gated = Gated(tmp_path, floor=1, cruise=1, ceil=1)
    with serving(gated.folder, "--keep-alive", 1, "--head-timeout", 1, "--body-timeout", 1) as server:
        yield gated, server


def connect(server: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


@pytest.mark.parametrize("rest", [b"x", b"x" * 5], ids=["unfinished", "finished"])
def test_bytes_after_an_early_answer_keep_no_connection_open(short: tuple[Gated, Running], rest: bytes) -> None:
    _, server = short
    with connect(server) as connection:
        connection.sendall(b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 404 ")
        connection.sendall(rest)
        assert connection.recv(65536) == b""


def test_trailers_cost_the_front_no_memory(short: tuple[Gated, Running]) -> None:
    _, server = short
    process = psutil.Process(server.pid)
    before = process.memory_info().rss
    with connect(server) as connection:
        try:
            connection.sendall(b"POST /nowhere HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
            for number in range(40_000):
                connection.sendall(b"x-%d: %b\r\n" % (number, b"y" * 900))
        except OSError:
            pass
        else:
            pytest.fail("36 MB of trailers were taken")
    assert process.memory_info().rss - before < 16 << 20


@pytest.mark.parametrize("second", [b"GET /healthz/live HTTP/1.1\r\nX: ", b"this is not HTTP\r\n\r\n"])
def test_a_bad_pipelined_request_leaves_the_answer_before_it(short: tuple[Gated, Running], second: bytes) -> None:
    gated, server = short
    with connect(server) as connection:
        body = b'{"id": "a"}'
        connection.sendall(
            b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (FN.encode(), len(body), body)
        )
        until(lambda: gated.began() == ["a"])
        connection.sendall(second)
        connection.settimeout(2.5)
        with pytest.raises(TimeoutError):
            connection.recv(65536)
        connection.settimeout(20)
        gated.open()
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_a_model_that_fails_to_load_beside_a_running_thread_is_told(tmp_path: Path) -> None:
    code = "import threading\nthreading.Thread(target=threading.Event().wait).start()\nraise ValueError('no')\n"
    folder = write_service(tmp_path / "service", function(), code={"functions.py": code})
    with serving(folder) as server:
        answer = later(lambda: server.post(FN, {})).result(20)
        assert answer.status == 503
        assert "ValueError" in answer.json()["message"]

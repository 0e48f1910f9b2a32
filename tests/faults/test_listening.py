"""The listening socket: ports that are taken, and more connections than there are descriptors."""

from __future__ import annotations

import resource
import socket
from pathlib import Path

import psutil

from tests.faults.tools import ECHO, FN, idle
from tests.harness import function, launch, serving, until, write_service


def test_a_port_in_use_is_named_and_no_worker_is_started(tmp_path: Path) -> None:
    source = "open('loaded', 'w').close()\n\n\ndef run(): ...\n"
    folder = write_service(tmp_path / "service", function(), code={"functions.py": source})
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = launch(folder, "--port", port)
        try:
            assert server.process.wait(30) == 2
            until(lambda: any("hint" in line for line in server.raw_logs))
            told = "\n".join(server.raw_logs)
            assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in told
            assert "--port" in told
            assert "Traceback" not in told
            assert not (folder / "loaded").exists()
        finally:
            server.kill()


def few_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


def test_more_connections_than_descriptors_are_turned_away_and_it_recovers(tmp_path: Path) -> None:
    pool = {"floor": 1, "ceil": 1, "cruise": 1}
    folder = write_service(tmp_path / "service", function(pool=pool), code={"functions.py": ECHO})
    with serving(folder, preexec=few_descriptors) as server:
        front = psutil.Process(server.pid)
        address = ("127.0.0.1", server.port)
        kept = socket.create_connection(address, timeout=30)
        kept.sendall(b"GET /healthz/live HTTP/1.1\r\nHost: a\r\n\r\n")
        assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")
        crowd = [socket.create_connection(address, timeout=30) for _ in range(150)]
        turned_away = 0
        for connection in crowd[20:]:
            try:
                data = connection.recv(65536)
            except ConnectionResetError:
                data = b""
            assert data == b"" or data.startswith(b"HTTP/1.1 503 "), data
            turned_away += 1
        assert turned_away == 130
        kept.sendall(b"GET /healthz/live HTTP/1.1\r\nHost: a\r\n\r\n")
        assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")
        calm = front.cpu_times().user + front.cpu_times().system
        assert front.cpu_percent(interval=1) < 50  # no busy loop around accept
        assert front.cpu_times().user + front.cpu_times().system - calm < 0.5
        assert server.process.poll() is None
        assert len(server.raw_logs) < 60, server.raw_logs
        for connection in crowd:
            connection.close()

        def served() -> bool:
            try:
                return server.post(FN, {"a": 1}).status == 200
            except OSError:
                return False

        until(served, what="the server to take connections again")
        assert idle(server) == 1
        kept.close()


def test_connections_over_a_set_limit_get_an_answer_that_says_so(tmp_path: Path) -> None:
    folder = write_service(tmp_path / "service", function(), code={"functions.py": ECHO})
    with serving(folder, "--max-connections", 4) as server:
        address = ("127.0.0.1", server.port)
        kept = []
        for _ in range(4):
            connection = socket.create_connection(address, timeout=30)
            connection.sendall(b"GET /healthz/live HTTP/1.1\r\nHost: a\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
            kept.append(connection)
        with socket.create_connection(address, timeout=30) as fifth:
            data = fifth.recv(65536)
            assert data.startswith(b"HTTP/1.1 503 ")
            assert b"too many connections" in data
        kept.pop().close()
        until(lambda: server.post(FN).status == 200)
        for connection in kept:
            connection.close()

"""Clients that go away: what waits is forgotten, what runs keeps its worker until it ends, nothing piles up."""

from __future__ import annotations

import socket
from pathlib import Path

import psutil

from tests.faults.tools import ECHO, FN, Gated, busy, head, idle, in_hand, not_run, send_only, waiting
from tests.harness import function, serving, until, write_service


def test_who_leaves_the_queue_never_reaches_the_model(tmp_path: Path) -> None:
    gated = Gated(tmp_path, floor=1, ceil=1, cruise=1)
    with serving(gated.folder) as server:
        first = gated.ask(server, "a")
        until(lambda: gated.began() == ["a"])
        leaving = [send_only(server, FN, {"id": name}) for name in "bcd"]
        until(lambda: waiting(server) == 3)
        staying = gated.ask(server, "e")
        for connection in leaving:
            connection.close()
        until(lambda: waiting(server) == 1)
        assert not_run(server, "cancelled") == 3
        gated.open()
        assert first.result(30).status == 200
        assert staying.result(30).status == 200
        assert gated.began() == ["a", "e"]


def test_who_leaves_while_it_runs_frees_the_worker_at_the_end_and_nobody_gets_the_answer(tmp_path: Path) -> None:
    gated = Gated(tmp_path, floor=1, ceil=1, cruise=1)
    with serving(gated.folder) as server:
        connection = send_only(server, FN, {"id": "a"})
        until(lambda: gated.began() == ["a"])
        worker = gated.pid("a")
        connection.close()
        until(lambda: not_run(server, "cancelled") == 1)
        assert busy(server) == 1
        answer = gated.ask(server, "b")
        assert waiting(server) == 1  # a worker runs one request at a time, wanted or not
        gated.open("a")
        until(lambda: gated.began() == ["a", "b"])
        gated.open()
        assert answer.result(30).json()["response"] == {"id": "b", "pid": worker}
        until(lambda: idle(server) == 1)
        assert server.metric("modelport_requests_total", endpoint="fn", code="499") == 1


def test_many_disconnects_leave_nothing_behind(tmp_path: Path) -> None:
    pool = {"floor": 1, "ceil": 1, "cruise": 1, "queue": 64}
    folder = write_service(tmp_path / "service", function(pool=pool), code={"functions.py": ECHO})
    with serving(folder) as server:
        front = psutil.Process(server.pid)
        server.post(FN)
        server.metric("modelport_ready")
        before = front.num_fds()
        for _ in range(10):
            for connection in [send_only(server, FN, {"a": 1}) for _ in range(50)]:
                connection.close()
        until(lambda: in_hand(server) == 0)
        until(lambda: front.num_fds() <= before, what="the descriptors to be closed")
        assert server.post(FN, {"a": 2}).json()["response"] == {"a": 2}


def test_uploads_that_are_cut_off_leave_nothing_behind(tmp_path: Path) -> None:
    folder = write_service(tmp_path / "service", function(), code={"functions.py": ECHO})
    with serving(folder) as server:
        front = psutil.Process(server.pid)
        server.post(FN)
        server.metric("modelport_ready")
        before = front.num_fds()
        half = b"x" * (2 << 20)
        uploads = [socket.create_connection(("127.0.0.1", server.port), timeout=30) for _ in range(10)]
        for upload in uploads:
            upload.sendall(head(FN, 2 * len(half)) + half)
        until(lambda: front.num_fds() >= before + 18, what="the uploads to be kept in files")
        assert busy(server) == 0
        for upload in uploads:
            upload.close()
        until(lambda: front.num_fds() <= before, what="the descriptors to be closed")
        assert server.metric("modelport_requests_total", endpoint="fn", code="499") == 10
        assert server.post(FN, {"a": 2}).json()["response"] == {"a": 2}

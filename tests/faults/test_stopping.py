"""Stopping: what was accepted is answered, what hangs is ended in time, and nothing stays behind."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import psutil

from tests.faults.tools import ECHO, FN, Gated, Load, free_port, idle, later, until_live
from tests.harness import Running, function, launch, serving, until, write_service

WORKS = "import time\n\n\ndef run():\n    time.sleep(0.002)\n    return 1\n"


def family(server: Running) -> list[psutil.Process]:
    return psutil.Process(server.pid).children(recursive=True)


def ended(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def test_stopping_under_load_fails_no_accepted_request(tmp_path: Path) -> None:
    pool = {"floor": 2, "ceil": 2, "cruise": 2}
    folder = write_service(tmp_path / "service", function(pool=pool), code={"functions.py": WORKS})
    with serving(folder, "--linger", 2) as server:  # a client that gets no processor for long still learns of it
        until(lambda: idle(server) == 2)
        workers = family(server)
        with Load(server, clients=4, keep_alive=True) as kept, Load(server, clients=4) as fresh:
            kept.answered(50)
            fresh.answered(50)
            assert server.stop() == 0
            kept.finish()
            fresh.finish()
        assert kept.failed == {}
        assert fresh.failed == {}
        assert kept.codes["refused"] == fresh.codes["refused"] == 4
        assert ended(workers)


def test_stopping_answers_what_runs_and_what_waits_and_says_not_ready(tmp_path: Path) -> None:
    gated = Gated(tmp_path, floor=1, ceil=1, cruise=1)
    with serving(gated.folder, "--linger", 3) as server:
        answers = [gated.ask(server, name) for name in "abc"]
        until(lambda: gated.began() == ["a"])
        workers = family(server)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: server.get("/healthz/ready").status == 503)
        ready = server.get("/healthz/ready")
        assert ready.json()["draining"] is True
        assert ready.headers["connection"] == "close"
        assert server.get("/healthz/live").status == 200
        answers.append(gated.ask(server, "d"))  # it still listens, for whoever has not noticed yet
        until(lambda: is_refused(server.port), what="the port to be closed")
        assert server.process.poll() is None
        gated.open()
        for name, answer in zip("abcd", answers, strict=True):
            assert answer.result(30).status == 200
            assert answer.result(30).json()["response"]["id"] == name
        assert server.process.wait(30) == 0
        assert ended(workers)


def is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_what_hangs_does_not_hold_up_the_stop_beyond_the_grace(tmp_path: Path) -> None:
    gated = Gated(tmp_path, floor=1, ceil=1, cruise=1)
    with serving(gated.folder, "--grace", 6, "--linger", 0) as server:
        answer = gated.ask(server, "a")
        until(lambda: gated.began() == ["a"])
        workers = family(server)
        begin = time.monotonic()
        server.stop()
        assert 5 < time.monotonic() - begin < 11
        assert ended(workers)
        assert answer.result(30).status == 502
        assert answer.result().json()["errorType"] == "WorkerDied"
        assert not any("Traceback" in line for line in server.raw_logs)


def test_told_twice_it_ends_at_once(tmp_path: Path) -> None:
    gated = Gated(tmp_path, floor=1, ceil=1, cruise=1)
    with serving(gated.folder, "--grace", 600) as server:
        running, queued = gated.ask(server, "a"), gated.ask(server, "b")
        until(lambda: gated.began() == ["a"])
        workers = family(server)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: any("finishing what runs" in line["message"] for line in list(server.logs)))
        assert not running.done()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(15) == 1
        assert ended(workers)
        for answer in (running, queued):
            assert answer.exception(30) is not None or answer.result().status >= 500


def test_told_to_stop_while_a_model_loads_it_does_not_wait_for_it(tmp_path: Path) -> None:
    source = "import time\n\nopen('loading', 'w').close()\ntime.sleep(3600)\n\n\ndef run(): ...\n"
    pool = {"floor": 3, "ceil": 3, "cruise": 3}
    folder = write_service(tmp_path / "service", function(pool=pool), code={"functions.py": source})
    port = free_port()
    server = launch(folder, "--port", port)
    try:
        until_live(server, port)
        until((folder / "loading").exists)
        workers = family(server)
        assert server.stop(timeout=20) == 0
        assert ended(workers)
    finally:
        server.kill()


def test_workers_end_with_a_server_that_is_killed_and_its_port_is_free(tmp_path: Path) -> None:
    gated = Gated(tmp_path, floor=2, ceil=2, cruise=2)
    with serving(gated.folder) as server:
        until(lambda: idle(server) == 2)
        call = later(lambda: server.post(FN, {"id": "a"}))
        until(lambda: gated.began() == ["a"])  # one worker busy, one free
        workers = family(server)
        assert len(workers) >= 3
        os.kill(server.pid, signal.SIGKILL)
        until(lambda: ended(workers), what="the workers to end")
        assert call.exception(30) is not None
        server.process.wait(10)
        echo = write_service(tmp_path / "next", function(), code={"functions.py": ECHO})
        with serving(echo, "--port", server.port) as successor:
            assert successor.port == server.port
            assert successor.post(FN, {"a": 1}).status == 200

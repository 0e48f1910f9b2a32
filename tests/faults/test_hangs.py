"""A request may run for ``runTimeout``; then its worker is ended and replaced, and nothing else notices."""

from __future__ import annotations

from pathlib import Path

import psutil

from tests.faults.tools import FN, Load, idle, later, restarts
from tests.harness import Running, function, serving, until, write_service

HANGS = """
    import ctypes
    import os
    import signal
    import subprocess
    import time


    def note(*pids):
        with open("hangs", "a") as file:
            file.write("".join(f"{pid}\\n" for pid in pids))


    def run(how=""):
        if how == "sleep":
            child = subprocess.Popen(["sleep", "3600"])
            note(os.getpid(), child.pid)
            time.sleep(3600)
        if how == "native":  # holds the interpreter's lock, and does not hear SIGTERM
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            note(os.getpid())
            ctypes.PyDLL(None).sleep(3600)
        return os.getpid()
"""


def service(tmp_path: Path, **pool: int) -> Path:
    return write_service(tmp_path / "service", function(pool=pool), code={"functions.py": HANGS})


def noted(folder: Path) -> list[int]:
    file = folder / "hangs"
    return [int(pid) for pid in file.read_text().split()] if file.exists() else []


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def hang(server: Running, folder: Path, how: str, processes: int) -> None:
    """One call that hangs on one of two workers: 504 for it, 200 by the other meanwhile, a replacement after."""
    until(lambda: idle(server) == 2)
    begun = len(noted(folder))
    call = later(lambda: server.post(FN, {"how": how}))
    until(lambda: len(noted(folder)) == begun + processes)
    hung = noted(folder)[begun:]
    assert not call.done()
    siblings = {server.post(FN).json()["response"] for _ in range(5)}
    assert len(siblings) == 1
    assert siblings.isdisjoint(hung)
    answer = call.result(20)
    assert answer.status == 504
    assert answer.json()["errorType"] == "RunTimeout"
    assert server.post(FN).json()["response"] in siblings
    until(lambda: not any(map(is_running, hung)), what="the hanging process and its children to be gone")
    until(lambda: idle(server) == 2, what="the replacement")
    assert siblings <= {worker.pid for worker in server.workers()}


def test_a_hanging_call_is_ended_and_its_sibling_is_left_alone(tmp_path: Path) -> None:
    folder = service(tmp_path, floor=2, ceil=2, cruise=2, runTimeout=1500)
    with serving(folder) as server:
        hang(server, folder, "sleep", processes=2)
        assert restarts(server, "run_timeout") == 1
        assert any("ran over 1500 ms" in line["message"] for line in server.logs)


def test_native_code_that_hangs_with_the_interpreter_locked_is_killed(tmp_path: Path) -> None:
    folder = service(tmp_path, floor=2, ceil=2, cruise=2, runTimeout=1500)
    with serving(folder) as server:
        hang(server, folder, "native", processes=1)
        until(lambda: restarts(server, "run_timeout") == 1)


def test_what_waits_behind_the_only_worker_is_served_by_its_replacement(tmp_path: Path) -> None:
    folder = service(tmp_path, floor=1, ceil=1, cruise=1, runTimeout=500)
    with serving(folder) as server:
        call = later(lambda: server.post(FN, {"how": "sleep"}))
        until(lambda: noted(folder))
        answer = server.post(FN)
        assert answer.status == 200
        assert answer.json()["response"] != noted(folder)[0]
        assert call.result(20).status == 504


def test_calls_within_the_run_timeout_are_left_alone(tmp_path: Path) -> None:
    with serving(service(tmp_path, floor=1, ceil=1, cruise=1, runTimeout=1000)) as server, Load(server) as load:
        until(lambda: server.metric("modelport_requests_total", endpoint="fn", code="200") > 0)
        begin = server.metric("process_cpu_seconds_total")
        until(lambda: server.metric("process_cpu_seconds_total") > begin + 0.5, 60)  # well over one timeout of load
        assert load.failed == {}
        assert restarts(server, "run_timeout") == 0

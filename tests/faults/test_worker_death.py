"""A worker process that ends takes down what it was running, and nothing else."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import psutil

from tests.faults.tools import ECHO, FN, OTHER, Gated, Load, idle, later, restarts
from tests.harness import function, serving, until, write_service

ENDINGS = """
    import ctypes
    import os


    def run(how):
        if how == "exit 0":
            os._exit(0)
        if how == "exit 1":
            os._exit(1)
        if how == "SIGSEGV":
            ctypes.string_at(0)
        if how == "SIGABRT":
            os.abort()
        return how
"""
FORKS = """
    import os
    import subprocess


    def run(die=False):
        child = subprocess.Popen(["sleep", "3600"])
        if not die:
            return child.pid
        with open("child", "w") as file:
            file.write(str(child.pid))
        os.kill(os.getpid(), 9)
"""


def without_core_dumps() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def test_killing_one_of_two_workers_fails_only_the_request_that_it_ran(tmp_path: Path) -> None:
    gated = Gated(tmp_path, floor=2, ceil=2, cruise=2)
    with serving(gated.folder) as server:
        until(lambda: idle(server) == 2)
        running = {name: gated.ask(server, name) for name in "ab"}
        until(lambda: len(gated.began()) == 2)
        queued = {name: gated.ask(server, name) for name in "cdef"}
        os.kill(gated.pid("a"), signal.SIGKILL)
        lost = running.pop("a").result(30)
        assert lost.status == 502
        assert lost.json()["errorType"] == "WorkerDied"
        assert "SIGKILL" in lost.json()["message"]
        gated.open()
        for name, answer in {**running, **queued}.items():
            assert answer.result(30).status == 200
            assert answer.result(30).json()["response"]["id"] == name
        until(lambda: idle(server) == 2, what="the replacement")
        assert restarts(server, "SIGKILL") == 1
        assert gated.pid("a") not in [worker.pid for worker in server.workers()]


def test_load_on_two_workers_loses_one_request_when_one_is_killed(tmp_path: Path) -> None:
    source = "import os\nimport time\n\n\ndef run():\n    time.sleep(0.005)\n    return os.getpid()\n"
    pool = {"floor": 2, "ceil": 2, "cruise": 2}
    folder = write_service(tmp_path / "service", function(pool=pool), code={"functions.py": source})
    with serving(folder) as server:
        until(lambda: idle(server) == 2)
        with Load(server) as load:
            load.answered(100)
            server.workers()[0].kill()
            until(lambda: restarts(server, "SIGKILL") == 1)
            until(lambda: len(server.workers()) == 2)
            load.answered(300)
        assert sum(load.failed.values()) <= 1, load.codes
        assert set(load.failed) <= {502}, load.codes
        until(lambda: idle(server) == 2)


def test_requests_wait_for_the_replacement_of_the_only_worker(tmp_path: Path) -> None:
    gated = Gated(tmp_path, floor=1, ceil=1, cruise=1)
    with serving(gated.folder) as server:
        running = gated.ask(server, "a")
        until(lambda: gated.began() == ["a"])
        queued = [gated.ask(server, name) for name in "bcd"]
        os.kill(gated.pid("a"), signal.SIGKILL)
        assert running.result(30).status == 502
        late = later(lambda: server.post(FN, {"id": "e"}))
        gated.open()
        answers = [answer.result(30) for answer in [*queued, late]]
        assert [answer.status for answer in answers] == [200] * 4
        assert [answer.json()["response"]["id"] for answer in answers] == list("bcde")


def test_a_free_worker_that_is_killed_costs_no_request(tmp_path: Path) -> None:
    folder = write_service(
        tmp_path / "service", function(pool={"floor": 1, "ceil": 1, "cruise": 1}), code={"functions.py": ECHO}
    )
    with serving(folder) as server:
        for round_ in (1, 2):  # one that has served nothing yet, then one that has
            server.workers()[0].kill()
            until(lambda count=round_: restarts(server, "SIGKILL") == count, what="the death to be noticed")
            answer = server.post(FN, {"a": round_})
            assert answer.status == 200, answer.body
            assert answer.json()["response"] == {"a": round_}


def test_each_way_to_end_is_told_by_its_cause(tmp_path: Path) -> None:
    folder = write_service(
        tmp_path / "service",
        function(code="endings.py", pool={"floor": 1, "ceil": 1, "cruise": 1}),
        function("other"),
        code={"endings.py": ENDINGS, "functions.py": ECHO},
    )
    with serving(folder, preexec=without_core_dumps) as server:
        bystander = server.post(OTHER).json()
        for how in ("exit 0", "exit 1", "SIGSEGV", "SIGABRT"):
            lost = server.post(FN, {"how": how})
            assert lost.status == 502, lost.body
            assert lost.json()["errorType"] == "WorkerDied"
            assert how in lost.json()["message"]
            assert server.post(OTHER).json()["response"] == bystander["response"]
            assert server.post(FN, {"how": "well"}).json()["response"] == "well"
            assert restarts(server, how) == 1
            assert any(f"ended ({how})" in line["message"] for line in server.logs), server.raw_logs
        assert server.metric("modelport_requests_total", endpoint="fn", code="502") == 4


def test_what_a_dead_worker_had_started_ends_too(tmp_path: Path) -> None:
    folder = write_service(tmp_path / "service", function(), code={"functions.py": FORKS})
    with serving(folder) as server:
        assert server.post(FN, {"die": True}).status == 502
        child = int((folder / "child").read_text())
        try:
            until(lambda: gone(child), what="the process that the model had started to end")
        finally:
            if not gone(child):
                os.kill(child, signal.SIGKILL)


def gone(pid: int) -> bool:
    """Whether there is no such process, or only what is left of one."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True

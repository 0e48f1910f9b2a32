"""Models that load slowly, badly, or not at all, and what a probe is told meanwhile."""

from __future__ import annotations

import itertools
import json
import os
import time
from pathlib import Path

from tests.faults.tools import (
    ECHO,
    FN,
    OTHER,
    Gated,
    allocated,
    free_port,
    idle,
    later,
    restarts,
    until_live,
    waiting,
)
from tests.harness import function, launch, serving, until, write_service

HERE = "import os\nimport time\n\nHERE = os.path.dirname(os.path.abspath(__file__))\n"
NOTE_START = """
with open(os.path.join(HERE, "starts"), "a") as file:
    file.write(f"{time.monotonic()}\\n")
"""
NEEDS_FILE = HERE + NOTE_START + '\nwith open(os.path.join(HERE, "weights")) as file:\n    WEIGHTS = file.read()\n'
LOADS_SLOWLY = HERE + (
    'open(os.path.join(HERE, "loading"), "w").close()\n'
    'while not os.path.exists(os.path.join(HERE, "go")):\n    time.sleep(0.01)\n'
)


def starts(folder: Path) -> list[float]:
    """When each worker began to load."""
    file = folder / "starts"
    return [float(line) for line in file.read_text().split()] if file.exists() else []


def test_a_model_that_cannot_load_fails_alone_and_its_restarts_end(tmp_path: Path) -> None:
    folder = write_service(
        tmp_path / "service",
        function(code="broken.py"),
        function("other"),
        code={"broken.py": HERE + NOTE_START + "\nimport no_such_module\n", "functions.py": ECHO},
    )
    with serving(folder) as server:
        assert server.post(OTHER, {"a": 1}).json()["response"] == {"a": 1}
        refused = server.post(FN, timeout=5)
        assert refused.status == 503
        assert refused.json()["errorType"] == "ModelUnavailable"
        assert "ModuleNotFoundError: No module named 'no_such_module'" in refused.json()["message"]
        assert "Traceback" not in refused.body.decode()
        assert server.get("/healthz/live").status == 200
        assert server.get("/healthz/startup").status == 200
        ready = server.get("/healthz/ready")
        assert ready.status == 503
        assert list(ready.json()["not_ready"]) == ["fn"]
        assert server.metric("modelport_ready", endpoint="fn") == 0
        assert server.metric("modelport_ready", endpoint="other") == 1

        until(lambda: any("gave up after 5 failed starts" in line["message"] for line in list(server.logs)), 60)
        assert server.get("/healthz/ready").json()["not_ready"]["fn"].startswith("failed: ModuleNotFoundError")
        assert restarts(server, "load_failed") == len(starts(folder)) == 5
        tracebacks = [line["message"] for line in server.logs if "does not load" in line["message"]]
        assert len(tracebacks) == 1
        assert "broken.py" in tracebacks[0]
        assert "import no_such_module" in tracebacks[0]
        assert server.post(OTHER, {"a": 2}).status == 200
        assert server.post(FN, timeout=5).status == 503


def test_a_model_recovers_by_itself_once_what_it_needs_is_there(tmp_path: Path) -> None:
    code = {"needs.py": NEEDS_FILE + "\n\ndef run():\n    return WEIGHTS\n"}
    folder = write_service(tmp_path / "service", function(code="needs.py"), code=code)
    with serving(folder) as server:
        refused = server.post(FN)
        assert refused.status == 503
        assert "FileNotFoundError" in refused.json()["message"]
        (folder / "weights").write_text("heavy")
        until(lambda: server.get("/healthz/ready").status == 200)
        assert server.post(FN).json()["response"] == "heavy"
        assert len(starts(folder)) <= 4


def test_a_model_that_ends_by_itself_after_loading_is_not_restarted_in_a_hurry(tmp_path: Path) -> None:
    source = HERE + NOTE_START + "import threading\n\nthreading.Timer(0.5, os._exit, [3]).start()\n\n" + ECHO
    pool = {"floor": 1, "ceil": 1, "cruise": 1}
    folder = write_service(tmp_path / "service", function(pool=pool), code={"functions.py": source})
    with serving(folder) as server:
        until(lambda: len(starts(folder)) >= 3)
        first, second, third = starts(folder)[:3]
        assert second - first > 1.4
        assert third - second > 2.4
        assert restarts(server, "exit 3") >= 2


def test_a_slow_load_keeps_requests_waiting_and_is_not_taken_for_a_hang(tmp_path: Path) -> None:
    folder = write_service(
        tmp_path / "service",
        function(pool={"floor": 1, "ceil": 1, "cruise": 1, "queue": 2, "timeout": 60_000, "runTimeout": 200}),
        function("other", code="slow.py", pool={"timeout": 300}),
        code={"functions.py": LOADS_SLOWLY + ECHO, "slow.py": LOADS_SLOWLY + ECHO},
    )
    port = free_port()
    server = launch(folder, "--port", port)
    try:
        until_live(server, port)
        until((folder / "loading").exists)
        assert server.get("/healthz/startup").status == 503
        ready = server.get("/healthz/ready")
        assert ready.status == 503
        assert ready.json()["not_ready"]["fn"] == "starting: its first worker is still loading"
        waits = later(lambda: server.post(FN, {"a": 1}, timeout=60))
        until(lambda: waiting(server) == 1)
        late = server.post(OTHER)  # longer than the run timeout of "fn", too
        assert late.status == 503
        assert late.json()["errorType"] == "QueueTimeout"
        assert not waits.done()
        assert server.said == []
        (folder / "go").touch()
        assert waits.result(30).json()["response"] == {"a": 1}
        until(lambda: server.get("/healthz/ready").status == 200)
        assert server.get("/healthz/startup").status == 200
        until(lambda: server.said)
        assert "modelport_worker_restarts_total{" not in server.get("/metrics").body.decode()
    finally:
        server.kill()


def test_workers_load_one_after_another_on_one_processor(tmp_path: Path) -> None:
    source = """
        import json
        import os
        import time

        begin = time.monotonic()
        time.sleep(0.1)
        with open("loads", "a") as file:
            file.write(json.dumps([begin, time.monotonic()]) + "\\n")


        def run(): ...
    """
    pool = {"floor": 5, "ceil": 5, "cruise": 5}
    folder = write_service(tmp_path / "service", function(pool=pool), code={"functions.py": source})
    processor = min(os.sched_getaffinity(0))
    with serving(folder, preexec=lambda: os.sched_setaffinity(0, {processor})) as server:
        until(lambda: idle(server) == 5)
        loads = sorted(json.loads(line) for line in (folder / "loads").read_text().splitlines())
        assert len(loads) == 5
        for (_, end), (begin, _) in itertools.pairwise(loads):
            assert end <= begin


def test_threads_and_locks_held_at_import_stop_no_worker_from_starting(tmp_path: Path) -> None:
    source = """
        import multiprocessing
        import os
        import sys
        import threading
        import time

        LOCK = threading.Lock()


        def hold():
            while True:
                with LOCK:
                    print("held")
                    time.sleep(0.001)


        for _ in range(4):
            threading.Thread(target=hold, daemon=True).start()
        POOL = multiprocessing.get_context("fork").Pool(1)
        SEEN_AT_START = sorted({"uvicorn", "uvloop", "cyclopts", "pydantic"} & set(sys.modules))


        def run():
            with LOCK:
                return [os.getpid(), SEEN_AT_START, POOL.apply(abs, [-1])]
    """
    pool = {"floor": 3, "ceil": 3, "cruise": 3}
    folder = write_service(tmp_path / "service", function(pool=pool), code={"functions.py": source})
    with serving(folder, "--max-requests", 1) as server:
        pids: set[int] = set()
        deadline = time.monotonic() + 60
        while len(pids) < 20:
            assert time.monotonic() < deadline, "the workers are not replaced"
            answer = server.post(FN)
            assert answer.status == 200, answer.body
            pid, modules, value = answer.json()["response"]
            assert modules == []  # a new interpreter, not a copy of the server
            assert value == 1
            pids.add(pid)
        until(lambda: allocated(server) == idle(server) == 3)


def test_a_model_may_be_loaded_again_while_its_last_call_still_runs(tmp_path: Path) -> None:
    gated = Gated(tmp_path, floor=1, ceil=1, cruise=1)
    with serving(gated.folder, "--repository") as server:
        running = gated.ask(server, "old")
        until(lambda: gated.began() == ["old"])
        unloading = later(lambda: server.post("/v2/repository/models/fn/unload", timeout=60))
        until(lambda: server.get("/v2/models/fn/ready").status != 200)
        assert server.post(FN, {"id": "between"}).status == 503
        assert server.post("/v2/repository/models/fn/load", timeout=60).status == 200
        gated.open("new")
        assert server.post(FN, {"id": "new"}).json()["response"]["pid"] != gated.pid("old")
        assert not unloading.done()
        gated.open()
        assert running.result(30).json()["response"] == {"id": "old", "pid": gated.pid("old")}
        assert unloading.result(30).status == 200
        assert server.get("/v2/models/fn/ready").status == 200
        until(lambda: len(server.workers()) == 2)  # with that of the other endpoint

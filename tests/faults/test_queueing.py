"""How many workers there are, who waits for them, in which order, and for how long."""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

from tests.faults.tools import (
    ECHO,
    FN,
    OTHER,
    Gated,
    allocated,
    busy,
    idle,
    later,
    not_run,
    waiting,
)
from tests.harness import function, launch, serving, until, write_service


def test_a_pool_without_settings_has_the_documented_ones(tmp_path: Path) -> None:
    gated = Gated(tmp_path)
    with serving(gated.folder, "--shrink-after", 0.5) as server:
        assert allocated(server) == 1 == idle(server)
        running = [gated.ask(server, str(number)) for number in range(8)]
        until(lambda: len(gated.began()) == 8)
        begin = time.monotonic()
        queued = [later(lambda: server.post(FN, {"id": "late"}, timeout=60)) for _ in range(16)]
        until(lambda: waiting(server) == 16)
        refused = server.post(FN, {"id": "24"})
        assert refused.status == 503
        assert refused.json()["errorType"] == "QueueFull"
        assert allocated(server) == 8
        late = [answer.result(60) for answer in queued]
        assert time.monotonic() - begin > 9.9
        assert {answer.status for answer in late} == {503}
        assert {answer.json()["errorType"] for answer in late} == {"QueueTimeout"}
        assert {answer.json()["message"] for answer in late} == {"waited 10000 ms for a free worker of fn"}
        gated.open()
        assert {answer.result(60).status for answer in running} == {200}
        until(lambda: allocated(server) <= 2, 30, "the workers beyond cruise to leave")
        assert allocated(server) == 2
        assert sorted(gated.began()) == sorted(map(str, range(8)))


def test_the_pool_grows_with_demand_and_shrinks_to_cruise(tmp_path: Path) -> None:
    gated = Gated(tmp_path, floor=1, cruise=2, ceil=4, queue=8)
    with serving(gated.folder, "--shrink-after", 0.3) as server:
        assert allocated(server) == 1
        answers = []
        for number in range(1, 5):
            answers.append(gated.ask(server, str(number)))
            until(lambda count=number: len(gated.began()) == count)
            assert allocated(server) == number
        answers += [gated.ask(server, str(number)) for number in (5, 6)]
        assert waiting(server) == 2
        assert allocated(server) == 4
        pids = {worker.pid for worker in server.workers()}
        gated.open()
        assert {answer.result(30).status for answer in answers} == {200}
        until(lambda: allocated(server) <= 2, what="the pool to shrink")
        shrunk = time.monotonic()
        while time.monotonic() < shrunk + 1:  # three more periods
            assert allocated(server) == 2
        until(lambda: len(server.workers()) == 3)  # with that of the other endpoint
        assert {worker.pid for worker in server.workers()} <= pids


def test_floor_workers_start_with_the_endpoint(tmp_path: Path) -> None:
    gated = Gated(tmp_path, floor=3, cruise=3, ceil=3)
    with serving(gated.folder, "--shrink-after", 0.1) as server:
        until(lambda: idle(server) == 3)
        assert gated.began() == []


def test_the_queue_is_fair(tmp_path: Path) -> None:
    gated = Gated(tmp_path, floor=1, cruise=1, ceil=1, queue=12)
    names = [f"r{number}" for number in range(12)]
    with serving(gated.folder) as server:
        answers = [gated.ask(server, name) for name in ["first", *names]]
        gated.open()
        assert {answer.result(30).status for answer in answers} == {200}
        assert gated.began() == ["first", *names]


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(tmp_path: Path) -> None:
    gated = Gated(tmp_path, floor=1, cruise=1, ceil=1, queue=2, timeout=60_000)
    with serving(gated.folder) as server:
        answers = [gated.ask(server, name) for name in "abc"]
        until(lambda: gated.began() == ["a"])
        times = []
        for _ in range(30):
            begin = time.monotonic()
            refused = server.post(FN, {"id": "x"})
            times.append(time.monotonic() - begin)
            assert refused.status == 503
            assert refused.json()["errorType"] == "QueueFull"
            assert int(refused.headers["retry-after"]) >= 1
        assert statistics.median(times) < 0.1, times
        assert not_run(server, "rejected") == 30
        assert waiting(server) == 2
        gated.open()
        assert {answer.result(30).status for answer in answers} == {200}
        assert gated.began() == ["a", "b", "c"]
        assert server.post(FN, {"id": "d"}).status == 200


def test_who_has_waited_too_long_never_reaches_the_model(tmp_path: Path) -> None:
    gated = Gated(tmp_path, floor=1, cruise=1, ceil=1, queue=4, timeout=400)
    with serving(gated.folder) as server:
        running = gated.ask(server, "a")
        until(lambda: gated.began() == ["a"])
        late = later(lambda: server.post(FN, {"id": "b"}))
        elsewhere = later(lambda: server.post("/v2/models/fn/infer", {"inputs": []}))
        assert late.result(20).status == 503  # what this platform says; others say 504
        assert late.result().json()["errorType"] == "QueueTimeout"
        assert elsewhere.result(20).status == 504
        assert not_run(server, "timed_out") == 2
        assert waiting(server) == 0
        assert not running.done()
        gated.open()
        assert running.result(20).status == 200
        assert server.post(FN, {"id": "c"}).status == 200
        assert gated.began() == ["a", "c"]


def test_a_flooded_model_leaves_its_neighbour_alone(tmp_path: Path) -> None:
    gated = Gated(tmp_path, floor=1, cruise=2, ceil=2, queue=16, timeout=60_000)
    with serving(gated.folder) as server:
        flood = [gated.ask(server, str(number)) for number in range(18)]
        until(lambda: busy(server) == 2)
        assert server.post(FN).status == 503
        times = []
        for number in range(50):
            begin = time.monotonic()
            answer = server.post(OTHER, {"a": number})
            times.append(time.monotonic() - begin)
            assert answer.status == 200
            assert answer.json()["response"] == {"a": number}
        assert statistics.median(times) < 0.1, times
        assert waiting(server) == 16
        gated.open()
        assert {answer.result(30).status for answer in flood} == {200}


def test_pools_that_cannot_be_refuse_to_start_and_every_fault_is_told(tmp_path: Path) -> None:
    folder = write_service(
        tmp_path / "service",
        function("a", pool={"floor": 3, "ceil": 2, "cruise": 2}),
        function("b", pool={"floor": 1, "ceil": 2, "cruise": 5}),
        function("c", pool={"floor": 0, "queue": -1, "timeout": 1.5, "size": 3}),
        function("d", pool={"floor": True, "ceil": "8"}),
        function("e", pool={"floor": 4, "cruise": 2}),
        code={"functions.py": ECHO},
    )
    server = launch(folder)
    try:
        assert server.process.wait(30) == 2
        until(lambda: any("floor (4) is above cruise (2)" in line for line in server.raw_logs))
        told = "\n".join(server.raw_logs)
        for fault in (
            "a: floor (3) is above ceil (2)",
            "a: floor (3) is above cruise (2)",
            "b: cruise (5) is above ceil (2)",
            "c: floor must be a positive integer, not 0",
            "c: queue must be a positive integer, not -1",
            "c: timeout must be a positive integer, not 1.5",
            "c: 'size' is not a pool setting",
            "d: floor must be a positive integer, not True",
            "d: ceil must be a positive integer, not '8'",
        ):
            assert fault in told
        assert "Traceback" not in told
        assert server.said == []
    finally:
        server.kill()


def test_tuning_in_the_data_folder_wins_over_the_service(tmp_path: Path) -> None:
    gated = Gated(tmp_path, floor=1, cruise=1, ceil=1)
    tuning = tmp_path / "data" / "config" / "services" / "svc" / "fn.json"
    tuning.parent.mkdir(parents=True)
    tuning.write_text(json.dumps({"pool": {"floor": 2, "ceil": 2, "cruise": 2, "queue": 1, "timeout": 60_000}}))
    with serving(gated.folder, "--data-dir", tmp_path / "data") as server:
        until(lambda: idle(server) == 2)
        answers = [gated.ask(server, name) for name in "abc"]
        assert server.post(FN, {"id": "d"}).status == 503
        gated.open()
        assert {answer.result(30).status for answer in answers} == {200}
    tuning.write_text(json.dumps({"pool": {"floor": 9, "ceil": 2}}))
    server = launch(gated.folder, "--data-dir", tmp_path / "data")
    try:
        assert server.process.wait(30) == 2
        until(lambda: any("floor (9) is above ceil (2)" in line for line in server.raw_logs))
    finally:
        server.kill()


def test_no_call_is_stuck_behind_a_held_one_while_another_worker_is_free(tmp_path: Path) -> None:
    gated = Gated(tmp_path, floor=2, cruise=2, ceil=2)
    gated.open("quick")
    with serving(gated.folder) as server:
        until(lambda: idle(server) == 2)
        for _ in range(20):
            assert server.post(FN, {"id": "quick"}).status == 200
        held = gated.ask(server, "held")
        until(lambda: "held" in gated.began())
        others = [later(lambda: server.post(FN, {"id": "quick"})) for _ in range(12)]
        assert {answer.result(20).status for answer in others} == {200}
        assert not held.done()
        gated.open()
        assert held.result(20).status == 200


def test_one_worker_and_its_queue_hold_no_more_than_they_say(tmp_path: Path) -> None:
    gated = Gated(tmp_path, floor=1, cruise=1, ceil=1, queue=3)
    gated.open("quick")
    with serving(gated.folder) as server:
        for _ in range(20):
            assert server.post(FN, {"id": "quick"}).status == 200
        accepted = [gated.ask(server, str(number)) for number in range(4)]
        assert (busy(server), waiting(server)) == (1, 3)
        assert server.post(FN, {"id": "more"}).status == 503
        gated.open()
        assert {answer.result(20).status for answer in accepted} == {200}
        assert [name for name in gated.began() if name != "quick"] == ["0", "1", "2", "3"]

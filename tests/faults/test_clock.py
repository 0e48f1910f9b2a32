"""Limits are kept by a clock that nobody can set: a jump of the wall clock changes none of them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.faults.tools import FN, Gated, busy, not_run, restarts
from tests.harness import Running, serving, until

LIBRARIES = sorted(map(str, Path("/usr/lib").glob("*/faketime/libfaketime.so.1")))


@pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not installed (Debian package faketime)")
def test_wall_clock_jumps_end_nothing_early_and_nothing_late(tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0")
    env = {
        "LD_PRELOAD": LIBRARIES[0],
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
    }
    gated = Gated(tmp_path, floor=1, ceil=1, cruise=1, timeout=20_000, runTimeout=20_000)
    with serving(gated.folder, env=env) as server:
        running = gated.ask(server, "a")
        until(lambda: gated.began() == ["a"])
        queued = gated.ask(server, "b")
        for jump in (+3600, -3600, 0):
            clock.write_text(f"{jump:+d}")
            until(lambda by=jump: abs(shift(server) - by) < 60, what="the server to see the jump")
            assert not running.done()
            assert not queued.done()
            assert busy(server) == 1
        gated.open()
        for answer in (running, queued):
            assert answer.result(30).status == 200
            assert answer.result().json()["timing"]["wait"] >= 0
            assert answer.result().json()["timing"]["prediction"] < 20_000
        assert not_run(server, "timed_out") == restarts(server, "run_timeout") == 0


@pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not installed (Debian package faketime)")
def test_a_wait_ends_in_time_although_the_wall_clock_went_back(tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0")
    env = {
        "LD_PRELOAD": LIBRARIES[0],
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
    }
    gated = Gated(tmp_path, floor=1, ceil=1, cruise=1, timeout=1500, runTimeout=3000)
    with serving(gated.folder, env=env) as server:
        running = gated.ask(server, "a")
        until(lambda: gated.began() == ["a"])
        begin = time.monotonic()
        queued = gated.ask(server, "b")
        clock.write_text("-3600")
        until(lambda: abs(shift(server) + 3600) < 60)
        assert queued.result(20).status == 503
        assert time.monotonic() - begin > 1.4
        assert running.result(20).status == 504


def shift(server: Running) -> float:
    """How far the server's wall clock is from ours, as its log tells."""
    import datetime

    assert server.post(FN + "x").status == 404
    logged = datetime.datetime.fromisoformat(str(server.logs[-1]["time"]))
    return (logged - datetime.datetime.now(datetime.UTC)).total_seconds()

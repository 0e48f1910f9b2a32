"""Only a few workers load at once, and a load that hangs is not among them for ever."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from modelport import platforms
from modelport.config import Settings
from modelport.dataplane import Dataplane
from modelport.monitoring.metrics import Metrics
from modelport.packages.find import find
from modelport.pool.pool import MAX_FAILED_STARTS
from tests.harness import function, until, write_service

FAILS = """
import os
with open("starts", "a") as file:
    file.write(".")
import no_such_module
"""
HANGS = "import threading\n\nthreading.Event().wait()\n"


async def load(folder: Path) -> list[str]:
    """Starts the first model, loads the second; the state of each then."""
    plane = Dataplane({}, platforms.registered("modelport.contracts"), Metrics(), Settings())
    first, second = [plane.add(spec, []) for spec in find(str(folder), Settings())]
    try:
        plane.start(first)
        async with asyncio.timeout(30):
            await plane.load(second.spec.name)
        return [first.state, second.state]
    finally:
        await plane.stop(0)


def test_a_load_that_hangs_does_not_keep_other_models_from_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelport.dataplane.starts_at_once", lambda: 1)
    monkeypatch.setattr("modelport.pool.pool.SLOT_SECONDS", 0.1)
    folder = write_service(
        tmp_path / "service",
        function(code="hangs.py", pool={"floor": 2, "cruise": 2, "ceil": 2}),
        function("other"),
        code={"hangs.py": HANGS, "functions.py": "def run():\n    pass\n"},
    )
    assert asyncio.run(load(folder)) == ["starting", "ready"]


def test_workers_that_fail_together_have_failed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelport.pool.pool.FIRST_BACKOFF", 0.1)
    folder = write_service(
        tmp_path / "service",
        function(code="fails.py", pool={"floor": 3, "cruise": 3, "ceil": 3}),
        code={"fails.py": FAILS},
    )

    async def give_up() -> str:
        plane = Dataplane({}, platforms.registered("modelport.contracts"), Metrics(), Settings())
        (spec,) = find(str(folder), Settings())
        endpoint = plane.add(spec, [])
        plane.start(endpoint)
        pool = endpoint.pool
        assert pool is not None
        try:
            await asyncio.to_thread(until, lambda: pool.state == "failed" and not pool.workers)
            return pool.reason
        finally:
            await plane.stop(0)

    assert "no_such_module" in asyncio.run(give_up())
    starts = len((folder / "starts").read_text())
    assert 2 * MAX_FAILED_STARTS < starts <= 4 * MAX_FAILED_STARTS  # three a round, and stragglers of the one before

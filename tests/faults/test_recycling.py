"""Workers are replaced between two requests, by count or by memory, and no request notices."""

from __future__ import annotations

import threading
from pathlib import Path

from tests.faults.tools import Load, idle, restarts
from tests.harness import Answer, function, serving, until, write_service

MEGABYTE = 1 << 20
LEAKS = """
    import os

    LEAK = []


    def run(leak=0):
        LEAK.append(b"x" * leak)
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
        return [os.getpid(), pages * os.sysconf("SC_PAGE_SIZE")]
"""


class Seen:
    """What the answers told: a worker's number of answers, and the most memory that one ever held."""

    def __init__(self) -> None:
        self.served: dict[int, int] = {}
        self.most = 0
        self._lock = threading.Lock()

    def __call__(self, answer: Answer) -> None:
        if answer.status == 200:
            pid, rss = answer.json()["response"]
            with self._lock:
                self.served[pid] = self.served.get(pid, 0) + 1
                self.most = max(self.most, rss)


def test_replacing_workers_by_count_fails_no_request(tmp_path: Path) -> None:
    pool = {"floor": 2, "ceil": 2, "cruise": 2}
    folder = write_service(tmp_path / "service", function(pool=pool), code={"functions.py": LEAKS})
    seen = Seen()
    with serving(folder, "--max-requests", 20) as server:
        with Load(server, each=seen) as load:
            until(lambda: restarts(server, "max_requests") >= 5, 60)
        assert load.failed == {}
        assert len(seen.served) >= 6
        until(lambda: len(server.workers()) == 2 == idle(server))


def test_the_only_worker_is_replaced_without_a_failure(tmp_path: Path) -> None:
    pool = {"floor": 1, "ceil": 1, "cruise": 1}
    folder = write_service(tmp_path / "service", function(pool=pool), code={"functions.py": LEAKS})
    with serving(folder, "--max-requests", 10) as server:
        with Load(server, clients=4) as load:
            until(lambda: restarts(server, "max_requests") >= 3, 60)
        assert load.failed == {}
        until(lambda: len(server.workers()) == 1 == idle(server))


def test_replacing_workers_that_leak_fails_no_request_and_bounds_memory(tmp_path: Path) -> None:
    limit, leak = 100 * MEGABYTE, 10 * MEGABYTE
    pool = {"floor": 2, "ceil": 2, "cruise": 2}
    folder = write_service(tmp_path / "service", function(pool=pool), code={"functions.py": LEAKS})
    seen = Seen()
    with serving(folder, "--max-rss", limit) as server:
        with Load(server, clients=4, body={"leak": leak}, each=seen) as load:
            until(lambda: restarts(server, "max_rss") >= 5, 60)
        assert load.failed == {}
        assert limit < seen.most <= limit + leak + 4 * MEGABYTE
        until(lambda: len(server.workers()) == 2 == idle(server))

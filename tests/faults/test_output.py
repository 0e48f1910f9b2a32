"""A model may print as much as it likes: nothing blocks, nothing fills up, and the log says what is missing."""

from __future__ import annotations

import os
import re
import statistics
import threading
import time
from pathlib import Path

import psutil
import pytest

from tests.faults.tools import ECHO, FN, OTHER, later, restarts
from tests.harness import Running, function, serving, until, write_service

FLOODS = """
    import os
    import sys


    def run(kind, megabytes):
        text = "x" * (1 << 20)
        for _ in range(megabytes):
            if kind == "print":
                print(text, end="")
            elif kind == "stderr":
                sys.stderr.write(text)
            else:
                left = text.encode()
                while left:
                    left = left[os.write(1, left):]
        return megabytes
"""


def slowest_neighbour(server: Running, over: threading.Event) -> list[float]:
    """Times of the requests of another model, made one after another until ``over``."""
    times = []
    while not over.is_set():
        begin = time.monotonic()
        assert server.post(OTHER, {"a": 1}).status == 200
        times.append(time.monotonic() - begin)
    return times


def dropped(server: Running) -> int:
    found = [re.fullmatch(r"dropped (\d+) bytes of output", line["message"]) for line in list(server.logs)]
    return sum(int(match.group(1)) for match in found if match)


@pytest.mark.parametrize(("kind", "megabytes"), [("print", 2048), ("stderr", 64), ("native", 2048)])
def test_a_flood_of_output_without_line_ends_is_bounded(tmp_path: Path, kind: str, megabytes: int) -> None:
    folder = write_service(
        tmp_path / "service",
        function(code="floods.py", pool={"floor": 1, "ceil": 1, "cruise": 1}),
        function("other"),
        code={"floods.py": FLOODS, "functions.py": ECHO},
    )
    with serving(folder) as server:
        assert server.post(FN, {"kind": kind, "megabytes": 1}).status == 200
        front = psutil.Process(server.pid)
        before = front.memory_info().rss
        over = threading.Event()
        neighbour = later(lambda: slowest_neighbour(server, over))
        answer = server.post(FN, {"kind": kind, "megabytes": megabytes}, timeout=90)
        over.set()
        assert answer.status == 200, answer.body
        assert answer.json()["response"] == megabytes
        times = neighbour.result(30)
        assert statistics.median(times) < 0.25, times
        assert max(times) < 3, times
        assert front.memory_info().rss - before < 50 << 20
        expected = megabytes << 20
        until(lambda: dropped(server) > expected * 0.9, what=f"the log to say what was dropped ({dropped(server)})")
        assert sum(map(len, list(server.raw_logs))) < 8 << 20


def test_lines_of_python_and_of_native_code_reach_the_log_with_their_request(tmp_path: Path) -> None:
    source = """
        import logging
        import os
        import sys


        def run():
            print("by print")
            print("to stderr", file=sys.stderr)
            logging.getLogger("mine").warning("by logging")
            os.write(2, b"by native code\\n")
            print("unfinished", end="")
    """
    folder = write_service(tmp_path / "service", function(), code={"functions.py": source})
    with serving(folder) as server:
        assert server.post(FN, headers={"X-Request-ID": "mine-1"}).status == 200

        def lines() -> dict[str, dict[str, object]]:
            return {line["message"]: line for line in list(server.logs) if line["logger"] == "modelport.worker"}

        wanted = {"by print", "to stderr", "by logging", "by native code", "unfinished"}
        until(lambda: wanted <= set(lines()), what=f"every line: {sorted(lines())}")
        for text in wanted - {"by native code"}:
            assert lines()[text]["request"] == "mine-1"
            assert lines()[text]["model"] == "fn"
        assert lines()["by native code"]["worker"] == server.workers()[0].pid
        assert lines()["by logging"]["level"] == "warning"
        assert os.getpid() != server.workers()[0].pid


FORKS = """
    import os


    def run():
        print("before")
        children = []
        for number in range(4):
            child = os.fork()
            if not child:
                for line in range(50):
                    print(f"child {number} line {line}")
                os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
        print("after")
        return len(children)
"""


def test_what_forked_children_print_is_logged_and_does_not_break_the_link(tmp_path: Path) -> None:
    folder = write_service(tmp_path / "service", function(), code={"functions.py": FORKS})
    with serving(folder) as server:
        for _ in range(5):
            assert server.post(FN).json()["response"] == 4
        until(lambda: sum("child 3 line 49" in line for line in server.raw_logs) == 5)
        assert restarts(server, "broken_link") == 0

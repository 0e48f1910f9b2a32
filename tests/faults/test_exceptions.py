"""Whatever a model raises becomes one answer in the platform's form, and its worker goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.tools import FN, restarts
from tests.harness import Running, function, serving, write_service

RAISES = """
    import os
    import threading


    class Base(BaseException):
        pass


    class Unpicklable(Exception):
        def __init__(self):
            super().__init__("no pickle")
            self.lock = threading.Lock()

        def __reduce__(self):
            raise TypeError("not to be pickled")


    class Unprintable(Exception):
        def __str__(self):
            raise RuntimeError("no text either")


    def recurse():
        recurse()


    def run(what):
        if what == "well":
            return os.getpid()
        if what == "Recursion":
            recurse()
        if what == "Long":
            raise ValueError("could not convert " + "a" * 2_000_000)
        if what == "Chained":
            try:
                raise KeyError("first")
            except KeyError as fault:
                raise ValueError("second") from fault
        raise {
            "ValueError": ValueError("a bad value"),
            "Path": ValueError("cannot open /home/user/secret/model.pkl"),
            "Base": Base("from the bottom"),
            "SystemExit": SystemExit(3),
            "KeyboardInterrupt": KeyboardInterrupt("stop"),
            "GeneratorExit": GeneratorExit("over"),
            "StopIteration": StopIteration("end"),
            "MemoryError": MemoryError("no memory"),
            "Unpicklable": Unpicklable(),
            "Unprintable": Unprintable(),
            "Group": ExceptionGroup("several", [ValueError("one"), TypeError("two")]),
        }[what]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = write_service(
        Path(tmp_path_factory.mktemp("raises")) / "service",
        function(pool={"floor": 1, "ceil": 1, "cruise": 1, "runTimeout": 20_000}),
        code={"functions.py": RAISES},
    )
    with serving(folder) as running:
        yield running


@pytest.mark.parametrize(
    ("what", "error_type", "message"),
    [
        ("ValueError", "ValueError", "a bad value"),
        ("Path", "ValueError", "cannot open <path>"),
        ("Base", "Base", "from the bottom"),
        ("SystemExit", "SystemExit", "3"),
        ("KeyboardInterrupt", "KeyboardInterrupt", "stop"),
        ("GeneratorExit", "GeneratorExit", "over"),
        ("StopIteration", "StopIteration", "end"),
        ("MemoryError", "MemoryError", "no memory"),
        ("Recursion", "RecursionError", "maximum recursion depth exceeded"),
        ("Unpicklable", "Unpicklable", "no pickle"),
        ("Unprintable", "Unprintable", "no message"),
        ("Group", "ExceptionGroup", "several (2 sub-exceptions)"),
        ("Chained", "ValueError", "second"),
    ],
)
def test_an_exception_is_answered_and_the_worker_lives(
    server: Running, what: str, error_type: str, message: str
) -> None:
    pid = server.post(FN, {"what": "well"}).json()["response"]
    answer = server.post(FN, {"what": what})
    assert answer.status == 500, answer.body
    told = answer.json()
    assert told["errorType"] == error_type
    assert told["message"].startswith(message)
    text = answer.body.decode()
    assert "Traceback" not in text
    assert ".py" not in text
    assert server.post(FN, {"what": "well"}).json()["response"] == pid
    assert restarts(server, "exit 1") == restarts(server, "exit 3") == 0


def test_the_log_has_the_traceback_with_the_request_that_failed(server: Running) -> None:
    server.post(FN, {"what": "ValueError"}, headers={"X-Request-ID": "look-here"})
    server.post(FN, {"what": "well"})
    lines = [line for line in server.logs if line.get("request") == "look-here" and "Traceback" in line["message"]]
    assert len(lines) == 1
    assert lines[0]["level"] == "error"
    assert "functions.py" in lines[0]["message"]
    assert "modelport" not in lines[0]["message"]


def test_a_very_long_message_is_cut_short_and_costs_no_time(server: Running) -> None:
    pid = server.post(FN, {"what": "well"}).json()["response"]
    answer = server.post(FN, {"what": "Long"})
    assert answer.status == 500, answer.body
    assert answer.json()["errorType"] == "ValueError"
    assert answer.json()["message"].startswith("could not convert aaa")
    assert len(answer.body) < 10_000
    assert server.post(FN, {"what": "well"}).json()["response"] == pid

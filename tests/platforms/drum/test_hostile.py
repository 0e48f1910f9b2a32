"""A code folder that exits, hangs, prints without end or answers nonsense hurts nobody but itself."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest

from tests.faults.tools import later
from tests.harness import Running, serving, until
from tests.platforms.drum.folders import write_folder

HOSTILE = """
    import ctypes
    import os
    import sys
    import time

    import numpy as np
    import pandas as pd


    def score(data, model, **kwargs):
        how = data["how"][0]
        if how == "exit":
            sys.exit(7)
        if how == "die":
            os._exit(7)
        if how == "crash":
            ctypes.string_at(0)
        if how == "hang":
            time.sleep(3600)
        if how == "print":
            line = "x" * (1 << 20)
            for _ in range(2048):
                print(line)
        if how == "log":
            for _ in range(100_000):
                os.write(2, b"noise\\n" * 100)
        if how == "recurse":
            return score(data, model)
        if how == "memory":
            return np.ones((1 << 40,))
        if how == "rows":
            return pd.DataFrame({"Predictions": [1.0] * (len(data) + 1)})
        if how == "columns":
            return pd.DataFrame({"Other": [1.0]})
        if how == "text":
            return pd.DataFrame({"Predictions": ["a"]})
        if how == "none":
            return None
        if how == "deep":
            nested = []
            for _ in range(100_000):
                nested = [nested]
            return pd.DataFrame({"Predictions": [nested]})
        return pd.DataFrame({"Predictions": [1.0] * len(data)})
    """
GOOD = """
    import pandas as pd

    def score(data, model, **kwargs):
        return pd.DataFrame({"Predictions": data["x"] * 2})
    """
YAML = "target: regression\npool: {floor: 1, cruise: 1, ceil: 1, runTimeout: 3000}\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("hostile")
    hostile = write_folder(folder / "hostile", HOSTILE, modelport__yaml=YAML)
    good = write_folder(folder / "good", GOOD, modelport__yaml=YAML.replace("3000", "30000"))
    with serving(hostile, good) as running:
        yield running


def ask(server: Running, how: str) -> tuple[int, str]:
    answer = server.post(
        "/drum/hostile/predict/", f"how\n{how}\n".encode(), headers={"Content-Type": "text/csv"}, timeout=60
    )
    return answer.status, answer.json().get("message", "")


def neighbour_answers(server: Running) -> bool:
    answer = server.post("/drum/good/predict/", b"x\n1\n2\n", headers={"Content-Type": "text/csv"})
    return answer.json() == {"predictions": [2.0, 4.0]}


@pytest.mark.parametrize(
    ("how", "status", "told"),
    [
        ("exit", 500, "SystemExit"),
        ("die", 502, "ended while it ran"),
        ("crash", 502, "SIGSEGV"),
        ("recurse", 500, "RecursionError"),
        ("memory", 500, "MemoryError"),
        ("rows", 500, "score returned 2 rows for 1"),
        ("columns", 500, "'Predictions' was expected"),
        ("text", 500, "must be numbers"),
        ("none", 500, "score returned NoneType"),
        ("deep", 500, "must be numbers"),
    ],
)
def test_it_fails_alone_and_is_back(server: Running, how: str, status: int, told: str) -> None:
    answer = ask(server, how)
    assert answer[0] == status
    assert told in answer[1]
    assert "Traceback" not in answer[1]
    assert neighbour_answers(server)
    until(lambda: ask(server, "well")[0] == 200, 30, "the hostile model to serve again")


def test_one_that_hangs_is_ended_and_others_are_answered_meanwhile(server: Running) -> None:
    hanging = later(lambda: ask(server, "hang"))
    until(lambda: server.metric("modelport_workers", endpoint="hostile", state="busy") == 1)
    assert all(neighbour_answers(server) for _ in range(5))
    assert hanging.result(30)[0] == 504
    until(lambda: ask(server, "well")[0] == 200, 30, "the hostile model to serve again")


@pytest.mark.parametrize("how", ["print", "log"])
def test_gigabytes_of_output_are_dropped_and_told(server: Running, how: str) -> None:
    before = psutil.Process(server.pid).memory_info().rss
    noisy = later(lambda: ask(server, how))
    assert all(neighbour_answers(server) for _ in range(5))
    assert noisy.result(60)[0] in (200, 504)
    assert psutil.Process(server.pid).memory_info().rss - before < 40 << 20
    until(lambda: any("dropped" in line for line in server.raw_logs))
    assert sum(map(len, server.raw_logs)) < 30 << 20
    until(lambda: ask(server, "well")[0] == 200, 30, "the hostile model to serve again")

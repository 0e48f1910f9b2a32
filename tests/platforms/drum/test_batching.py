"""Requests that wait together reach the model as one table, where the model asks for that."""

from __future__ import annotations

import json
from pathlib import Path

from tests.faults.tools import later
from tests.harness import serving, until
from tests.platforms.drum.folders import write_folder

GATED = """
    import os
    import select


    def score(data, model, **kwargs):
        with open("calls", "a") as file:
            file.write(f"{list(data['x'])}\\n")
        while not os.path.exists("open"):
            select.select([], [], [], 0.005)
        return (data[["x"]] * 2).rename(columns={"x": "Predictions"})
    """
YAML = "target: regression\nbatching: {maxRequests: 8}\n"


def test_bodies_that_wait_together_are_scored_together(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "gated", GATED, modelport__yaml=YAML)
    with serving(folder) as server:

        def ask(body: str) -> object:
            return server.post("/predict/", body.encode(), headers={"Content-Type": "text/csv"}, timeout=60).json()

        first = later(lambda: ask("x\n0\n"))
        until((folder / "calls").exists)
        waiting = [later(lambda n=n: ask(f"x\n{n}\n{10 * n}\n")) for n in range(1, 5)]
        until(lambda: server.metric("modelport_queue_length", endpoint="gated") == 4)
        (folder / "open").touch()
        assert first.result(30) == {"predictions": [0]}
        answers = [answer.result(30) for answer in waiting]
        assert answers == [{"predictions": [2 * n, 20 * n]} for n in range(1, 5)]
        calls = [json.loads(line) for line in (folder / "calls").read_text().splitlines()]
        assert [sorted(call) for call in calls] == [[0], [1, 2, 3, 4, 10, 20, 30, 40]]

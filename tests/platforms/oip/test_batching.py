"""Requests that a model answers together get what they would have got alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Answer, Running, serving
from tests.platforms.oip import models

REQUESTS = 24


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder: Path = models.write(
        tmp_path_factory.mktemp("models"), "slow", pool={"ceil": 1, "queue": 64}, batching={"maxRequests": 16}
    )
    with serving(folder, env=models.ENVIRONMENT) as running:
        yield running


def together(ask: Callable[[int], Answer]) -> list[Answer]:
    with ThreadPoolExecutor(REQUESTS) as threads:
        return list(threads.map(ask, range(REQUESTS)))


def largest_batch(server: Running) -> int:
    (entry,) = server.get("/v2/models/slow/stats").json()["model_stats"]
    sizes: list[int] = [batch["batch_size"] for batch in entry["batch_stats"]]
    return max(sizes)


def infer(server: Running, rows: list[list[Any]], **more: Any) -> Answer:
    width = len(rows[0])
    flat = [value for row in rows for value in row]
    asked = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [len(rows), width], "data": flat, **more}]}
    return server.post("/v2/models/slow/infer", asked)


def predictions(answer: Answer) -> Any:
    assert answer.status == 200, answer.body
    return answer.json()["outputs"][0]["data"]


def test_each_request_gets_its_own_rows(server: Running) -> None:
    answers = together(lambda n: infer(server, [[n + 100, 0.25]] * (n % 3 + 1)))
    assert [predictions(answer) for answer in answers] == [[n + 100.25] * (n % 3 + 1) for n in range(REQUESTS)]
    assert largest_batch(server) > 1


def test_tables_are_answered_together_too(server: Running) -> None:
    def ask(n: int) -> Answer:
        items = [{"features": {"a": n + 100.0, "b": 0.5}}, {"features": {"a": 0.0, "b": 0.25}}]
        return server.post("/public/api/v1/slow/slow/predict-multi", {"items": items})

    pid = server.workers()[0].pid
    answers = together(ask)
    assert [[result["prediction"] for result in answer.json()["results"]] for answer in answers] == [
        [n + 100.5, 0.25] for n in range(REQUESTS)
    ]
    assert [process.pid for process in server.workers()] == [pid]


def test_a_bad_request_fails_alone(server: Running) -> None:
    def ask(n: int) -> Answer:
        if n == 5:
            return infer(server, [[1, 2]], datatype="FP99")
        return infer(server, [[13 if n == 7 else 0.5, n + 100]])

    answers = together(ask)
    assert [answer.status for answer in answers] == [{5: 400, 7: 500}.get(n, 200) for n in range(REQUESTS)]
    assert "ValueError: thirteen" in answers[7].json()["error"]
    fine = [n for n in range(REQUESTS) if n not in (5, 7)]
    assert [predictions(answers[n]) for n in fine] == [[n + 100.5] for n in fine]


def test_requests_of_unlike_shape_are_answered_too(server: Running) -> None:
    answers = together(lambda n: infer(server, [[1.0] * (n % 3 + 1)]))
    assert [predictions(answer) for answer in answers] == [[n % 3 + 1.0] for n in range(REQUESTS)]

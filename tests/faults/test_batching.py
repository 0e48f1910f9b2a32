"""Natural batching: a worker that frees up takes what waits, in one call of the model."""

from __future__ import annotations

import json
from concurrent.futures import Future
from pathlib import Path

from tests.faults.tools import busy, later, restarts, waiting
from tests.harness import Answer, Running, predictor, regression, serving, until, write_service

PREDICT = "/public/api/v1/svc/ep/predict"
MULTI = "/public/api/v1/svc/ep/predict-multi"
BODY = """
    with open("calls", "a") as file:
        file.write(f"{len(features_df)}\\n")
    if (features_df["a"] == 0).any():
        open("began", "w").close()
        while not os.path.exists("open"):
            time.sleep(0.005)
    if (features_df["a"] < -50).any():
        os._exit(7)
    if (features_df["a"] < 0).any():
        raise ValueError(f"negative: {features_df['a'].min()}")
    return features_df["a"] * 2
"""


class Batched:
    """A regression endpoint on one worker; the row with a = 0 holds it until ``open``."""

    def __init__(self, folder: Path, most: int) -> None:
        self.folder = write_service(
            folder / "service",
            regression(
                pool={"floor": 1, "ceil": 1, "cruise": 1, "queue": 32, "timeout": 60_000},
                batching={"maxRequests": most},
                testQueries=[{"q": {"features": {"a": 1.0}}}],
            ),
            code={"predictor.py": predictor(BODY)},
        )

    def calls(self) -> list[int]:
        """The number of rows in each call of the model."""
        return [int(rows) for rows in (self.folder / "calls").read_text().split()]

    def hold(self, server: Running) -> Future[Answer]:
        answer = later(lambda: server.post(PREDICT, {"features": {"a": 0.0}}, timeout=60))
        until((self.folder / "began").exists)
        return answer

    def open(self) -> None:
        (self.folder / "open").touch()


def ask(server: Running, path: str, body: object) -> Future[Answer]:
    before = waiting(server, "ep")
    answer = later(lambda: server.post(path, json.dumps(body).encode(), timeout=60))
    until(lambda: waiting(server, "ep") > before)
    return answer


def predictions(answer: Future[Answer]) -> list[float]:
    value = answer.result(30)
    assert value.status == 200, value.body
    found = value.json()
    return [result["prediction"] for result in found.get("results", [found.get("result")])]


def test_what_waits_is_merged_and_each_gets_its_own_rows(tmp_path: Path) -> None:
    batched = Batched(tmp_path, most=64)
    with serving(batched.folder) as server:
        held = batched.hold(server)
        wanted: list[tuple[Future[Answer], list[float]]] = []
        for number in range(1, 9):
            if number % 3:
                wanted.append((ask(server, PREDICT, {"features": {"a": float(number)}}), [2.0 * number]))
            else:
                items = [{"features": {"a": number + part / 8}} for part in range(number)]
                wanted.append(
                    (ask(server, MULTI, {"items": items}), [2 * (number + part / 8) for part in range(number)])
                )
        assert busy(server, "ep") == 1
        batched.open()
        assert predictions(held) == [0.0]
        for answer, values in wanted:
            assert predictions(answer) == values
        assert batched.calls() == [1, 6 + 3 + 6]
        assert server.metric("modelport_batches_total", endpoint="ep", size="8") == 1


def test_a_batch_never_has_more_requests_than_allowed(tmp_path: Path) -> None:
    batched = Batched(tmp_path, most=3)
    with serving(batched.folder) as server:
        held = batched.hold(server)
        answers = [ask(server, PREDICT, {"features": {"a": float(number)}}) for number in range(1, 8)]
        batched.open()
        assert predictions(held) == [0.0]
        assert [predictions(answer) for answer in answers] == [[2.0 * number] for number in range(1, 8)]
        assert batched.calls() == [1, 3, 3, 1]


def test_a_request_that_makes_the_batch_raise_fails_alone(tmp_path: Path) -> None:
    batched = Batched(tmp_path, most=64)
    with serving(batched.folder) as server:
        worker = server.workers()[0].pid
        held = batched.hold(server)
        good = [ask(server, PREDICT, {"features": {"a": float(number)}}) for number in (1, 2)]
        raises = ask(server, PREDICT, {"features": {"a": -5.0}})
        unreadable = ask(server, PREDICT, {"no": "features"})
        good += [ask(server, PREDICT, {"features": {"a": float(number)}}) for number in (3, 4)]
        batched.open()
        assert predictions(held) == [0.0]
        assert [predictions(answer) for answer in good] == [[2.0], [4.0], [6.0], [8.0]]
        assert raises.result(30).status == 500
        assert raises.result().json()["errorType"] == "ValueError"
        assert raises.result().json()["message"] == "negative: -5.0"
        assert unreadable.result(30).status == 400
        assert [process.pid for process in server.workers()] == [worker]
        assert batched.calls() == [1, 5, 1, 1, 1, 1, 1]


def test_requests_of_different_outlines_are_not_merged(tmp_path: Path) -> None:
    batched = Batched(tmp_path, most=64)
    with serving(batched.folder) as server:
        held = batched.hold(server)
        plain = ask(server, PREDICT, {"features": {"a": 1.0}})
        more = ask(server, PREDICT, {"features": {"a": 2.0, "b": "text"}})
        batched.open()
        assert predictions(held) == [0.0]
        assert predictions(plain) == [2.0]
        assert predictions(more) == [4.0]
        assert batched.calls() == [1, 1, 1]


def test_a_batch_whose_worker_ends_is_told_so_to_each_and_the_rest_is_served(tmp_path: Path) -> None:
    batched = Batched(tmp_path, most=2)
    with serving(batched.folder) as server:
        held = batched.hold(server)
        batch = [ask(server, PREDICT, {"features": {"a": value}}) for value in (1.0, -99.0)]
        rest = ask(server, PREDICT, {"features": {"a": 3.0}})
        batched.open()
        assert predictions(held) == [0.0]
        for answer in batch:
            assert answer.result(30).status == 502
            assert answer.result().json()["errorType"] == "WorkerDied"
        assert predictions(rest) == [6.0]
        assert restarts(server, "exit 7", "ep") == 1

"""Requests that a predictor takes several at once: each gets its own rows, and its own error."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.harness import Answer, Running, predictor, regression, serving, until, write_service

SOURCE = """
waiting = [path for path in features_df.get("wait", []) if isinstance(path, str)]
for path in waiting:
    open(path + ".started", "w").close()
    while not os.path.exists(path):
        time.sleep(0.01)
if (features_df["x"] == 13).any():
    raise DkuCustomApiException("thirteen is refused", http_status_code=422)
if (features_df["x"] == 14).any():
    return pd.Series([1.0])[:0]
rows = len(features_df)
left_out = features_df["x"].where(features_df["x"] != 15) * 2
return left_out, [{"x": int(x), "together": rows} for x in features_df["x"]]
"""


@pytest.fixture(scope="module")
def batching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = write_service(
        tmp_path_factory.mktemp("batching") / "svc",
        regression(batching={"maxRequests": 16}, pool={"floor": 1, "ceil": 1, "cruise": 1}),
        code={"predictor.py": predictor(SOURCE)},
    )
    with serving(folder) as server:
        yield server


def test_queued_requests_are_answered_together_and_apart(batching: Running, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    def ask(x: int) -> Answer:
        return batching.post("/public/api/v1/svc/ep/predict", {"features": {"x": x}})

    def ask_for_two(x: int) -> Answer:
        items = [{"features": {"x": x}}, {"features": {"x": x + 100}}]
        return batching.post("/public/api/v1/svc/ep/predict-multi", {"items": items})

    with ThreadPoolExecutor(16) as threads:
        features = {"x": 0, "wait": str(gate)}
        first = threads.submit(batching.post, "/public/api/v1/svc/ep/predict", {"features": features})
        until(Path(f"{gate}.started").exists, what="the first request to run")
        singles = {x: threads.submit(ask, x) for x in (1, 2, 13, 3, 14, 15)}
        double = threads.submit(ask_for_two, 7)
        broken = threads.submit(batching.post, "/public/api/v1/svc/ep/predict", b"{")
        until(lambda: batching.metric("modelport_queue_length", endpoint="ep") == 8, what="the others to wait")
        gate.touch()
        assert first.result().status == 200
        for x in (1, 2, 3):
            result = singles[x].result().json()["result"]
            assert (result["prediction"], result["customKeys"]["x"]) == (2 * x, x)
        assert singles[15].result().json()["result"]["ignored"] is True
        refused = singles[13].result()
        assert (refused.status, refused.json()["message"]) == (422, "thirteen is refused")
        wrong = singles[14].result()
        assert (wrong.status, wrong.json()["message"]) == (500, "predict returned 0 predictions for 1 rows")
        assert [result["prediction"] for result in double.result().json()["results"]] == [14, 214]
        assert broken.result().status == 400


def test_they_do_go_to_the_model_together(batching: Running, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with ThreadPoolExecutor(8) as threads:
        features = {"x": 0, "wait": str(gate)}
        threads.submit(batching.post, "/public/api/v1/svc/ep/predict", {"features": features})
        until(Path(f"{gate}.started").exists, what="the first request to run")
        others = [
            threads.submit(batching.post, "/public/api/v1/svc/ep/predict", {"features": {"x": x}}) for x in range(5)
        ]
        until(lambda: batching.metric("modelport_queue_length", endpoint="ep") == 5, what="the others to wait")
        gate.touch()
        told = [other.result().json()["result"]["customKeys"] for other in others]
    assert told == [{"x": x, "together": 5} for x in range(5)]

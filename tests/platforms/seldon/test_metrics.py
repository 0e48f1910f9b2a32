"""Metrics that a component's own code reports, on their way to Prometheus."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from modelport.core import measures
from tests.harness import Running, serving, until
from tests.platforms.seldon.conftest import metrics_port, microservice

METERED = """
import os

from seldon_core.user_model import SeldonComponent, SeldonResponse


class Metered(SeldonComponent):
    def __init__(self):
        self.calls = 0

    def predict(self, X, names, meta=None):
        if isinstance(X, dict):
            if X.get("die"):
                os._exit(7)
            if "own" in X:
                self.own = X["own"]
                return "ok"
            return SeldonResponse({}, metrics=X["metrics"])
        self.calls += 1
        return SeldonResponse(X, metrics=[{"type": "COUNTER", "key": "rows", "value": len(X)}])

    def metrics(self):
        return getattr(self, "own", [])

    def send_feedback(self, features, names, reward, truth, routing=None):
        if reward == 7:
            raise ValueError("no")

    def transform_output_raw(self, message):
        return {"strData": "raw", "meta": {"metrics": message["metrics"]}}
"""
BAD_METRIC = "MICROSERVICE_BAD_METRIC"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("metered")
    (place / "Metered.py").write_text(textwrap.dedent(METERED))
    return place


@pytest.fixture(scope="module")
def metered(folder: Path) -> Iterator[Running]:
    with serving(folder / "Metered.py") as server:
        yield server


def counter(key: str, value: Any = 1, **tags: str) -> dict[str, Any]:
    return {"type": "COUNTER", "key": key, "value": value, **({"tags": tags} if tags else {})}


def report(server: Running, *metrics: Any, status: int = 200, **more: Any) -> Any:
    answer = server.post("/predict", {"jsonData": {"metrics": metrics, **more}}, headers=JSON)
    assert answer.status == status, answer.body
    return answer.json()


JSON = {"Content-Type": "application/json"}


def test_the_servers_own_metrics_page_has_them_beside_its_own(metered: Running) -> None:
    report(metered, counter("page", 2), counter("page", 3, site="x"))
    ((labels, value),) = metered.metrics("page_total", site="x")
    assert value == 3
    assert metered.metric("page_total", worker_id=str(metered.workers()[0].pid)) == 2
    assert {**labels, "worker_id": ""} == {
        **dict.fromkeys(
            (
                "deployment_name", "model_name", "model_image", "model_version", "predictor_name", "predictor_version",
                "seldon_deployment_name", "image_name", "image_version",
            ),
            "NOT_IMPLEMENTED",
        ),
        "method": "predict",
        "site": "x",
        "worker_id": "",
    }  # fmt: skip
    assert metered.metrics("modelport_requests_total", endpoint="Metered")


def test_the_labels_that_every_metric_has_are_not_the_components_to_choose(metered: Running) -> None:
    own = {"model_name": "mine", "worker_id": "7", "method": "own", "site": "x"}
    answer = report(metered, counter("stubborn", 1, **own))
    assert answer["meta"]["metrics"][0]["tags"] == {**own, "method": "predict"}
    ((labels, _),) = metered.metrics("stubborn_total")
    pid = str(metered.workers()[0].pid)
    expected = {"model_name": "NOT_IMPLEMENTED", "worker_id": pid, "method": "predict", "site": "x"}
    assert {name: labels[name] for name in own} == expected


def test_counters_add_up_gauges_keep_the_last_and_timers_are_in_seconds(metered: Running) -> None:
    for value in (1, 2.5):
        report(
            metered,
            counter("added", value),
            {"type": "GAUGE", "key": "kept", "value": value},
            {"type": "TIMER", "key": "took", "value": value * 1000},
        )
    assert metered.metric("added_total") == 3.5
    assert metered.metric("kept") == 2.5
    assert metered.metric("took_sum") == 3.5
    assert metered.metric("took_count") == 2
    assert metered.metric("took_bucket", le="1.035628778567157") == 1
    assert len(metered.metrics("took_bucket")) == 51


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2/models/Metered/infer", {"inputs": [{"name": "a", "datatype": "FP64", "shape": [2, 1], "data": [1, 2]}]}),
        ("/public/api/v1/Metered/Metered/predict", {"features": {"a": 1}}),
    ],
)
def test_calls_by_other_protocols_count(metered: Running, path: str, body: Any) -> None:
    before = metered.metric("rows_total", method="predict")
    answer = metered.post(path, body, headers=JSON)
    assert answer.status == 200, answer.body
    assert metered.metric("rows_total", method="predict") > before


def test_metrics_of_a_reply_that_the_component_worded_itself(metered: Running) -> None:
    level = {"type": "GAUGE", "key": "level", "value": 5}
    asked = {"metrics": [{"key": "raw", "value": 4}, {**level, "tags": {"a": "b"}}]}
    told = metered.post("/transform-output", asked, headers=JSON).json()["meta"]["metrics"]
    assert told == [asked["metrics"][0], {**level, "tags": {"a": "b", "method": "outputtransform"}}]
    assert metered.metric("raw_total", method="outputtransform") == 4
    assert metered.metric("level", method="outputtransform") == 5


@pytest.mark.parametrize(
    "metric",
    [
        counter("two words"),
        counter("größe"),
        counter("1st"),
        counter(""),
        counter("k" * 300),
        counter("ok", 1, **{"bad-label": "x"}),
        counter("ok", 1, __name__="x"),
        {**counter("ok"), "key": 3},
        {**counter("ok"), "value": "1"},
        {**counter("ok"), "value": None},
        {**counter("ok"), "value": [1]},
        {**counter("ok"), "value": int("9" * 400)},
        {**counter("ok"), "type": "HISTOGRAM"},
        {"type": "COUNTER", "key": "ok"},
        {**counter("ok"), "tags": ["a"]},
        "COUNTER",
    ],
    ids=lambda metric: repr(metric)[:60],
)
def test_what_prometheus_has_no_place_for_is_an_error_and_counts_nothing(metered: Running, metric: Any) -> None:
    status = report(metered, counter("before_bad"), metric, status=500)["status"]
    assert status["reason"] == BAD_METRIC
    assert status["info"].startswith("Bad metric created during request: [")
    assert not metered.metrics("before_bad_total")
    assert not metered.metrics("ok_total")
    assert metered.get("/metrics").status == 200


def test_a_bad_metric_in_a_reply_of_the_components_own_wording(metered: Running) -> None:
    answer = metered.post("/transform-output", {"metrics": [{"key": "a b", "value": 1}]}, headers=JSON)
    assert answer.status == 500
    assert answer.json()["status"]["reason"] == BAD_METRIC


def test_numbers_that_json_has_not(metered: Running) -> None:
    body = b'{"jsonData": {"metrics": [{"type": "GAUGE", "key": "odd", "value": -Infinity}]}}'
    metered.post("/predict", body, headers=JSON)
    assert metered.metric("odd") == float("-inf")


def test_a_labels_text_may_be_anything(metered: Running) -> None:
    report(metered, counter("texts", 1, site='a"b\n\\'), {**counter("texts"), "tags": {"site": 5}})
    lines = metered.get("/metrics").body.decode().splitlines()
    assert sum(line.startswith("texts_total{") and r'site="a\"b\n\\"' in line for line in lines) == 1
    assert metered.metric("texts_total", site="5") == 1


def test_the_metrics_of_an_answer_that_failed_later_count(metered: Running) -> None:
    assert metered.post("/predict", {"jsonData": {"own": [{"type": "COUNTER"}]}}, headers=JSON).status == 500
    answer = metered.post("/predict", {"jsonData": {"metrics": [counter("first")]}}, headers=JSON)
    assert answer.status == 500
    assert metered.metric("first_total") == 1
    assert metered.post("/predict", {"jsonData": {"own": []}}, headers=JSON).status == 200


def test_a_feedback_counts_even_if_the_component_does_not_take_it(metered: Running) -> None:
    assert metered.post("/send-feedback", {"reward": 7}, headers=JSON).status == 500
    assert metered.metric("seldon_api_model_feedback_total", method="feedback") == 1
    assert metered.metric("seldon_api_model_feedback_reward_total", method="feedback") == 7


def test_endless_label_values_are_bounded(folder: Path) -> None:
    with serving(folder / "Metered.py") as server:
        report(server, counter("kept"), counter("long", 1, text="x" * 3000))
        for batch in range(7):
            report(server, *(counter("endless", 1, user=f"{batch}-{number}") for number in range(900)))
        report(server, counter("kept"), counter("late"))
        assert not server.metrics("long_total")
        assert len(server.metrics("endless_total")) == 4999
        assert server.metric("kept_total") == 2
        assert not server.metrics("late_total")
        warned = [
            line for line in server.logs if "is not counted" in line["message"] or "not counted" in line["message"]
        ]
        assert len(warned) == 1


def test_more_at_once_than_one_answer_takes_along(metered: Running) -> None:
    report(metered, *(counter("many", 1, number=str(number)) for number in range(1500)))
    assert len(metered.metrics("many_total")) == 1000
    until(lambda: any("more than 1000 metrics at once" in line["message"] for line in metered.logs))


BATCHED = """
import time

from seldon_core.user_model import SeldonResponse


class Batched:
    def predict(self, X, names, meta=None):
        time.sleep(0.2)
        if len(X) > 1:
            return SeldonResponse(X[:1, 0], metrics=[{"type": "COUNTER", "key": "rows", "value": len(X)}])
        return SeldonResponse(X[:, 0], metrics=[{"type": "COUNTER", "key": "rows", "value": len(X)}])
"""


def test_what_a_batch_measured_counts_once_if_it_is_run_again_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "Batched.py").write_text(BATCHED)
    (tmp_path / "modelport.yaml").write_text(
        "contract: seldon\ncomponent: Batched\nname: b\nbatching: {maxRequests: 8}\n"
    )
    with serving(tmp_path) as server, ThreadPoolExecutor(6) as pool:
        asked = {"inputs": [{"name": "a", "datatype": "FP64", "shape": [1, 2], "data": [1, 2]}]}
        answers = list(pool.map(lambda _: server.post("/v2/models/b/infer", asked, headers=JSON).status, range(6)))
        assert answers == [200] * 6
        assert any(int(labels["size"]) > 1 for labels, _ in server.metrics("modelport_batches_total"))
        assert server.metric("rows_total") == 6


def test_what_is_reported_within_one_call_is_bounded() -> None:
    try:
        for number in range(5000):
            measures.report(measures.COUNTER, "many", 1, {"number": str(number)})
        assert len(measures.reported) <= measures.MAX_AT_ONCE + 1
    finally:
        assert len(measures.taken()) == measures.MAX_AT_ONCE
    assert measures.reported == []


def test_a_workers_series_end_with_it(folder: Path) -> None:
    with serving(folder / "Metered.py") as server:
        report(server, counter("mortal"))
        (worker,) = server.workers()
        assert server.metric("mortal_total", worker_id=str(worker.pid)) == 1
        server.post("/predict", {"jsonData": {"die": True}}, headers=JSON)
        until(lambda: not server.metrics("mortal_total"))
        until(lambda: server.get("/healthz/ready").status == 200)
        report(server, counter("mortal"))
        ((labels, value),) = server.metrics("mortal_total")
        assert value == 1
        assert psutil.pid_exists(int(labels["worker_id"]))
        assert labels["worker_id"] != str(worker.pid)


def test_the_environment_gives_the_labels_and_can_hush_rewards(folder: Path) -> None:
    env = {
        "SELDON_DEPLOYMENT_ID": "dep",
        "PREDICTIVE_UNIT_ID": "unit",
        "PREDICTIVE_UNIT_IMAGE": "registry:5000/own/demo:1.2",
        "PREDICTOR_ID": "main",
        "PREDICTOR_LABELS": '{"version": "v3", "other": 1}',
        "SELDON_EXECUTOR_ENABLED": "false",
        "INCLUDE_METRICS_IN_CLIENT_RESPONSE": "false",
        "PREDICTIVE_UNIT_METRICS_ENDPOINT": "/prometheus",
    }
    with microservice("Metered", cwd=folder, env=env) as server:
        answer = report(server, counter("labelled"))
        assert "metrics" not in answer["meta"]
        server.post("/send-feedback", {"reward": 1}, headers=JSON)
        port = metrics_port(server)
        assert server.get("/metrics", port=port).status == 404
        text = server.get("/prometheus", port=port).body.decode()
    assert "feedback" not in text
    for pair in (
        'deployment_name="dep"', 'seldon_deployment_name="dep"', 'model_name="unit"', 'model_version="1.2"',
        'model_image="registry:5000/own/demo"', 'image_name="registry:5000/own/demo"', 'image_version="1.2"',
        'predictor_name="main"', 'predictor_version="v3"', 'method="predict"',
    ):  # fmt: skip
        assert pair in text
    assert "modelport_" not in text


def test_each_worker_counts_for_itself(folder: Path) -> None:
    with microservice("Metered", "--workers", "2", cwd=folder) as server:
        until(lambda: len(server.workers()) == 2)
        until(lambda: sum("is ready" in line["message"] for line in server.logs) == 2)
        for _ in range(8):
            report(server, counter("shared"))
        found = server.metrics("shared_total")
        assert sum(value for _, value in found) == 8
        assert {labels["worker_id"] for labels, _ in found} <= {str(worker.pid) for worker in server.workers()}

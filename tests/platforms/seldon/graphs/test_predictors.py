"""Several predictors of one deployment: shares of its requests, and a shadow that gets copies."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Running, serving, until
from tests.platforms.seldon.graphs.conftest import JSON
from tests.platforms.seldon.graphs.deploying import deploy, deployment, predictor, unit
from tests.platforms.seldon.remote import TIMEOUT, calling, message, services, utils

PATH = "/seldon/ns/dep/api/v1.0/predictions"
ASKED = 400


def split(folder: Path, shadow: dict[str, Any], **more: Any) -> Path:
    predictors = [
        predictor(unit("main"), "main", traffic=75),
        predictor(unit("canary"), "canary", traffic=25),
        predictor(unit("shadow", **shadow), "shadow", shadow=True, **more),
    ]
    return deploy(folder, deployment("dep", *predictors), pool={"queue": 64, "runTimeout": 30_000})


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notes")


@pytest.fixture(scope="module")
def server(notes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(split(tmp_path_factory.mktemp("split"), {"folder": str(notes)}), "--grpc-port", "0") as server:
        yield server


def answered(server: Running, path: str = PATH) -> str:
    """Which predictor answers."""
    answer = server.post(path, {"jsonData": {}}, headers=JSON)
    assert answer.status == 200, answer
    (trace,) = answer.json()["jsonData"]["trace"]
    return str(trace).partition(".")[0]


def copies(notes: Path) -> int:
    file = notes / "shadow"
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_shares(server: Running) -> None:
    counts = Counter(answered(server) for _ in range(ASKED))
    assert set(counts) == {"main", "canary"}  # never the shadow
    assert 250 < counts["main"] < 350  # 300 expected, with a deviation of 8.7


def idle(server: Running) -> None:
    """Until no copy is under way."""
    busy = ("busy", "starting")
    until(
        lambda: (
            not any(server.metric("modelport_workers", endpoint="dep.shadow", state=state) for state in busy)
            and not server.metric("modelport_queue_length", endpoint="dep.shadow")
        ),
        what="the copies",
    )


def test_each_request_is_copied(server: Running, notes: Path) -> None:
    idle(server)
    before = copies(notes)
    for at in range(1, 21):
        answered(server)
        until(lambda at=at: copies(notes) == before + at, what="the copy")  # type: ignore[misc]


def test_feedback_is_shared_and_copied_too(server: Running, notes: Path) -> None:
    idle(server)
    before = copies(notes)
    body = {"request": {"data": {"ndarray": [[1]]}}, "reward": 1}
    assert server.post(PATH.replace("predictions", "feedback"), body, headers=JSON).status == 200
    until(lambda: copies(notes) == before + 1, what="the copy")


def test_the_deployment_is_the_model_that_is_meant(server: Running) -> None:
    assert answered(server, "/api/v1.0/predictions") in ("main", "canary")
    assert answered(server, "/seldon/api/v1.0/predictions") in ("main", "canary")
    tensor = {"name": "x", "datatype": "FP64", "shape": [1, 2], "data": [1, 2]}
    answer = server.post("/v2/models/dep/infer", {"inputs": [tensor]})
    assert answer.status == 200, answer
    assert answer.json()["outputs"][0]["data"] == [1, 2]
    assert server.get("/v2/models/dep/ready").status == 200


def test_each_predictor_has_a_name_of_its_own(server: Running) -> None:
    for name in ("main", "canary", "shadow"):
        assert answered(server, f"/seldon/dep.{name}/api/v1.0/predictions") == name


def test_over_grpc(server: Running) -> None:
    with calling(server) as channel:
        stub = services.SeldonStub(channel)
        seen = set()
        for metadata in ((), (("seldon", "dep"), ("namespace", "ns"))):
            for _ in range(30):
                reply = stub.Predict(message(jsonData={}), timeout=TIMEOUT, metadata=metadata)
                (trace,) = utils.seldon_message_to_json(reply)["jsonData"]["trace"]
                seen.add(trace)
        assert seen == {"main.predict", "canary.predict"}
        reply = stub.Predict(message(jsonData={}), timeout=TIMEOUT, metadata=(("seldon", "dep.shadow"),))
        assert utils.seldon_message_to_json(reply)["jsonData"]["trace"] == ["shadow.predict"]


def test_status_is_that_of_who_answers(server: Running) -> None:
    assert server.get("/seldon/ns/dep/api/v1.0/status").status == 200
    assert server.get("/seldon/ns/dep/api/v1.0/status/main").json()["meta"]["tags"] == {"main": True}
    assert server.get("/healthz/ready").status == 200


def test_large_bodies_are_copied(server: Running, notes: Path) -> None:
    idle(server)
    before = copies(notes)
    body = {"jsonData": {"text": "x" * (2 << 20)}}
    assert server.post(PATH, body, headers=JSON).status == 200
    until(lambda: copies(notes) == before + 1, what="the copy")


def test_a_shadow_that_hangs_slows_nobody_and_is_not_waited_for(tmp_path: Path) -> None:
    """Every request's copy would wait for ever for the others."""
    with serving(split(tmp_path, {"folder": str(tmp_path), "meets": 1000})) as server:
        begin = time.monotonic()
        for _ in range(60):
            answered(server)
        assert time.monotonic() - begin < 10  # one copy alone takes 20 seconds
        waiting = server.metric("modelport_queue_length", endpoint="dep.shadow")
        assert waiting <= 16
        assert server.metric("modelport_not_run_total", endpoint="dep.shadow", reason="rejected") >= 60 - 16


def test_a_shadow_that_does_not_load_is_no_fault_of_the_deployment(tmp_path: Path) -> None:
    with serving(split(tmp_path, {"gone": 1})) as server:  # a parameter that the class does not take
        assert {answered(server) for _ in range(20)} <= {"main", "canary"}
        assert server.get("/healthz/ready").status == 200
        assert server.get("/seldon/ns/dep/ready").status == 200


def test_a_share_of_copies(tmp_path: Path) -> None:
    with serving(split(tmp_path, {"folder": str(tmp_path)}, traffic=20)) as server:
        for _ in range(200):
            answered(server)
        idle(server)
        assert 5 <= copies(tmp_path) <= 75  # 40 expected, with a deviation of 5.7; on a slow machine some are left out

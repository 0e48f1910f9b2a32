"""The orchestrator's own metrics: requests to a graph, and questions to its nodes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from prometheus_client.parser import text_string_to_metric_families

from modelport import config
from modelport.core.call import Call, Reply
from modelport.errors import Cancelled
from modelport.monitoring.timed import AGE, MAX_SERIES, RECENT, Recent, Timed, families
from modelport.packages.find import find
from modelport.protocols.seldon.timing import timing
from tests.harness import Running, serving, until
from tests.platforms.seldon.graphs.conftest import JSON
from tests.platforms.seldon.graphs.deploying import UNIT, deploy, deployment, isolated, node, predictor, unit
from tests.platforms.seldon.remote import TIMEOUT, calling, message, pb, services

SERVER, CLIENT = "seldon_api_executor_server_requests_seconds", "seldon_api_executor_client_requests_seconds"
BOUNDS = ["0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1", "2.5", "5", "7.5", "10", "+Inf"]
QUANTILES = ["0.5", "0.75", "0.9", "0.98", "0.99", "1"]
GRAPH = unit("t", "TRANSFORMER", unit("r", "ROUTER", unit("a"), unit("c", "COMBINER", unit("b")), node("w")))
WORDS = """
class Words:
    def predict_raw(self, msg):
        return {"status": {"code": 409, "info": "taken"}}
"""
OF_PREDICTOR = {"deployment_name": "dep", "predictor_name": "main", "predictor_version": "v7"}
IMAGES = {"componentSpecs": [{"spec": {"containers": [{"name": "a", "image": "example.org:80/m:1.2"}]}}]}


@pytest.fixture(scope="module", params=["together", "apart"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    place = tmp_path_factory.mktemp("timed")
    (place / "Words.py").write_text(WORDS)
    components: dict[str, Any] = {**dict.fromkeys("trabc", UNIT), "w": "Words.py"}
    if request.param == "apart":  # some of them
        components = {**components, **isolated({"a": UNIT, "b": UNIT})}
    made = deployment("dep", predictor(GRAPH, annotations={"version": "v7"}, **IMAGES))
    file = deploy(place, made, components, pool={"runTimeout": 10_000})
    with serving(file, "--grpc-port", "0") as running:
        yield running


Counts = Counter[tuple[str, ...]]


def counts(server: Running, name: str, *labels: str) -> Counts:
    """What was counted so far, by these labels."""
    return Counter({tuple(have[one] for one in labels): int(n) for have, n in server.metrics(f"{name}_count")})


class Since:
    """What is counted after it was made: requests by service, method and code, questions by these and the node."""

    def __init__(self, server: Running) -> None:
        self._server = server
        self._before = self._now()

    def _now(self) -> tuple[Counts, Counts]:
        labels = ("service", "method", "code")
        return counts(self._server, SERVER, *labels), counts(self._server, CLIENT, "model_name", *labels)

    def counted(self) -> tuple[Counts, Counts]:
        requests, questions = self._now()
        return requests - self._before[0], questions - self._before[1]


def post(server: Running, value: Any, what: str = "predictions") -> int:
    return server.post(f"/api/v1.0/{what}", value, headers=JSON).status


def posted(*questions: str, code: str = "200") -> Counts:
    """ "node path" each, the last one's with this code."""
    *first, last = (tuple(one.split()) for one in questions)
    return Counter([*((*one, "post", "200") for one in first), (*last, "post", code)])


# --- what is counted -------------------------------------------------------------------------------------


def test_predictions(server: Running) -> None:
    since = Since(server)
    for _ in range(3):
        assert post(server, {"jsonData": {"routes": {"r": 1}}}) == 200
    requests, questions = since.counted()
    assert requests == {("predictions", "post", "200"): 3}
    once = posted("t /transform-input", "r /route", "b /predict", "c /aggregate")
    assert questions == once + once + once


def test_feedback(server: Running) -> None:
    since = Since(server)
    assert post(server, {"response": {"meta": {"routing": {"r": 0}}}, "reward": 1}, "feedback") == 200
    assert since.counted() == ({("feedback", "post", "200"): 1}, posted("a /send-feedback", "r /send-feedback"))


def test_status_and_metadata(server: Running) -> None:
    since = Since(server)
    for path in ("status/a", "metadata/a", "metadata"):
        assert server.get(f"/api/v1.0/{path}").status == 200
    requests, questions = since.counted()
    assert requests == {("status", "get", "200"): 1, ("metadata", "get", "200"): 2}
    assert questions == {("a", "/health/status", "get", "200"): 1, ("a", "/metadata", "get", "200"): 1}


@pytest.mark.parametrize(("how", "status"), [("raise", 500), ("refuse", 418)])
def test_a_node_that_fails(server: Running, how: str, status: int) -> None:
    since = Since(server)
    told = {"routes": {"r": 0}, "fault": {"at": "a", "how": how}}
    assert post(server, {"jsonData": told}) == status
    requests, questions = since.counted()
    assert requests == {("predictions", "post", str(status)): 1}
    assert questions == posted("t /transform-input", "r /route", "a /predict", code=str(status))


def test_a_node_that_words_an_error(server: Running) -> None:
    since = Since(server)
    assert post(server, {"jsonData": {"routes": {"r": 2}}}) == 409
    requests, questions = since.counted()
    assert requests == {("predictions", "post", "409"): 1}
    assert questions == posted("t /transform-input", "r /route", "w /predict", code="409")


def test_what_is_no_message(server: Running) -> None:
    since = Since(server)
    assert server.post("/api/v1.0/predictions", b"{", headers=JSON).status == 400
    assert since.counted()[0] == {("predictions", "post", "400"): 1}


def test_over_grpc(server: Running) -> None:
    since = Since(server)
    with calling(server) as channel:
        stub = services.SeldonStub(channel)
        stub.Predict(message(jsonData={"routes": {"r": 1}}), timeout=TIMEOUT)
        stub.SendFeedback(pb.Feedback(reward=1), timeout=TIMEOUT)
        stub.GraphMetadata(empty_pb2.Empty(), timeout=TIMEOUT)
        fault = {"at": "a", "how": "raise"}
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(message(jsonData={"routes": {"r": 0}, "fault": fault}), timeout=TIMEOUT)
        assert caught.value.code() == grpc.StatusCode.UNKNOWN
    requests, questions = since.counted()
    here = "/seldon.protos.Seldon"
    assert requests == {
        (f"{here}/Predict", "unary", "OK"): 1,
        (f"{here}/Predict", "unary", "Unknown"): 1,
        (f"{here}/SendFeedback", "unary", "OK"): 1,
        (f"{here}/GraphMetadata", "unary", "OK"): 1,
    }
    there = "/seldon.protos."
    assert questions == {
        ("t", f"{there}Transformer/TransformInput", "unary", "OK"): 2,
        ("r", f"{there}Router/Route", "unary", "OK"): 2,
        ("a", f"{there}Model/Predict", "unary", "Unknown"): 1,
        ("b", f"{there}Model/Predict", "unary", "OK"): 1,
        ("c", f"{there}Combiner/Aggregate", "unary", "OK"): 1,
        **{(one, f"{there}Model/SendFeedback", "unary", "OK"): 1 for one in "abrw"},
    }


def test_another_platforms_request_asks_nodes_alone(server: Running) -> None:
    since = Since(server)
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [0, 0]}
    assert server.post("/v2/models/dep/infer", {"inputs": [tensor]}, headers=JSON).status == 400  # that is no branch
    requests, questions = since.counted()
    assert requests == {}
    assert questions == posted("t /transform-input", "r /route", code="400")


# --- how it is shown -------------------------------------------------------------------------------------


def test_labels(server: Running) -> None:
    assert post(server, {"jsonData": {"routes": {"r": 0}}}) == 200
    ((have, _),) = server.metrics(f"{SERVER}_count", service="predictions", code="200")
    request = {**OF_PREDICTOR, "service": "predictions", "method": "post", "code": "200"}
    assert have == request
    ((have, _),) = server.metrics(f"{CLIENT}_count", model_name="a", service="/predict", code="200")
    image = {"model_name": "a", "model_image": "example.org:80/m", "model_version": "1.2"}
    assert have == {**request, "service": "/predict", **image}


@pytest.mark.parametrize(("name", "service"), [(SERVER, "predictions"), (CLIENT, "/predict")])
def test_buckets_and_quantiles(server: Running, name: str, service: str) -> None:
    labels = {"service": service, "code": "200", **({"model_name": "a"} if name == CLIENT else {})}

    def buckets() -> dict[str, float]:
        return {have["le"]: value for have, value in server.metrics(f"{name}_bucket", **labels)}

    before = buckets()
    nap = {"at": "a", "how": "nap"}  # of a second
    assert post(server, {"jsonData": {"routes": {"r": 0}, "fault": nap}}) == 200
    more = {bound: value - before.get(bound, 0) for bound, value in buckets().items()}
    assert list(more) == BOUNDS
    assert more["0.75"] == 0
    assert more["2.5"] == more["10"] == more["+Inf"] == 1
    assert more["1"] in (0, 1)
    quantiles = server.metrics(f"{name}_summary", **labels)
    assert [have["quantile"] for have, _ in quantiles] == QUANTILES
    assert quantiles[-1][1] >= 0.99
    assert server.metric(f"{name}_sum", **labels) == server.metric(f"{name}_summary_sum", **labels) >= 0.99
    assert server.metric(f"{name}_count", **labels) == server.metric(f"{name}_summary_count", **labels)


def test_no_series_is_there_twice_and_both_places_have_them(server: Running) -> None:
    assert server.get("/api/v1.0/metadata").status == server.get("/api/v1.0/metadata/a").status == 200
    for path in ("/metrics", "/prometheus", "/seldon/ns/dep/prometheus"):
        answer = server.get(path)
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        told = list(text_string_to_metric_families(answer.body.decode()))
        kinds = {family.name: family.type for family in told if family.name.startswith("seldon_api_executor")}
        assert kinds == {each + end: kind for each in (SERVER, CLIENT) for end, kind in SHOWN.items()}
        series = Counter((one.name, *sorted(one.labels.items())) for family in told for one in family.samples)
        assert set(series.values()) == {1}


SHOWN = {"": "histogram", "_summary": "summary"}


def test_counts_outlive_the_workers(server: Running) -> None:
    since = Since(server)
    told = {"routes": {"r": 0}, "fault": {"at": "a", "how": "exit"}}
    assert post(server, {"jsonData": {"routes": {"r": 0}}}) == 200
    assert post(server, {"jsonData": told}) == 500
    requests, questions = since.counted()
    assert requests == {("predictions", "post", "200"): 1, ("predictions", "post", "500"): 1}
    assert questions[("a", "/predict", "post", "200")] == 1


def test_each_predictor_counts_its_own_and_a_component_nothing(tmp_path: Path) -> None:
    predictors = [
        predictor(unit("main"), "main", traffic=100),
        predictor(unit("canary"), "canary", traffic=0),
        predictor(unit("shadow"), "shadow", shadow=True),
    ]
    direct = deployment("direct", predictor(unit("m")), annotations={"seldon.io/no-engine": "true"})
    files = [deploy(tmp_path / "split", deployment("dep", *predictors)), deploy(tmp_path / "direct", direct)]
    with serving(*files) as server:
        assert server.post("/seldon/api/v1.0/predictions", b"", headers=JSON).status == 404
        assert server.post("/seldon/direct/predict", {"jsonData": {}}, headers=JSON).status == 200
        assert not server.metrics(f"{SERVER}.*")
        assert server.post("/seldon/ns/dep/api/v1.0/predictions", {"jsonData": {}}, headers=JSON).status == 200
        labels = ("predictor_name", "service", "code")
        wanted = {(name, "predictions", "200"): 1 for name in ("main", "shadow")}
        until(lambda: counts(server, SERVER, *labels) == wanted)


# --- bounds ----------------------------------------------------------------------------------------------


@pytest.fixture
def timed(tmp_path: Path) -> Timed:
    (spec,) = find(str(deploy(tmp_path, deployment("dep", predictor(GRAPH)))), config.resolve({}, env={}))
    return Timed(spec, timing)


@pytest.mark.parametrize(
    "asked",
    [
        ("nobody", "predict", "200"),
        ("a", "prediction", "200"),
        ("a", "predict", "OK"),
        ("a", "predict", "2000"),
        ("a", "grpc/predict", "200"),
        ("a", "grpc/health/status", "OK"),
        ("a", "", ""),
        ("a", ["predict"], "200"),
        ("a", "predict", 200),
    ],
)
def test_a_worker_cannot_make_up_series(timed: Timed, asked: tuple[Any, Any, Any]) -> None:
    with pytest.raises((ValueError, TypeError), match=r"unit|form"):
        timed.asked(*asked, 1.0)
    assert timed.times == []


def test_there_are_only_so_many_series(timed: Timed, caplog: pytest.LogCaptureFixture) -> None:
    for unit_name in "abc":
        for code in range(100, 600):
            timed.asked(unit_name, "predict", str(code), 0.001)
    assert len(timed.times) == MAX_SERIES
    assert len(caplog.messages) == 1


def test_quantiles_are_of_the_last_times() -> None:
    recent = Recent()
    for second in range(1, RECENT + 1):
        recent.observe(float(second), 0.0)
    assert recent.quantiles((0.5, 0.9, 1), 1.0) == [RECENT * 0.5, RECENT * 0.9, RECENT]
    for _ in range(RECENT // 2):  # in place of the first ones
        recent.observe(1000.0, 60.0)
    assert recent.quantiles((0.5, 0.75), 60.0) == [RECENT, 1000.0]
    assert recent.quantiles((0,), AGE + 30.0) == [1000.0]  # the others are too old
    (nothing,) = recent.quantiles((1,), 2 * AGE)
    assert nothing != nothing


def test_a_client_that_leaves_is_counted(timed: Timed) -> None:
    async def leaves(protocol: str, path: str) -> None:
        call = Call("1", protocol, "predict", {}, "", path)
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(timed.request(call, answer))
        await asyncio.sleep(0)
        if protocol == "seldon":
            answer.set_exception(Cancelled("the client went away"))
        else:
            task.cancel()
        await asyncio.wait({task})

    asyncio.run(leaves("seldon", "/predict"))
    asyncio.run(leaves("seldon.grpc", "/seldon.protos.Seldon/Predict"))
    codes = {times.series.labels["service"]: times.series.labels["code"] for times in timed.times}
    assert codes == {"predictions": "499", "/seldon.protos.Seldon/Predict": "Canceled"}
    assert {family.name for family in families([timed])} == {SERVER, f"{SERVER}_summary"}

"""The orchestrator's routes beside predictions, and the headers of its answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness import Answer, Running, serving, until
from tests.platforms.seldon.graphs.conftest import JSON, Graphs
from tests.platforms.seldon.graphs.deploying import UNIT, deploy, deployment, node, predictor, unit
from tests.platforms.seldon.remote import TIMEOUT, message, services, speaking, utils

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

DESCRIBED = """
class Described:
    def __init__(self, name):
        self.name = name

    def route(self, X, names):
        return 0

    def aggregate(self, features, names):
        return features[0]

    def init_metadata(self):
        def side(name):
            return [{"messagetype": "tensor", "schema": {"names": [f"{self.name}-{name}"]}}]

        told = {"inputs": side("inputs"), "outputs": side("outputs")}
        return {"name": self.name, "versions": ["v1"], "platform": "own", **told}


class Undescribed:
    def init_metadata(self):
        return {"versions": 7}
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The only graph of a server, with allowed origins, and nodes that describe themselves."""
    place = tmp_path_factory.mktemp("alone")
    (place / "Described.py").write_text(DESCRIBED)

    def described(name: str, kind: str = "MODEL", *children: dict[str, Any]) -> dict[str, Any]:
        return node(name, kind, *children, parameters={"name": name})

    combined = described("c", "COMBINER", described("a"), described("b"))
    graph = described("t", "TRANSFORMER", described("r", "ROUTER", combined, described("z")))
    components: dict[str, Any] = dict.fromkeys("trcabz", "Described.py")
    components["b"] = {"path": "Described.py", "isolated": True}
    file = deploy(place, deployment("dep", predictor(graph)), components)
    with serving(file, env={"CORS_ALLOWED_ORIGINS": "https://example.org"}) as server:
        yield server


def asked(server: Running, path: str = "/api/v1.0/predictions", **headers: str) -> Answer:
    return server.post(path, {"jsonData": {}}, headers={**JSON, **headers})


@pytest.mark.parametrize("base", ["", "/seldon/ns/dep", "/seldon", "/seldon/dep"])
@pytest.mark.parametrize("version", ["v1.0", "v0.1"])
def test_where_a_graph_answers(alone: Running, base: str, version: str) -> None:
    assert asked(alone, f"{base}/api/{version}/predictions").status == 200
    answer = alone.post(f"{base}/api/{version}/feedback", {"reward": 1}, headers=JSON)
    assert answer.status == 200
    answer = alone.request("OPTIONS", f"{base}/api/{version}/predictions")
    assert (answer.status, answer.headers["access-control-allow-methods"]) == (200, "OPTIONS, POST")


@pytest.mark.parametrize("path", ["/predict", "/health/ping", "/metadata", "/seldon/ns/other/api/v1.0/predictions"])
def test_where_only_a_component_would(alone: Running, path: str) -> None:
    if path == "/health/ping":  # the server's own, whatever it serves
        assert alone.get(path).body == b"pong"
        return
    assert alone.post(path, {"strData": "a"}, headers=JSON).status in (404, 500)


def test_every_answer_has_a_prediction_id(alone: Running) -> None:
    for answer in (asked(alone), alone.post("/api/v1.0/predictions", b"{", headers=JSON), alone.get("/live")):
        assert UUID4.fullmatch(answer.headers["seldon-puid"])
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["access-control-allow-origin"] == "https://example.org"
        assert "content-type" in answer.headers["access-control-allow-headers"]
    assert asked(alone).headers["seldon-puid"] != asked(alone).headers["seldon-puid"]
    assert asked(alone, **{"Seldon-Puid": "mine"}).headers["seldon-puid"] == "mine"


def test_cloud_events(alone: Running) -> None:
    headers = asked(alone, **{"Ce-Specversion": "0.3", "Seldon-Puid": "p"}).headers
    events = {name: value for name, value in headers.items() if name.startswith("ce-")}
    assert events == {
        "ce-id": "p",
        "ce-specversion": "0.3",
        "ce-path": "/api/v1.0/predictions",
        "ce-type": "seldon.dep.ns.response",
        "ce-source": "seldon.dep",
    }
    assert not [name for name in asked(alone).headers if name.startswith("ce-")]


def test_metadata_of_nodes_and_graph(alone: Running) -> None:
    for unit_name in "trcabz":
        told = alone.get(f"/api/v1.0/metadata/{unit_name}")
        assert (told.status, told.json()["name"]) == (200, unit_name)
    told = alone.get("/api/v1.0/metadata").json()
    assert told["name"] == "main"
    assert set(told["models"]) == set("trcabz")
    assert told["graphinputs"][0]["schema"]["names"] == ["t-inputs"]
    assert told["graphoutputs"][0]["schema"]["names"] == ["c-outputs"]


def test_status_of_nodes_and_graph(alone: Running) -> None:
    for unit_name in "trcabz":
        for version in ("v1.0", "v0.1"):
            assert alone.get(f"/api/{version}/status/{unit_name}").json()["strData"] == "healthy"
    for path in ("/api/v1.0/status", "/api/v1.0/health/status", "/ready", "/live"):
        assert (alone.get(path).status, alone.get(path).body) == (200, b"")
    for what in ("status", "metadata"):
        assert alone.get(f"/api/v1.0/{what}/gone").status == 500


def test_a_page_draws_the_graph(alone: Running) -> None:
    for version in ("v1.0", "v0.1"):
        page = alone.get(f"/api/{version}/doc/")
        assert page.headers["content-type"].startswith("text/html")
        text = page.body.decode()
        nested = re.sub(r" <code>[^<]*</code>", "", text[text.index("<ul>") : text.rindex("</ul>")])
        assert nested == ("<ul><li>t<ul><li>r<ul><li>c<ul><li>a</li><li>b</li></ul></li><li>z</li></ul></li></ul></li>")
        assert "https://" not in text  # nothing is fetched from elsewhere
        told = alone.get(f"/api/{version}/doc/seldon.json").json()
        assert list(told["paths"]) == ["/api/v1.0/feedback", "/api/v1.0/predictions"]


def test_a_component_without_an_engine_is_behind_the_gateway_too(tmp_path: Any) -> None:
    bare = deployment("bare", predictor(unit("a")), annotations={"seldon.io/no-engine": "true"})
    files = (deploy(tmp_path / "bare", bare), deploy(tmp_path / "dep", deployment("dep", predictor(unit("b")))))
    with speaking(*files) as (server, channel):
        for path in ("/api/v1.0/predictions", "/predict"):
            assert asked(server, f"/seldon/ns/bare{path}").json()["jsonData"]["trace"] == ["a.predict"]
        assert server.get("/seldon/ns/bare/health/ping").body == b"pong"
        stub = services.SeldonStub(channel)
        reply = stub.Predict(message(jsonData={}), metadata=(("seldon", "bare"), ("namespace", "ns")), timeout=TIMEOUT)
        assert utils.seldon_message_to_json(reply)["jsonData"]["trace"] == ["a.predict"]


def test_names_are_written_as_text(tmp_path: Any) -> None:
    graph = unit("<script>alert(1)<", "MODEL")
    with serving(deploy(tmp_path, deployment("dep", predictor(graph)))) as server:
        text = server.get("/api/v1.0/doc/").body.decode()
        assert "<script>" not in text
        assert "&lt;script&gt;" in text


def test_a_graph_without_valid_metadata(tmp_path: Any) -> None:
    (tmp_path / "Described.py").write_text(DESCRIBED)
    graph = unit("a", "MODEL", node("b"))
    components = {"a": UNIT, "b": "Described.py:Undescribed"}
    with serving(deploy(tmp_path, deployment("dep", predictor(graph)), components)) as server:
        answer = server.get("/api/v1.0/metadata")
        assert (answer.status, answer.headers["x-modelport-node"]) == (500, "b")
        assert answer.json()["status"]["reason"] == "MICROSERVICE_BAD_METADATA"
        assert server.get("/api/v1.0/metadata/b").status == 500
        assert server.get("/api/v1.0/metadata/a").status == 200


def test_a_graph_that_has_lost_a_node_is_not_ready(tmp_path: Any) -> None:
    graph = unit("a", "MODEL", unit("b", gone=1))  # a parameter that the class does not take
    components = {"a": UNIT, "b": {"path": UNIT, "isolated": True}}
    with serving(deploy(tmp_path, deployment("dep", predictor(graph)), components)) as server:
        for path in ("/ready", "/api/v1.0/status", "/api/v1.0/health/status", "/healthz/ready"):
            assert server.get(path).status == 503
        assert server.get("/live").status == 200
        answer = asked(server)
        assert (answer.status, answer.headers["x-modelport-node"]) == (500, "b")
        assert answer.json()["status"]["status"] == "FAILURE"
        assert "could not be loaded" in answer.json()["status"]["info"]
        until(lambda: any("dep:b does not load" in line["message"] for line in server.logs), what="the log")
        assert any("does not load" in line for line in server.said)


def test_user_metrics_and_counts_of_nodes(served: Graphs) -> None:
    """Whose metrics they are is in their labels, whatever worker they come from."""
    before = served.server.metric("mymetric_counter_total", model_name="s1")
    served.ask("built", {"data": {"ndarray": [[1, 2, 3]]}})
    samples = served.server.metrics("mymetric_counter_total", model_name="s1")
    assert sum(value for _, value in samples) == before + 1
    assert samples[0][0]["deployment_name"] == "built"
    assert samples[0][0]["predictor_name"] == "main"


def test_requests_are_counted_once(served: Graphs) -> None:
    def counted() -> int:
        told = served.server.get("/v2/models/joined/stats").json()["model_stats"][0]
        count: int = told["inference_stats"]["success"]["count"]
        return count

    before, timed = counted(), served.server.metric("modelport_run_seconds_count", endpoint="joined")
    served.trace("joined")
    assert counted() == before + 1
    assert served.server.metric("modelport_run_seconds_count", endpoint="joined") == timed + 1


def test_keys_are_asked_for(tmp_path: Any) -> None:
    file = deploy(tmp_path, deployment("dep", predictor(unit("a"))))
    with serving(file, "--api-key", "secret") as server:
        assert asked(server).status == 401
        assert asked(server, Authorization="Bearer secret").status == 200


HEADERS = """
import flask

class Seen:
    def __init__(self, me):
        self.me = me

    def predict(self, X, names, meta=None):
        seen = {name.lower(): value for name, value in flask.request.headers}
        return {**X, self.me: seen}
"""


@pytest.mark.parametrize("apart", [False, True])
def test_nodes_see_a_request_headers_but_not_those_of_our_name(tmp_path: Any, apart: bool) -> None:
    (tmp_path / "Seen.py").write_text(HEADERS)
    graph = node("a", "MODEL", node("b", parameters={"me": "b"}), parameters={"me": "a"})
    components: dict[str, Any] = {name: {"path": "Seen.py", "isolated": apart} for name in "ab"}
    with serving(deploy(tmp_path, deployment("dep", predictor(graph)), components)) as server:
        forged = {"X-Modelport-Parts": '{"a": {"metadata": {"name": "forged"}}}', "X-Other": "mine", "Seldon-Puid": "p"}
        seen = asked(server, **forged).json()["jsonData"]
        for name in "ab":
            assert (seen[name]["x-other"], seen[name]["seldon-puid"]) == ("mine", "p")
            assert "x-modelport-parts" not in seen[name]
        told = server.get("/api/v1.0/metadata", headers=forged).json()
        assert [model["name"] for model in told["models"].values()] == ["", ""]


READER = """
import os
from pathlib import Path

class NAME:
    def __init__(self):
        self.text = Path("here.txt").read_text()

    def load(self):
        self.text += Path("here.txt").read_text()

    def predict(self, X, names, meta=None):
        return {**X, self.text: os.getcwd()}
"""


def test_nodes_load_in_their_own_folders(tmp_path: Any) -> None:
    for name in ("One", "Two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.py").write_text(READER.replace("NAME", name))
        (tmp_path / name / "here.txt").write_text(name)
    graph = node("a", "MODEL", node("b"))
    components = {"a": "One/One.py", "b": "Two/Two.py"}
    with serving(deploy(tmp_path, deployment("dep", predictor(graph)), components)) as server:
        assert asked(server).json()["jsonData"] == {"OneOne": str(tmp_path), "TwoTwo": str(tmp_path)}


def test_a_graph_is_unloaded_and_loaded_with_all_its_nodes(tmp_path: Any) -> None:
    graph = unit("a", "MODEL", unit("b"), unit("c"))
    components = {"a": UNIT, "b": {"path": UNIT, "isolated": True}, "c": {"path": UNIT, "isolated": True}}
    with serving(deploy(tmp_path, deployment("dep", predictor(graph)), components), "--repository") as server:
        workers = {worker.pid for worker in server.workers()}
        assert len(workers) == 3
        assert server.post("/v2/repository/models/dep/unload", b"{}").status == 200
        until(lambda: not server.workers(), what="the workers to leave")
        assert asked(server).status in (500, 503)
        assert server.post("/v2/repository/models/dep/load", b"{}").status == 200
        assert asked(server).status == 200
        again = {worker.pid for worker in server.workers()}
        assert len(again) == 3
        assert not again & workers
        assert server.post("/v2/repository/models/dep/load", b"{}").status == 200
        assert {worker.pid for worker in server.workers()} == again  # there was nothing to do

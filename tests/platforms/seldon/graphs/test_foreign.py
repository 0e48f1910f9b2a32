"""Models of other platforms as nodes, and other platforms' protocols in front of a graph."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tritonclient.grpc

from tests.harness import Running, function, regression, serving, write_service
from tests.harness import predictor as python_predictor
from tests.platforms.drum.folders import write_folder
from tests.platforms.seldon.graphs.conftest import JSON
from tests.platforms.seldon.graphs.deploying import UNIT, deploy, deployment, node, predictor, unit
from tests.platforms.seldon.remote import TIMEOUT, calling, message, services, utils

TOTAL = "def score(data, model, **kwargs):\n    return data.sum(axis=1).to_frame('Predictions')\n"
MEAN = UNIT.replace(":Unit", ":Mean")
METADATA = "name: total\ntype: inference\ntargetType: regression\n"


@pytest.fixture(scope="module", params=["together", "apart"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """ "mixed": a component above a DRUM folder and a Dataiku endpoint; "own": components alone, in one worker or each
    in its own; "text": a model that words its own answer."""
    place = tmp_path_factory.mktemp(request.param)
    drum = write_folder(place / "drum", TOTAL, METADATA)
    text = write_folder(place / "text", "def score_unstructured(model, data, **kwargs):\n    return 'said ' + data\n")
    write_service(
        place / "dataiku",
        regression("sum"),
        code={"predictor.py": python_predictor("return features_df.iloc[:, 0] * 10")},
    )
    mixed = unit("t", "TRANSFORMER", node("mean", "COMBINER", node("drum"), node("dataiku"), node("simple")))
    isolated = request.param == "apart"
    own = node("mean", "COMBINER", node("k1"), node("k2"))
    once = {"path": UNIT, "isolated": isolated}
    files = [
        deploy(
            place / "mixed",
            deployment("mixed", predictor(mixed)),
            {"t": UNIT, "mean": MEAN, "drum": str(drum), "dataiku": "../dataiku", "simple": "../drum"},
        ),
        deploy(
            place / "own",
            deployment("own", predictor(own)),
            {"mean": {"path": MEAN, "isolated": isolated}, "k1": once, "k2": once},
        ),
        deploy(
            place / "texts",
            deployment("texts", predictor(node("text", "MODEL", unit("last")))),
            {"text": str(text), "last": UNIT},
        ),
    ]
    with serving(*files, "--grpc-port", "0") as server:
        yield server


def ask(server: Running, name: str, sent: Any) -> Any:
    answer = server.post(f"/seldon/ns/{name}/api/v1.0/predictions", sent, headers=JSON)
    assert answer.status == 200, answer
    return answer.json()


def test_models_of_other_platforms_are_nodes(server: Running) -> None:
    sent = {"data": {"names": ["a", "b"], "ndarray": [[1, 2], [3, 4]]}, "meta": {"puid": "p", "tags": {"mine": 1}}}
    answer = ask(server, "mixed", sent)
    assert answer["data"]["ndarray"] == pytest.approx([(3 + 10 + 3) / 3, (7 + 30 + 7) / 3])
    assert answer["meta"]["tags"] == {"mine": 1, "t": True}
    assert answer["meta"]["puid"] == "p"
    assert sorted(answer["meta"]["requestPath"]) == ["dataiku", "drum", "mean", "simple", "t"]


def test_so_they_are_over_grpc(server: Running) -> None:
    fields = {"data": {"names": ["a", "b"], "tensor": {"shape": [1, 2], "values": [1, 2]}}}
    with calling(server) as channel:
        sent = message(**fields, meta={"tags": {"mine": 1}})
        reply = services.SeldonStub(channel).Predict(sent, timeout=TIMEOUT, metadata=(("seldon", "mixed"),))
    told = utils.seldon_message_to_json(reply)
    assert told["data"]["tensor"]["values"] == pytest.approx([(3 + 10 + 3) / 3])
    assert told["meta"]["tags"] == {"mine": 1, "t": True}


def test_a_foreign_node_that_fails_is_named(server: Running) -> None:
    answer = server.post("/seldon/ns/mixed/api/v1.0/predictions", {"data": {"ndarray": [["x", "y"]]}}, headers=JSON)
    assert answer.status >= 400
    assert answer.headers["x-modelport-node"] in ("drum", "dataiku")


def test_foreign_nodes_get_no_feedback(server: Running) -> None:
    body = {"request": {"data": {"ndarray": [[1]]}}, "reward": 1}
    answer = server.post("/seldon/ns/mixed/api/v1.0/feedback", body, headers=JSON)
    assert (answer.status, answer.json()) == (200, body)


def test_status_and_metadata_of_foreign_nodes(server: Running) -> None:
    base = "/seldon/ns/mixed/api/v1.0"
    assert server.get(f"{base}/status/drum").json()["strData"] == "healthy"
    assert server.get(f"{base}/metadata/drum").json()["platform"] == "drum"
    told = server.get(f"{base}/metadata").json()
    platforms = {name: model["platform"] for name, model in told["models"].items()}
    assert platforms == {"t": "", "mean": "", "drum": "drum", "dataiku": "dataiku", "simple": "drum"}


def test_an_answer_that_a_model_worded_itself_is_a_message_to_the_next(server: Running) -> None:
    answer = ask(server, "texts", {"strData": "hello"})
    assert answer["strData"] == "said hello"
    assert answer["meta"]["tags"] == {"last": True}


# --- other protocols -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "answer"), [("own", [1.0, 2.0, 3.0, 4.0]), ("mixed", [16 / 3, 44 / 3])])
def test_open_inference_protocol(server: Running, name: str, answer: list[float]) -> None:
    columns = [
        {"name": n, "datatype": "FP64", "shape": [2], "data": data} for n, data in (("a", [1, 3]), ("b", [2, 4]))
    ]
    reply = server.post(f"/v2/models/{name}/infer", {"id": "7", "inputs": columns})
    assert reply.status == 200, reply
    assert reply.json()["id"] == "7"
    assert reply.json()["outputs"][0]["data"] == pytest.approx(answer)


def test_open_inference_protocol_over_grpc(server: Running) -> None:
    import numpy as np

    client = tritonclient.grpc.InferenceServerClient(server.rpc)
    for name in ("own", "mixed"):
        columns = []
        for column, data in (("a", [1.0, 3.0]), ("b", [2.0, 4.0])):
            columns.append(tritonclient.grpc.InferInput(column, [2], "FP64"))
            columns[-1].set_data_from_numpy(np.array(data))
        result = client.infer(name, columns)
        output = result.get_response().outputs[0].name
        wanted = [[1, 2], [3, 4]] if name == "own" else [16 / 3, 44 / 3]
        assert np.allclose(result.as_numpy(output).ravel(), np.ravel(wanted))
    client.close()


def test_dataiku(server: Running) -> None:
    reply = server.post("/public/api/v1/mixed/mixed/predict", {"features": {"a": 1, "b": 2}})
    assert reply.json()["result"]["prediction"] == pytest.approx(16 / 3)


def test_drum(server: Running) -> None:
    reply = server.post("/drum/mixed/predict/", b"a,b\n1,2\n3,4\n", headers={"Content-Type": "text/csv"})
    assert reply.status == 200, reply
    assert reply.json()["predictions"] == pytest.approx([16 / 3, 44 / 3])


def test_an_error_is_worded_by_the_protocol_that_was_spoken(server: Running) -> None:
    rows = {"name": "a", "datatype": "BYTES", "shape": [1], "data": ["x"]}
    reply = server.post("/v2/models/mixed/infer", {"inputs": [rows]})
    assert reply.status >= 400
    assert list(reply.json()) == ["error"]
    assert reply.headers["x-modelport-node"] in ("drum", "dataiku")
    reply = server.post("/v2/models/own/infer", {"inputs": [rows]})
    assert reply.headers["x-modelport-node"] == "mean"


def test_a_foreign_model_neither_routes_nor_combines(tmp_path: Path) -> None:
    from modelport import config
    from modelport.errors import ConfigError
    from modelport.packages.find import find

    service = write_service(
        tmp_path / "two", function("f1"), function("f2"), code={"functions.py": "def run():\n    pass\n"}
    )
    drum = write_folder(tmp_path / "drum", TOTAL, METADATA)
    graph = node("r", "ROUTER", node("j", "COMBINER", node("a", parameters={"x": "1"}), node("b")))
    file = deploy(
        tmp_path / "d",
        deployment("dep", predictor(graph)),
        {"r": str(drum), "j": str(drum), "a": str(drum), "b": str(service)},
    )
    with pytest.raises(ConfigError) as caught:
        find(str(file), config.resolve({}, env={}))
    assert caught.value.faults == [
        "r: a model of drum neither routes nor combines",
        "j: a model of drum neither routes nor combines",
        f"a: parameters are for components of seldon; {drum} is of drum",
        f"b: {service} holds several models (f1, f2); a unit is one",
    ]

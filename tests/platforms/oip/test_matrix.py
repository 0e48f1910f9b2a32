"""Every contract behind every protocol: where a faithful conversion exists, and what is said where none does."""

from __future__ import annotations

from typing import Any

import pytest

from modelport import platforms
from tests.harness import Running


def tensor(name: str, data: list[Any], datatype: str = "FP64", shape: list[int] | None = None) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": data}


def predicted(value: float) -> list[dict[str, Any]]:
    return [{"rowId": 0, "prediction": value, "predictionValues": [{"label": "target", "value": value}]}]


JSON = {"Content-Type": "application/json"}
ROW = {"a": 3.0, "b": 3.0, "c": 3.0, "d": 3.0}
CSV = b"a,b,c,d\n3,3,3,3\n"
COLUMNS = {"inputs": [tensor(name, [value]) for name, value in ROW.items()]}
MESSAGE = {"data": {"names": list(ROW), "ndarray": [list(ROW.values())]}}

# (what is served, protocol): server, path, request, and what must be in the answer
CONVERTS: dict[tuple[str, str], tuple[str, str, Any, Any]] = {
    ("dataiku prediction", "dataiku"): (
        "tables",
        "/public/api/v1/svc/sum/predict",
        {"features": ROW},
        {"result": {"prediction": 12.0, "ignored": False}},
    ),
    ("dataiku prediction", "oip"): (
        "tables", "/v2/models/sum/infer", COLUMNS, {"outputs": [tensor("predict", [12.0], shape=[1, 1])]},
    ),
    ("dataiku function", "dataiku"): (
        "tables", "/public/api/v1/svc/fn/run", {"x": 1.5, "y": "é"}, {"response": {"x": 1.5, "y": "é"}},
    ),
    ("dataiku function", "oip"): (
        "tables",
        "/v2/models/fn/infer",
        {"inputs": [tensor("x", [1.5]), tensor("y", ["é"], "BYTES")]},
        {"outputs": [tensor("x", [1.5]), tensor("y", ["é"], "BYTES")]},
    ),
    ("dataiku prediction", "drum"): ("tables", "/drum/sum/predict/", CSV, {"predictions": [12.0]}),
    ("dataiku function", "drum"): (
        "tables", "/drum/fn/predictUnstructured/", {"x": 1.5, "y": "é"}, {"x": 1.5, "y": "é"},
    ),
    ("dataiku prediction", "seldon"): (
        "tables", "/seldon/sum/predict", MESSAGE, {"data": {"names": [], "ndarray": [12.0]}},
    ),
    ("dataiku function", "seldon"): (
        "tables", "/seldon/fn/predict", {"jsonData": {"x": 1.5, "y": "é"}}, {"jsonData": {"x": 1.5, "y": "é"}},
    ),
    ("drum structured", "dataiku"): (
        "folders",
        "/public/api/v1/total/total/predict",
        {"features": ROW},
        {"result": {"prediction": 12.0, "ignored": False}},
    ),
    ("drum structured", "oip"): (
        "folders", "/v2/models/total/infer", COLUMNS, {"outputs": [tensor("predict", [12.0], shape=[1, 1])]},
    ),
    ("drum structured", "drum"): ("folders", "/drum/total/predict/", CSV, {"predictions": [12.0]}),
    ("drum unstructured", "dataiku"): (
        "folders", "/public/api/v1/echo/echo/run", {"x": [1.5, "é"]}, {"response": '{"x":[1.5,"é"]}'},
    ),
    ("drum unstructured", "oip"): (
        "folders",
        "/v2/models/echo/infer",
        {"inputs": [tensor("text", ["é"], "BYTES")]},
        {"outputs": [{**tensor("response", ["é"], "BYTES"), "parameters": {"content_type": "text/plain"}}]},
    ),
    ("drum unstructured", "drum"): ("folders", "/drum/echo/predictUnstructured/", {"x": 1.5}, {"x": 1.5}),
    ("drum structured", "seldon"): (
        "folders", "/seldon/total/predict", MESSAGE, {"data": {"names": [], "ndarray": [12.0]}},
    ),
    ("drum unstructured", "seldon"): ("folders", "/seldon/echo/predict", {"strData": "é"}, {"strData": "é"}),
    ("seldon component", "dataiku"): (
        "components",
        "/public/api/v1/Total/Total/predict",
        {"features": ROW},
        {"result": {"prediction": 12.0, "ignored": False}},
    ),
    ("seldon component", "oip"): (
        "components", "/v2/models/Total/infer", COLUMNS, {"outputs": [tensor("predict", [12.0], shape=[1, 1])]},
    ),
    ("seldon component", "drum"): ("components", "/drum/Total/predict/", CSV, {"predictions": [12.0]}),
    ("seldon component", "seldon"): (
        "components", "/predict", MESSAGE, {"data": {"names": [], "ndarray": [12.0]}, "meta": {}},
    ),
    ("tensors", "dataiku"): (
        "tensors", "/public/api/v1/sk/sk/predict", {"features": ROW}, {"result": {"prediction": 1, "ignored": False}},
    ),
    ("tensors", "drum"): ("tensors", "/drum/sk/predict/", CSV, {"predictions": [1]}),
    ("tensors", "oip"): (
        "tensors", "/v2/models/sk/infer", COLUMNS, {"outputs": [tensor("predict", [1], "INT64", [1, 1])]},
    ),
    ("tensors", "seldon"): (
        "tensors", "/seldon/sk/predict", MESSAGE, {"data": {"names": [], "ndarray": [1]}},
    ),
    ("dataiku prediction", "deepaas"): (
        "tables", "/v2/models/sum/predict/", ROW, {"status": "OK", "predictions": [12.0]},
    ),
    ("dataiku function", "deepaas"): (
        "tables", "/v2/models/fn/predict/", {"x": 1.5}, {"status": "OK", "predictions": {"x": 1.5}},
    ),
    ("drum structured", "deepaas"): (
        "folders", "/v2/models/total/predict/", ROW, {"status": "OK", "predictions": [12.0]},
    ),
    ("drum unstructured", "deepaas"): ("folders", "/v2/models/echo/predict/", {"x": 1.5}, {"x": 1.5}),
    ("seldon component", "deepaas"): (
        "components", "/v2/models/Total/predict/", ROW, {"status": "OK", "predictions": [12.0]},
    ),
    ("tensors", "deepaas"): ("tensors", "/v2/models/sk/predict/", ROW, {"status": "OK", "predictions": [1]}),
    ("deepaas model", "dataiku"): (
        "entries", "/public/api/v1/scale/scale/run", {"x": 3, "by": [2, 0.5]}, {"response": {"scaled": [6.0, 1.5]}},
    ),
    ("deepaas model", "deepaas"): (
        "entries",
        "/v2/models/scale/predict/",
        {"x": 3, "by": [2, 0.5]},
        {"status": "OK", "predictions": {"scaled": [6.0, 1.5]}},
    ),
    ("deepaas model", "drum"): (
        "entries", "/drum/scale/predictUnstructured/", {"x": 3, "by": [2, 0.5]}, {"scaled": [6.0, 1.5]},
    ),
    ("deepaas model", "oip"): (
        "entries",
        "/v2/models/scale/infer",
        {"inputs": [tensor("x", [3.0]), tensor("by", [2.0, 0.5])]},
        {"outputs": [tensor("scaled", [6.0, 1.5])]},
    ),
    ("deepaas model", "seldon"): (
        "entries",
        "/seldon/scale/predict",
        {"jsonData": {"x": 3, "by": [2, 0.5]}},
        {"jsonData": {"scaled": [6.0, 1.5]}},
    ),
    ("dataiku prediction", "pps"): ("tables", "/deployments/sum/predictions", [ROW], {"data": predicted(12.0)}),
    ("drum structured", "pps"): ("folders", "/deployments/total/predictions", [ROW], {"data": predicted(12.0)}),
    ("seldon component", "pps"): ("components", "/deployments/Total/predictions", [ROW], {"data": predicted(12.0)}),
    ("tensors", "pps"): ("tensors", "/deployments/sk/predictions", [ROW], {"data": predicted(1)}),
}  # fmt: skip

# (what is served, protocol): server, path; the protocol is for rows, and what is served takes none
NO_ROWS: dict[tuple[str, str], tuple[str, str]] = {
    ("dataiku function", "pps"): ("tables", "/deployments/fn/predictions"),
    ("drum unstructured", "pps"): ("folders", "/deployments/echo/predictions"),
    ("deepaas model", "pps"): ("entries", "/deployments/scale/predictions"),
}

# (what is served, protocol, what is sent): server, path, request, words of the refusal
REFUSED: dict[tuple[str, str, str], tuple[str, str, Any, str]] = {
    ("tensors", "dataiku", "a nested cell"): (
        "tensors", "/public/api/v1/sk/sk/predict", {"features": {"a": [1, 2]}}, "column 'a' holds list",
    ),
    ("tensors", "dataiku", "mixed cells"): (
        "tensors",
        "/public/api/v1/sk/sk/predict-multi",
        {"items": [{"features": {"a": 1}}, {"features": {"a": "x"}}]},
        "column 'a' holds int, str",
    ),
    ("dataiku prediction", "oip", "a matrix beside a column"): (
        "tables",
        "/v2/models/sum/infer",
        {"inputs": [tensor("a", [1.0]), tensor("b", [1.0, 2.0], shape=[1, 2])]},
        "input 'b' of shape [1, 2] is not a column",
    ),
}  # fmt: skip


def test_every_registered_platform_is_in_the_matrix() -> None:
    contracts = {served.partition(" ")[0] for served, _ in CONVERTS} - {"tensors"}
    assert contracts == set(platforms.BUILT_IN["modelport.contracts"])
    assert {protocol for _, protocol in CONVERTS} == set(platforms.BUILT_IN["modelport.protocols"])
    pairs = [*CONVERTS, *NO_ROWS]
    assert len(pairs) == len({served for served, _ in pairs}) * len({protocol for _, protocol in pairs})


@pytest.mark.parametrize("pair", CONVERTS, ids=" by ".join)
def test_what_converts(request: pytest.FixtureRequest, pair: tuple[str, str]) -> None:
    which, path, asked, want = CONVERTS[pair]
    server: Running = request.getfixturevalue(which)
    answer = server.post(path, asked, headers={} if isinstance(asked, bytes) else JSON)
    assert answer.status == 200, answer.body
    body = answer.json()
    assert {key: body[key] for key in want} == want
    print(f"{pair[0]:20} {pair[1]:10} converts")


@pytest.mark.parametrize("pair", NO_ROWS, ids=" by ".join)
def test_what_takes_no_rows(request: pytest.FixtureRequest, pair: tuple[str, str]) -> None:
    which, path = NO_ROWS[pair]
    server: Running = request.getfixturevalue(which)
    answer = server.post(path, [ROW], headers=JSON)
    assert answer.status == 422, answer.body
    assert "predicts nothing from rows" in answer.json()["message"]
    print(f"{pair[0]:20} {pair[1]:10} takes no rows")


@pytest.mark.parametrize("what", REFUSED, ids=" ".join)
def test_what_is_refused(request: pytest.FixtureRequest, what: tuple[str, str, str]) -> None:
    which, path, asked, words = REFUSED[what]
    server: Running = request.getfixturevalue(which)
    answer = server.post(path, asked)
    assert answer.status == 400, answer.body
    assert words in answer.body.decode()
    print(f"{what[0]:20} {what[1]:10} refused, for {what[2]}")

"""The platform's ready-made servers, from folders on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import joblib
import numpy as np
import pytest
import xgboost
from sklearn.linear_model import LogisticRegression

from modelport.contracts.seldon.servers import SklearnServer
from modelport.errors import LoadError
from tests.harness import Running, serving, until
from tests.platforms.seldon.graphs.conftest import JSON
from tests.platforms.seldon.graphs.deploying import deploy, deployment, node, predictor

ROWS = [[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]]
MLFLOW = '''
"""As much of the real package as is asked for."""
'''
PYFUNC = """
import pathlib


class Model:
    def __init__(self, folder):
        self.factor = float(pathlib.Path(folder, "factor").read_text())

    def predict(self, rows):
        if hasattr(rows, "columns"):
            return rows.assign(kind=1.0) * self.factor
        return rows * self.factor


def load_model(folder):
    return Model(folder)
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models")
    model = LogisticRegression().fit(np.array(ROWS), [0, 1, 1, 0])
    (place / "sklearn").mkdir()
    joblib.dump(model, place / "sklearn" / "model.joblib")
    (place / "sklearn" / "metadata.yaml").write_text("name: iris\nversions: [v3]\nplatform: sklearn\n")
    (place / "xgboost").mkdir()
    booster = xgboost.train({"seed": 1}, xgboost.DMatrix(np.array(ROWS), label=[0, 1, 1, 0]), 4)
    booster.save_model(place / "booster.ubj")
    shutil.copy(place / "booster.ubj", place / "xgboost" / "model.bst")
    (place / "mlflow").mkdir()
    (place / "mlflow" / "factor").write_text("3")
    return place


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[Running]:
    package = models / "packages" / "mlflow"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(MLFLOW)
    (package / "pyfunc.py").write_text(PYFUNC)
    files = []
    for name, kind, parameters in [
        ("sk", "SKLEARN_SERVER", {}),
        ("skp", "SKLEARN_SERVER", {"method": "predict"}),
        ("skd", "SKLEARN_SERVER", {"method": "decision_function"}),
        ("xg", "XGBOOST_SERVER", {}),
        ("ml", "MLFLOW_SERVER", {}),
        ("mlf", "MLFLOW_SERVER", {"xtype": "dataframe"}),
    ]:
        folder = models / {"s": "sklearn", "x": "xgboost", "m": "mlflow"}[name[0]]
        uri = f"file://{folder}" if name in ("sk", "xg") else f"../{folder.name}"
        graph = node("m", kind, parameters=parameters, modelUri=uri)
        files.append(deploy(models / name, deployment(name, predictor(graph)), {}))
    with serving(*files, env={"PYTHONPATH": str(package.parent)}) as server:
        yield server


def ask(server: Running, name: str, rows: object, **data: object) -> list[object]:
    message = {"data": {"ndarray": rows, **data}}
    answer = server.post(f"/seldon/ns/{name}/api/v1.0/predictions", message, headers=JSON)
    assert answer.status == 200, answer
    found: list[object] = answer.json()["data"]["ndarray"]
    return found


def test_scikit_learn(server: Running, models: Path) -> None:
    model = joblib.load(models / "sklearn" / "model.joblib")
    assert np.allclose(ask(server, "sk", ROWS), model.predict_proba(ROWS))
    assert ask(server, "skp", ROWS) == model.predict(ROWS).tolist()
    assert np.allclose(ask(server, "skd", ROWS), model.decision_function(ROWS))


def test_metadata_beside_the_model(server: Running) -> None:
    told = server.get("/seldon/ns/sk/api/v1.0/metadata").json()
    assert told["models"]["m"] == {
        "name": "iris", "versions": ["v3"], "platform": "sklearn", "inputs": [], "outputs": [], "custom": {},
    }  # fmt: skip


def test_rows_that_the_model_does_not_take(server: Running) -> None:
    message = {"data": {"ndarray": [[1, 2, 3]]}}
    answer = server.post("/seldon/ns/sk/api/v1.0/predictions", message, headers=JSON)
    assert (answer.status, answer.headers["x-modelport-node"]) == (400, "m")
    assert "X has 3 features" in answer.json()["status"]["info"]


def test_xgboost(server: Running, models: Path) -> None:
    booster = xgboost.Booster(model_file=models / "booster.ubj")
    assert np.allclose(ask(server, "xg", ROWS), booster.predict(xgboost.DMatrix(np.array(ROWS))))


def test_mlflow(server: Running) -> None:
    """With a package in place of the real one, which shows what the model is given."""
    assert ask(server, "ml", [[1, 2]]) == [[3, 6]]
    assert ask(server, "mlf", [[1, 2]], names=["a", "b"]) == [[3, 6, 3]]


def test_other_protocols(server: Running) -> None:
    tensor = {"name": "x", "datatype": "FP64", "shape": [2, 2], "data": [0, 0, 1, 1]}
    answer = server.post("/v2/models/skp/infer", {"inputs": [tensor]})
    assert answer.json()["outputs"][0]["data"] == [0, 1]


@pytest.mark.parametrize(
    ("parameters", "wanted"),
    [
        ({"method": "guess"}, "m: method must be one of predict_proba, predict, decision_function, not 'guess'"),
        ({"speed": "1"}, "m: TypeError"),
    ],
)
def test_a_server_that_does_not_load(models: Path, tmp_path: Path, parameters: dict[str, str], wanted: str) -> None:
    graph = node("m", "SKLEARN_SERVER", parameters=parameters, modelUri=str(models / "sklearn"))
    with serving(deploy(tmp_path, deployment("dep", predictor(graph)), {})) as server:
        until(lambda: any(wanted in line["message"] for line in server.logs), what="the log")
        answer = server.post("/api/v1.0/predictions", {"strData": "a"}, headers=JSON)
        assert answer.status == 500
        assert answer.json()["status"]["status"] == "FAILURE"
        assert server.get("/ready").status == 503


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"there is no model.joblib or model.pickle or model.pkl in"):
        SklearnServer(str(tmp_path)).load()

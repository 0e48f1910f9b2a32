"""Small models of every library that is built in, trained on the iris flowers and written as their users write them.

Each maker writes one artifact into a folder and answers with what the library itself predicts: a number a row, or
a row of probabilities in the order of ``LABELS``.
"""

from __future__ import annotations

import importlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

REGRESSION, BINARY, MULTICLASS = "regression", "binary", "multiclass"
LABELS = {REGRESSION: [], BINARY: ["no", "yes"], MULTICLASS: ["setosa", "versicolor", "virginica"]}
ROUNDS = 5
"""Trees of each model."""

Expected = Callable[[Any], Any]
"""What the library answers for a frame."""
Maker = Callable[[Path, str], Expected]


def library(name: str) -> Any:
    """A library that need not be there; without it the test says so, or fails where all must be."""
    if os.environ.get("MODELPORT_TEST_ALL_LIBRARIES"):
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=f"{name} is not installed; tests/environments/predictors.txt has it")


def flowers(kind: str) -> tuple[Any, Any]:
    """Features under names with spaces and parentheses; a number, "no" or "yes", or the name of a species."""
    data = load_iris(as_frame=True)
    frame, target = data.data, data.target
    if kind == REGRESSION:
        return frame.drop(columns="petal width (cm)"), frame["petal width (cm)"]
    if kind == BINARY:
        return frame, numpy.where(target == 1, "yes", "no")
    return frame, data.target_names[target]


def coded(kind: str) -> tuple[Any, Any]:
    """The same with the labels as numbers from 0, for libraries that know no others."""
    frame, target = flowers(kind)
    if kind == REGRESSION:
        return frame, target
    return frame, numpy.searchsorted(LABELS[kind], target)


def rows(kind: str) -> Any:
    """Some of the flowers, with numbers that CSV holds exactly."""
    return flowers(kind)[0].iloc[::7].reset_index(drop=True)


def _answers(model: Any, kind: str) -> Expected:
    return model.predict if kind == REGRESSION else model.predict_proba


def dump(model: Any, file: Path) -> None:
    file.write_bytes(pickle.dumps(model))


# --- pickles -----------------------------------------------------------------------------------------------


def pipeline(folder: Path, kind: str) -> Expected:
    model = make_pipeline(StandardScaler(), LinearRegression() if kind == REGRESSION else LogisticRegression())
    dump(model.fit(*flowers(kind)), folder / "model.pkl")
    return _answers(model, kind)


def forest_of_arrays(folder: Path, kind: str) -> Expected:
    import joblib

    frame, target = flowers(kind)
    made = RandomForestRegressor if kind == REGRESSION else RandomForestClassifier
    model = made(ROUNDS, random_state=0).fit(frame.to_numpy(), target)
    joblib.dump(model, folder / "model.joblib")
    return lambda frame: _answers(model, kind)(frame.to_numpy())


def compressed(folder: Path, kind: str) -> Expected:
    import joblib

    expected = pipeline(folder, kind)
    joblib.dump(pickle.loads((folder / "model.pkl").read_bytes()), folder / "model.pkl", compress=3)
    return expected


def search(folder: Path, kind: str) -> Expected:
    inner = LinearRegression() if kind == REGRESSION else LogisticRegression(max_iter=500)
    settings = {"positive": [False, True]} if kind == REGRESSION else {"C": [0.1, 1.0]}
    model = GridSearchCV(inner, settings, cv=2).fit(*flowers(kind))
    dump(model, folder / "model.pkl")
    return _answers(model, kind)


def _xgboost(kind: str) -> Any:
    xgboost = library("xgboost")
    made = xgboost.XGBRegressor if kind == REGRESSION else xgboost.XGBClassifier
    return made(n_estimators=ROUNDS).fit(*coded(kind))


def xgboost_wrapper(folder: Path, kind: str) -> Expected:
    model = _xgboost(kind)
    dump(model, folder / "model.pkl")
    return _answers(model, kind)


def xgboost_booster(folder: Path, kind: str) -> Expected:
    model = _xgboost(kind)
    dump(model.get_booster(), folder / "model.pkl")
    return _answers(model, kind)


def _lightgbm(kind: str) -> Any:
    lightgbm = library("lightgbm")
    made = lightgbm.LGBMRegressor if kind == REGRESSION else lightgbm.LGBMClassifier
    return made(n_estimators=ROUNDS, verbose=-1)


def lightgbm_wrapper(folder: Path, kind: str) -> Expected:
    model = _lightgbm(kind).fit(*flowers(kind))
    dump(model, folder / "model.pkl")
    return _answers(model, kind)


def lightgbm_booster(folder: Path, kind: str) -> Expected:
    model = _lightgbm(kind).fit(*coded(kind))
    dump(model.booster_, folder / "model.pkl")
    return _answers(model, kind)


def _catboost(kind: str) -> Any:
    catboost = library("catboost")
    made = catboost.CatBoostRegressor if kind == REGRESSION else catboost.CatBoostClassifier
    return made(iterations=ROUNDS, verbose=0, allow_writing_files=False)


def catboost_wrapper(folder: Path, kind: str) -> Expected:
    model = _catboost(kind).fit(*flowers(kind))
    dump(model, folder / "model.pkl")
    return _answers(model, kind)


# --- the libraries' own files ------------------------------------------------------------------------------


def xgboost_file(suffix: str, written: str = "") -> Maker:
    def make(folder: Path, kind: str) -> Expected:
        model = _xgboost(kind)
        model.save_model(folder / f"model{written or suffix}")
        (folder / f"model{written or suffix}").rename(folder / f"model{suffix}")
        return _answers(model, kind)

    return make


def lightgbm_file(suffix: str) -> Maker:
    def make(folder: Path, kind: str) -> Expected:
        model = _lightgbm(kind).fit(*coded(kind))
        model.booster_.save_model(folder / f"model{suffix}")
        return _answers(model, kind)

    return make


def lightgbm_of_arrays(folder: Path, kind: str) -> Expected:
    frame, target = coded(kind)
    model = _lightgbm(kind).fit(frame.to_numpy(), target)
    model.booster_.save_model(folder / "model.lgb")
    return lambda frame: _answers(model, kind)(frame.to_numpy())


def catboost_file(folder: Path, kind: str) -> Expected:
    model = _catboost(kind).fit(*flowers(kind))
    model.save_model(str(folder / "model.cbm"))
    return _answers(model, kind)


def catboost_of_arrays(folder: Path, kind: str) -> Expected:
    frame, target = flowers(kind)
    model = _catboost(kind).fit(frame.to_numpy(), target)
    model.save_model(str(folder / "model.cbm"))
    return lambda frame: _answers(model, kind)(frame.to_numpy())


# --- networks: not trained, only told apart ----------------------------------------------------------------


def _module(kind: str) -> Any:
    torch = library("torch")
    torch.manual_seed(1)
    if kind == REGRESSION:
        return torch.nn.Linear(3, 1)
    if kind == BINARY:
        return torch.nn.Sequential(torch.nn.Linear(4, 1), torch.nn.Dropout(0.9), torch.nn.Sigmoid())
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Softmax(dim=1))


def _module_answers(module: Any, kind: str) -> Expected:
    torch = library("torch")
    module.eval()

    def expected(frame: Any) -> Any:
        with torch.no_grad():
            answer = module(torch.tensor(frame.to_numpy("float32"))).numpy().astype(float)
        return _positive(answer, kind)

    return expected


def _positive(answer: Any, kind: str) -> Any:
    """Of one number a row: itself, or the probabilities of "no" and "yes"."""
    if kind == REGRESSION:
        return answer[:, 0]
    return numpy.hstack([1 - answer, answer]) if kind == BINARY else answer


def torch_module(folder: Path, kind: str) -> Expected:
    module = _module(kind).train()
    library("torch").save(module, folder / "model.pth")
    return _module_answers(module, kind)


def torch_script(folder: Path, kind: str) -> Expected:
    module = _module(kind)
    library("torch").jit.script(module).save(folder / "model.pth")
    return _module_answers(module, kind)


def keras_file(suffix: str) -> Maker:
    def make(folder: Path, kind: str) -> Expected:
        library("torch")
        keras = library("keras")
        keras.utils.set_random_seed(1)
        activation = {REGRESSION: None, BINARY: "sigmoid", MULTICLASS: "softmax"}[kind]
        width = 3 if kind == MULTICLASS else 1
        columns = 3 if kind == REGRESSION else 4
        model = keras.Sequential([keras.Input((columns,)), keras.layers.Dense(width, activation=activation)])
        model.save(folder / f"model{suffix}")
        return lambda frame: _positive(model.predict(frame.to_numpy("float32"), verbose=0).astype(float), kind)

    return make


# --- formats -----------------------------------------------------------------------------------------------


def _onnx(folder: Path, kind: str, inputs: Any, options: dict[str, Any] | None = None) -> Expected:
    from_sklearn = library("skl2onnx").convert_sklearn
    frame, target = flowers(kind)
    model = LinearRegression() if kind == REGRESSION else LogisticRegression(max_iter=500)
    model.fit(frame.to_numpy("float32"), target)
    graph = from_sklearn(model, initial_types=inputs, options=options if kind != REGRESSION else None)
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    return lambda frame: _answers(model, kind)(frame.to_numpy("float32"))


def onnx_maps(folder: Path, kind: str) -> Expected:
    """One map of label to probability a row."""
    types = library("skl2onnx").common.data_types
    width = len(flowers(kind)[0].columns)
    return _onnx(folder, kind, [("X", types.FloatTensorType([None, width]))])


def onnx_tensor(folder: Path, kind: str) -> Expected:
    """Probabilities as a tensor."""
    types = library("skl2onnx").common.data_types
    width = len(flowers(kind)[0].columns)
    return _onnx(folder, kind, [("X", types.FloatTensorType([None, width]))], {"zipmap": False})


def onnx_columns(folder: Path, kind: str) -> Expected:
    """One input a column."""
    skl2onnx = library("skl2onnx")
    frame, target = flowers(kind)
    model = make_pipeline(StandardScaler(), LinearRegression() if kind == REGRESSION else LogisticRegression())
    model.fit(frame, target)
    types = skl2onnx.common.data_types
    inputs = [(name, types.FloatTensorType([None, 1])) for name in frame.columns]
    graph = skl2onnx.convert_sklearn(model, initial_types=inputs)
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    return _answers(model, kind)


def pmml(folder: Path, kind: str) -> Expected:
    frame, target = flowers(kind)
    model = LinearRegression() if kind == REGRESSION else LogisticRegression(max_iter=500)
    model.fit(frame, target)
    labels = LABELS[kind]
    numbers = "".join(f'<DataField name="{name}" optype="continuous" dataType="double"/>' for name in frame.columns)
    values = "".join(f'<Value value="{label}"/>' for label in labels)
    target_type = ("continuous", "double") if kind == REGRESSION else ("categorical", "string")
    method = {REGRESSION: "none", BINARY: "logit", MULTICLASS: "softmax"}[kind]
    mining = "".join(f'<MiningField name="{name}"/>' for name in frame.columns)
    tables = [
        f'<RegressionTable intercept="{intercept!r}"{category}>'
        + "".join(
            f'<NumericPredictor name="{name}" coefficient="{weight!r}"/>'
            for name, weight in zip(frame.columns, weights, strict=True)
        )
        + "</RegressionTable>"
        for intercept, category, weights in zip(
            numpy.atleast_1d(model.intercept_).tolist(),
            [f' targetCategory="{label}"' for label in (labels if kind == MULTICLASS else labels[1:])] or [""],
            numpy.atleast_2d(model.coef_).tolist(),
            strict=True,
        )
    ]
    if kind == BINARY:
        tables.append('<RegressionTable intercept="0" targetCategory="no"/>')
    (folder / "model.pmml").write_text(
        '<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4"><Header/>'
        f"<DataDictionary>{numbers}"
        f'<DataField name="t" optype="{target_type[0]}" dataType="{target_type[1]}">{values}</DataField>'
        "</DataDictionary>"
        f'<RegressionModel functionName="{"regression" if kind == REGRESSION else "classification"}"'
        f' normalizationMethod="{method}">'
        f'<MiningSchema>{mining}<MiningField name="t" usageType="target"/></MiningSchema>{"".join(tables)}'
        "</RegressionModel></PMML>"
    )
    return _answers(model, kind)


NAMED: dict[str, Maker] = {
    "pipeline": pipeline,
    "compressed": compressed,
    "search": search,
    "lightgbm wrapper": lightgbm_wrapper,
    "catboost wrapper": catboost_wrapper,
    "catboost .cbm": catboost_file,
    "onnx columns": onnx_columns,
    "pmml": pmml,
}
"""Those that know the names of their columns and of their classes."""

COLUMNS_ONLY: dict[str, Maker] = {
    "xgboost wrapper": xgboost_wrapper,
    "xgboost booster": xgboost_booster,
    "xgboost .ubj": xgboost_file(".ubj"),
    "xgboost .xgb": xgboost_file(".xgb", ".ubj"),
    "xgboost .json": xgboost_file(".json"),
    "xgboost .model": xgboost_file(".model", ".ubj"),
    "lightgbm booster": lightgbm_booster,
    "lightgbm .lgb": lightgbm_file(".lgb"),
    "lightgbm .txt": lightgbm_file(".txt"),
}
"""Those whose classes are numbers from 0."""

LABELS_ONLY: dict[str, Maker] = {
    "forest of arrays": forest_of_arrays,
    "catboost of arrays": catboost_of_arrays,
    "onnx maps": onnx_maps,
    "onnx tensor": onnx_tensor,
}
"""Those whose columns have no names."""

NAMELESS: dict[str, Maker] = {
    "lightgbm of arrays": lightgbm_of_arrays,
    "torch module": torch_module,
    "torch script": torch_script,
    "keras .keras": keras_file(".keras"),
    "keras .h5": keras_file(".h5"),
}


def as_csv(frame: Any) -> str:
    assert isinstance(frame, pandas.DataFrame)
    return frame.to_csv(index=False)

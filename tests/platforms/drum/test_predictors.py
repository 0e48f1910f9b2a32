"""Models without code: every library's artifacts, and a clear word where one cannot be used."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
import sklearn
from sklearn.ensemble import IsolationForest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC

from modelport.contracts.drum import predictors
from modelport.errors import InvalidInput, InvalidOutput, LoadError
from tests.harness import serving, until
from tests.platforms.drum import artifacts
from tests.platforms.drum.artifacts import BINARY, LABELS, MULTICLASS, REGRESSION, as_csv, dump, flowers, library, rows
from tests.platforms.drum.folders import ask, load, write_folder

pytestmark = [
    # TorchScript is what is tested, and PyTorch would rather have it forgotten
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
    # Keras on PyTorch with numpy 2
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]
KINDS = (REGRESSION, BINARY, MULTICLASS)


@pytest.fixture(autouse=True)
def keras_on_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")


def options(kind: str) -> dict[str, Any]:
    """Labels for a model that does not know them."""
    if kind == BINARY:
        return {"negativeClassLabel": "no", "positiveClassLabel": "yes"}
    return {"classLabels": LABELS[kind]} if kind == MULTICLASS else {}


def check(folder: Path, kind: str, expected: Any, frame: Any, **given: Any) -> Any:
    """The folder's model answers a CSV of the frame as its library does."""
    model = load(folder, **given)
    outcome = ask(model, as_csv(frame))
    told = expected(rows(kind))
    if kind == REGRESSION:
        assert numpy.allclose(outcome.predictions, told, rtol=1e-5)
        return model
    labels = LABELS[kind]
    assert model.description.labels == labels
    assert list(outcome.probabilities) == labels
    for at, label in enumerate(labels):
        assert numpy.allclose(outcome.probabilities[label], told[:, at], rtol=1e-5, atol=1e-6)
    assert outcome.predictions == [labels[at] for at in told.argmax(axis=1)]
    return model


def mixed(frame: Any) -> Any:
    """The columns in another order, and one more."""
    return frame[frame.columns[::-1]].assign(more="text")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", artifacts.NAMED)
def test_a_model_that_knows_its_columns_and_classes(name: str, kind: str, tmp_path: Path) -> None:
    expected = artifacts.NAMED[name](tmp_path, kind)
    check(tmp_path, kind, expected, mixed(rows(kind)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", artifacts.COLUMNS_ONLY)
def test_a_model_whose_classes_are_numbers(name: str, kind: str, tmp_path: Path) -> None:
    expected = artifacts.COLUMNS_ONLY[name](tmp_path, kind)
    check(tmp_path, kind, expected, mixed(rows(kind)), **options(kind))
    if kind != REGRESSION:
        numbers = [str(number) for number in range(len(LABELS[kind]))]
        assert load(tmp_path).description.labels == numbers


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", artifacts.LABELS_ONLY)
def test_a_model_whose_columns_have_no_names(name: str, kind: str, tmp_path: Path) -> None:
    expected = artifacts.LABELS_ONLY[name](tmp_path, kind)
    model = check(tmp_path, kind, expected, rows(kind))
    count = len(rows(kind).columns)
    with pytest.raises(InvalidInput, match=f"^the model takes {count} columns, and {count + 1} came$"):
        ask(model, as_csv(mixed(rows(kind))))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", artifacts.NAMELESS)
def test_a_model_that_knows_neither(name: str, kind: str, tmp_path: Path) -> None:
    expected = artifacts.NAMELESS[name](tmp_path, kind)
    check(tmp_path, kind, expected, rows(kind), **options(kind))


# --- columns -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pipeline", "lightgbm wrapper", "catboost .cbm", "onnx columns", "pmml"])
def test_all_missing_columns_are_named(name: str, tmp_path: Path) -> None:
    artifacts.NAMED[name](tmp_path, BINARY)
    frame = rows(BINARY).drop(columns=["sepal length (cm)", "petal width (cm)"])
    with pytest.raises(InvalidInput, match=r"^2 of the model's 4 columns did not come$") as caught:
        ask(load(tmp_path), as_csv(frame))
    assert [fault.replace("_", " ") for fault in caught.value.faults] in (
        ["no 'sepal length (cm)'", "no 'petal width (cm)'"],
        ["no 'sepal length  cm '", "no 'petal width  cm '"],
    )


def test_respelled_names_are_found_only_where_one_can_be_meant(tmp_path: Path) -> None:
    model = LinearRegression().fit(pandas.DataFrame({"a_b": [0.0, 1.0], "c": [0.0, 1.0]}), [0.0, 1.0])
    dump(model, tmp_path / "model.pkl")
    loaded = load(tmp_path)
    assert numpy.allclose(ask(loaded, "c,a b\n1,0\n1,1\n").predictions, [0.5, 1])
    assert numpy.allclose(ask(loaded, "c,a b,a_b\n1,9,0\n1,9,1\n").predictions, [0.5, 1])
    with pytest.raises(InvalidInput) as caught:
        ask(loaded, "c,a b,a-b\n1,0,0\n")
    assert caught.value.describe() == "1 of the model's 2 columns did not come: no 'a_b'"
    frame = pandas.DataFrame({"a_b": [0.0, 1.0], "a-b": [0.0, 1.0]})
    dump(LinearRegression().fit(frame, [0.0, 1.0]), tmp_path / "model.pkl")
    with pytest.raises(InvalidInput, match=r"^2 of the model's 2 columns did not come"):
        ask(load(tmp_path), "a b,c\n1,0\n")


@pytest.mark.parametrize("name", ["torch module", "keras .keras"])
def test_a_network_names_the_columns_that_are_no_numbers(name: str, tmp_path: Path) -> None:
    artifacts.NAMELESS[name](tmp_path, REGRESSION)
    model = load(tmp_path)
    with pytest.raises(InvalidInput, match=r"^the model takes numbers only$") as caught:
        ask(model, "a,b,c\n1,x,2\n1,2,y\n")
    assert [fault.partition(":")[0] for fault in caught.value.faults] == ["column 'b'", "column 'c'"]
    assert numpy.isnan(ask(model, "a,b,c\n1,,2\n").predictions).all()


def test_integers_and_text_reach_an_onnx_model_as_it_wants_them(tmp_path: Path) -> None:
    helper = library("onnx").helper
    kinds = library("onnx").TensorProto
    inputs = [
        helper.make_tensor_value_info("count", kinds.INT64, [None, 1]),
        helper.make_tensor_value_info("word", kinds.STRING, [None, 1]),
    ]
    nodes = [
        helper.make_node("LabelEncoder", ["word"], ["code"], domain="ai.onnx.ml",
                         keys_strings=["a", "b", "7"], values_int64s=[10, 20, 70]),
        helper.make_node("Add", ["count", "code"], ["sum"]),
    ]  # fmt: skip
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_tensor_value_info("sum", kinds.INT64, [None, 1])])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    (tmp_path / "m.onnx").write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())
    model = load(tmp_path)
    assert list(ask(model, "word,count\na,1\nb,2\n").predictions) == [11, 22]
    assert list(ask(model, "word,count\n7,1\n").predictions) == [71]
    with pytest.raises(InvalidInput, match="text, and some is missing") as caught:
        ask(model, "word,count\na,1\n,2\n")
    assert caught.value.faults == ["column 'word'"]
    with pytest.raises(InvalidInput, match="numbers only") as caught:
        ask(model, "word,count\na,many\n")
    assert caught.value.faults[0].startswith("column 'count': ")


def test_the_classes_of_an_onnx_model_keep_their_order(tmp_path: Path) -> None:
    helper = library("onnx").helper
    kinds = library("onnx").TensorProto
    answer = helper.make_map_type_proto(kinds.STRING, helper.make_tensor_type_proto(kinds.FLOAT, []))
    graph = helper.make_graph(
        [helper.make_node("ZipMap", ["X"], ["Z"], domain="ai.onnx.ml", classlabels_strings=["low", "high", "7"])],
        "g",
        [helper.make_tensor_value_info("X", kinds.FLOAT, [None, 3])],
        [helper.make_value_info("Z", helper.make_sequence_type_proto(answer))],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    (tmp_path / "m.onnx").write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())
    outcome = ask(load(tmp_path), "a,b,c\n0.5,0.25,0.25\n0,0.25,0.75\n")
    assert {label: list(column) for label, column in outcome.probabilities.items()} == {
        "low": [0.5, 0],
        "high": [0.25, 0.25],
        "7": [0.25, 0.75],
    }
    assert outcome.predictions == ["low", "7"]


def test_sparse_rows_stay_sparse_where_the_model_has_no_names(tmp_path: Path) -> None:
    class Seen(LinearRegression):
        def predict(self, matrix: Any) -> Any:
            assert matrix.format == "csr"
            return super().predict(matrix)

    model = Seen().fit(numpy.eye(3), [1.0, 2.0, 3.0])
    (tmp_path / "custom.py").write_text("def load_model(code_dir):\n    import builtins\n    return builtins.model\n")
    import builtins

    builtins.model = model  # type: ignore[attr-defined]
    try:
        loaded = load(tmp_path)
    finally:
        del builtins.model  # type: ignore[attr-defined]
    matrix = "%%MatrixMarket matrix coordinate real general\n2 3 2\n1 2 1\n2 3 1\n"
    assert numpy.allclose(ask(loaded, matrix, "text/mtx").predictions, [2, 3])


def test_categories_of_gradient_boosting(tmp_path: Path) -> None:
    frame, target = flowers(REGRESSION)
    kinds = pandas.Series(["u", "v", "w"] * 50, name="kind", dtype="category")
    frame = frame.assign(kind=kinds)
    target = target + kinds.cat.codes * 10
    model = library("lightgbm").LGBMRegressor(n_estimators=5, verbose=-1, min_child_samples=2).fit(frame, target)
    model.booster_.save_model(tmp_path / "model.lgb")
    some = frame.iloc[[2, 7, 12]]
    assert numpy.allclose(ask(load(tmp_path), as_csv(some)).predictions, model.predict(some))
    assert model.predict(some).std() > 1


@pytest.mark.parametrize("objective", ["multi:softmax", "multi:softprob", "binary:logistic", "binary:logitraw"])
def test_scores_of_xgboost_become_probabilities(objective: str, tmp_path: Path) -> None:
    xgboost = library("xgboost")
    kind = BINARY if objective.startswith("binary") else MULTICLASS
    frame, target = artifacts.coded(kind)
    settings = {"objective": objective, **({"num_class": 3} if kind == MULTICLASS else {})}
    booster = xgboost.train(settings, xgboost.DMatrix(frame, target), 5)
    booster.save_model(tmp_path / "model.ubj")
    scores = booster.predict(xgboost.DMatrix(rows(kind)), output_margin=True)
    powers = numpy.exp(scores if kind == MULTICLASS else numpy.stack([0 * scores, scores], axis=1))
    told = ask(load(tmp_path), as_csv(rows(kind))).probabilities
    assert numpy.allclose(numpy.stack(list(told.values()), axis=1), powers / powers.sum(axis=1, keepdims=True))


def test_an_objective_without_probabilities(tmp_path: Path) -> None:
    xgboost = library("xgboost")
    booster = xgboost.train({"objective": "binary:hinge"}, xgboost.DMatrix(*artifacts.coded(BINARY)), 5)
    booster.save_model(tmp_path / "model.ubj")
    with pytest.raises(InvalidOutput, match="objective binary:hinge has no probabilities"):
        ask(load(tmp_path), as_csv(rows(BINARY)))


def test_an_early_end_of_training_counts(tmp_path: Path) -> None:
    frame, target = artifacts.coded(BINARY)
    model = library("xgboost").XGBClassifier(n_estimators=60, early_stopping_rounds=2, learning_rate=1.0)
    model.fit(frame[::2], target[::2], eval_set=[(frame[1::2], target[1::2])], verbose=False)
    model.save_model(tmp_path / "model.ubj")
    assert numpy.allclose(ask(load(tmp_path), as_csv(frame)).probabilities["1"], model.predict_proba(frame)[:, 1])
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()


# --- what scikit-learn calls an estimator ------------------------------------------------------------------


def test_labels_are_text(tmp_path: Path) -> None:
    frame, _ = flowers(BINARY)
    for values, labels in (
        ([0, 1], ["0", "1"]), ([0.0, 1.0], ["0", "1"]), ([False, True], ["False", "True"]),
    ):  # fmt: skip
        target = numpy.where(artifacts.coded(BINARY)[1] == 1, values[1], values[0])
        dump(LogisticRegression(max_iter=500).fit(frame, target), tmp_path / "model.pkl")
        assert load(tmp_path).description.labels == labels


def test_stated_labels_are_matched_by_name(tmp_path: Path) -> None:
    expected = artifacts.pipeline(tmp_path, BINARY)(rows(BINARY))
    csv = as_csv(rows(BINARY))
    turned = ask(load(tmp_path, positiveClassLabel="no", negativeClassLabel="yes"), csv).probabilities
    assert list(turned) == ["yes", "no"]
    assert numpy.allclose(turned["yes"], expected[:, 1])
    error = refused(tmp_path, positiveClassLabel="1", negativeClassLabel="0")
    assert error.message == "the model's classes are 'no', 'yes', and the stated labels '0', '1'"


def test_a_classifier_without_probabilities(tmp_path: Path) -> None:
    dump(LinearSVC().fit(*flowers(BINARY)), tmp_path / "model.pkl")
    with pytest.raises(InvalidOutput, match=r"^this LinearSVC has no probabilities") as caught:
        ask(load(tmp_path), as_csv(rows(BINARY)))
    assert "CalibratedClassifierCV" in str(caught.value.hint)


def test_texts_are_one_column(tmp_path: Path) -> None:
    model = make_pipeline(CountVectorizer(), MultinomialNB()).fit(["good day", "bad day", "good"], ["g", "b", "g"])
    dump(model, tmp_path / "model.pkl")
    loaded = load(tmp_path)
    assert ask(loaded, "said\ngood\nbad bad\n").predictions == ["g", "b"]
    with pytest.raises(InvalidInput, match="one column, of text, and 2 came"):
        ask(loaded, "said,more\ngood,1\n")


def test_a_pipeline_that_does_not_tell_its_columns_gets_the_frame(tmp_path: Path) -> None:
    class Asking:
        def predict(self, frame: Any) -> Any:
            return frame["a"] * 2 + (frame["word"] == "yes")

    predictor = predictors.wrap(Asking())
    frame = pandas.DataFrame({"word": ["yes", "no"], "a": [1, 2]})
    assert predictor.predict(frame, False).tolist() == [3, 4]
    assert (predictor.classes, predictor.columns, predictor.is_classifier) == (None, None, False)
    dump(make_pipeline(FunctionTransformer(), LinearRegression()).fit(*flowers(REGRESSION)), tmp_path / "model.pkl")
    assert len(ask(load(tmp_path), as_csv(rows(REGRESSION))).predictions) == 22


def test_an_outlier_detector_answers_what_it_predicts(tmp_path: Path) -> None:
    frame, _ = flowers(BINARY)
    model = IsolationForest(n_estimators=5, random_state=0).fit(frame)
    dump(model, tmp_path / "model.pkl")
    outcome = ask(load(tmp_path, target="anomaly"), as_csv(frame))
    assert list(outcome.predictions) == model.predict(frame).tolist()


# --- which artifact ----------------------------------------------------------------------------------------


def refused(folder: Path, **given: Any) -> LoadError:
    with pytest.raises(LoadError) as caught:
        load(folder, **given)
    return caught.value


def test_none_and_several(tmp_path: Path) -> None:
    write_folder(tmp_path, metadata="targetType: regression", requirements__txt="numpy\n", data__json='{"a": 1}')
    error = refused(tmp_path)
    assert error.message.endswith("has no model file")
    assert ".pkl" in str(error.hint)
    assert ".onnx" in str(error.hint)
    artifacts.pipeline(tmp_path, REGRESSION)
    assert len(ask(load(tmp_path), as_csv(rows(REGRESSION))).predictions) == 22
    artifacts.forest_of_arrays(tmp_path, REGRESSION)
    error = refused(tmp_path)
    assert error.message.endswith("has several model files: model.joblib, model.pkl")
    assert "options.artifact" in str(error.hint)
    assert load(tmp_path, artifact="model.pkl").description.columns == rows(REGRESSION).columns.tolist()


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (b"", "is empty", "copy it"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a pointer of Git LFS", "git lfs pull"),
    ],
)
def test_files_that_are_no_models_at_all(content: bytes, message: str, hint: str, tmp_path: Path) -> None:
    for name in ("m.pkl", "m.pth", "m.onnx", "m.h5"):
        file = tmp_path / name
        file.write_bytes(content)
        error = refused(file)
        assert message in error.message
        assert name in error.message
        assert hint in str(error.hint)
        file.unlink()


@pytest.mark.parametrize(
    ("suffix", "needs"),
    [
        (".ubj", "xgboost"), (".lgb", "lightgbm"), (".cbm", "catboost"), (".pth", "torch"), (".keras", "keras"),
        (".h5", "keras"), (".onnx", "onnxruntime"), (".pmml", "pypmml"), (".joblib", "joblib"),
    ],
)  # fmt: skip
def test_a_missing_library(suffix: str, needs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / f"model{suffix}"
    file.write_bytes(b"x\x9c rest")
    monkeypatch.setitem(sys.modules, needs, None)  # type: ignore[arg-type]
    error = refused(file)
    assert error.message == f"model{suffix} needs {needs}, which is not installed"
    assert error.hint == f"pip install {needs}, for {sys.executable}"


@pytest.mark.parametrize(
    ("suffix", "needs", "reader"),
    [
        (".ubj", "xgboost", "xgboost"), (".lgb", "lightgbm", "lightgbm"), (".cbm", "catboost", "catboost"),
        (".pth", "torch", "torch"), (".keras", "keras", "keras"), (".h5", "keras", "keras"),
        (".onnx", "onnxruntime", "onnxruntime"), (".pmml", "pypmml", "pypmml"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("content", [b"{not a model", b"PK\x03\x04 nor this", b"\x80\x04 nor this"])
def test_an_unreadable_file(content: bytes, suffix: str, needs: str, reader: str, tmp_path: Path) -> None:
    library(needs)
    file = tmp_path / f"model{suffix}"
    file.write_bytes(content)
    error = refused(file)
    assert error.message.startswith(f"model{suffix} ")
    assert "\n" not in error.message
    assert str(tmp_path) not in error.message
    assert len(error.message) < 300
    assert error.hint
    if needs == "keras":
        assert " is no Keras model, or not all of one: it begins with b" in error.message
    elif suffix != ".pth":
        assert f"cannot be read by {reader} " in error.message


# --- pickles -----------------------------------------------------------------------------------------------

GONE = """
import pickle, sys, types
module = types.ModuleType("gone_for_good.inner")
class Model:
    def predict(self, frame):
        return [1.0] * len(frame)
Model.__module__ = "gone_for_good.inner"
Model.__qualname__ = "Model"
module.Model = Model
sys.modules["gone_for_good"] = types.ModuleType("gone_for_good")
sys.modules["gone_for_good.inner"] = module
import numpy
pickle.dump({"step": Model(), "array": numpy.zeros(2)}, open(sys.argv[1], "wb"))
"""
MAIN = """
import pickle, sys
class Model:
    def predict(self, frame):
        return [1.0] * len(frame)
pickle.dump(Model(), open(sys.argv[1], "wb"))
"""


def run(source: str, *arguments: Any) -> str:
    """What a Python program says."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", source, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_pickle_of_a_module_that_is_not_here(tmp_path: Path) -> None:
    run(GONE, tmp_path / "model.pkl")
    error = refused(tmp_path)
    assert error.message == (
        "model.pkl cannot be unpickled: No module named 'gone_for_good'; it holds objects of gone_for_good, numpy"
    )
    assert error.hint == "pip install gone_for_good, or put the module beside the model, if it is your own"


@pytest.mark.parametrize("needs", ["xgboost", "lightgbm", "catboost"])
def test_a_pickle_of_a_library_that_is_missing(needs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    {**artifacts.NAMED, **artifacts.COLUMNS_ONLY}[f"{needs} wrapper"](tmp_path, REGRESSION)
    for name in [name for name in sys.modules if name.partition(".")[0] == needs]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, needs, None)  # type: ignore[arg-type]
    error = refused(tmp_path)
    assert error.message.startswith("model.pkl cannot be unpickled: ")
    assert needs in error.message.partition("; it holds objects of ")[2]
    assert error.hint == f"pip install {needs}, or put the module beside the model, if it is your own"


def test_a_pickle_of_a_class_of_the_script_that_made_it(tmp_path: Path) -> None:
    run(MAIN, tmp_path / "model.pkl")
    error = refused(tmp_path)
    assert "Can't get attribute 'Model' on <module '__main__'" in error.message
    assert "define it in a module beside the model" in str(error.hint)


def aged(file: Path, old: bytes, new: bytes, **how: Any) -> Path:
    """A pickle of a scikit-learn model that claims to be of version 1.2.0, with one name replaced by one as long."""
    model = LogisticRegression(max_iter=500).fit(*flowers(BINARY))
    version = sklearn.__version__.encode()
    content = pickle.dumps(model, **how)
    assert version in content
    assert old in content
    content = content.replace(version, b"1.2.0".ljust(len(version), b"0")[: len(version)]).replace(old, new)
    file.write_bytes(content)
    return file


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_of_another_scikit_learn_that_does_not_load(protocol: int, tmp_path: Path) -> None:
    aged(tmp_path / "model.pkl", b"LogisticRegression", b"LogisticRegressiom", protocol=protocol)
    error = refused(tmp_path)
    assert "Can't get attribute 'LogisticRegressiom'" in error.message
    assert error.message.endswith("; it holds objects of numpy, scikit-learn 1.2.0") or protocol == 2
    assert "scikit-learn 1.2.0" in error.message
    assert error.hint == f"pip install scikit-learn==1.2.0; here is {sklearn.__version__}"
    aged(tmp_path / "model.pkl", b"linear_model._logistic", b"linear_model.logistics", protocol=protocol)
    error = refused(tmp_path)
    assert "No module named 'sklearn.linear_model.logistics'" in error.message
    assert error.hint == f"pip install scikit-learn==1.2.0; here is {sklearn.__version__}"


def test_a_pickle_of_another_scikit_learn_that_does_load(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    aged(tmp_path / "model.pkl", b"LogisticRegression", b"LogisticRegression")
    model = load(tmp_path)
    assert len(ask(model, as_csv(rows(BINARY))).predictions) == 22
    told = f"model.pkl was made with scikit-learn 1.2.0, and {sklearn.__version__} is installed"
    assert [record.getMessage() for record in caplog.records] == [
        f"{told}: pip install scikit-learn==1.2.0 if it fails or answers differ"
    ]
    aged(tmp_path / "model.pkl", b"intercept_", b"intercapt_")
    with pytest.raises(InvalidOutput, match=f"^{told}: .*intercept_") as caught:
        ask(load(tmp_path), as_csv(rows(BINARY)))
    assert caught.value.hint == "pip install scikit-learn==1.2.0"


@pytest.mark.parametrize("how", [{}, {"compress": 3}, {"compress": ("gzip", 3)}, {"compress": ("xz", 3)}])
def test_joblib_files_tell_as_much(how: dict[str, Any], tmp_path: Path) -> None:
    import joblib

    model = LogisticRegression(max_iter=500).fit(*flowers(BINARY))
    name = LogisticRegression.__module__
    type(model).__module__ = "sklearn.gone_for_good"
    sys.modules["sklearn.gone_for_good"] = sys.modules[name]
    try:
        joblib.dump(model, tmp_path / "model.pkl", **how)
    finally:
        LogisticRegression.__module__ = name
        del sys.modules["sklearn.gone_for_good"]
    error = refused(tmp_path)
    assert "No module named 'sklearn.gone_for_good'" in error.message
    assert f"scikit-learn {sklearn.__version__}" in error.message


def test_a_pickle_that_is_cut_short_or_none(tmp_path: Path) -> None:
    artifacts.pipeline(tmp_path, BINARY)
    file = tmp_path / "model.pkl"
    content = file.read_bytes()
    for end in (2, 20, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:end])
        error = refused(tmp_path)
        assert error.message.startswith("model.pkl is cut short: "), error.message
    for other in (b"<html>", b"model: text\n", b"\x89PNG\r\n"):
        file.write_bytes(other * 10)
        error = refused(tmp_path)
        assert error.message.startswith("model.pkl is no pickle: it begins with b"), error.message


@pytest.mark.parametrize("content", [{"model": 1}, [1, 2], 3, "text"])
def test_a_pickle_of_something_else(content: Any, tmp_path: Path) -> None:
    dump(content, tmp_path / "model.pkl")
    error = refused(tmp_path)
    kind = type(content).__name__
    assert error.message == f"model.pkl gave an object of type {kind}, and nobody knows how to predict with it"
    assert "score hook" in str(error.hint)


def test_reading_a_pickle_imports_no_more_than_it_needs(tmp_path: Path) -> None:
    artifacts.pipeline(tmp_path, BINARY)
    source = (
        "import sys\n"
        "from modelport.contracts.drum import predictors\n"
        "assert predictors.load(sys.argv[1]).classes == ['no', 'yes']\n"
        "print([name for name in sys.argv[2:] if name in sys.modules])"
    )
    heavy = ("xgboost", "lightgbm", "catboost", "torch", "keras", "onnxruntime", "pypmml", "pandas")
    assert run(source, tmp_path / "model.pkl", *heavy) == "['pandas']"  # it was fitted on a frame


# --- PyTorch, Keras, PMML ----------------------------------------------------------------------------------


def test_weights_alone_are_no_model(tmp_path: Path) -> None:
    torch = library("torch")
    module = torch.nn.Linear(2, 1)
    for content, told in (
        (module.state_dict(), "the weights of a module (its state_dict)"),
        ({"epoch": 3, "weights": module.state_dict()}, "a dict of epoch, weights"),
        ([1, 2], "an object of type list"),
    ):
        torch.save(content, tmp_path / "model.pth")
        error = refused(tmp_path)
        assert error.message == f"model.pth holds {told}, and no module"
        assert "torch.save(module, path)" in str(error.hint)


def test_a_module_that_answers_no_tensor(tmp_path: Path) -> None:
    torch = library("torch")
    torch.save(torch.nn.LSTM(2, 1), tmp_path / "model.pth")
    with pytest.raises(InvalidOutput, match="the module answered tuple; a tensor was expected"):
        ask(load(tmp_path), "a,b\n1,2\n")


def test_a_keras_model_of_several_inputs(tmp_path: Path) -> None:
    library("torch")
    keras = library("keras")
    left, right = keras.Input((2,)), keras.Input((1,))
    keras.Model([left, right], keras.layers.Concatenate()([left, right])).save(tmp_path / "model.keras")
    assert refused(tmp_path).message == "the Keras model takes 2 inputs, not one table"


def test_keras_without_a_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KERAS_BACKEND")
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    for name in ("tensorflow", "torch", "jax"):
        monkeypatch.setitem(sys.modules, name, None)  # type: ignore[arg-type]
    (tmp_path / "model.keras").write_bytes(b"PK")
    error = refused(tmp_path)
    assert error.message == "model.keras needs Keras with a backend, and there is none"
    assert "one of tensorflow, torch, jax" in str(error.hint)


def test_pmml_without_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library("pypmml")
    artifacts.pmml(tmp_path, REGRESSION)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    error = refused(tmp_path)
    assert error.message == "model.pmml needs Java, which is not installed"
    assert "apt-get install default-jre-headless" in str(error.hint)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("xgboost .ubj", "import xgboost; return xgboost.Booster(model_file=code_dir + '/sub/model.ubj')"),
        ("lightgbm .lgb", "import lightgbm; return lightgbm.Booster(model_file=code_dir + '/sub/model.lgb')"),
        ("catboost .cbm", "import catboost; return catboost.CatBoost().load_model(code_dir + '/sub/model.cbm')"),
        ("torch module", "import torch; return torch.load(code_dir + '/sub/model.pth', weights_only=False)"),
        ("keras .keras", "import keras; return keras.models.load_model(code_dir + '/sub/model.keras')"),
        ("onnx tensor", "import onnxruntime; return onnxruntime.InferenceSession(code_dir + '/sub/model.onnx')"),
        ("pmml", "import pypmml; return pypmml.Model.load(code_dir + '/sub/model.pmml')"),
        ("pipeline", "import joblib; return joblib.load(code_dir + '/sub/model.pkl')"),
    ],
)  # fmt: skip
def test_what_load_model_returns_predicts_as_well(name: str, source: str, tmp_path: Path) -> None:
    makers = {**artifacts.NAMED, **artifacts.COLUMNS_ONLY, **artifacts.LABELS_ONLY, **artifacts.NAMELESS}
    (tmp_path / "sub").mkdir()
    expected = makers[name](tmp_path / "sub", REGRESSION)
    write_folder(tmp_path, custom=f"def load_model(code_dir):\n    {source}\n")
    check(tmp_path, REGRESSION, expected, rows(REGRESSION))


def test_load_model_may_not_return_just_anything(tmp_path: Path) -> None:
    write_folder(tmp_path, custom="def load_model(code_dir):\n    return object()\n")
    assert refused(tmp_path).message == (
        "load_model gave an object of type object, and nobody knows how to predict with it"
    )


NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, rows):
        return self.layer(rows)
"""


def test_a_module_is_served_whose_class_lies_beside_it(tmp_path: Path) -> None:
    library("torch")
    net = write_folder(tmp_path / "net", net__py=NET)
    source = "import sys, torch; sys.path.insert(0, sys.argv[1]); import net; torch.manual_seed(0); m = net.Net();"
    source += "torch.save(m, sys.argv[1] + '/model.pth'); print(m(torch.ones(1, 2)).item())"
    expected = float(run(source, net))
    body = {"inputs": [{"name": "rows", "datatype": "FP64", "shape": [1, 2], "data": [1.0, 1.0]}]}
    with serving(net) as server:
        answer = server.post("/v2/models/net/infer", body)
        assert answer.status == 200, answer.body
        assert numpy.allclose(answer.json()["outputs"][0]["data"], [expected], rtol=1e-6)


def test_files_without_code_are_served(tmp_path: Path) -> None:
    """Java gets the memory that it may have, and ends with its worker."""
    library("pypmml")
    artifacts.pipeline(tmp_path, BINARY)
    tree = tmp_path / "tree"
    tree.mkdir()
    expected = artifacts.pmml(tree, REGRESSION)(rows(REGRESSION))
    with serving(tmp_path / "model.pkl", tree, env={"DRUM_JAVA_XMX": "200m"}) as server:
        about = server.get("/v2/models/model").json()
        assert [item["name"] for item in about["inputs"]] == rows(BINARY).columns.tolist()
        inputs = [
            {"name": name, "datatype": "FP64", "shape": [22, 1], "data": column.tolist()}
            for name, column in rows(REGRESSION).items()
        ]
        answer = server.post("/v2/models/tree/infer", {"inputs": inputs})
        assert answer.status == 200, answer.body
        assert numpy.allclose(answer.json()["outputs"][0]["data"], expected)
        java = [child for worker in server.workers() for child in worker.children() if "java" in child.name()]
        assert ["-Xmx200m" in child.cmdline() for child in java] == [True]
        server.stop()
    until(lambda: not any(child.is_running() for child in java), what="Java to end with its worker")

"""What a model file gives: an object for the hooks, or what predicts; and what is told of it before anybody asks."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelport.cli.dialects import DrumDialect
from modelport.contracts.drum import detect
from modelport.contracts.drum.adapter import contract
from modelport.errors import InvalidInput, InvalidOutput, LoadError
from tests.harness import serving
from tests.platforms.drum import artifacts
from tests.platforms.drum.artifacts import BINARY, MULTICLASS, REGRESSION, as_csv, dump, flowers, library, rows
from tests.platforms.drum.folders import ask, load, read, write_folder

pytestmark = [
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
    # Keras on PyTorch with numpy 2
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]

SCALE = """
    def transform(data, model):
        return data.assign(x=model.transform(data)[:, 0])
    """
SCORE = """
    import pandas as pd

    def score(data, model, **kwargs):
        return pd.DataFrame({"Predictions": data["x"] * %s})
    """
TEXT = "def score_unstructured(model, data, **kwargs):\n    return data + str(model)\n"
SAME = "def transform(data, model):\n    return data\n"
READ = """\
import io, pandas

def read_input_data(input_binary_data):
    return pandas.read_csv(io.BytesIO(input_binary_data))
"""


def refused(folder: Path, target: str | None = None, **given: Any) -> LoadError:
    with pytest.raises(LoadError) as caught:
        load(folder, target, **given)
    return caught.value


# --- without load_model ------------------------------------------------------------------------------------


def test_hooks_get_whatever_the_only_file_holds(tmp_path: Path) -> None:
    """At the server: a scaler for a transform task, a dict for score, a list for score_unstructured."""
    scale = write_folder(tmp_path / "scale", SCALE, "targetType: transform")
    dump(StandardScaler().fit(pandas.DataFrame({"x": [1.0, 3.0]})), scale / "scaler.pkl")
    score = write_folder(tmp_path / "score", SCORE % 'model["factor"]', "targetType: regression")
    dump({"factor": 3}, score / "model.pkl")
    text = write_folder(tmp_path / "text", TEXT)
    dump(["a", "list"], text / "things.pkl")
    with serving(scale, score, text) as server:
        told = [
            server.post(path, body.encode(), headers={"content-type": kind}).body.decode()
            for path, body, kind in (
                ("/drum/scale/transform/", "x\n1\n3\n", "text/csv"),
                ("/drum/score/predict/", "x\n1\n3\n", "text/csv"),
                ("/drum/text/predictUnstructured/", "it is ", "text/plain"),
            )
        ]
    assert told == [
        '{"predictions":[{"x":-1.0},{"x":1.0}]}',
        '{"predictions":[3.0,9.0]}',
        "it is ['a', 'list']",
    ]


def test_weights_alone_are_enough_for_a_score_hook(tmp_path: Path) -> None:
    torch = library("torch")
    torch.save({"weight": torch.tensor([4.0])}, tmp_path / "model.pth")
    model = load(write_folder(tmp_path, SCORE % 'model["weight"].item()'))
    assert list(ask(model, "x\n1\n2\n").predictions) == [4, 8]


def test_a_module_for_a_score_hook_is_not_in_training(tmp_path: Path) -> None:
    torch = library("torch")
    for module in (torch.nn.Dropout(0.9), torch.jit.script(torch.nn.Sequential(torch.nn.Dropout(0.9)))):
        save = module.save if hasattr(module, "save") else lambda file, whole=module: torch.save(whole, file)
        save(tmp_path / "model.pth")
        assert list(ask(load(write_folder(tmp_path, SCORE % "(not model.training)")), "x\n1\n").predictions) == [1]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("xgboost .ubj", "Booster"), ("lightgbm .lgb", "Booster"), ("catboost .cbm", "CatBoostRegressor"),
        ("keras .keras", "Functional Sequential"), ("onnx tensor", "InferenceSession"), ("pmml", "Model"),
        ("pipeline", "Pipeline"), ("compressed", "Pipeline"),
    ],
)  # fmt: skip
def test_hooks_get_the_librarys_own_object(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    makers = {**artifacts.NAMED, **artifacts.COLUMNS_ONLY, **artifacts.LABELS_ONLY, **artifacts.NAMELESS}
    makers[name](tmp_path, REGRESSION)
    model = load(write_folder(tmp_path, SCORE % f'(type(model).__name__ in "{kind}".split())'))
    assert list(ask(model, "x\n1\n").predictions) == [1]


@pytest.mark.parametrize(
    ("custom", "target", "body", "expected"),
    [
        (SCORE % "(5 if model is None else 0)", "regression", "x\n1\n", [5]),
        (TEXT, "unstructured", "it is ", b"it is None"),
        ("def transform(data, model):\n    return data.assign(x=str(model))\n", "transform", "x\n1\n", [{"x": "None"}]),
    ],
)
def test_of_several_files_hooks_get_none_but_the_named(
    custom: str, target: str, body: str, expected: Any, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path, custom)
    dump(7, folder / "one.pkl")
    dump(8, folder / "two.pkl")
    outcome = ask(load(folder, target), body, "text/plain" if target == "unstructured" else "text/csv")
    payload: Any = outcome.payload
    if target == "regression":
        assert list(outcome.predictions) == expected
        assert list(ask(load(folder, target, artifact="two.pkl"), body).predictions) == [0]
    else:
        assert (payload.data if target == "unstructured" else payload.to_records()) == expected


def test_a_file_that_nobody_can_read_is_an_error_for_hooks_too(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, SCORE % "1", model__pkl=b"")
    assert refused(folder).message == "model.pkl is empty"


def test_labels_come_from_the_object_that_score_gets(tmp_path: Path) -> None:
    custom = """
        import pandas as pd

        def score(data, model, class_labels, **kwargs):
            return pd.DataFrame(model.predict_proba(data), columns=class_labels)
        """
    expected = artifacts.pipeline(tmp_path, MULTICLASS)(rows(MULTICLASS))
    model = load(write_folder(tmp_path, custom), "multiclass")
    assert model.description.labels == artifacts.LABELS[MULTICLASS]
    assert numpy.allclose(ask(model, as_csv(rows(MULTICLASS))).probabilities["virginica"], expected[:, 2])


@pytest.mark.parametrize("how", ["load_model", "file"])
def test_a_transformer_that_does_not_say_so_is_told_what_to_say(how: str, tmp_path: Path) -> None:
    loading = "def load_model(code_dir):\n    return {}\n" if how == "load_model" else ""
    folder = write_folder(tmp_path, SAME + loading)
    if how == "file":
        dump({}, folder / "model.pkl")
    assert "targetType: transform in model-metadata.yaml" in str(refused(folder).hint)
    assert "targetType: transform" not in str(refused(folder, "regression").hint)
    assert ask(load(folder, "transform"), "a\n1\n").payload is not None
    write_folder(folder, loading)
    if how == "load_model":
        assert "targetType: transform" not in str(refused(folder).hint)


# --- what is told of the columns ---------------------------------------------------------------------------


@pytest.mark.parametrize("custom", [SAME, READ])
def test_columns_behind_a_hook_are_not_those_to_send(custom: str, tmp_path: Path) -> None:
    artifacts.pipeline(tmp_path, REGRESSION)
    names = rows(REGRESSION).columns.tolist()
    assert load(tmp_path).description.columns == names
    model = load(write_folder(tmp_path, custom))
    assert (model.description.columns, model.description.inputs) == ([], [])
    assert len(ask(model, as_csv(rows(REGRESSION))).predictions) == 22


@pytest.mark.parametrize("name", ["xgboost wrapper", "lightgbm wrapper", "catboost .cbm", "onnx columns", "pipeline"])
def test_a_model_of_numbers_says_so(name: str, tmp_path: Path) -> None:
    {**artifacts.NAMED, **artifacts.COLUMNS_ONLY}[name](tmp_path, REGRESSION)
    description = load(tmp_path).description
    assert [(item.name, item.datatype) for item in description.inputs] == [
        (name, "FP64") for name in description.columns
    ]
    assert len(description.inputs) == 3


def words() -> tuple[Any, Any]:
    """Three columns, one of them of text."""
    frame, target = flowers(REGRESSION)
    return frame.iloc[:, :2].assign(word=["u", "v", "w"] * 50), target


def test_a_model_that_takes_text_claims_no_numbers(tmp_path: Path) -> None:
    frame, target = words()
    pipeline = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["word"]), remainder="passthrough"), LinearRegression()
    )
    catboost, lightgbm = library("catboost"), library("lightgbm")
    category = frame.astype({"word": "category"})
    for model in (
        pipeline.fit(frame, target),
        catboost.CatBoostRegressor(2, cat_features=["word"], verbose=0, allow_writing_files=False).fit(frame, target),
        lightgbm.LGBMRegressor(n_estimators=2, verbose=-1).fit(category, target),
        lightgbm.LGBMRegressor(n_estimators=2, verbose=-1).fit(category, target).booster_,
        library("xgboost").XGBRegressor(n_estimators=2, enable_categorical=True).fit(category, target),
        HistGradientBoostingRegressor(max_iter=2, categorical_features="from_dtype").fit(category, target),
    ):
        dump(model, tmp_path / "model.pkl")
        description = load(tmp_path).description
        assert (len(description.columns), description.inputs) == (3, []), model


# --- what is refused ---------------------------------------------------------------------------------------


def test_transform_must_return_a_frame_for_a_model_file(tmp_path: Path) -> None:
    artifacts.forest_of_arrays(tmp_path, REGRESSION)
    body = as_csv(rows(REGRESSION))
    with pytest.raises(InvalidOutput, match=r"^transform returned ndarray; a pandas DataFrame was expected$"):
        ask(load(write_folder(tmp_path, "def transform(data, model):\n    return data.to_numpy()\n")), body)
    with pytest.raises(InvalidOutput, match=r"^read_input_data returned bytes; a pandas DataFrame was expected$"):
        ask(load(write_folder(tmp_path, "def read_input_data(input_binary_data):\n    return b'x'\n")), body)
    custom = "def transform(data, model):\n    return data['x'].to_numpy()\n"
    custom += "def score(data, model):\n    import pandas\n    return pandas.DataFrame({'Predictions': data})\n"
    assert list(ask(load(write_folder(tmp_path, custom)), "x\n1\n").predictions) == [1]


NUMERIC = (
    "pipeline", "search", "forest of arrays", "xgboost wrapper", "xgboost booster", "xgboost .ubj", "lightgbm wrapper",
    "lightgbm booster", "lightgbm .lgb", "lightgbm of arrays", "catboost wrapper", "catboost .cbm",
    "catboost of arrays",
)  # fmt: skip


@pytest.mark.parametrize("kind", [REGRESSION, BINARY])
@pytest.mark.parametrize("name", NUMERIC)
def test_text_for_numbers_is_the_clients_fault(name: str, kind: str, tmp_path: Path) -> None:
    makers = {**artifacts.NAMED, **artifacts.COLUMNS_ONLY, **artifacts.LABELS_ONLY, **artifacts.NAMELESS}
    makers[name](tmp_path, kind)
    frame = rows(kind).astype(object)
    frame.iloc[3, 0], frame.iloc[5, 2] = "tall", "wide"
    with pytest.raises(InvalidInput, match=r"^the model takes numbers only$") as caught:
        ask(load(tmp_path), as_csv(frame))
    first, second = frame.columns[0], frame.columns[2]
    assert [fault.partition(": ")[0].replace("_", " ") for fault in caught.value.faults] in (
        [f"column {first!r}", f"column {second!r}"],
        [f"column {name.translate(str.maketrans('()', '  '))!r}" for name in (first, second)],
    )


def test_the_server_answers_422_to_text_and_gaps_that_a_model_cannot_take(tmp_path: Path) -> None:
    artifacts.forest_of_arrays(tmp_path, REGRESSION)
    dump(LinearRegression().fit(*flowers(REGRESSION)), tmp_path / "line.pkl")
    with serving(tmp_path / "line.pkl") as server:
        frame = rows(REGRESSION).astype(object)
        frame.iloc[3, 1] = "x"
        text = server.post("/predict/", as_csv(frame).encode(), headers={"content-type": "text/csv"})
        frame.iloc[3, 1] = None
        gap = server.post("/predict/", as_csv(frame).encode(), headers={"content-type": "text/csv"})
    assert (text.status, gap.status) == (422, 422)
    assert "numbers only: column 'sepal width (cm)': could not convert" in text.json()["message"]
    assert "takes no missing values, and some are: column 'sepal width (cm)'" in gap.json()["message"]


def test_text_in_a_column_of_numbers_beside_one_of_text(tmp_path: Path) -> None:
    frame, target = words()
    steps = make_column_transformer((OneHotEncoder(), ["word"]), remainder=StandardScaler())
    dump(make_pipeline(steps, LinearRegression()).fit(frame, target), tmp_path / "model.pkl")
    model = load(tmp_path)
    some = frame.head(3).astype(object)
    some.iloc[1, 0] = "it's tall"
    with pytest.raises(InvalidInput) as caught:
        ask(model, as_csv(some))
    assert caught.value.describe() == (
        "the model takes a number, and text came: column 'sepal length (cm)' holds \"it's tall\""
    )
    some.iloc[1, 0] = None
    with pytest.raises(InvalidInput, match="no missing values") as caught:
        ask(model, as_csv(some))
    assert caught.value.faults == ["column 'sepal length (cm)'"]


def test_what_a_model_raises_for_its_own_reasons_stays_its_own(tmp_path: Path) -> None:
    custom = """
        class Model:
            def predict(self, data):
                raise ValueError("Input X contains NaN, or could not convert string to float: 'no'")

        def load_model(code_dir):
            return Model()
        """
    with pytest.raises(ValueError, match="Input X contains NaN"):
        ask(load(write_folder(tmp_path, custom)), "a,b\n1,yes\n")


# --- ONNX models of one value a row ------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [[None, 1], ["rows"]])
def test_an_onnx_model_of_one_column_takes_it_whatever_its_name(shape: list[Any], tmp_path: Path) -> None:
    helper, kinds = library("onnx").helper, library("onnx").TensorProto
    graph = helper.make_graph(
        [helper.make_node("Add", ["float_input", "float_input"], ["sum"])],
        "g",
        [helper.make_tensor_value_info("float_input", kinds.FLOAT, shape)],
        [helper.make_tensor_value_info("sum", kinds.FLOAT, shape)],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    model = load(tmp_path)
    assert list(ask(model, "x\n1\n2\n").predictions) == [2, 4]
    assert list(ask(model, "x,float_input\n1,5\n").predictions) == [10]
    with pytest.raises(InvalidInput, match=r"^1 of the model's one column did not come"):
        ask(model, "x,y\n1,5\n")


# --- what is seen of the hooks -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("custom", "expected"),
    [
        ("try:\n    import polars_x\nexcept ImportError:\n    def score(data, model): ...\n", ["score"]),
        ("if True:\n    pass\nelse:\n    def init(**kwargs): ...\n", ["init"]),
        ("with open('x') as score:\n    transform: object = len\n", ["transform", "score"]),
        ("init, (score, transform) = 1, (2, 3)\n", ["init", "transform", "score"]),
        ("def other():\n    def score(data, model): ...\n    init = 1\n", []),
        ("class Other:\n    def score(self): ...\n", []),
        ("other = [score for score in ()]\n", []),
        ("from beside import *\n", ["transform", "score"]),
        ("from package import *\n", ["init"]),
        ("from package.inner import *\n", ["load_model"]),
        ("from numpy import *\ndef score(data, model): ...\n", ["score", detect.ANY]),
        ("from .beside import *\n", [detect.ANY]),
    ],
)
def test_hooks_are_seen_wherever_a_module_makes_them(custom: str, expected: list[str], tmp_path: Path) -> None:
    write_folder(tmp_path, custom, beside__py="from custom import *\nfrom more import *\ndef score(a, b): ...\n")
    write_folder(tmp_path, more__py="transform = None\n")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("def init(**kwargs): ...\n")
    (tmp_path / "package" / "inner.py").write_text("def load_model(code_dir): ...\n")
    assert detect.hooks(str(tmp_path / "custom.py")) == expected
    assert detect.ANY not in str(detect.find(str(tmp_path)))


@pytest.mark.parametrize(
    "custom",
    [
        "try:\n    import polars_x\nexcept ImportError:\n" + "".join(f"    {line}\n" for line in READ.splitlines()),
        "from somewhere import *\n",
        "from beside import *\n",
    ],
)
def test_a_file_is_not_cut_where_a_hook_may_read_it(custom: str, tmp_path: Path) -> None:
    assert DrumDialect().is_opaque(read(write_folder(tmp_path, custom, beside__py=READ)))
    assert not DrumDialect().is_opaque(read(write_folder(tmp_path, SAME)))


# --- the stand-in for the vendor's package -----------------------------------------------------------------


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(contract.shims()[0])
    finders = list(sys.meta_path)
    yield
    sys.meta_path[:] = finders
    sys.modules.pop("datarobot_drum", None)


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("from datarobot_drum import RuntimeParameters, Other", "datarobot_drum.Other"),
        ("import datarobot_drum.some.thing", "datarobot_drum.some"),
        ("from datarobot_drum.some.thing import Other", "datarobot_drum.some"),
        ("import datarobot_drum; datarobot_drum.Other", "datarobot_drum.Other"),
    ],
)
def test_the_vendors_other_names_are_not_there(line: str, name: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path, f"{line}\n")
    with pytest.raises(ImportError) as caught:
        load(folder)
    told = f"there is no {name}: this datarobot_drum is a stand-in that has only RuntimeParameters"
    assert str(caught.value) == told
    with pytest.raises(ModuleNotFoundError, match="'no_such_module_x'"):
        importlib.import_module("no_such_module_x")

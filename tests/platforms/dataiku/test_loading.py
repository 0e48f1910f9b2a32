"""How a model's code is found and loaded, and what is said when it is not."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Running, function, regression, serving, write_service
from tests.platforms.dataiku.conftest import classification

HEAD = (
    "import pandas as pd\nfrom dataiku.apinode.predict.predictor import ClassificationPredictor, RegressionPredictor\n"
)


def with_head(source: str) -> str:
    return HEAD + textwrap.dedent(source)


GOOD = {
    "folder_given.py": """
        import os
        class Model(RegressionPredictor):
            def __init__(self, data_folder):
                self.path = data_folder
                with open(os.path.join(data_folder, "weight.txt")) as file:
                    self.weight = float(file.read())
            def predict(self, df):
                is_absolute = os.path.isabs(self.path)
                return pd.Series([self.weight] * len(df)), [{"absolute": is_absolute}] * len(df)
    """,
    "folder_none.py": """
        class Model(RegressionPredictor):
            def __init__(self, data_folder="default"):
                self.folder = data_folder
            def predict(self, df):
                return pd.Series([1.0] * len(df)), [{"folder": self.folder}] * len(df)
    """,
    "base_constructor.py": """
        class Model(RegressionPredictor):
            def __init__(self, data_folder=None):
                super().__init__(data_folder)
                self.weight = 3.0
            def predict(self, df):
                return pd.Series([self.weight] * len(df))
    """,
    "hierarchy.py": """
        class Base(ClassificationPredictor):
            label = "base"
            def predict(self, df):
                return pd.Series([self.label] * len(df))
        class Between(Base):
            pass
        class Model(Between):
            label = "model"
        class Unrelated:
            def predict(self, df):
                raise AssertionError
    """,
    "name with blanks.py": """
        class Model(RegressionPredictor):
            def predict(self, df):
                return pd.Series([4.0] * len(df))
    """,
    "left/predictor.py": """
        import helper
        from shared import WEIGHT
        class Model(RegressionPredictor):
            def predict(self, df):
                return pd.Series([helper.VALUE + WEIGHT] * len(df))
    """,
    "right/predictor.py": """
        import helper
        from shared import WEIGHT
        class Model(RegressionPredictor):
            def predict(self, df):
                return pd.Series([helper.VALUE + WEIGHT] * len(df))
    """,
}
PLAIN = {
    "through_import.py": """
        import dataiku
        import pandas as pd
        class Model(dataiku.apinode.predict.predictor.RegressionPredictor):
            def predict(self, df):
                return pd.Series([5.0] * len(df))
    """,
    "left/helper.py": "VALUE = 10",
    "right/helper.py": "VALUE = 20",
    "lib/shared.py": "WEIGHT = 0.5",
    "folder/weight.txt": "2.5",
    "functions.py": """
        import os
        loads = []
        loads.append(1)
        def listed():
            return [sorted(os.listdir(folder)) for folder in folders], [os.path.isabs(folder) for folder in folders]
        def counted():
            return len(loads)
        def nothing():
            pass
        class Callable:
            def __call__(self, a):
                return a
        instance = Callable()
    """,
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = write_service(
        tmp_path_factory.mktemp("loading") / "svc",
        regression("folder-given", "folder_given.py", folder="folder"),
        regression("folder-none", "folder_none.py"),
        regression("base-constructor", "base_constructor.py"),
        classification("hierarchy", "hierarchy.py"),
        regression("blanks", "name with blanks.py"),
        regression("left", "left/predictor.py"),
        regression("right", "right/predictor.py"),
        regression("through-import", "through_import.py"),
        function("listed", function="listed", folders=["lib", "folder"]),
        function("counted", function="counted"),
        function("nothing", function="nothing"),
        function("instance", function="instance"),
        code={**{name: with_head(source) for name, source in GOOD.items()}, **PLAIN},
        libPython="lib",
    )
    with serving(folder) as server:
        yield server


def result(server: Running, endpoint: str) -> dict[str, Any]:
    answer = server.post(f"/public/api/v1/svc/{endpoint}/predict", {"features": {"a": 1}})
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json()["result"]
    return found


def response(server: Running, endpoint: str, **arguments: Any) -> Any:
    answer = server.post(f"/public/api/v1/svc/{endpoint}/run", arguments)
    assert answer.status == 200, answer.body
    return answer.json()["response"]


def test_the_constructor_gets_the_folders_absolute_path(loaded: Running) -> None:
    assert result(loaded, "folder-given") == {"prediction": 2.5, "ignored": False, "customKeys": {"absolute": True}}


def test_the_constructor_gets_none_without_a_folder(loaded: Running) -> None:
    assert result(loaded, "folder-none")["customKeys"] == {"folder": None}


def test_the_base_class_has_a_constructor(loaded: Running) -> None:
    assert result(loaded, "base-constructor")["prediction"] == 3.0


def test_the_last_class_of_a_hierarchy_is_the_model(loaded: Running) -> None:
    assert result(loaded, "hierarchy")["prediction"] == "model"


def test_a_file_name_need_not_be_a_module_name(loaded: Running) -> None:
    assert result(loaded, "blanks")["prediction"] == 4.0


def test_the_base_class_is_reached_through_the_package(loaded: Running) -> None:
    assert result(loaded, "through-import")["prediction"] == 5.0


def test_helpers_of_one_name_are_not_shared_and_lib_python_is(loaded: Running) -> None:
    assert result(loaded, "left")["prediction"] == 10.5
    assert result(loaded, "right")["prediction"] == 20.5


def test_folders_of_a_function_come_in_their_order(loaded: Running) -> None:
    (first, second), absolute = response(loaded, "listed")
    assert "shared.py" in first
    assert second == ["weight.txt"]
    assert absolute == [True, True]


def test_a_module_runs_once(loaded: Running) -> None:
    assert [response(loaded, "counted") for _ in range(3)] == [1, 1, 1]


def test_a_function_may_return_nothing(loaded: Running) -> None:
    assert response(loaded, "nothing") is None


def test_whatever_can_be_called_is_a_function(loaded: Running) -> None:
    assert response(loaded, "instance", a=[1]) == [1]


BAD = {
    "several.py": """
        class One(RegressionPredictor):
            pass
        class Two(RegressionPredictor):
            pass
    """,
    "none.py": "class Model:\n    pass\n",
    "imported.py": "x = 1\n",
    "other_kind.py": "class Model(ClassificationPredictor):\n    pass\n",
    "raising.py": "raise RuntimeError('the weights are gone')\n",
    "raising_constructor.py": """
        class Model(RegressionPredictor):
            def __init__(self, data_folder):
                raise OSError("no weights there")
    """,
    "no_argument.py": """
        class Model(RegressionPredictor):
            def __init__(self):
                pass
    """,
    "missing_module.py": "import a_module_that_nobody_has\n",
    "syntax.py": "def broken(:\n",
    "exiting.py": "raise SystemExit(3)\n",
}
SAID = {
    "several": "several.py defines several predictors: One, Two",
    "none": "none.py defines no class that extends RegressionPredictor or ClassificationPredictor",
    "imported": "imported.py defines no class that extends RegressionPredictor or ClassificationPredictor",
    "other-kind": "the endpoint is declared REGRESSION, but Model extends ClassificationPredictor",
    "raising": "RuntimeError: the weights are gone",
    "raising-constructor": "OSError: no weights there",
    "no-argument": "takes 1 positional argument but 2 were given",
    "missing-module": "No module named 'a_module_that_nobody_has'",
    "syntax": "SyntaxError",
    "exiting": "SystemExit: 3",
    "no-function": "functions.py has no function 'absent'",
    "no-callable": "functions.py has no function 'value'",
}


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = write_service(
        tmp_path_factory.mktemp("failing") / "svc",
        *[regression(name.removesuffix(".py").replace("_", "-"), name) for name in BAD],
        function("no-function", function="absent"),
        function("no-callable", function="value"),
        function("good", function="good"),
        code={
            **{name: with_head(source) for name, source in BAD.items()},
            "functions.py": "value = 1\ndef good(a=1):\n    return a\ndef other():\n    pass\n",
        },
    )
    with serving(folder) as server:
        yield server


@pytest.mark.parametrize("endpoint", SAID)
def test_what_does_not_load_is_told_where_the_server_was_started(failed: Running, endpoint: str) -> None:
    blocks = "\n".join(failed.said).split("\n\n")
    (block,) = [block for block in blocks if block.startswith(f"{endpoint}  does not load")]
    assert SAID[endpoint] in block
    told = [line["message"] for line in failed.logs if line["message"].startswith(f"{endpoint} does not load: ")]
    assert len(told) == 1
    assert SAID[endpoint] in told[0]


@pytest.mark.parametrize("endpoint", SAID)
def test_what_does_not_load_answers_that_it_is_unavailable(failed: Running, endpoint: str) -> None:
    verb = "run" if endpoint in ("no-function", "no-callable") else "predict"
    answer = failed.post(f"/public/api/v1/svc/{endpoint}/{verb}", {"features": {}})
    assert answer.status == 503, answer.body
    error = answer.json()
    assert error["errorType"] == "ModelUnavailable"
    assert error["message"].startswith(f"{endpoint} could not be loaded")
    assert "Traceback" not in error["detailedMessage"]


def test_the_traceback_in_the_log_begins_in_the_users_code(failed: Running) -> None:
    (told,) = [line["message"] for line in failed.logs if line["message"].startswith("raising does not load")]
    assert "raising.py" in told
    assert "worker/main.py" not in told
    assert "importlib" not in told


def test_the_others_of_the_service_are_served(failed: Running) -> None:
    assert failed.post("/public/api/v1/svc/good/run", {"a": 5}).json()["response"] == 5
    assert failed.get("/healthz/ready").status == 503
    assert failed.get("/healthz/live").status == 200
    assert failed.get("/isAlive/").status == 200


def test_a_plain_file_is_a_service_of_its_name(tmp_path: Path) -> None:
    file = tmp_path / "churn.py"
    source = """
        from beside import FACTOR
        class Model(ClassificationPredictor):
            def predict(self, df):
                return pd.Series(["yes"] * len(df)), pd.DataFrame({"yes": [FACTOR] * len(df)})
    """
    file.write_text(with_head(source))
    (tmp_path / "beside.py").write_text("FACTOR = 0.75\n")
    with serving(file) as server:
        answer = server.post("/public/api/v1/churn/churn/predict", {"features": {"a": 1}})
        assert answer.json()["result"] == {"prediction": "yes", "ignored": False, "probas": {"yes": 0.75}}
        assert any("/public/api/v1/churn/churn/predict" in line for line in server.said)


def test_a_component_chooses_among_several_predictors(tmp_path: Path) -> None:
    source = """
        class One(RegressionPredictor):
            def predict(self, df):
                return pd.Series([1.0] * len(df))
        class Two(ClassificationPredictor):
            def predict(self, df):
                return pd.Series(["two"] * len(df))
    """
    (tmp_path / "model.py").write_text(with_head(source))
    (tmp_path / "modelport.yaml").write_text("name: chosen\ncomponent: model.Two\nversion: v7\n")
    with serving(tmp_path / "model.py") as server:
        answer = server.post("/public/api/v1/chosen/chosen/predict", {"features": {}}).json()
        assert answer["result"]["prediction"] == "two"
        assert answer["apiContext"] == {"serviceId": "chosen", "endpointId": "chosen", "serviceGeneration": "v7"}

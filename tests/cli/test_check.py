"""``modelport check``"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelport.cli.checks import same, spread
from tests.cli.conftest import modelport
from tests.harness import function, predictor, regression, write_service

QUERIES = [{"q": {"features": {"a": 1.5, "b": 2.0, "c": "x"}}}, {"q": {"features": {"a": 3.0, "b": 5.0, "c": "y"}}}]


def checked(folder: Path, *arguments: str) -> tuple[int, dict[str, dict[str, dict[str, Any]]]]:
    """The exit code, and model to check to finding."""
    done = modelport("check", folder, "--json", *arguments)
    report = json.loads(done.stdout)
    assert report["ok"] is (done.returncode == 0)
    return done.returncode, {
        model["model"]: {finding["check"]: finding for finding in model["findings"]} for model in report["models"]
    }


def one(tmp_path: Path, body: str, **more: Any) -> tuple[int, dict[str, dict[str, Any]]]:
    """What is found of a regression with this ``predict``."""
    endpoint = regression(**{"testQueries": QUERIES, **more})
    code, models = checked(write_service(tmp_path / "s", endpoint, code={"predictor.py": predictor(body)}))
    return code, models["ep"]


def test_the_example_is_good(example: Path) -> None:
    code, models = checked(example)
    assert code == 0
    assert [finding for found in models.values() for finding in found.values() if finding["state"] == "fail"] == []
    assert models["iris"]["nulls"]["detail"] == "answered for each of 4 columns, 4 of them without a prediction"
    assert "batching is safe" in models["diabetes"]["neighbours"]["detail"]
    assert list(models["bmi"]) == ["loads", "saved queries", "repeated calls", "nulls", "wrong types", "no input"]
    assert models["bmi"]["nulls"]["detail"].startswith("refused in ")


def test_one_endpoint_as_a_table(example: Path) -> None:
    done = modelport("check", example, "--endpoint", "iris")
    assert done.returncode == 0
    assert done.stdout.startswith("iris  dataiku classification, takes table: sepal_length")
    assert "neighbours" in done.stdout
    assert "diabetes" not in done.stdout
    assert done.stdout.rstrip().endswith("all good")


def test_a_model_that_does_not_load_is_shown_with_its_traceback(tmp_path: Path) -> None:
    folder = write_service(tmp_path / "s", function(), code={"functions.py": "import no_such_module\n"})
    done = modelport("check", folder)
    assert done.returncode == 1
    assert 'functions.py", line 1' in done.stdout
    assert "hint: install 'no_such_module'" in done.stdout


def test_a_failing_saved_query_fails(tmp_path: Path) -> None:
    code, found = one(tmp_path, "raise ValueError('never')")
    assert code == 1
    assert found["saved queries"] == {
        "check": "saved queries",
        "state": "fail",
        "detail": "query 1 of 2 failed: ValueError: never",
    }


def test_rows_that_depend_on_their_neighbours_are_noted(tmp_path: Path) -> None:
    code, found = one(tmp_path, "return features_df['a'] - features_df['a'].mean()")
    assert code == 0
    assert found["row order"]["state"] == "ok"
    assert found["neighbours"]["state"] == "note"
    assert "leave batching off" in found["neighbours"]["detail"]


def test_they_fail_where_batching_is_on(tmp_path: Path) -> None:
    body = "return features_df['a'] - features_df['a'].mean()"
    code, found = one(tmp_path, body, batching={"maxRequests": 8})
    assert code == 1
    assert "batching is on" in found["neighbours"]["detail"]


def test_answers_by_position_are_noted(tmp_path: Path) -> None:
    code, found = one(tmp_path, "return pd.Series(range(len(features_df)))")
    assert code == 0
    assert found["row order"]["state"] == "note"


def test_changing_answers_are_noted_and_prove_nothing_else(tmp_path: Path) -> None:
    code, found = one(tmp_path, "return pd.Series(np.random.rand(len(features_df)))")
    assert code == 0
    assert [found[name]["state"] for name in ("repeated calls", "row order", "neighbours")] == ["note"] * 3


def test_columns_that_may_not_be_null_are_named(tmp_path: Path) -> None:
    code, found = one(tmp_path, "return features_df['a'] + features_df['c'].map(len)")
    assert code == 0
    assert found["nulls"]["state"] == "note"
    assert found["nulls"]["detail"].startswith("refused in c: TypeError")
    assert "refused in" in found["wrong types"]["detail"]


def test_a_null_that_kills_the_worker_fails(tmp_path: Path) -> None:
    body = "if features_df['b'].isna().any():\n    os._exit(3)\nreturn features_df['a']"
    code, found = one(tmp_path, body)
    assert code == 1
    assert found["nulls"]["state"] == "fail"
    assert found["nulls"]["detail"].startswith("breaks on b: ")
    assert found["neighbours"]["state"] == "ok"  # the worker came back


def test_too_few_predictions_fail(tmp_path: Path) -> None:
    code, found = one(tmp_path, "return features_df['a'].dropna()")
    assert code == 1
    assert "0 predictions for 1 rows" in found["nulls"]["detail"]


def test_without_saved_queries_there_is_little_to_try(tmp_path: Path) -> None:
    code, found = one(tmp_path, "return features_df['a']", testQueries=[])
    assert code == 0
    assert list(found) == ["loads", "saved queries"]
    assert found["saved queries"]["state"] == "note"


def test_a_query_may_be_given(tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    file.write_text(predictor("return features_df['a'] * 2"))
    code, models = checked(file, "--data", '{"features": {"a": 1.5}}')
    assert code == 0
    assert "batching is safe" in models["model"]["neighbours"]["detail"]


@pytest.mark.parametrize("data", ["{", "[]", "@nowhere.json"])
def test_a_query_that_cannot_be_used_is_told(data: str, example: Path) -> None:
    done = modelport("check", example, "--endpoint", "bmi", "--data", data)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")


def test_what_models_print_is_shown_on_request(tmp_path: Path) -> None:
    code = {"functions.py": "print('hello from here')\ndef run():\n    return 1\n"}
    folder = write_service(tmp_path / "s", function(), code=code)
    assert "hello from here" not in modelport("check", folder).stderr
    assert "hello from here" in modelport("check", folder, "--verbose").stderr


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        (0.1 + 0.2, 0.3, True),
        ({"p": 1.0}, {"p": 1}, True),
        ([1.0, None], [1.0, None], True),
        (1.0, 1.001, False),
        ({"p": 1.0}, {}, False),
        ([1.0], [1.0, 2.0], False),
        ("a", "b", False),
        (None, 0.0, False),
    ],
)
def test_same_forgives_last_digits_only(left: Any, right: Any, equal: bool) -> None:
    assert same(left, right) is equal
    assert same(right, left) is equal


def test_spread_makes_four_different_rows_and_keeps_text() -> None:
    rows = spread([{"a": 10, "b": 1.0, "c": "x", "d": True, "e": None}])
    assert [row["a"] for row in rows] == [10, 9, 11, 12]
    assert {(row["c"], row["d"], row["e"]) for row in rows} == {("x", True, None)}
    assert spread([]) == []

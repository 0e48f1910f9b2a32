"""What ``score`` and ``post_process`` may return for each kind of target, and a precise word for the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from modelport.contracts.drum.outputs import TOLERANCE, Target, framed
from modelport.errors import InvalidOutput, LoadError

PD: Any = pd


def binary(**more: Any) -> Target:
    return Target("binary", ["no", "yes"], **more)


def columns(target: Target, frame: Any, rows: int | None = None) -> dict[Any, list[float]]:
    outcome = target.read(frame, len(frame) if rows is None else rows, "score")
    return {label: list(column) for label, column in (outcome.probabilities or {}).items()}


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([1, 2], [1.0, 2.0]),
        ([0.5, None], [0.5, float("nan")]),
        (PD.array([1, None], dtype="Int64"), [1.0, float("nan")]),
        (np.array([1, 2], dtype="float32"), [1.0, 2.0]),
        ([True, False], [1.0, 0.0]),
    ],
)
@pytest.mark.parametrize("kind", ["regression", "anomaly"])
def test_numbers_in_the_column_predictions(kind: str, column: Any, expected: list[float]) -> None:
    outcome = Target(kind).read(pd.DataFrame({"Predictions": column}), 2, "score")
    np.testing.assert_array_equal(np.asarray(outcome.predictions, dtype=float), expected)


def test_text_in_the_column_of_the_target() -> None:
    target = Target("textgeneration", name="answer")
    assert target.read(pd.DataFrame({"answer": ["a", None]}), 2, "score").predictions == ["a", None]


def test_columns_come_in_any_order_and_labels_in_any_type() -> None:
    assert columns(binary(), pd.DataFrame({"yes": [0.25], "no": [0.75]})) == {"no": [0.75], "yes": [0.25]}
    target = Target("multiclass", ["0", "1", "2"])
    assert list(columns(target, pd.DataFrame([[0.5, 0.25, 0.25]]))) == ["0", "1", "2"]
    assert list(columns(target, pd.DataFrame([[0.5, 0.25, 0.25]], columns=[0.0, 1.0, 2.0]))) == ["0", "1", "2"]
    assert columns(Target("binary", ["False", "True"]), pd.DataFrame({True: [1.0], False: [0.0]}))["True"] == [1.0]


@pytest.mark.parametrize(("threshold", "expected"), [(0.5, ["no", "yes"]), (0.2, ["yes", "yes"]), (0.8, ["no", "no"])])
def test_the_threshold_chooses_the_label(threshold: float, expected: list[str]) -> None:
    frame = pd.DataFrame({"no": [0.7, 0.3], "yes": [0.3, 0.7]})
    assert binary(threshold=threshold).read(frame, 2, "score").predictions == expected


def test_of_several_classes_the_likeliest_is_the_answer() -> None:
    frame = pd.DataFrame({"a": [0.2, 0.4], "b": [0.3, 0.35], "c": [0.5, 0.25]})
    assert Target("multiclass", ["a", "b", "c"]).read(frame, 2, "score").predictions == ["c", "a"]


@pytest.mark.parametrize("miss", [0, 0.9 * TOLERANCE, -0.9 * TOLERANCE])
def test_sums_may_miss_1_a_little(miss: float) -> None:
    assert columns(binary(), pd.DataFrame({"no": [0.4 + miss], "yes": [0.6]}))


@pytest.mark.parametrize(
    ("target", "frame", "told"),
    [
        (Target("regression"), pd.DataFrame({"Predictions": [1.0]}), "score returned 1 rows for 2"),
        (Target("regression"), pd.DataFrame({"x": [1, 2]}), "the columns 'x'; 'Predictions' was expected"),
        (Target("regression"), pd.DataFrame({"Predictions": [1, 2], "x": 0}), "'Predictions', 'x'; 'Predictions' was"),
        (Target("regression"), pd.DataFrame({"Predictions": ["a", 2]}), "must be numbers; 'a' is none"),
        (Target("regression"), [1, 2], "score returned list; a pandas DataFrame was expected"),
        (Target("regression"), pd.Series([1, 2]), "score returned Series; a pandas DataFrame was expected"),
        (Target("regression"), None, "score returned NoneType"),
        (Target("textgeneration", name="t"), pd.DataFrame({"x": ["a", "b"]}), "'t' was expected"),
        (binary(), pd.DataFrame({"yes": [0.5, 0.5]}), "columns 'yes'; one for each class was expected: 'no', 'yes'"),
        (binary(), pd.DataFrame({"a": [0.5] * 2, "b": [0.5] * 2}), "'a', 'b'; one for each class"),
        (binary(), pd.DataFrame({"no": [0.5] * 2, "yes": [0.5, 0.6]}), "row 1 has 0.5, 0.6"),
        (binary(), pd.DataFrame({"no": [0.5] * 2, "yes": [0.6, 0.6]}), "row 0 has 0.5, 0.6, as 1 more rows"),
        (binary(), pd.DataFrame({"no": [0.5] * 2, "yes": [np.nan, 0.5]}), "row 0 has 0.5, nan"),
        (binary(), pd.DataFrame({"no": [np.inf] * 2, "yes": [-np.inf] * 2}), "row 0 has inf, -inf"),
        (binary(), pd.DataFrame({"no": [1.5] * 2, "yes": [-0.5] * 2}), "row 0 has 1.5, -0.5"),
        (binary(), pd.DataFrame({"no": ["a"] * 2, "yes": [0.5] * 2}), "of class 'no' must be numbers; 'a' is none"),
    ],
)
def test_everything_else_is_refused_with_the_reason(target: Target, frame: Any, told: str) -> None:
    with pytest.raises(InvalidOutput) as caught:
        target.read(frame, 2, "score")
    assert told in caught.value.message


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_one_column_of_a_binary_model_is_the_positive_class(shape: tuple[int, ...]) -> None:
    frame = framed(np.array([0.0, 0.25, 1.0]).reshape(shape), binary())
    assert frame.to_dict("list") == {"no": [1.0, 0.75, 0.0], "yes": [0.0, 0.25, 1.0]}


def test_two_columns_are_negative_and_positive_unless_it_is_switched() -> None:
    answer = np.array([[0.9, 0.1]])
    assert framed(answer, binary()).to_dict("list") == {"no": [0.9], "yes": [0.1]}
    assert framed(answer, binary(positive_first=True)).to_dict("list") == {"yes": [0.9], "no": [0.1]}


def test_classes_that_the_artifact_names_go_before_any_order() -> None:
    answer = np.array([[0.9, 0.1]])
    named = binary(classes=["yes", "no"])
    assert framed(answer, named).to_dict("list") == {"yes": [0.9], "no": [0.1]}
    other = binary(classes=["0", "1"], positive_first=True)
    assert framed(answer, other).to_dict("list") == {"yes": [0.9], "no": [0.1]}


@pytest.mark.parametrize(
    ("answer", "target", "told"),
    [
        (np.zeros((2, 2)), Target("regression"), "an array of shape (2, 2) where one number a row"),
        (np.zeros((2, 3)), binary(), "answered 3 columns for 2 classes: 'no', 'yes'"),
        (np.zeros((2, 2, 2)), Target("regression"), "an array of shape (2, 2, 2)"),
        (np.array(["a", "b"]), binary(), "the probability of the positive class must be numbers"),
    ],
)
def test_arrays_of_the_wrong_form_are_refused(answer: Any, target: Target, told: str) -> None:
    with pytest.raises(InvalidOutput) as caught:
        framed(answer, target)
    assert told in caught.value.message


@pytest.mark.parametrize(
    ("classes", "labels", "expected"),
    [
        (["good", "bad"], ["bad", "good"], ["good", "bad"]),
        (["0", "1"], ["0.0", "1.0"], ["0.0", "1.0"]),
        (["0", "1"], ["1.0", "0.0"], ["0.0", "1.0"]),
        (["False", "True"], ["false", "true"], ["false", "true"]),
        (["False", "True"], ["true", "false"], ["false", "true"]),
        (["0", "1", "2"], ["a", "b", "c"], ["a", "b", "c"]),
        (["1", "1.0"], ["1.0", "1"], ["1", "1.0"]),
        (None, ["no", "yes"], ["no", "yes"]),
    ],
)
def test_stated_labels_are_matched_with_the_models_own(
    classes: list[str] | None, labels: list[str], expected: list[str]
) -> None:
    assert Target("multiclass", labels, classes=classes).order() == expected


@pytest.mark.parametrize("classes", [["bad", "good"], ["1", "2"], ["Good", "Bad", "other"]])
def test_labels_that_are_others_than_the_models_are_never_guessed(classes: list[str]) -> None:
    with pytest.raises(LoadError, match=r"the model's classes are '.*', and the stated labels 'Bad', 'Good'"):
        Target("binary", ["Bad", "Good"], classes=classes).order()


def test_columns_may_be_written_otherwise_than_labels() -> None:
    target = Target("binary", ["0.0", "1.0"])
    assert columns(target, pd.DataFrame({1.0: [0.25], 0.0: [0.75]})) == {"0.0": [0.75], "1.0": [0.25]}


@pytest.mark.parametrize("endless", [np.inf, -np.inf])
def test_infinite_predictions_are_no_numbers_that_json_has(endless: float) -> None:
    for read in (
        lambda: Target("regression").read(pd.DataFrame({"Predictions": [1.0, endless]}), 2, "score"),
        lambda: Target("anomaly").read_numbers(np.array([1.0, endless]), 2),
    ):
        with pytest.raises(InvalidOutput, match=r"the prediction of row 1 is -?inf"):
            read()


def test_text_is_no_number_even_if_it_reads_like_one() -> None:
    with pytest.raises(InvalidOutput, match="must be numbers; '2' is none"):
        Target("regression").read(pd.DataFrame({"Predictions": np.array([1.0, "2"], dtype=object)}), 2, "score")


def test_numbers_of_too_few_rows_are_told() -> None:
    with pytest.raises(InvalidOutput, match="the model returned 1 rows for 2"):
        Target("regression").read_numbers(np.array([1.0]), 2)


def test_no_rows_are_no_predictions() -> None:
    assert len(Target("regression").read(pd.DataFrame({"Predictions": []}), 0, "score").predictions) == 0
    assert binary().read(pd.DataFrame({"no": [], "yes": []}), 0, "score").predictions == []

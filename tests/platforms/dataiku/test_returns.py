"""What ``predict`` may return and what comes of it, and a precise word for everything that it may not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.harness import Running
from tests.platforms.dataiku.conftest import ask, results

IGNORED = {"ignored": True, "ignoreReason": "IGNORED_BY_MODEL"}


def predicted(*values: Any) -> list[dict[str, Any]]:
    return [IGNORED if value is None else {"prediction": value, "ignored": False} for value in values]


def with_probas(label: Any, **probas: float) -> dict[str, Any]:
    return {"prediction": label, "ignored": False, "probas": probas}


REGRESSION = {
    "a series": ("pd.Series([1.5, 2.5])", predicted(1.5, 2.5)),
    "integers": ("pd.Series([1, 2])", predicted(1, 2)),
    "small floats": ("pd.Series([0.5, 0.25], dtype='float32')", predicted(0.5, 0.25)),
    "no custom keys": ("(pd.Series([1.5, 2.5]), None)", predicted(1.5, 2.5)),
    "custom keys": (
        "(pd.Series([1.5, 2.5]), [{'k': 1}, {}])",
        [{**predicted(1.5)[0], "customKeys": {"k": 1}}, {**predicted(2.5)[0], "customKeys": {}}],
    ),
    "custom keys for one row": (
        "(pd.Series([1.5, 2.5]), [None, {'k': [1, {'x': None}]}])",
        [predicted(1.5)[0], {**predicted(2.5)[0], "customKeys": {"k": [1, {"x": None}]}}],
    ),
    "a row left out": ("pd.Series([np.nan, 2.5])", predicted(None, 2.5)),
    "all rows left out": ("pd.Series([np.nan, np.nan])", predicted(None, None)),
    "a row left out has custom keys": (
        "(pd.Series([np.nan, 2.5]), [{'why': 'no'}, None])",
        [{**IGNORED, "customKeys": {"why": "no"}}, predicted(2.5)[0]],
    ),
    "nullable integers": ("pd.Series([1, pd.NA], dtype='Int64')", predicted(1, None)),
    "nullable integers, none missing": ("pd.Series([1, 2], dtype='Int64')", predicted(1, 2)),
    "nullable floats": ("pd.Series([1.5, None], dtype='Float64')", predicted(1.5, None)),
    "objects": ("pd.Series([1, None], dtype=object)", predicted(1, None)),
    "decimals": ("pd.Series([decimal.Decimal('1.5'), decimal.Decimal('NaN')])", predicted(1.5, None)),
    "an index of its own": ("pd.Series([1.0, 2.0], index=[7, 3])", predicted(1.0, 2.0)),
    "an index of text": ("pd.Series([1.0, 2.0], index=['b', 'a'])", predicted(1.0, 2.0)),
    "the same index twice": ("pd.Series([1.0, 2.0], index=[0, 0])", predicted(1.0, 2.0)),
    "a sorted column keeps the order it has": ("df['row'].sort_values(ascending=False)", predicted(1, 0)),
    "a column": ("df['row'] * 2", predicted(0, 2)),
    "an array": ("np.array([1.5, 2.5])", predicted(1.5, 2.5)),
    "a list": ("[1.5, 2.5]", predicted(1.5, 2.5)),
    "a list with every kind of nothing": (
        "[None, float('nan'), np.float32('nan'), pd.NA, pd.NaT, 1]",
        predicted(None, None, None, None, None, 1),
    ),
    "dates": ("pd.to_datetime(pd.Series(['2024-01-02', None]))", predicted("2024-01-02T00:00:00", None)),
    "durations": ("pd.to_timedelta(pd.Series([90, None]), unit='s')", predicted(90.0, None)),
    "lists": ("pd.Series([[1, 2], [3]])", predicted([1, 2], [3])),
    "arrays": ("pd.Series([np.array([1, 2]), np.array([3, 4])])", predicted([1, 2], [3, 4])),
}

CLASSIFICATION = {
    "text": ("pd.Series(['yes', 'no'])", predicted("yes", "no")),
    "numbers stay numbers": ("pd.Series([0, 1])", predicted(0, 1)),
    "booleans stay booleans": ("pd.Series([True, False])", predicted(True, False)),
    "an array of text": ("np.array(['yes', 'no'])", predicted("yes", "no")),
    "categories": ("pd.Series(['yes', None], dtype='category')", predicted("yes", None)),
    "strings with a missing one": ("pd.Series(['yes', None], dtype='string')", predicted("yes", None)),
    "no probabilities": ("(pd.Series(['yes', 'no']), None)", predicted("yes", "no")),
    "nothing but labels": ("(pd.Series(['yes', 'no']), None, None)", predicted("yes", "no")),
    "probabilities": (
        "(pd.Series(['yes', 'no']), pd.DataFrame({'yes': [0.75, 0.5], 'no': [0.25, 0.5]}))",
        [with_probas("yes", yes=0.75, no=0.25), with_probas("no", yes=0.5, no=0.5)],
    ),
    "probabilities and custom keys": (
        "(pd.Series(['yes', 'no']), pd.DataFrame({'yes': [1, 0]}), [{'r': 7}, None])",
        [{**with_probas("yes", yes=1.0), "customKeys": {"r": 7}}, with_probas("no", yes=0.0)],
    ),
    "custom keys without probabilities": (
        "(pd.Series(['yes', 'no']), None, [{'r': 7}, {'r': 8}])",
        [{**result, "customKeys": {"r": 7 + at}} for at, result in enumerate(predicted("yes", "no"))],
    ),
    "a row left out has no probabilities": (
        "(pd.Series(['yes', None]), pd.DataFrame({'yes': [0.75, np.nan], 'no': [0.25, np.nan]}))",
        [with_probas("yes", yes=0.75, no=0.25), IGNORED],
    ),
    "classes that are numbers": (
        "(pd.Series([1, 0]), pd.DataFrame({0: [0.25, 0.5], 1: [0.75, 0.5]}))",
        [
            {"prediction": 1, "ignored": False, "probas": {"0": 0.25, "1": 0.75}},
            {"prediction": 0, "ignored": False, "probas": {"0": 0.5, "1": 0.5}},
        ],
    ),
    "classes that are booleans": (
        "(pd.Series([True, False]), pd.DataFrame([[0.25, 0.75], [0.5, 0.5]], columns=np.array([False, True])))",
        [with_probas(True, **{"False": 0.25, "True": 0.75}), with_probas(False, **{"False": 0.5, "True": 0.5})],
    ),
    "every index another": (
        "(pd.Series(['a', 'b'], index=[9, 4]), pd.DataFrame({'a': [0.75, 0.5]}, index=[4, 9]))",
        [with_probas("a", a=0.75), with_probas("b", a=0.5)],
    ),
    "nullable probabilities": (
        "(pd.Series(['a', None]), pd.DataFrame({'a': pd.array([0.5, None], dtype='Float64')}))",
        [with_probas("a", a=0.5), IGNORED],
    ),
    "one column missing in a predicted row": (
        "(pd.Series(['a', 'b']), pd.DataFrame({'a': [0.5, np.nan]}))",
        [with_probas("a", a=0.5), {"prediction": "b", "ignored": False, "probas": {"a": None}}],
    ),
}

ILLEGAL_FOR_BOTH = {
    "too few": ("pd.Series([1.0])", "predict returned 1 predictions for 2 rows"),
    "too many": ("pd.Series([1.0] * 3)", "predict returned 3 predictions for 2 rows"),
    "too few in a tuple": ("(pd.Series([1.0]), None)", "predict returned 1 predictions for 2 rows"),
    "nothing": ("None", "predict returned NoneType where a pandas Series was expected"),
    "a number": ("1.5", "predict returned float where a pandas Series was expected"),
    "a dict": ("{'prediction': [1, 2]}", "predict returned dict where a pandas Series was expected"),
    "text": ("'ab'", "predict returned str where a pandas Series was expected"),
    "a frame": ("pd.DataFrame({'a': [1, 2]})", "predict returned DataFrame of shape (2, 1) where a pandas Series"),
    "a matrix": ("np.zeros((2, 1))", "predict returned ndarray of shape (2, 1) where a pandas Series was expected"),
    "a frame in a tuple": ("(pd.DataFrame({'a': [1, 2]}), None)", "predict returned DataFrame of shape (2, 1)"),
    "an empty tuple": ("()", "predict returned a tuple of 0; a "),
    "a tuple of one": ("(pd.Series([1.0, 2.0]),)", "predict returned a tuple of 1; a "),
    "a tuple of four": ("(pd.Series([1.0, 2.0]), None, None, None)", "predict returned a tuple of 4; a "),
    "a generator": ("(x for x in [1, 2])", "predict returned generator where a pandas Series was expected"),
    "complex numbers": ("pd.Series([1j, 2j])", "complex has no JSON form"),
    "objects": ("pd.Series([object(), 1])", "the answer has no JSON form: object has no JSON form"),
}

ILLEGAL_FOR_REGRESSION = {
    "three": (
        "(pd.Series([1.0, 2.0]), None, None)",
        "predict returned a tuple of 3; a regression may return a series or (series, custom_keys)",
    ),
    "probabilities": (
        "(pd.Series([1.0, 2.0]), pd.DataFrame({'a': [1, 2]}))",
        "predict returned DataFrame as custom keys; a list of dicts was expected",
    ),
    "custom keys that are a dict": ("(pd.Series([1.0, 2.0]), {'k': 1})", "predict returned dict as custom keys"),
    "custom keys of too few rows": ("(pd.Series([1.0, 2.0]), [{}])", "predict returned 1 custom keys for 2 rows"),
    "custom keys that are text": (
        "(pd.Series([1.0, 2.0]), [{}, 'k'])",
        "custom keys of row 1 are str; a dict was expected",
    ),
    "custom keys without a JSON form": (
        "(pd.Series([1.0, 2.0]), [{'k': object()}, {}])",
        "the answer has no JSON form: object has no JSON form",
    ),
    "custom keys that contain themselves": (
        "[(pd.Series([1.0, 2.0]), [k, {}]) for k in [{}] if not k.update(k=k)][0]",
        "the answer has no JSON form: ",
    ),
}

ILLEGAL_FOR_CLASSIFICATION = {
    "custom keys in the place of probabilities": (
        "(pd.Series(['a', 'b']), [{'k': 1}, {'k': 2}])",
        "predict returned list as probabilities; a pandas DataFrame was expected",
    ),
    "an array of probabilities": (
        "(pd.Series(['a', 'b']), np.array([[0.5, 0.5], [0.5, 0.5]]))",
        "predict returned ndarray as probabilities; a pandas DataFrame was expected",
    ),
    "probabilities of one row": (
        "(pd.Series(['a', 'b']), pd.DataFrame({'a': [0.5]}))",
        "predict returned probabilities of 1 rows for 2 rows",
    ),
    "a class twice": (
        "(pd.Series(['a', 'b']), pd.DataFrame([[0.5, 0.5]] * 2, columns=['a', 'a']))",
        "predict returned probabilities in which a class has two columns",
    ),
    "probabilities in words": (
        "(pd.Series(['a', 'b']), pd.DataFrame({'a': ['high', 'low']}))",
        "the probabilities of class 'a' are not numbers",
    ),
    "custom keys that are a dict": (
        "(pd.Series(['a', 'b']), None, {'k': 1})",
        "predict returned dict as custom keys; a list of dicts was expected",
    ),
    "custom keys of too many rows": (
        "(pd.Series(['a', 'b']), None, [{}, {}, {}])",
        "predict returned 3 custom keys for 2 rows",
    ),
}

VALUES = {
    "np.int64(7)": 7,
    "np.uint8(7)": 7,
    "np.float32(0.5)": 0.5,
    "np.bool_(True)": True,
    "np.str_('é')": "é",
    "float('nan')": None,
    "float('inf')": None,
    "np.float64('-inf')": None,
    "pd.NA": None,
    "pd.NaT": None,
    "pd.Timestamp('2024-01-02 03:04:05')": "2024-01-02T03:04:05",
    "pd.Timestamp('2024-01-02', tz='Europe/Paris')": "2024-01-02T00:00:00+01:00",
    "datetime.date(2024, 1, 2)": "2024-01-02",
    "datetime.datetime(2024, 1, 2, 3, 4, 5)": "2024-01-02T03:04:05",
    "pd.Timedelta('1min')": 60.0,
    "decimal.Decimal('1.25')": 1.25,
    "decimal.Decimal('NaN')": None,
    "uuid.UUID(int=1)": "00000000-0000-0000-0000-000000000001",
    "{1}": [1],
    "(1, 'a')": [1, "a"],
    "b'ab'": "ab",
    "np.array([[1, 2], [3, 4]])": [[1, 2], [3, 4]],
    "np.array([0.5, np.nan])": [0.5, None],
    "pd.Series([1, 2])": [1, 2],
    "pd.Index(['a'])": ["a"],
    "{1: 'a', None: 'b'}": {"1": "a", "null": "b"},
    "2**70": 2**70,
    "'\\ud800'": "?",
    "{'a': {'b': [np.int8(1), {'c': pd.Timestamp('2024-01-02')}]}}": {"a": {"b": [1, {"c": "2024-01-02T00:00:00"}]}},
}


@pytest.mark.parametrize("case", REGRESSION)
def test_a_regression_may_return(node: Running, case: str) -> None:
    code, expected = REGRESSION[case]
    assert results(node, "ep", code, len(expected)) == expected


@pytest.mark.parametrize("case", CLASSIFICATION)
def test_a_classification_may_return(node: Running, case: str) -> None:
    code, expected = CLASSIFICATION[case]
    assert results(node, "cl", code) == expected


def check_refused(node: Running, endpoint: str, code: str, words: str) -> None:
    answer = ask(node, endpoint, code)
    assert answer.status == 500, answer.body
    error = answer.json()
    assert error["errorType"] == "InvalidOutput"
    assert words in error["message"]
    assert error["detailedMessage"].startswith(error["message"])


@pytest.mark.parametrize("case", ILLEGAL_FOR_BOTH)
@pytest.mark.parametrize("endpoint", ["ep", "cl"])
def test_neither_may_return(node: Running, endpoint: str, case: str) -> None:
    check_refused(node, endpoint, *ILLEGAL_FOR_BOTH[case])


@pytest.mark.parametrize("case", ILLEGAL_FOR_REGRESSION)
def test_a_regression_may_not_return(node: Running, case: str) -> None:
    check_refused(node, "ep", *ILLEGAL_FOR_REGRESSION[case])


@pytest.mark.parametrize("case", ILLEGAL_FOR_CLASSIFICATION)
def test_a_classification_may_not_return(node: Running, case: str) -> None:
    check_refused(node, "cl", *ILLEGAL_FOR_CLASSIFICATION[case])


@pytest.mark.parametrize("code", VALUES)
def test_values_have_a_json_form_in_custom_keys_and_functions(node: Running, code: str) -> None:
    (result,) = results(node, "ep", f"(pd.Series([0.0]), [{{'v': {code}}}])", 1)
    assert result["customKeys"] == {"v": VALUES[code]}
    answer = node.post("/public/api/v1/svc/compute/run", {"code": code})
    assert answer.status == 200, answer.body
    assert answer.json()["response"] == VALUES[code]


def test_answers_are_strict_json(node: Running) -> None:
    def refuse(token: str) -> None:
        raise AssertionError(f"a bare {token}")

    code = "(pd.Series([float('inf')]), [{'a': float('nan'), 'b': [float('-inf')], 'c': np.array([np.nan])}])"
    answer = ask(node, "ep", code, 1)
    json.loads(answer.body, parse_constant=refuse)
    assert answer.status == 200


def test_one_record_has_the_same_forms(node: Running) -> None:
    features = {"code": "(pd.Series(['a']), pd.DataFrame({'a': [0.75], 'b': [0.25]}), [{'k': 1}])"}
    answer = node.post("/public/api/v1/svc/cl/predict", {"features": features})
    assert answer.json()["result"] == {**with_probas("a", a=0.75, b=0.25), "customKeys": {"k": 1}}


def test_an_exception_fails_all_records(node: Running) -> None:
    answer = ask(node, "ep", "1 / 0")
    assert (answer.status, answer.json()["errorType"]) == (500, "ZeroDivisionError")

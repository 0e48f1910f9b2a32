"""The DataFrame that ``predict`` gets: what was sent, and nothing made up."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.harness import Running
from tests.platforms.dataiku.conftest import ask

CELLS = """(pd.Series([0.0] * n), [
    {'columns': list(df.columns), 'cells': [
        'missing' if v is pd.NA or isinstance(v, float) and v != v else 'null' if v is None
        else type(v).__name__ + ' ' + str(v) for v in df.drop(columns='code').astype(object).iloc[i]
    ]} for i in range(n)])"""
KINDS = "(pd.Series([0.0] * n), [{'kinds': [df[c].dtype.kind for c in df if c != 'code'], 'n': n}] + [None] * (n - 1))"


def seen(server: Running, *records: dict[str, Any], code: str = CELLS) -> list[dict[str, Any]]:
    """What the model tells of each row; the feature "code" comes last."""
    items = [{"features": {**record, "code": code}} for record in records]
    answer = server.post("/public/api/v1/svc/ep/predict-multi", {"items": items})
    assert answer.status == 200, answer.body
    return [result.get("customKeys") for result in answer.json()["results"]]


def test_columns_come_in_the_order_of_the_record(node: Running) -> None:
    (row,) = seen(node, {"z": 1, "a": 2, "É": 3})
    assert row["columns"] == ["z", "a", "É", "code"]
    assert row["cells"] == ["int 1", "int 2", "int 3"]


def test_columns_of_several_records_come_in_first_seen_order(node: Running) -> None:
    first, second, third = seen(node, {"b": "x"}, {"a": "y", "b": "z"}, {"c": "w"})
    assert first["columns"] == ["b", "code", "a", "c"]
    assert first["cells"] == ["str x", "missing", "missing"]
    assert second["cells"] == ["str z", "str y", "missing"]
    assert third["cells"] == ["missing", "missing", "str w"]


def test_names_in_another_order_are_the_same_names(node: Running) -> None:
    first, second = seen(node, {"a": 1, "b": 2}, {"b": 20, "a": 10})
    assert (first["cells"], second["cells"]) == (["int 1", "int 2"], ["int 10", "int 20"])


def test_a_null_among_texts_and_among_numbers(node: Running) -> None:
    first, second = seen(node, {"t": "x", "i": 1, "n": None}, {"t": None, "i": None, "n": None})
    assert first["cells"] == ["str x", "float 1.0", "null"]
    assert second["cells"][0] in ("null", "missing")
    assert second["cells"][1:] == ["missing", "null"]


def test_an_absent_whole_number_turns_its_column_into_floats(node: Running) -> None:
    first, second = seen(node, {"i": 1}, {})
    assert (first["cells"], second["cells"]) == (["float 1.0"], ["missing"])


def test_nothing_is_coerced(node: Running) -> None:
    (row,) = seen(node, {"i": 7, "f": 7.0, "t": True, "s": "7", "e": "", "d": "2024-01-02"})
    assert row["cells"] == ["int 7", "float 7.0", "bool True", "str 7", "str ", "str 2024-01-02"]


def test_number_columns_have_number_types(node: Running) -> None:
    (row, _) = seen(node, {"i": 1, "f": 0.5, "t": True, "m": 1}, {"i": 2, "f": 1.5, "t": False, "m": 0.5}, code=KINDS)
    assert row == {"kinds": ["i", "f", "b", "f"], "n": 2}


def test_whole_numbers_keep_64_bits(node: Running) -> None:
    (row,) = seen(node, {"big": 2**63 - 1, "unsigned": 2**64 - 1, "small": -(2**63)})
    assert row["cells"] == [f"int {2**63 - 1}", f"int {2**64 - 1}", f"int {-(2**63)}"]


def test_nested_values_arrive_as_they_are(node: Running) -> None:
    first, second = seen(node, {"l": [1, [2]], "o": {"k": None}}, {"l": [], "o": {}})
    assert first["cells"] == ["list [1, [2]]", "dict {'k': None}"]
    assert second["cells"] == ["list []", "dict {}"]


def test_rows_are_numbered_from_zero(node: Running) -> None:
    (row, _) = seen(node, {}, {}, code="(pd.Series([0.0] * n), [{'index': list(df.index)}, None])")
    assert row == {"index": [0, 1]}


def test_the_frame_is_the_models_own(node: Running) -> None:
    """It may change it, and the next request sees nothing of that."""
    code = "[pd.Series(df['x'].tolist()) for _ in [df.insert(0, 'new', 1), df.__setitem__('x', df['x'] + 1)]][0]"
    for _ in range(2):
        answer = node.post("/public/api/v1/svc/ep/predict", {"features": {"x": 1.5, "code": code}})
        assert answer.json()["result"]["prediction"] == 2.5
    floats = "df.__setitem__('x', df['x'] + 1) or df['x']"
    assert ask(node, "ep", floats, 2).status == 500  # there is no such column


def test_text_from_a_query_stays_text(node: Running) -> None:
    query = f"i=1&f=1.5&e=&t=a%20b+c&n=%C3%A9%26%3D&code={quote(CELLS)}"
    answer = node.get(f"/public/api/v1/svc/ep/predict-simple?{query}")
    assert answer.status == 200, answer.body
    told = answer.json()["result"]["customKeys"]
    assert told["columns"] == ["i", "f", "e", "t", "n", "code"]
    assert told["cells"] == ["str 1", "str 1.5", "str ", "str a b c", "str é&="]


def test_a_query_without_features(node: Running) -> None:
    assert node.get("/public/api/v1/svc/ep/predict-simple").json()["result"]["prediction"] == 1.5


@pytest.mark.parametrize("name", ["a b", "", "columns", "é", "x" * 1000, "0"])
def test_any_text_may_be_a_name(node: Running, name: str) -> None:
    (row,) = seen(node, {name: 1})
    assert row["columns"] == [name, "code"]


def test_half_a_character_is_no_text(node: Running) -> None:
    """JSON can escape half of a surrogate pair, which no UTF-8 answer could carry back."""
    for path, body in (("ep/predict", b'{"features": {"a": "\\ud800"}}'), ("fn/run", b'{"a": "\\ud800"}')):
        answer = node.post(f"/public/api/v1/svc/{path}", body)
        assert (answer.status, answer.json()["errorType"]) == (400, "InvalidBody"), answer.body

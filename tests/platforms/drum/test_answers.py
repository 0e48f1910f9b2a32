"""How answers are written: the same whatever the columns are held in, with ``orjson`` and without it."""

from __future__ import annotations

import csv
import datetime
import io
import json
import math
from array import array
from typing import Any

import numpy
import pandas
import pytest

from modelport.core import jsontext, mediatype, rowtext
from modelport.protocols.drum import codec
from modelport.protocols.drum.codec import Answered, as_json
from tests.core.test_jsontext import PLAIN

NAN = math.nan
TEXTS = ["", "a,b", 'say "é"', "two\nlines", "\\", "null", '","', None]

NUMBERS: list[tuple[Any, list[Any]]] = [
    (numpy.array([0.1, NAN, 1e-300]), [0.1, None, 1e-300]),
    (numpy.arange(6.0)[::2], [0.0, 2.0, 4.0]),
    (numpy.array([1, -2, 3], dtype="int8"), [1, -2, 3]),
    (numpy.array([1.5, 2.5, 3.5], dtype="float32"), [1.5, 2.5, 3.5]),
    (array("d", [0.1, NAN, 2.0]), [0.1, None, 2.0]),
    (memoryview(array("q", [1, 2, 3])), [1, 2, 3]),
    ([1, 2.5, NAN], [1, 2.5, None]),
    ([2**70, -1, 0], [2**70, -1, 0]),
]
OTHERS: list[tuple[Any, list[Any]]] = [
    (TEXTS, TEXTS),
    (numpy.array(["a", "b,c", None], dtype=object), ["a", "b,c", None]),
    (numpy.array([True, False]), [True, False]),
    ([True, None, 1], [True, None, 1]),
    (["a,b", None, "a,b"], ["a,b", None, "a,b"]),
    ([None, None, None], [None, None, None]),
    ([datetime.date(2020, 1, 2), None], ["2020-01-02", None]),
    ([[1, 2], {"a": "b,c"}], [[1, 2], {"a": "b,c"}]),
]


@pytest.fixture(params=["orjson", "json"], autouse=True)
def writer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test in both kinds of environment."""
    for module in (codec, rowtext):
        monkeypatch.setattr(module, "jsontext", jsontext if request.param == "orjson" else PLAIN)


@pytest.mark.parametrize(("column", "wanted"), NUMBERS + OTHERS)
def test_json_holds_the_values(column: Any, wanted: list[Any]) -> None:
    assert json.loads(as_json(Answered(["Predictions"], [column], True))) == wanted
    name = 'a "name",: é'
    assert json.loads(as_json(Answered([name], [column], False))) == [{name: value} for value in wanted]
    three = as_json(Answered(["a", "b", "c"], [column, TEXTS[: len(wanted)], column], False))
    rows = [{"a": value, "b": text, "c": value} for value, text in zip(wanted, TEXTS, strict=False)]
    assert json.loads(three) == rows


@pytest.mark.parametrize(("column", "wanted"), NUMBERS)
def test_csv_holds_the_numbers(column: Any, wanted: list[Any]) -> None:
    for names in (["one"], ["one", "two, too"]):
        written = rowtext.as_csv(names, [column] * len(names))
        frame = pandas.read_csv(io.BytesIO(written), dtype=object if 2**70 in wanted else None)
        assert list(frame.columns) == names
        for name in names:
            assert [None if pandas.isna(v) else float(v) for v in frame[name]] == wanted


def test_csv_is_read_as_it_was_meant() -> None:
    written = rowtext.as_csv(["a", "b"], [TEXTS, TEXTS]).decode()
    wanted = [[text or "", text or ""] for text in TEXTS]
    assert list(csv.reader(io.StringIO(written, newline=""))) == [["a", "b"], *wanted]
    alone = rowtext.as_csv(["a"], [TEXTS]).decode()
    assert list(csv.reader(io.StringIO(alone, newline=""))) == [["a"], *([text or ""] for text in TEXTS)]


def test_no_rows_are_an_empty_list_and_a_header() -> None:
    for is_bare in (True, False):
        assert as_json(Answered(["a"], [[]], is_bare)) == b"[]"
    assert rowtext.as_csv(["a", "b,c"], [[], numpy.array([])]) == b'a,"b,c"\n'


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("", ("", None)),
        ("text/csv", ("text/csv", None)),
        (" Text/CSV ; Charset = UTF-8 ; header=present", ("text/csv", "UTF-8")),
        ('text/csv;charset="latin-1"', ("text/csv", "latin-1")),
        ("text/csv;charset=", ("text/csv", None)),
        (";;;=", ("", None)),
    ],
)
def test_content_types_are_taken_apart(header: str, wanted: tuple[str, str | None]) -> None:
    assert mediatype.parsed(header) == wanted

"""JSON in and out, with ``orjson`` and without it: one behaviour for both."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import importlib.util
import json
import math
import sys
import time
import uuid
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport.core import jsontext
from tests.core.strategies import json_values, same


def load_without_orjson() -> ModuleType:
    """The module as it is in an environment that lacks ``orjson``."""
    spec = importlib.util.spec_from_file_location("jsontext_without_orjson", jsontext.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with mock.patch.dict(sys.modules, {"orjson": None}):
        spec.loader.exec_module(module)
    return module


PLAIN = load_without_orjson()
BOTH = pytest.mark.parametrize("mine", [jsontext, PLAIN], ids=["orjson", "json"])


def strict(text: bytes) -> Any:
    """Parses what every JSON parser takes."""

    def refuse(token: str) -> Any:
        raise AssertionError(f"a bare {token}")

    return json.loads(text.decode(), parse_constant=refuse)


def test_the_two_are_two() -> None:
    assert jsontext.WRITES_ARRAYS
    assert not PLAIN.WRITES_ARRAYS


@BOTH
@given(value=json_values)
def test_round_trip(mine: Any, value: Any) -> None:
    text = mine.dumps(value)
    assert same(mine.loads(text), value)
    assert same(strict(text), value)


@given(value=json_values, indent=st.sampled_from([None, 1]), ascii_only=st.booleans())
def test_both_read_the_same(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    for given_text in (text, memoryview(text), bytearray(text)):
        assert same(jsontext.loads(given_text), value)
        assert same(PLAIN.loads(given_text), value)


@given(
    text=st.binary(max_size=40) | st.text(alphabet='[]{}",:0123456789.eE+-ntrufalsN \\dD', max_size=30).map(str.encode)
)
def test_garbage_is_refused_alike(text: bytes) -> None:
    def read(mine: Any) -> Any:
        try:
            return "read", repr(mine.loads(text))
        except ValueError:
            return "refused"

    with_it, without = read(jsontext), read(PLAIN)
    if with_it != "refused" and any(len(digits) > 15 for digits in text.decode().split()):
        return  # whole numbers beyond 64 bits may become floats
    assert with_it == without


class Colour(enum.Enum):
    RED = "r"


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass
class Point:
    x: int
    at: Any


UTC = datetime.UTC
SPECIAL = {
    "nan": (math.nan, None),
    "inf": ([math.inf, -math.inf], [None, None]),
    "numpy nan": (np.float64("nan"), None),
    "numpy": ([np.int8(-1), np.uint64(2**64 - 1), np.float64(0.1), np.bool_(True)], [-1, 2**64 - 1, 0.1, True]),
    "array": (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    "array with nan": (np.array([1.5, np.nan]), [1.5, None]),
    "strided array": (np.arange(6.0)[::2], [0.0, 2.0, 4.0]),
    "array of texts": (np.array(["a", "b"]), ["a", "b"]),
    "array of objects": (np.array(["a", None, 1], dtype=object), ["a", None, 1]),
    "array of moments": (np.array(["2020-01-01T00:00:00"], dtype="datetime64[ns]"), ["2020-01-01T00:00:00"]),
    "moment": (np.datetime64("2020-01-01T00:00:00.5", "ns"), "2020-01-01T00:00:00.500000"),
    "pandas": ([pd.NA, pd.NaT, pd.Timestamp("2020-01-02")], [None, None, "2020-01-02T00:00:00"]),
    "series": (pd.Series([1, 2]), [1, 2]),
    "date": (datetime.date(2020, 1, 2), "2020-01-02"),
    "datetime": (datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC), "2020-01-02T03:04:05+00:00"),
    "time": (datetime.time(3, 4), "03:04:00"),
    "timedelta": (datetime.timedelta(seconds=1.5), 1.5),
    "decimal": ([decimal.Decimal("0.1"), decimal.Decimal("NaN")], [0.1, None]),
    "uuid": (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    "bytes": ([b"ab", bytearray(b"\xff")], ["ab", "\ufffd"]),
    "set": ({1}, [1]),
    "tuple": ((1, (2,)), [1, [2]]),
    "enum": ([Colour.RED, Level.LOW], ["r", 1]),
    "dataclass": (Point(1, Colour.RED), {"x": 1, "at": "r"}),
    "keys": ({2: 1, None: 2, True: 3, 1.5: 4}, {"2": 1, "null": 2, "true": 3, "1.5": 4}),
    "numpy keys": ({np.int64(3): 1, np.str_("s"): 2}, {"3": 1, "s": 2}),
    "date keys": ({datetime.date(2020, 1, 2): 1}, {"2020-01-02": 1}),
    "large": ([2**64, -(2**70)], [2**64, -(2**70)]),
}


@BOTH
@pytest.mark.parametrize("name", SPECIAL)
def test_what_has_a_json_form(mine: Any, name: str) -> None:
    value, want = SPECIAL[name]
    assert same(strict(mine.dumps(value)), want)


@BOTH
def test_bare_tokens_come_in_and_never_go_out(mine: Any) -> None:
    value = mine.loads(b"[NaN, Infinity, -Infinity]")
    assert same(value, [math.nan, math.inf, -math.inf])
    assert mine.dumps(value) == b"[null,null,null]"


@BOTH
@pytest.mark.parametrize(
    "value", [1j, object(), len, {"a": [object()]}], ids=["complex", "object", "function", "nested"]
)
def test_what_has_none_is_named(mine: Any, value: Any) -> None:
    with pytest.raises(TypeError, match="has no JSON form"):
        mine.dumps(value)


@BOTH
def test_endless_values_are_refused(mine: Any) -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(TypeError):
        mine.dumps(endless)


@BOTH
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"1" + b"0" * 5000, "too many digits"),
        (b'"\\ud800"', "half of a surrogate pair"),
        (b'{"\\uDC00 ":1}', "half of a surrogate pair"),
        (b'"\xff"', "can't decode"),
        (b"", "Expecting value"),
        (b"[1] 2", "Extra data"),
        (b"\xfe\xff\x00[", "can't decode"),
    ],
    ids=["list", "closed list", "object", "digits", "surrogate", "surrogate key", "utf-8", "empty", "extra", "utf-16"],
)
def test_refusals_are_quick_and_say_why(mine: Any, text: bytes, words: str) -> None:
    begin = time.perf_counter()
    with pytest.raises(ValueError, match=words) as caught:
        mine.loads(text)
    assert time.perf_counter() - begin < 1
    assert "sys." not in str(caught.value)


@BOTH
def test_whole_surrogate_pairs_and_byte_order_marks_are_fine(mine: Any) -> None:
    assert mine.loads(b'"\\ud83d\\ude00"') == "\U0001f600"
    assert mine.loads(b"\xef\xbb\xbf[1]") == [1]


@BOTH
def test_an_integer_keeps_64_bits(mine: Any) -> None:
    text = b"[9007199254740993,18446744073709551615,-9223372036854775808]"
    assert mine.dumps(mine.loads(text)) == text


@BOTH
@pytest.mark.parametrize(
    ("value", "said"),
    [(1, "1"), (None, "null"), ("a", '"a"'), ([1], "a list"), ({}, "an object"), (math.nan, "null")],
    ids=repr,
)
def test_shown(mine: Any, value: Any, said: str) -> None:
    assert mine.shown(value) == said


@BOTH
def test_shown_is_short(mine: Any) -> None:
    assert len(mine.shown("x" * 1_000_000)) < 100
    assert len(mine.shown(10**4000)) < 100

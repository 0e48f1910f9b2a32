"""Cutting CSV files at record ends"""

from __future__ import annotations

import csv
import io
import warnings

import pandas
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modelport.cli import csvcut
from modelport.errors import ConfigError

CELLS = st.text(st.sampled_from('ab1 ,"\n\r\té'), max_size=8)
TABLES = st.integers(2, 4).flatmap(lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=12))


def written(rows: list[list[str]], end: str, quoting: int) -> bytes:
    text = io.StringIO()
    if any("\r" in cell for row in rows for cell in row):  # which the writer leaves bare beside an end of "\n"
        quoting = csv.QUOTE_ALL
    csv.writer(text, lineterminator=end, quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    return text.getvalue().encode()


def read(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


def cut(data: bytes, size: int) -> list[csvcut.Chunk]:
    return list(csvcut.chunks(io.BytesIO(data).read, size))


@settings(max_examples=300, deadline=None)
@given(TABLES, st.sampled_from(["\n", "\r\n"]), st.sampled_from([0, 1, 2]), st.integers(1, 60), st.booleans())
def test_chunks_together_are_the_file(
    rows: list[list[str]], end: str, quoting: int, size: int, has_last_end: bool
) -> None:
    data = written([["x,1", 'y"', "z\n", "w"][: len(rows[0]) if rows else 2], *rows], end, quoting)
    if not has_last_end:
        data = data.removesuffix(end.encode())
    head, *expected = read(data)
    found = cut(data, size)
    assert [row for chunk in found for row in read(chunk.data)[1:]] == expected
    assert all(read(chunk.data)[0] == head for chunk in found)
    assert [chunk.rows for chunk in found] == [len(read(chunk.data)) - 1 for chunk in found]
    assert [chunk.first for chunk in found] == [1 + sum(c.rows for c in found[:at]) for at in range(len(found))]
    assert [read(record)[0] for record in csvcut.split(data)] == [head, *expected]


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.sampled_from([*'a1," \t\n', "\r\n"]), max_size=40).map("".join), st.integers(1, 30))
@example('5" pipe,1\n"6""",2\n', 4)
@example('a"b\n,c"\n', 3)
@example('"a"b"\nc,d\n', 3)
@example("1,2\r3,4\r\n  \n\t\r\n5,6", 3)
def test_any_text_has_the_rows_that_pandas_reads_in_it(body: str, size: int) -> None:
    """Also where the text is not as any program would write it; what pandas refuses does not matter."""
    data = b"x,y,z,w,v,u\n" + body.encode()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            expected = pandas.read_csv(io.BytesIO(data), index_col=False, dtype=str, keep_default_na=False)
    except (ValueError, Warning):
        return
    found = cut(data, size)
    assert sum(chunk.rows for chunk in found) == len(expected)
    assert csvcut.count(data) == len(expected) + 1 == len(csvcut.split(data))
    parts = [
        pandas.read_csv(io.BytesIO(chunk.data), index_col=False, dtype=str, keep_default_na=False) for chunk in found
    ]
    assert [len(part) for part in parts] == [chunk.rows for chunk in found]
    assert pandas.concat(parts).values.tolist() == expected.values.tolist()


def test_chunks_are_about_as_large_as_asked() -> None:
    row = b'"a ""quoted"" cell, with\na line",1.5\n'
    found = cut(b"x,y\n" + row * 200_000, 1 << 20)
    sizes = [len(chunk.data) for chunk in found]
    assert sum(chunk.rows for chunk in found) == 200_000
    assert all(1 << 20 <= size < 2 << 20 for size in sizes[:-1])


def test_a_record_longer_than_a_chunk_stays_whole() -> None:
    long = b'"' + b"word,\n" * 1000 + b'",2\n'
    found = cut(b"x,y\n1,2\n" + long + b"3,4\n", 64)
    assert sum(long in chunk.data for chunk in found) == 1
    assert sum(chunk.rows for chunk in found) == 3


def test_a_quote_that_is_never_closed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csvcut, "MAX_RECORD", 10_000)
    with pytest.raises(ConfigError, match="a record is longer"):
        cut(b'x,y\n1,2\n"3,4\n' + b"5,6\n" * 10_000, 1000)


@pytest.mark.parametrize("data", [b"", b"\n", b"\r\n \r\n"])
def test_nothing_is_told(data: bytes) -> None:
    with pytest.raises(ConfigError, match="the input is empty"):
        cut(data, 10)


def test_a_header_alone_is_one_chunk_of_no_rows() -> None:
    assert cut(b"\r\nx,y\r\n\r\n", 4) == [csvcut.Chunk(b"x,y\r\n\r\n", 1, 0)]
    assert cut(b"x,y", 100) == [csvcut.Chunk(b"x,y", 1, 0)]


def test_blank_lines_count_where_they_are_asked_for() -> None:
    assert csvcut.count(b"1\n\n2\n") == 2
    assert csvcut.count(b"1\n\n2", blank_lines=True) == 3


def test_the_first_record_parts_from_the_rest() -> None:
    assert csvcut.parted(b'"a\nb",c\r\n1,2\r\n') == (b'"a\nb",c\r\n', b"1,2\r\n")

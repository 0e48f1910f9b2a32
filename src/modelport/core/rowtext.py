"""Columns as text, row by row: cells of JSON and CSV, woven together without an object for any row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Callable

from modelport.core import jsontext
from modelport.core.payload import Column, buffer_format, values

_QUOTED = re.compile(r'[",\r\n]')


def as_csv(names: Sequence[str], columns: Sequence[Column]) -> bytes:
    """CSV with a header; what is missing is empty."""
    head = b",".join(quoted(name) for name in names)
    if not columns or not len(columns[0]):
        return head + b"\n"
    lone = len(names) == 1  # an empty line would be no row
    cells = [csv_cells(column, b'""' if lone else b"") for column in columns]
    return b"%b%b\n" % (head, woven([b"\n", *(b"," for _ in names[1:])], cells))


def woven(before: Sequence[bytes], columns: Sequence[Sequence[bytes]]) -> bytes:
    """Cell by cell, row by row, each behind what stands before its column."""
    rows, width = len(columns[0]), len(columns)
    pieces = [b""] * (2 * width * rows)
    for at, (separator, cells) in enumerate(zip(before, columns)):
        pieces[2 * at :: 2 * width] = [separator] * rows
        pieces[2 * at + 1 :: 2 * width] = cells
    return b"".join(pieces)


def json_cells(column: Column) -> list[bytes]:
    """Each value as JSON. Raises ``TypeError`` for what has no such form."""
    if len(column) and is_numeric(column):
        return jsontext.dumps(writable(column))[1:-1].split(b",")
    return _each(values(column), jsontext.dumps)


def csv_cells(column: Column, empty: bytes = b"") -> list[bytes]:
    """Each value as a field of CSV, ``empty`` for what is missing."""
    if is_numeric(column):
        cells = json_cells(column)
        return [empty if cell == b"null" else cell for cell in cells] if b"null" in cells else cells
    return _each(values(column), lambda value: quoted(value) or empty)


def _each(cells: list[Any], written: Callable[[Any], bytes]) -> list[bytes]:
    """Each cell as text; of the few words that labels are, each is written once."""
    if set(map(type, cells)) <= {str, type(None)}:
        words = set(cells)
        if 2 * len(words) < len(cells):
            known = {word: written(word) for word in words}
            return [known[cell] for cell in cells]
    return [written(cell) for cell in cells]


def quoted(value: Any) -> bytes:
    """A cell of CSV; text in quotes where it needs them, the same for what only JSON can say."""
    if value is None or (isinstance(value, float) and value != value):  # noqa: PLR0124 - nan is not equal to itself
        return b""
    text = value if isinstance(value, str) else str(value) if isinstance(value, (bool, int, float)) else None
    if text is None:
        text = jsontext.dumps(value).decode().strip('"')
    if _QUOTED.search(text):
        text = '"{}"'.format(text.replace('"', '""'))
    return text.encode("utf-8", "replace")


def is_numeric(column: Column) -> bool:
    """Whether each value is a number, so that in JSON text commas only stand between values."""
    if isinstance(column, list):
        return set(map(type, column)) <= {int, float}
    return buffer_format(column) not in (None, "BOOL")


def writable(column: Column) -> Any:
    """The column as JSON is quickest made of it."""
    return column if jsontext.WRITES_ARRAYS and type(column).__module__ == "numpy" else values(column)

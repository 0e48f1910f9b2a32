"""CSV as ``pandas.read_csv`` reads it, so that a model gets the frames it was trained on.

Among them a second column ``a`` called ``a.1``, a nameless one ``Unnamed: 0``, and missing values where a row ends
early. What differs: NUL bytes are refused.
"""

from __future__ import annotations

import csv
import io
import math
import re
import warnings
from array import array
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from modelport.core import claims
from modelport.core.charset import not_utf8
from modelport.core.payload import Column, Table
from modelport.errors import BodyTooLarge, InvalidInput

A_BYTE = 2
"""Cells a byte, at most: each has a delimiter or a line end of its own, but for those of rows that end early."""
MAX_TWICE = 5000
"""Columns with the name of another: pandas takes time in their square."""

_HEAD = 1 << 21
"""Bytes in which the first two lines are looked for."""
_QUOTED = re.compile(rb'"[^"]*"')


def _two_lines(delimiter: bytes) -> re.Pattern[bytes]:
    """Header and first row, where no quote is odd and no line end quoted."""
    field = rb'(?:"[^"\r\n]*"|[^"\r\n%b]*)' % delimiter
    line = rb"(%b(?:%b%b)*)" % (field, delimiter, field)
    return re.compile(rb"%b(?:\r\n|\r|\n)%b(?=[\r\n])" % (line, line))


_TWO_LINES = {delimiter: _two_lines(delimiter.encode()) for delimiter in ",\t"}


class _Source:
    """Bytes as pandas reads them from a file, handed over as they are: piece by piece, never decoded twice."""

    mode = "r"  # or pandas would wrap it in a decoder, only to encode again what comes out

    def __init__(self, data: Any) -> None:
        self._data = data
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        begin = self._at
        self._at = len(self._data) if size < 0 else min(begin + size, len(self._data))
        return bytes(self._data[begin : self._at])

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.read(1 << 16), b"")


def read(data: Any, delimiter: str) -> Any:
    """The DataFrame of UTF-8 text. Raises ``InvalidInput``, and ``BodyTooLarge`` for too many columns or cells."""
    _check_bytes(data)
    limit = claims.most(len(data), A_BYTE)
    if len(data) ** 2 < limit:  # whatever is in there
        return _read(data, delimiter)
    width = _width(data, delimiter)
    claims.check(1, width, limit)
    rows = limit // width
    frame = _read(data, delimiter, rows + 1)
    if len(frame) > rows:
        raise claims.too_many(width, limit)
    return frame


def _read(data: Any, delimiter: str, rows: int | None = None, header: int | None = 0) -> Any:
    """At most the first ``rows``. pandas fills up each row as it reads it, so it must not go on and see."""
    import pandas

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)
            frame = pandas.read_csv(
                _Source(data),
                sep=delimiter,
                engine="c",
                index_col=False,
                low_memory=False,
                nrows=rows,
                header=header,
            )
    except pandas.errors.ParserWarning:  # otherwise it would take the first column for row labels
        raise _ragged(data, delimiter) from None
    except UnicodeDecodeError:
        raise not_utf8(data) from None
    except pandas.errors.EmptyDataError:
        raise InvalidInput("the body has no header line") from None
    except (ValueError, OverflowError, MemoryError) as fault:
        raise _unreadable(fault) from None
    return frame


def _check_bytes(data: Any) -> None:
    import numpy

    raw = numpy.frombuffer(data, numpy.uint8)
    if not raw.min():
        at = int(raw.argmin())
        line = bytes(data[:at]).count(b"\n") + 1
        raise InvalidInput(
            f"not readable as CSV: a NUL byte at byte {at}, in line {line}",
            hint="UTF-16 text needs its charset in Content-Type, other formats their media type",
        )


def _width(data: Any, delimiter: str) -> int:
    """The fields of the header or of the first row, whichever has more: so many pandas makes of every row."""
    plain = _TWO_LINES[delimiter].match(data, 0, _HEAD)
    if plain is not None and plain[1].strip() and plain[2].strip():
        width = 1 + max(_QUOTED.sub(b"", line).count(delimiter.encode()) for line in plain.groups())
        if width > MAX_TWICE:
            _check_names(next(csv.reader([str(plain[1], "utf-8", "replace")], delimiter=delimiter)))
        return width
    _check_names(_read(data, delimiter, 1, header=None).iloc[0].tolist())  # here only pandas knows
    return len(_read(data, delimiter, 1).columns)


def _check_names(names: list[Any]) -> None:
    claims.check(1, len(names), claims.FEW)
    twice = len(names) - len(set(names))
    if twice > MAX_TWICE:
        raise BodyTooLarge(f"{twice} columns have the name of another; at most {MAX_TWICE} are taken")


def _first_ragged(data: Any, delimiter: str) -> tuple[int, int, int] | None:
    """Line, fields and fields expected of the first row that is longer than the header."""
    lines = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", "replace", newline="")
    reader = csv.reader(lines, delimiter=delimiter)
    width = 0
    begin = 1
    try:
        for row in reader:
            line, begin = begin, reader.line_num + 1
            if len(row) < 2 and not "".join(row).strip():
                continue  # a blank line
            if width and len(row) > width:
                return line, len(row), width
            width = width or len(row)
    except csv.Error:
        pass  # pandas read it, so it is no fault
    return None


def _ragged(data: Any, delimiter: str) -> InvalidInput:
    found = _first_ragged(data, delimiter)
    if found is None:
        return InvalidInput("there are rows longer than the header")
    line, have, want = found
    return InvalidInput(f"line {line} has {have} fields, the header {want}")


# --- CSV without pandas ----------------------------------------------------------------------------------

_MISSING = frozenset(
    [
        "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
        "NULL", "NaN", "None", "n/a", "nan", "null",
    ]
)  # fmt: skip
"""What pandas takes for a missing value."""
_INTEGER = re.compile(r"\s*[+-]?[0-9]+\s*", re.ASCII)
_NUMBER = re.compile(
    r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?\s*|\s*[+-]?inf(inity)?\s*", re.ASCII | re.IGNORECASE
)
_BOOLEANS = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}


def read_plainly(data: Any, delimiter: str) -> Table:
    """The table without pandas; but for rare values the same. Raises as ``read`` does."""
    try:
        text = str(data, "utf-8-sig")
    except UnicodeDecodeError:
        raise not_utf8(data) from None
    if "\0" in text:
        raise InvalidInput("not readable as CSV: it has NUL bytes")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        rows = [row for row in reader if len(row) > 1 or "".join(row).strip()]
    except csv.Error as fault:
        raise _unreadable(fault) from None
    if not rows:
        raise InvalidInput("the body has no header line")
    header, *rows = rows
    if any(len(row) > len(header) for row in rows):
        raise _ragged(data, delimiter)
    claims.check(len(rows), len(header), claims.most(len(data), A_BYTE))
    columns = list(zip_longest(*rows, [""] * len(header), fillvalue="")) if rows else [()] * len(header)
    return Table(_distinct(header), [_typed(list(column[: len(rows)])) for column in columns])


def _distinct(header: list[str]) -> list[str]:
    """Names as pandas makes them distinct: a new one is none that another column was given."""
    names: list[str] = []
    given, taken = set(header), set()
    for at, first in enumerate(header):
        name = first or f"Unnamed: {at}"
        count = 0
        while name in taken or (count and name in given):
            count += 1
            name = f"{first}.{count}"
        taken.add(name)
        names.append(name)
    return names


def _typed(cells: list[str]) -> Column:
    """The column as integers, numbers, truth values or text: the first that all of its cells are."""
    given = [cell for cell in cells if cell not in _MISSING]
    is_whole = len(given) == len(cells)
    if cells and all(map(_NUMBER.fullmatch, given)):
        if is_whole and all(map(_INTEGER.fullmatch, given)):
            numbers = list(map(int, given))
            return array("q", numbers) if all(-(2**63) <= number < 2**63 for number in numbers) else numbers
        return array("d", [math.nan if cell in _MISSING else float(cell) for cell in cells])
    if is_whole and all(cell in _BOOLEANS for cell in given):
        return [_BOOLEANS[cell] for cell in cells]
    return [None if cell in _MISSING else cell for cell in cells]


def _unreadable(fault: BaseException) -> InvalidInput:
    words = str(fault).strip().partition("\n")[0].rpartition("C error: ")[2]
    return InvalidInput(f"not readable as CSV: {words[:200] or type(fault).__name__}")

"""Data to try a model with that has no saved queries of its own: a file beside it, or what was given."""

from __future__ import annotations

import csv
import io
import mimetypes
import re
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from modelport.cli import csvcut
from modelport.core import jsontext
from modelport.core.model import ModelSpec
from modelport.errors import ConfigError, InvalidBody

CSV, JSON = "text/csv; charset=utf-8", "application/json"
MAX_ROWS = 100
MAX_BYTES = 1 << 20
"""How much of a file is looked at."""
GIVEN = "\0data"
"""The key under which a query keeps what was given, one character a byte."""

_INTEGER = re.compile(r"0|-?[1-9]\d{0,17}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


class Number(float):
    """A number that is written as it was found: "01234" may be somebody's code."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


class Sample(NamedTuple):
    """Data and its media type."""

    data: bytes
    media_type: str

    def rows(self) -> list[dict[str, Any]]:
        """The first rows in it; none where it holds something else."""
        if self.media_type == JSON:
            value = jsontext.loads(self.data)
            records = value if isinstance(value, list) else []
            return [record for record in records if isinstance(record, dict)][:MAX_ROWS]
        return read_rows(self.data) if self.media_type == CSV else []


def sample_of(spec: ModelSpec, is_rows: bool) -> Sample | None:
    """What was given to try, else the file beside the model that is named ``data``."""
    for query in spec.queries:
        if GIVEN in query:
            return told_apart(query[GIVEN].encode("latin-1"), is_rows)
    for file in sorted(Path(spec.root).glob("data.*")):
        kind = CSV if file.suffix.lower() == ".csv" else mimetypes.guess_type(file.name)[0]
        if file.is_file() and kind is not None and not kind.startswith(("text/x-", "application/x-")):
            with file.open("rb") as opened:
                return Sample(opened.read(MAX_BYTES if kind == CSV and is_rows else -1), kind)
    return None


def given(data: bytes, is_rows: bool) -> dict[str, Any]:
    """A query that keeps ``data``. Raises ``ConfigError`` for too much of it."""
    if len(data) > MAX_BYTES and not is_rows:
        raise ConfigError(f"--data is over {MAX_BYTES >> 20} MiB", hint="something smaller, to try the model with")
    return {GIVEN: data[:MAX_BYTES].decode("latin-1")}


def told_apart(data: bytes, is_rows: bool) -> Sample:
    """Data of which nothing is said: JSON, else CSV where rows are wanted, else text or bytes."""
    if data.lstrip()[:1] in (b"{", b"["):
        try:
            jsontext.loads(data)
        except (ValueError, InvalidBody):
            pass
        else:
            return Sample(data, JSON)
    if is_rows:
        return Sample(data, CSV)
    try:
        data.decode()
    except UnicodeDecodeError:
        return Sample(data, "application/octet-stream")
    return Sample(data, "text/plain; charset=utf-8")


def read_rows(text: bytes) -> list[dict[str, Any]]:
    """The first rows of CSV: numbers as such, None for an empty cell. ``write_rows`` writes every cell as it was."""
    records = csvcut.split(text[:MAX_BYTES])
    if len(text) >= MAX_BYTES:
        del records[-1:]
    shown = b"".join(records[: MAX_ROWS + 1])
    try:
        told = shown.decode("utf-8-sig")
    except UnicodeDecodeError:
        told = shown.decode("latin-1")
    names, *rows = csv.reader(io.StringIO(told, newline="")) if told else [[]]
    columns = map(_typed, zip_longest(*filter(None, rows)))
    return [dict(zip(names, cells, strict=False)) for cells in zip(*columns, strict=True)]


def write_rows(names: list[str], rows: Iterable[dict[str, Any]]) -> bytes:
    """CSV with these columns."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([row.get(name) for name in names] for row in rows)
    return text.getvalue().encode()


def write_records(rows: Iterable[dict[str, Any]]) -> bytes:
    """JSON, in which text of digits stays text."""
    plain = [{k: float(v) if isinstance(v, Number) else v for k, v in row.items()} for row in rows]
    return jsontext.dumps(plain)


def is_number(text: str) -> bool:
    """Whether a cell of CSV with this text is read as a number."""
    return _NUMBER.fullmatch(text) is not None


def _typed(cells: Iterable[str | None]) -> list[Any]:
    """A column's values: where one cell is text, the others are too."""
    given = [cell or None for cell in cells]
    if all(cell is None or is_number(cell) for cell in given):
        return [None if cell is None else int(cell) if _INTEGER.fullmatch(cell) else Number(cell) for cell in given]
    return list(given)

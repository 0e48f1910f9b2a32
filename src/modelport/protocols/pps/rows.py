"""The rows of a request: CSV or JSON records, as they are or as the file of a form."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

from modelport.core import jsontext, mediatype, multipart, tabular
from modelport.core.charset import as_utf8, not_utf8
from modelport.core.payload import Blob, Column, Payload, Table, values
from modelport.errors import InvalidBody, InvalidInput, UnsupportedType
from modelport.protocols.pps.errors import Unprocessable

CSV, JSON, FORM = "text/csv", "application/json", "multipart/form-data"
PLAIN = ("text/plain", "textplain", CSV)
"""Media types of CSV; one of them is how the platform's own page spells another."""
SUFFIXES = (".csv", ".txt")
MAX_NAMES = 20
MAX_FIELD = (1 << 31) - 1
"""Characters in a field: as many as there are."""
HEAD = 1 << 20
"""Bytes in which the header line is looked for."""


class Rows(NamedTuple):
    """CSV text as UTF-8 bytes, or the table of JSON records."""

    text: Any
    table: Table | None

    def names(self) -> Sequence[str]:
        """The columns. Raises ``InvalidBody`` where there is no header."""
        if self.table is not None:
            return list(map(str, self.table.names))
        line = next(_records(str(self.text[:HEAD], "utf-8-sig", "replace")), None)
        if line is None:
            raise InvalidBody("the body has no header line")
        return line

    def payload(self, limit: int, is_whole: bool) -> Payload:
        """What the model gets; with ``is_whole`` as a table in any case. Raises ``InvalidBody``."""
        if self.table is not None:
            return self.table
        blob = Blob(self.text, CSV)
        if not is_whole:
            return blob
        try:
            return tabular.read_table(blob, limit)
        except InvalidInput as fault:
            raise InvalidBody(fault.message, fault.hint) from None

    def cells(self, wanted: Sequence[str], rows: int) -> list[Column]:
        """Columns as they were sent: of CSV the text of each field, of JSON the values. Raises ``InvalidBody``."""
        if self.table is not None:
            names = list(map(str, self.table.names))
            return [values(self.table.columns[names.index(name)]) for name in wanted]
        try:
            records = _records(str(self.text, "utf-8-sig"))
        except UnicodeDecodeError:
            raise InvalidBody(not_utf8(self.text).message) from None
        names = next(records)
        places = [names.index(name) for name in wanted]
        found = [[record[at] if at < len(record) else "" for at in places] for record in records]
        if len(found) != rows:
            raise InvalidBody(f"{len(found)} rows can be told apart, and the model answered {rows}")
        return [list(column) for column in zip(*found)] if found else [[] for _ in places]


def _records(text: str) -> Iterator[list[str]]:
    """The lines of CSV, without blank ones."""
    csv.field_size_limit(MAX_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        yield from (record for record in reader if len(record) > 1 or "".join(record).strip())
    except csv.Error as fault:
        raise InvalidBody(f"not readable as CSV: {fault}") from None


def read(body: Any, content_type: str) -> Rows:
    """The rows of a body. Raises ``UnsupportedType``, ``InvalidBody``."""
    media_type, charset = mediatype.parsed(content_type)
    if media_type == FORM:
        body, media_type, charset = _file_of_form(body, content_type)
    if media_type not in (*PLAIN, JSON):
        told = media_type[:80] or "a body without Content-Type"
        raise UnsupportedType(
            f"{told} is not taken", hint="text/csv, text/plain, application/json, multipart/form-data"
        )
    if not len(body):
        raise InvalidBody("the body is empty")
    try:
        text = as_utf8(body, charset)
    except InvalidInput as fault:
        raise InvalidBody(fault.message, fault.hint) from None
    return Rows(text, None) if media_type in PLAIN else Rows(None, _table(text))


def _file_of_form(body: Any, header: str) -> tuple[Any, str, str | None]:
    """The first file, and what it holds: CSV, unless it is called JSON."""
    parts = multipart.parts(body, header)
    part = next((part for part in parts if part.filename), None)
    if part is None:
        names = ", ".join(repr(part.name[:80]) for part in parts[:MAX_NAMES]) or "nothing"
        raise InvalidBody(f"the form must hold a .csv or .txt file; it has {names}")
    if not str(part.filename).lower().endswith(SUFFIXES):
        raise UnsupportedType(f"the file {str(part.filename)[:80]!r} is neither .csv nor .txt")
    return part.data, CSV, mediatype.parsed(part.content_type or "")[1]


def _table(text: Any) -> Table:
    """JSON records: a list of flat objects."""
    try:
        value = jsontext.loads(text)
    except ValueError as fault:
        raise InvalidBody(f"not JSON: {fault}") from None
    if not isinstance(value, list) or not set(map(type, value)) <= {dict}:
        raise InvalidBody("JSON must be a list of objects, one a row", hint='[{"a": 1, "b": 2}]')
    if {dict, list} & set(map(type, chain.from_iterable(record.values() for record in value))):
        at = next(at for at, record in enumerate(value) if {dict, list} & set(map(type, record.values())))
        raise InvalidBody(f"the objects must be flat, and that of row {at} is not")
    return Table.from_records(value)


def check(names: Sequence[str], passthrough: Sequence[str], needed: Sequence[str]) -> None:
    """Raises ``InvalidInput`` for columns that cannot be passed through, ``Unprocessable`` for missing ones."""
    have = set(names)
    absent = [name for name in passthrough if name not in have]
    if absent:
        raise InvalidInput(f"passthroughColumns that the data does not have: {_listed(absent)}")
    missing = [name for name in needed if name not in have]
    if missing:
        raise Unprocessable(f"the data lacks columns that the model needs: {_listed(missing)}")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(name[:200] for name in names[:MAX_NAMES]) + more

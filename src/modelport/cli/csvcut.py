"""A CSV file of any size in chunks, cut only where a record ends.

Quotes count where readers of CSV count them: at the beginning of a field. Each search below runs over whole blocks in
C; nothing here looks at single characters or records.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from modelport.errors import ConfigError

CHUNK = 8 << 20
BLOCK = 1 << 20
MAX_RECORD = 256 << 20
"""Bytes of one record from which a quote that is never closed is the likelier reading."""

_QUOTED = rb'"(?<![^,\r\n]")[^"]*+(?:""[^"]*+)*+(?:"|\Z)'
_SPLIT = re.compile(rb"(" + _QUOTED + rb")")
_RECORD = re.compile(rb"(?:" + _QUOTED + rb'|[^"\r\n]++|")*+(?:\r\n|\r|\n|\Z)')
_BLANK = re.compile(rb"(?:\A|(?<=\n))[ \t]*\n")
_BLANK_START = re.compile(rb"(?:[ \t]*(?:\r\n|\r|\n))*")
_SUSPECT = re.compile(rb"\n[\n \t]")


class Chunk(NamedTuple):
    """The file's header and ``rows`` whole records, of which the first is row ``first`` of the file, counted from 1."""

    data: bytes
    first: int
    rows: int


def chunks(read: Callable[[int], bytes], size: int = CHUNK) -> Iterator[Chunk]:
    """The file that ``read`` gives piece by piece, in chunks of about ``size`` bytes.

    Blank lines are no rows; a header alone is a chunk of 0 rows. Raises ``ConfigError`` for a file with nothing in it,
    and where a quote is never closed.
    """
    header = b""
    parts: list[bytes] = []
    first, rows, length = 1, 0, 0
    for text, is_last in _whole_records(read, min(size, BLOCK)):
        if not header:
            start = _end(_BLANK_START, text)
            end = _end(_RECORD, text, start)
            header, text = text[start:end], text[end:]  # noqa: PLW2901
        parts.append(text)
        rows += count(text)
        length += len(text)
        if (rows and (length >= size or is_last)) or (is_last and header and first == 1):
            yield Chunk(b"".join([header, *parts]), first, rows)
            first, rows, length, parts = first + rows, 0, 0, []
    if not header:
        raise ConfigError("the input is empty", hint="a CSV file begins with the names of its columns")


def _whole_records(read: Callable[[int], bytes], block: int) -> Iterator[tuple[bytes, bool]]:
    """The text in pieces that end with a record; the last with True."""
    rest = b""
    while True:
        more = read(max(block, len(rest)))
        if not more:
            yield rest, True
            return
        text = rest + more
        cut = last_end(text)
        rest = text[cut:]
        if len(rest) > MAX_RECORD:
            raise ConfigError(f"a record is longer than {MAX_RECORD >> 20} MiB", hint="is a quote never closed?")
        if cut:
            yield text[:cut], False


def last_end(text: bytes) -> int:
    """Where the last record ends that surely does; 0 when none does. ``text`` begins with a record."""
    pieces = [text] if b'"' not in text else _SPLIT.split(text)
    end = len(text)
    for number in range(len(pieces) - 1, -1, -1):
        piece = pieces[number]
        if number % 2 == 0:  # a carriage return at the very end may be half of an end
            at = max(piece.rfind(b"\n"), piece.rfind(b"\r", 0, len(piece) - (end == len(text))))
            if at >= 0:
                return end - len(piece) + at + 1
        end -= len(piece)
    return 0


def count(text: bytes, blank_lines: bool = False) -> int:
    """How many records there are in ``text``, which begins with one; with ``blank_lines``, these too."""
    if b'"' in text:
        text = b"x".join(_SPLIT.split(text)[::2])
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    found = text.count(b"\n")
    if text and not text.endswith(b"\n"):
        found += bool(text[text.rfind(b"\n") + 1 :].strip(b" \t")) or blank_lines
    if not blank_lines and (text[:1] in b" \t\n" or _SUSPECT.search(text)):
        found -= len(_BLANK.findall(text))
    return found


def split(text: bytes) -> list[bytes]:
    """Each record with its end; blank lines left out."""
    return [record for record in _RECORD.findall(text) if record.strip(b" \t\r\n")]


def parted(text: bytes) -> tuple[bytes, bytes]:
    """The first record, with its end, and the rest."""
    end = _end(_RECORD, text)
    return text[:end], text[end:]


def _end(pattern: re.Pattern[bytes], text: bytes, start: int = 0) -> int:
    """Where the match at ``start`` ends; both patterns match anything."""
    found = pattern.match(text, start)
    return found.end() if found else start

"""The data that is scored: a file or standard input, unpacked on the way, and told apart by how it begins."""

from __future__ import annotations

import codecs
import gzip
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Self

from modelport.core import arrow, mediatype, tabular
from modelport.errors import ConfigError

HEAD = 4096
STDIN = 0
CSV = "text/csv"

_MAGIC = {
    arrow.FILE_MAGIC: "application/vnd.apache.arrow.file",
    arrow.STREAM_MAGIC: "application/vnd.apache.arrow.stream",
    tabular.MATRIX_MAGIC: "text/mtx",
}
_MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF8: "utf-8-sig"}
_MARKS |= {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_SUFFIXES = {".json": "application/json", ".mtx": "text/mtx", ".tsv": "text/tab-separated-values"}
_ESCAPING = ("utf-7", "hz", "iso2022")
"""Charsets in which the bytes of a quote or of a line's end may mean something else."""


class DataFile:
    """``read`` gives what is in it, unpacked; ``taken`` counts its bytes as they are stored, of ``size`` where known.

    ``media_type`` is what was ``said`` of it, else what its beginning and its name tell; ``can_be_cut`` whether it is
    CSV in which ends of lines can be seen. Raises ``ConfigError`` where it cannot be read.
    """

    def __init__(self, path: str, content_type: str | None = None) -> None:
        self.name = "standard input" if path == "-" else path
        self.said = content_type
        self.taken = 0
        self._path = path
        try:
            self._file = open(STDIN if path == "-" else path, "rb", buffering=0, closefd=path != "-")  # noqa: SIM115
            status = os.fstat(self._file.fileno())
            self._head = filled(self._file.read, HEAD)
        except OSError as fault:
            raise ConfigError(f"cannot read {self.name}: {fault.strerror}") from None
        self.size = status.st_size if path != "-" and status.st_size else None
        self._packed = gzip.GzipFile(fileobj=_Stored(self)) if self._head.startswith(b"\x1f\x8b") else None  # type: ignore[call-overload]
        self._beginning = b""
        self._beginning = filled(self.read, HEAD)
        self._tell_apart()

    def _tell_apart(self) -> None:
        beginning = self._beginning
        mark = next((mark for mark in _MARKS if beginning.startswith(mark)), b"")
        magic = next((kind for magic, kind in _MAGIC.items() if beginning.startswith(magic)), None)
        suffix = Path(self._path.removesuffix(".gz")).suffix.lower()
        media_type, charset = mediatype.parsed(self.said or "")
        self.media_type = media_type or magic or _SUFFIXES.get(suffix, CSV)
        self.content_type = self.media_type + "".join((self.said or "").partition(";")[1:])
        if charset is None and magic is None and mark:
            charset = _MARKS[mark]
            self.content_type += f"; charset={charset}"
        is_text = self.media_type in (CSV, "text/plain", "application/csv")
        self.can_be_cut = is_text and magic is None and _shows_ends(charset) and b"\0" not in beginning
        if self.can_be_cut:
            self._beginning = beginning.removeprefix(codecs.BOM_UTF8)

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes; none at the end. Raises ``ConfigError`` for what is damaged."""
        if self._beginning:
            start, self._beginning = self._beginning, b""
            return start
        try:
            return self._packed.read(size) if self._packed is not None else self.read_stored(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as fault:
            raise ConfigError(f"{self.name} is damaged: {fault}", hint="unpack it with gunzip to see how far") from None
        except OSError as fault:
            raise ConfigError(f"cannot read {self.name}: {fault.strerror}") from None

    def read_stored(self, size: int) -> bytes:
        """As ``read``, but as it is stored."""
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
        else:
            data = self._file.read(size) or b""
        self.taken += len(data)
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._path != "-":
            self._file.close()


class _Stored:
    """The stored bytes as ``gzip`` reads them."""

    def __init__(self, file: DataFile) -> None:
        self.read = file.read_stored


def filled(read: Callable[[int], bytes | None], size: int) -> bytes:
    """As many bytes, unless the end comes first: a pipe gives what happens to be there."""
    data = b""
    while len(data) < size and (more := read(size - len(data))):
        data += more
    return data


def _shows_ends(charset: str | None) -> bool:
    """Whether quotes, commas and ends of lines are the bytes that they are in ASCII."""
    if charset is None:
        return True
    try:
        name = codecs.lookup(charset).name
    except LookupError:
        raise ConfigError(f"charset {charset!r} is not known") from None
    return name == "utf-8-sig" or ('",\r\n'.encode(name) == b'",\r\n' and not name.startswith(_ESCAPING))

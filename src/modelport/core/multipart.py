"""Form bodies of several parts (multipart/form-data). Parts are views of the body, never copies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from modelport.errors import InvalidBody

MAX_PARTS = 1000
MAX_HEAD = 16 << 10
"""Bytes that the headers of one part may have."""
MAX_BOUNDARY = 200
"""RFC 2046 allows 70."""
MAX_FALSE = 1000
"""Lines that may begin with the boundary and go on as text; a client chooses one that no line begins with."""

_WINDOW = 1 << 18
_KEY = re.compile(r"\s*;\s*(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*)?")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(?=;|$)', re.DOTALL)
_RAW = re.compile(r'"([^"]*)"\s*(?=;|$)|([^;"]*)(?=;|$)')
"""A backslash before a quote escapes it, unless the value would not end then: some clients send Windows paths."""
_ESCAPED = re.compile(r'\\(["\\])')


class Part(NamedTuple):
    """One field of a form; a file has a ``filename``. ``data`` is a view of the body."""

    name: str
    filename: str | None
    content_type: str | None
    data: memoryview


def parts(body: Any, content_type: str) -> list[Part]:
    """The fields in their order. Raises ``InvalidBody`` saying what is wrong, and for which part."""
    delimiter = b"--" + _boundary(content_type)
    view = memoryview(body)
    found: list[Part] = []
    begin = None
    for start, end, is_last in _delimiters(view, delimiter):
        if begin is not None:
            if len(found) == MAX_PARTS:
                raise InvalidBody(f"the form has more than {MAX_PARTS} parts")
            found.append(_part(view[begin:start], len(found) + 1))
        if is_last:
            return found
        begin = end
    if begin is None:
        raise InvalidBody("the body does not hold the boundary that Content-Type names")
    raise InvalidBody(f"the form is cut short in part {len(found) + 1}")


def _boundary(content_type: str) -> bytes:
    media_type, parameters = _parameters(content_type, "Content-Type")
    if media_type != "multipart/form-data":
        raise InvalidBody(f"multipart/form-data was expected, not {media_type[:80]!r}")
    boundary = parameters.get("boundary", "")
    if not boundary:
        raise InvalidBody("Content-Type names no boundary")
    if len(boundary) > MAX_BOUNDARY or not boundary.isascii() or not boundary.isprintable():
        raise InvalidBody("Content-Type names a boundary that is none")
    return boundary.encode("ascii")


def _delimiters(view: memoryview, delimiter: bytes) -> Iterator[tuple[int, int, bool]]:
    """Where the part before each delimiter ends, where the next begins, and whether it is the last."""
    false = 0
    for start, after in _lines(view, delimiter):
        padded = bytes(view[after : after + MAX_BOUNDARY])
        rest = padded.lstrip(b" \t")
        if padded.startswith(b"--"):
            yield start, after + 2, True
        elif rest.startswith(b"\r\n"):
            yield start, after + len(padded) - len(rest) + 2, False
        else:
            false += 1
            if false > MAX_FALSE:
                raise InvalidBody("too many lines within the parts begin with the boundary")


def _lines(view: memoryview, delimiter: bytes) -> Iterator[tuple[int, int]]:
    """Where each line that begins with the delimiter starts, its line end included, and where it goes on."""
    if bytes(view[: len(delimiter)]) == delimiter:
        yield 0, len(delimiter)
    wanted = b"\r\n" + delimiter
    for begin in range(0, len(view), _WINDOW):  # only bytes have a fast search
        window = bytes(view[begin : begin + _WINDOW + len(wanted) - 1])
        place = window.find(wanted)
        while place >= 0:
            yield begin + place, begin + place + len(wanted)
            place = window.find(wanted, place + len(wanted))


def _part(view: memoryview, number: int) -> Part:
    head = bytes(view[: MAX_HEAD + 4])
    size = 0 if head.startswith(b"\r\n") else head.find(b"\r\n\r\n")
    if size < 0:
        raise InvalidBody(f"part {number} has headers without end, or of more than {MAX_HEAD} bytes")
    headers = _headers(head[:size], number)
    disposition, parameters = _parameters(headers.get("content-disposition", ""), f"part {number}")
    name = parameters.get("name")
    if disposition != "form-data" or name is None:
        raise InvalidBody(f"part {number} has no name", hint='Content-Disposition: form-data; name="X"')
    encoding = headers.get("content-transfer-encoding", "binary").lower()
    if encoding not in ("binary", "8bit", "7bit"):
        raise InvalidBody(f"part {number} is encoded as {encoding[:40]!r}; parts are taken as they are")
    data = view[size + (4 if size else 2) :]
    return Part(name, parameters.get("filename"), headers.get("content-type"), data)


def _headers(head: bytes, number: int) -> dict[str, str]:
    try:
        text = head.decode()
    except UnicodeDecodeError:
        text = head.decode("latin-1")
    headers: dict[str, str] = {}
    for line in text.replace("\r\n\t", " ").replace("\r\n ", " ").split("\r\n") if text else ():
        name, colon, value = line.partition(":")
        if not colon:
            raise InvalidBody(f"part {number} has a header without a colon")
        headers.setdefault(name.strip().lower(), value.strip())
    return headers


def _parameters(header: str, where: str) -> tuple[str, dict[str, str]]:
    """A header's value in lower case, and its parameters; ``filename*`` goes before ``filename`` (RFC 5987)."""
    value = header.partition(";")[0]
    at = len(value)
    plain: dict[str, str] = {}
    extended: dict[str, str] = {}
    while at < len(header):
        key = _KEY.match(header, at)
        if key is None:
            raise InvalidBody(f"{where}: cannot be read from {header[at : at + 40]!r} on")
        at = key.end()
        if key[1] is None:
            if header[at:].strip(" \t;"):
                raise InvalidBody(f"{where}: cannot be read from {header[at : at + 40]!r} on")
            break  # nothing behind the last semicolon
        text, at = _parameter(header, at, where)
        name = key[1].lower()
        if name.endswith("*"):
            extended.setdefault(name[:-1], _extended(text, where))
        else:
            plain.setdefault(name, text)
    return value.strip().lower(), {**plain, **extended}


def _parameter(header: str, at: int, where: str) -> tuple[str, int]:
    quoted = _QUOTED.match(header, at)
    if quoted is not None:
        return _ESCAPED.sub(r"\1", quoted[1]), quoted.end()
    raw = _RAW.match(header, at)
    if raw is None:
        raise InvalidBody(f"{where}: cannot be read from {header[at : at + 40]!r} on")
    return raw[1] if raw[1] is not None else raw[2].strip(), raw.end()


def _extended(text: str, where: str) -> str:
    charset, _, rest = text.partition("'")
    _, mark, value = rest.partition("'")
    if not mark or charset.lower() not in ("utf-8", "iso-8859-1"):
        raise InvalidBody(f"{where}: {text[:40]!r} is not written as UTF-8''name")
    try:
        return unquote_to_bytes(value).decode(charset)
    except UnicodeDecodeError:
        raise InvalidBody(f"{where}: {text[:40]!r} is not {charset}") from None

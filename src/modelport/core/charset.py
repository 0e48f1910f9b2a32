"""Text in any charset as UTF-8, or a word on where it is not."""

from __future__ import annotations

import codecs
from typing import Any

from modelport.errors import InvalidInput

_NOT_CHARSETS = ("idna", "punycode", "unicode-escape", "raw-unicode-escape")
"""Codecs of text that no file is written in; some take time in the square of the size."""


def as_utf8(data: Any, charset: str | None) -> Any:
    """``data`` itself where it is UTF-8 as far as anybody said. Raises as ``decoded`` does."""
    if charset is None or _name(charset) in ("utf-8", "utf-8-sig", "ascii"):
        return data
    try:
        return decoded(data, charset).encode()
    except UnicodeEncodeError:  # half a surrogate pair
        raise InvalidInput(f"the body is not {charset[:40]} text") from None


def decoded(data: Any, charset: str) -> str:
    """The text. Raises ``InvalidInput`` for an unknown charset, and for bytes that are not of it."""
    _name(charset)
    try:
        return str(data, charset)
    except UnicodeDecodeError as fault:
        raise _undecodable(data, charset, fault) from None
    except (LookupError, ValueError):  # a codec of something else than text
        raise _unknown(charset) from None


def _name(charset: str) -> str:
    """The codec's own name."""
    try:
        name = codecs.lookup(charset).name
    except (LookupError, ValueError):
        raise _unknown(charset) from None
    if name in _NOT_CHARSETS:
        raise _unknown(charset)
    return name


def _unknown(charset: str) -> InvalidInput:
    return InvalidInput(f"the charset {charset[:40]!r} is not known")


def _undecodable(data: Any, charset: str, fault: UnicodeDecodeError) -> InvalidInput:
    line = str(data[: fault.start], charset, "replace").count("\n") + 1
    return InvalidInput(
        f"the body is not {charset[:40]} text: {fault.reason} at byte {fault.start}, in line {line}",
        hint="name the charset in Content-Type, as in text/csv; charset=iso-8859-1",
    )


def not_utf8(data: Any) -> InvalidInput:
    """The error for bytes that something could not read as UTF-8: where the first of them is."""
    try:
        str(data, "utf-8")
    except UnicodeDecodeError as fault:
        return _undecodable(data, "utf-8", fault)
    return InvalidInput("the body is not UTF-8 text")

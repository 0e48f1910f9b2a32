"""Decompressed request bodies, bounded: a bomb is refused before it unfolds."""

from __future__ import annotations

import zlib
from typing import Any

from modelport.errors import BodyTooLarge, InvalidBody, UnsupportedType

MAX_MEMBERS = 256
"""How many gzip files in a row one body may be."""

_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 47}


def decompress(body: Any, encoding: str, limit: int) -> bytes:
    """``body`` without its ``Content-Encoding``; at most ``limit`` bytes.

    Raises ``UnsupportedType`` for an unknown or nested encoding, ``InvalidBody`` for data that is cut short or damaged,
    ``BodyTooLarge`` over the limit.
    """
    encoding = encoding.strip().lower()
    if encoding == "identity":
        return bytes(body)
    window = _WINDOWS.get(encoding)
    if window is None:
        raise UnsupportedType(f"Content-Encoding {encoding[:40]!r} is not supported", hint="use gzip, deflate or none")
    parts: list[bytes] = []
    left = limit
    while True:
        unpacker = zlib.decompressobj(window)
        try:
            parts.append(unpacker.decompress(body, left + 1))
        except zlib.error as fault:
            raise InvalidBody(f"the body is not valid {encoding}: {fault}") from None
        left -= len(parts[-1])
        if left < 0:
            raise BodyTooLarge(f"the body is over {limit} bytes once decompressed")
        if not unpacker.eof:
            raise InvalidBody(f"the {encoding} body is cut short")
        body = unpacker.unused_data
        if not body:
            return b"".join(parts)
        if window != _WINDOWS["gzip"] or len(parts) >= MAX_MEMBERS:
            raise InvalidBody(f"the {encoding} body has more behind its end")

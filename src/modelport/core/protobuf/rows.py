"""Rows of equally many numbers, as a ListValue of ListValues holds them: every row lies in the same form, so that all
are read and written a column at a time, not a value at a time."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import chain
from typing import Any

from modelport.core.protobuf.integers import varint

NUMBER = b"\x0a\x09\x11"
"""What stands before each number of a ListValue: an element of 9 bytes, which is a double."""
ELEMENT, LIST = 0x0A, 0x32
"""What stands before an element's size, and before that of a list within it."""
FEW = 8
"""Rows from which it is worth it, if they are not wider than many."""
_SIZE = len(NUMBER) + 8


def write(rows: Sequence[Any]) -> bytes | None:
    """The ListValue's bytes; None for anything but many rows of equally many floats."""
    if len(rows) < FEW or set(map(type, rows)) != {list}:
        return None
    width, *others = set(map(len, rows))
    if others or not 0 < width <= len(rows) or set(map(type, chain.from_iterable(rows))) != {float}:
        return None
    size = varint(width * _SIZE)
    head = bytes([ELEMENT]) + varint(1 + len(size) + width * _SIZE) + bytes([LIST]) + size
    row = head + (NUMBER + bytes(8)) * width
    body = bytearray(row * len(rows))
    numbers = struct.pack(f"<{width * len(rows)}d", *chain.from_iterable(rows))
    for at, place in _places(len(head), width):
        body[place :: len(row)] = numbers[at :: width * 8]
    return bytes(body)


def read(view: memoryview) -> list[list[float]] | None:
    """The rows of a ListValue's bytes; None for anything but many rows of equally many numbers."""
    size = _varint(view, 1)
    if not len(view) or view[0] != ELEMENT or size is None:
        return None
    inner = _varint(view, size[1] + 1)
    if inner is None or view[size[1]] != LIST or size[0] != inner[0] + inner[1] - size[1]:
        return None
    (length, start), width = inner, inner[0] // _SIZE
    stride = start + length
    count, rest = divmod(len(view), stride)
    if rest or length % _SIZE or count < FEW or not 0 < width <= count:
        return None
    form = bytes(view[:start]) + (NUMBER + bytes(8)) * width
    numbers = bytearray(width * count * 8)
    fixed = set(range(stride))
    for at, place in _places(start, width):
        fixed.discard(place)
        numbers[at :: width * 8] = bytes(view[place::stride])
    if any(bytes(view[place::stride]) != form[place : place + 1] * count for place in fixed):
        return None
    flat = list(struct.unpack(f"<{width * count}d", numbers))
    return [flat[at : at + width] for at in range(0, len(flat), width)]


def _places(start: int, width: int) -> list[tuple[int, int]]:
    """Where each byte of a row's numbers is: among the numbers alone, and in the row."""
    return [
        (column * 8 + byte, start + column * _SIZE + len(NUMBER) + byte) for column in range(width) for byte in range(8)
    ]


def _varint(view: memoryview, at: int) -> tuple[int, int] | None:
    """A size, and where it ends."""
    value = shift = 0
    for byte in view[at : at + 5]:
        value |= (byte & 127) << shift
        shift += 7
        at += 1
        if byte < 128:
            return value, at
    return None

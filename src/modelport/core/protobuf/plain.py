"""``google.protobuf``'s Struct, Value and ListValue, written from plain values."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from modelport.core.protobuf import rows
from modelport.core.protobuf.fields import MAX_DEPTH
from modelport.core.protobuf.integers import varint

DOUBLE = struct.Struct("<d")


def write_value(value: Any, depth: int) -> bytes:
    """Raises ``ValueError`` for what has no place in a Value."""
    if depth > MAX_DEPTH:
        raise ValueError(f"messages are nested deeper than {MAX_DEPTH}")
    if value is None:
        return b"\x08\x00"
    if isinstance(value, bool):
        return b"\x20\x01" if value else b"\x20\x00"
    if isinstance(value, (int, float)):
        return b"\x11" + DOUBLE.pack(value)
    if isinstance(value, str):
        text = value.encode()
        return b"\x1a" + varint(len(text)) + text
    if isinstance(value, Mapping):
        inner = write_struct(value, depth + 1)
        return b"\x2a" + varint(len(inner)) + inner
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        inner = write_list(value, depth + 1)
        return b"\x32" + varint(len(inner)) + inner
    raise ValueError(f"a {type(value).__name__} has no place in a Value")


def write_list(values: Any, depth: int) -> bytes:
    """A ListValue."""
    if set(map(type, values)) == {float}:
        return b"".join([rows.NUMBER + DOUBLE.pack(value) for value in values])
    written = rows.write(values) if depth < MAX_DEPTH - 2 else None
    if written is not None:
        return written
    parts = []
    for value in values:
        inner = write_value(value, depth + 1)
        parts += [b"\x0a", varint(len(inner)), inner]
    return b"".join(parts)


def write_struct(members: Mapping[Any, Any], depth: int) -> bytes:
    """A Struct."""
    parts = []
    for name, value in members.items():
        if not isinstance(name, str):
            raise ValueError(f"{name!r:.80} is not the name of a member: those are strings")
        key, inner = name.encode(), write_value(value, depth + 2)
        entry = b"\x0a" + varint(len(key)) + key + b"\x12" + varint(len(inner)) + inner
        parts += [b"\x0a", varint(len(entry)), entry]
    return b"".join(parts)


WRITERS: dict[str, Callable[[Any, int], bytes]] = {"value": write_value, "list": write_list, "struct": write_struct}

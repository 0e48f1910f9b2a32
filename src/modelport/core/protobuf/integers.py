"""Numbers as they lie on the wire, alone and in rows; by numpy where it has been imported and the row is long."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator
from typing import Any

from modelport.core.protobuf.fields import FIXED, NUMBERS, VARINTS
from modelport.errors import InvalidBody

MANY = 64
"""Packed integers from which numpy is worth its overhead."""
CHUNK = 1 << 18
"""Bytes of packed integers that numpy gets at a time: it takes many more while it works."""
LONGEST = 10
"""Bytes that one integer may take."""
LOW_64 = (1 << 64) - 1
RANGES = {
    "int32": (-1 << 31, (1 << 31) - 1), "sint32": (-1 << 31, (1 << 31) - 1), "uint32": (0, (1 << 32) - 1),
    "int64": (-1 << 63, (1 << 63) - 1), "sint64": (-1 << 63, (1 << 63) - 1), "uint64": (0, LOW_64),
}  # fmt: skip


def signed(value: int, kind: str) -> Any:
    """What a number on the wire is in its type; bits that the type does not have are dropped."""
    if kind == "bool":
        return value != 0
    if kind in ("sint32", "sint64"):
        value = value & 0xFFFFFFFF if kind == "sint32" else value
        return value >> 1 ^ -(value & 1)
    if kind in ("int32", "uint32"):
        value &= 0xFFFFFFFF
        return value - (1 << 32) if kind == "int32" and value >> 31 else value
    return value - (1 << 64) if kind == "int64" and value >> 63 else value


def unsigned(value: Any, kind: str) -> int:
    """A number as it goes onto the wire. Raises ``ValueError`` where its type does not hold it."""
    if kind == "bool":
        if not hasattr(value, "__bool__"):
            raise ValueError(f"{value!r:.80} is not a bool")
        return int(bool(value))
    number = value.__index__()
    low, high = RANGES[kind]
    if not low <= number <= high:
        raise ValueError(f"{value!r:.80} is not a {kind}")
    if kind in ("sint32", "sint64"):
        number = number << 1 ^ number >> 63
    return int(number) & LOW_64


def varint(value: int) -> bytes:
    """A number of 0 or more, seven bits a byte, the low ones first."""
    if value < 128:
        return _SHORT[value]
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


_SHORT = [bytes([value]) for value in range(128)]


def pack_fixed(code: str, value: Any) -> bytes:
    """One number. A double that a float cannot hold becomes infinite, as in the common implementations."""
    try:
        return struct.pack("<" + code, value)
    except OverflowError:
        if code == "f":
            return struct.pack("<f", float("inf") if value > 0 else float("-inf"))
        raise


def packed(numbers: Any, kind: str) -> Any:
    """Repeated numbers in their packed form, as bytes."""
    code = NUMBERS[kind]
    view = _as_view(numbers)
    if view is not None and _same(view.format, code) and view.c_contiguous:
        if kind in FIXED or kind == "bool":
            return view.cast("B") if view.nbytes else b""
        numbers = view if view.ndim == 1 else view.cast("B").cast(code)
    if hasattr(numbers, "tolist"):
        numbers = numbers if kind not in FIXED and _is_native(numbers, code) else numbers.tolist()
    if kind in FIXED:
        if code == "f":
            return b"".join([pack_fixed(code, number) for number in numbers])
        return memoryview(array(code, numbers)).cast("B")
    numpy = sys.modules.get("numpy")
    if numpy is not None and kind in ("int32", "int64", "uint32", "uint64") and len(numbers) >= MANY:
        return _packed_by_numpy(numpy, numbers, kind, code)
    return b"".join([varint(unsigned(number, kind)) for number in numbers])


def _as_view(numbers: Any) -> Any:
    if isinstance(numbers, (list, tuple)):
        return None
    try:
        return memoryview(numbers)
    except (TypeError, ValueError):
        return None


def _is_native(numbers: Any, code: str) -> bool:
    return isinstance(numbers, memoryview) and _same(numbers.format, code)


def _same(given: str, code: str) -> bool:
    """Whether two formats are one type: a long is 64 bits wide on some systems and 32 on others."""
    return given == code or (
        given in "ilqILQ"
        and given.islower() == code.islower()
        and code in "iqIQ"
        and (struct.calcsize(given) == struct.calcsize(code))
    )


def _packed_by_numpy(numpy: Any, numbers: Any, kind: str, code: str) -> bytes:
    if not isinstance(numbers, memoryview):
        numbers = memoryview(array(code, numbers))
    values = numpy.frombuffer(numbers, code)
    if kind in ("int32", "int64"):
        values = values.astype(numpy.int64).view(numpy.uint64)  # a negative number takes 10 bytes in either
    values = values.astype(numpy.uint64)
    sizes = numpy.ones(len(values), numpy.int64)
    for bits in range(7, 64, 7):
        sizes += values >= numpy.uint64(1 << bits)
    ends = numpy.cumsum(sizes)
    starts = ends - sizes
    found = numpy.empty(int(ends[-1]), numpy.uint8)
    for place in range(int(sizes.max())):
        has = sizes > place
        low = (values[has] >> numpy.uint64(7 * place)).astype(numpy.uint8) & numpy.uint8(127)
        more = (sizes[has] > place + 1).astype(numpy.uint8) << numpy.uint8(7)
        found[starts[has] + place] = low | more
    return bytes(found.tobytes())


def unpacked(raw: Any, kind: str, name: str) -> Any:
    """Packed integers or truth values as a typed buffer. Raises ``InvalidBody``, naming the field."""
    code: Any = VARINTS[kind]
    if len(raw) and raw[-1] > 127:
        raise InvalidBody(f"the field {name} is cut off within a number")
    numpy = sys.modules.get("numpy")
    if numpy is not None and len(raw) >= MANY:
        pieces = [_by_numpy(numpy, piece, kind, code) for piece in _pieces(numpy.frombuffer(raw, numpy.uint8))]
        found = pieces[0] if len(pieces) == 1 else numpy.concatenate(pieces)
        return memoryview(found.view(numpy.uint8)).cast("B").cast(code)
    numbers = _one_by_one(raw, kind)
    return memoryview(bytes(numbers)).cast(code) if code == "?" else memoryview(array(code, numbers))


def _one_by_one(raw: Any, kind: str) -> list[Any]:
    found = []
    value = shift = 0
    for byte in raw:
        value |= (byte & 127) << shift
        if byte < 128:
            found.append(signed(value & LOW_64, kind))
            value = shift = 0
        else:
            shift += 7
            if shift >= 7 * LONGEST:
                raise _too_long()
    return found


def _pieces(given: Any) -> Iterator[Any]:
    """The bytes in pieces of whole integers."""
    at = 0
    while at < len(given):
        end = min(at + CHUNK, len(given))
        for _ in range(LONGEST):
            if given[end - 1] < 128:
                break
            end += 1
        else:
            raise _too_long()
        yield given[at:end]
        at = end


def _by_numpy(numpy: Any, given: Any, kind: str, code: str) -> Any:
    ends = numpy.flatnonzero(given < 128)
    starts = numpy.empty_like(ends)
    starts[0], starts[1:] = 0, ends[:-1] + 1
    sizes = ends - starts + 1
    if int(sizes.max()) > LONGEST:
        raise _too_long()
    shifts = 7 * (numpy.arange(len(given)) - numpy.repeat(starts, sizes))
    values = (given & 127).astype(numpy.uint64) << shifts.astype(numpy.uint64)
    values = numpy.bitwise_or.reduceat(values, starts)
    if kind == "bool":
        return values != 0
    if kind in ("sint32", "sint64"):
        values = values & numpy.uint64(0xFFFFFFFF) if kind == "sint32" else values
        values = (values >> numpy.uint64(1)) ^ (numpy.uint64(0) - (values & numpy.uint64(1)))
    return values.astype(code)


def _too_long() -> InvalidBody:
    return InvalidBody(f"a number in the message is longer than {LONGEST} bytes")

"""Messages read as plain values. Every step forward is checked against the end of the message that it is in."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

from modelport.core.protobuf import rows
from modelport.core.protobuf.fields import (
    BYTES,
    END_GROUP,
    FIXED,
    FIXED32,
    FIXED64,
    GROUP,
    MAX_DEPTH,
    PLAIN,
    VARINT,
    Field,
    entry_of,
)
from modelport.core.protobuf.integers import LOW_64, signed, unpacked
from modelport.core.protobuf.plain import DOUBLE
from modelport.errors import BodyTooLarge, InvalidBody

MAX_MESSAGES = 1 << 20
"""Messages in one body: an empty one takes two bytes there, and many times that in memory."""
MAX_PEEK = 64
"""Fields that are looked at to find one, where a message is not to be read."""


def peek(body: Any, number: int) -> str:
    """The text in the first field of that number; empty where it does not come among the first ``MAX_PEEK`` fields.

    Raises ``InvalidBody``.
    """
    reader = Reader({}, {}, body)
    fields = islice(reader.parts(0, len(body), 1), MAX_PEEK)
    place = next(((start, end) for tag, start, end in fields if tag == number << 3 | BYTES), None)
    return reader.text(*place, f"of number {number}") if place is not None else ""


class Plan:
    """What the reader looks up: by tag which field comes, by number the names of fields that come in one way only."""

    def __init__(self, fields: Iterable[Field], strict: bool = True) -> None:
        self.by_tag: dict[int, Field] = {}
        self.names: dict[int, str] = {}
        self.rivals: dict[str, list[str]] = {}
        groups: dict[str, list[str]] = {}
        for field in fields:
            if strict:
                self.names[field.number] = field.name
            for wire in field.wires:
                self.by_tag[field.number << 3 | wire] = field
            if field.oneof:
                groups.setdefault(field.oneof, []).append(field.name)
        for names in groups.values():
            for name in names:
                self.rivals[name] = [other for other in names if other != name]


@lru_cache(maxsize=1024)
def _entry_plan(field: Field) -> Plan:
    return Plan(entry_of(field))


class Reader:
    """Reads one body."""

    def __init__(self, plans: Mapping[str, Plan], enums: Mapping[str, Mapping[int, str]], body: Any) -> None:
        self._plans = plans
        self._enums = enums
        self._data = memoryview(body).cast("B")
        self._messages = 0
        self._rows: list[tuple[dict[str, Any], Field]] = []

    def read(self, name: str) -> dict[str, Any]:
        """The whole body as a message of that name."""
        message: dict[str, Any] = {}
        self._message(0, len(self._data), self._plans[name], message, 1)
        for holder, field in self._rows:  # which may have come in several parts
            holder[field.name] = self._buffer(field, holder[field.name])
        return message

    def _message(self, at: int, end: int, plan: Plan, into: dict[str, Any], depth: int) -> None:
        if depth > MAX_DEPTH:
            raise InvalidBody(f"the message is nested deeper than {MAX_DEPTH}")
        self._messages += 1
        if self._messages > MAX_MESSAGES:
            raise BodyTooLarge(f"the body holds more than {MAX_MESSAGES} messages")
        data, by_tag = self._data, plan.by_tag
        while at < end:
            start = at
            tag = data[at]
            at += 1
            if tag > 127:
                tag, at = self.varint(start, end)
            field = by_tag.get(tag)
            if field is None:
                if tag >> 3 in plan.names:
                    raise InvalidBody(f"the field {plan.names[tag >> 3]} is of another wire type than {tag & 7}")
                at = self._skip(tag, at, end, depth)
                continue
            start, at = self._extent(tag & 7, at, end)
            if at > end:
                raise InvalidBody(f"the message ends within the field {field.name}")
            if field.oneof:
                for rival in plan.rivals[field.name]:
                    into.pop(rival, None)
            self._take(field, start, at, into, depth)

    def _extent(self, wire: int, at: int, end: int) -> tuple[int, int]:
        """Where a value's bytes begin and end, which may be too late."""
        if wire == BYTES:
            if at < end and self._data[at] < 128:
                return at + 1, at + 1 + self._data[at]
            size, start = self.varint(at, end)
            return start, start + size
        if wire == VARINT:
            return at, self.varint(at, end)[1]
        return at, at + (8 if wire == FIXED64 else 4)

    def _take(self, field: Field, start: int, end: int, into: dict[str, Any], depth: int) -> None:
        """Puts the value that lies between ``start`` and ``end`` into its message."""
        name, label = field.name, field.label
        if not label:
            into[name] = self._one(field, start, end, into.get(name), depth)
        elif label == "map":
            key, value = self._entry(field, start, end, depth + 1)
            into.setdefault(name, {})[key] = value
        elif field.form not in ("number", "enum"):
            into.setdefault(name, []).append(self._one(field, start, end, None, depth))
        elif name not in into:
            into[name] = self._data[start:end]
            self._rows.append((into, field))
        else:
            if isinstance(into[name], memoryview):
                into[name] = bytearray(into[name])
            into[name] += self._data[start:end]

    def _one(self, field: Field, start: int, end: int, before: Any, depth: int) -> Any:
        """One value; a message that comes twice is one message, of which ``before`` is the first part."""
        form, kind = field.form, field.type
        if form == "text":
            if kind == "string":
                return self.text(start, end, field.name)
            return self._data[start:end] if kind == "view" else bytes(self._data[start:end])
        if form == "message":
            message = before if before is not None else {}
            self._message(start, end, self._plans[kind], message, depth + 1)
            return message
        if form == "number":
            return self._number(kind, start, end)
        if form == "enum":
            number = self._number("int32", start, end)
            return self._enums[kind].get(number, number)
        if form == "plain":
            return getattr(self, f"_{PLAIN[kind]}")(start, end, depth + 1)
        return (before or b"") + bytes(self._data[start:end])

    def _entry(self, field: Field, at: int, end: int, depth: int) -> tuple[Any, Any]:
        """A map's key and value, which is a message with two fields."""
        of_key, of_value = entry_of(field)
        found: dict[str, Any] = {}
        self._message(at, end, _entry_plan(field), found, depth)
        key = found.get("key", of_key.zero)
        if "value" in found:
            return key, found["value"]
        if field.form in ("message", "plain"):
            return key, self._one(of_value, end, end, None, depth)
        return key, self._enums[field.type].get(0, 0) if field.form == "enum" else of_value.zero

    def _number(self, kind: str, start: int, end: int) -> Any:
        if kind in FIXED:
            return struct.unpack("<" + FIXED[kind], self._data[start:end])[0]
        return signed(self.varint(start, end)[0], kind)

    def text(self, start: int, end: int, name: str) -> str:
        try:
            return str(self._data[start:end], "utf-8")
        except UnicodeDecodeError:
            raise InvalidBody(f"the field {name} is not valid UTF-8") from None

    def _buffer(self, field: Field, raw: Any) -> Any:
        """A repeated number as a typed buffer; enums as a list of names."""
        if field.type in FIXED:
            code: Any = FIXED[field.type]
            if len(raw) % struct.calcsize(code):
                raise InvalidBody(f"the field {field.name} is cut off within a number")
            return memoryview(raw).cast(code)
        found = unpacked(raw, field.type if field.form == "number" else "int32", field.name)
        if field.form == "enum":
            names = self._enums[field.type]
            return [names.get(number, number) for number in found]
        return found

    # --- steps -------------------------------------------------------------------------------------------

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """The number at ``at``, and where it ends."""
        value = shift = 0
        data = self._data
        while at < end:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value & LOW_64, at
            shift += 7
            if shift > 63:
                raise InvalidBody("a number in the message is longer than 10 bytes")
        raise InvalidBody("the message ends within a number")

    def _skip(self, tag: int, at: int, end: int, depth: int) -> int:
        """The end of a field that the table does not have."""
        wire = tag & 7
        if not tag >> 3 or tag > 0xFFFFFFFF:
            raise InvalidBody("the message has a field number out of range")
        if wire == VARINT:
            at = self.varint(at, end)[1]
        elif wire == BYTES:
            size, at = self.varint(at, end)
            at += size
        elif wire == GROUP:
            return self._skip_group(tag, at, end, depth + 1)
        elif wire in (FIXED32, FIXED64):
            at += 4 if wire == FIXED32 else 8
        else:
            raise InvalidBody(f"the message has a field of the wire type {wire}")
        if at > end:
            raise InvalidBody("the message ends within a field")
        return at

    def _skip_group(self, tag: int, at: int, end: int, depth: int) -> int:
        if depth > MAX_DEPTH:
            raise InvalidBody(f"the message is nested deeper than {MAX_DEPTH}")
        while at < end:
            inner, at = self.varint(at, end)
            if inner == tag - GROUP + END_GROUP:
                return at
            at = self._skip(inner, at, end, depth)
        raise InvalidBody("the message ends within a group")

    # --- plain values ------------------------------------------------------------------------------------

    def parts(self, at: int, end: int, depth: int) -> Iterator[tuple[int, int, int]]:
        """Tag, start and end of every field of a message that has no table."""
        if depth > MAX_DEPTH:
            raise InvalidBody(f"the message is nested deeper than {MAX_DEPTH}")
        while at < end:
            tag, start = self.varint(at, end)
            at = self._skip(tag, start, end, depth)
            if tag & 7 == BYTES:
                start = self.varint(start, end)[1]
            yield tag, start, at

    def _value(self, at: int, end: int, depth: int) -> Any:
        found: Any = None
        for tag, start, stop in self.parts(at, end, depth):
            if tag == _VALUE["number"]:
                (found,) = DOUBLE.unpack(self._data[start:stop])
            elif tag == _VALUE["string"]:
                found = self.text(start, stop, "string_value")
            elif tag == _VALUE["bool"]:
                found = self.varint(start, stop)[0] != 0
            elif tag == _VALUE["struct"]:
                found = self._struct(start, stop, depth + 1)
            elif tag == _VALUE["list"]:
                found = self._list(start, stop, depth + 1)
            elif tag == _VALUE["null"]:
                found = None
            elif 1 <= tag >> 3 <= 6:
                raise InvalidBody(f"a Value has a field of the wrong wire type {tag & 7}")
        return found

    def _list(self, at: int, end: int, depth: int) -> list[Any]:
        count, rest = divmod(end - at, 11)
        view = self._data[at:end]
        if not rest and count and all(bytes(view[i::11]) == rows.NUMBER[i : i + 1] * count for i in range(3)):
            return [number for (number,) in struct.iter_unpack("<3xd", view)]
        read = rows.read(view) if depth < MAX_DEPTH - 2 else None
        if read is not None:
            return read
        found: list[Any] = []
        for tag, start, stop in self.parts(at, end, depth):
            if tag == _FIRST:
                found.append(self._value(start, stop, depth + 1))
            elif tag >> 3 == 1:
                raise InvalidBody(f"a ListValue has a field of the wrong wire type {tag & 7}")
        return found

    def _struct(self, at: int, end: int, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for tag, start, stop in self.parts(at, end, depth):
            if tag == _FIRST:
                key, value = self._entry(_MEMBER, start, stop, depth + 1)
                found[key] = value
            elif tag >> 3 == 1:
                raise InvalidBody(f"a Struct has a field of the wrong wire type {tag & 7}")
        return found


_MEMBER = Field(1, "fields", "google.protobuf.Value", "plain", "map", "string")
_FIRST = 1 << 3 | BYTES
_VALUE = {
    "null": 1 << 3 | VARINT,
    "number": 2 << 3 | FIXED64,
    "string": 3 << 3 | BYTES,
    "bool": 4 << 3 | VARINT,
    "struct": 5 << 3 | BYTES,
    "list": 6 << 3 | BYTES,
}

"""Protocol buffers read into plain values and written from them, by tables: no protobuf library is needed.

A table maps a message's name to its fields, a field's number to what a ``.proto`` file would say of it::

    Schema("shop", {
        "Order": {
            1: "string customer",
            2: "repeated Order.Line lines",
            3: "map<string, google.protobuf.Value> notes",
            4: "int64 credit oneof payment",
            5: "string card oneof payment",
            6: "Priority priority",
        },
        "Order.Line": {1: "repeated double weights", 2: "bytes picture"},
    }, enums={"Priority": {0: "NORMAL", 1: "URGENT"}})

A message is a ``dict`` of the fields that are there. Numbers, ``str`` and ``bytes`` are Python's; enums are names, or
numbers where they have none; maps are dicts. Repeated numbers and truth values are one-dimensional typed buffers:
``memoryview`` s with a native format, which numpy takes without copying; they are read-only where they show the body
itself. Everything else repeated is a list. ``google.protobuf``'s Struct, Value and ListValue are plain values whose
numbers are floats. A message type that the table does not have, such as ``google.protobuf.Any``, is the ``bytes`` of
that message; a ``view`` is a ``bytes`` field shown as it lies in the body, not copied.
"""

from __future__ import annotations

import re
import struct
import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

from modelport.errors import BodyTooLarge, InvalidBody

MAX_DEPTH = 100
"""Messages within one another, as in the common implementations."""
MAX_MESSAGES = 1 << 20
"""Messages in one body: an empty one takes two bytes there, and many times that in memory."""
MAX_PEEK = 64
"""Fields that are looked at to find one, where a message is not to be read."""
MANY = 64
"""Packed integers from which numpy is worth its overhead, where it has been imported."""

VARINT, FIXED64, BYTES, GROUP, END_GROUP, FIXED32 = range(6)
"""Wire types."""

_FIXED = {"double": "d", "fixed64": "Q", "sfixed64": "q", "float": "f", "fixed32": "I", "sfixed32": "i"}
_VARINTS = {"int32": "i", "int64": "q", "uint32": "I", "uint64": "Q", "sint32": "i", "sint64": "q", "bool": "?"}
NUMBERS = {**_FIXED, **_VARINTS}
"""Number types and the native format of their typed buffers."""
_TEXTS = ("string", "bytes", "view")
PLAIN = {"google.protobuf.Struct": "struct", "google.protobuf.Value": "value", "google.protobuf.ListValue": "list"}
"""Messages that are read as plain values."""

_FIELD = re.compile(r"(?:(repeated) )?(?:map<(\w+), ([\w.]+)>|([\w.]+)) (\w+)(?: oneof (\w+))?")
_LOW_64 = (1 << 64) - 1
_RANGES = {
    "int32": (-1 << 31, (1 << 31) - 1), "sint32": (-1 << 31, (1 << 31) - 1), "uint32": (0, (1 << 32) - 1),
    "int64": (-1 << 63, (1 << 63) - 1), "sint64": (-1 << 63, (1 << 63) - 1), "uint64": (0, _LOW_64),
}  # fmt: skip
_NUMBER_IN_LIST = b"\x0a\x09\x11"
"""What stands before each number of a ListValue: an element of 9 bytes, which is a double."""
_DOUBLE = struct.Struct("<d")


class Field(NamedTuple):
    """One field of a message. ``label`` is "", "repeated" or "map"; the type of a map's keys is ``key``.

    ``form`` is how its values lie on the wire: "number", "text", "enum", "message", "plain" or "foreign".
    """

    number: int
    name: str
    type: str
    form: str
    label: str = ""
    key: str = ""
    oneof: str = ""


class Schema:
    """The messages of one package, by tables. Raises ``ValueError`` for a table that makes no sense.

    A field of another wire type than its table says is an error; if the schema is not ``strict`` it is a field that the
    table does not have, as the common implementations see it.
    """

    def __init__(
        self,
        package: str,
        messages: Mapping[str, Mapping[int, str]],
        enums: Mapping[str, Mapping[int, str]] | None = None,
        strict: bool = True,
    ) -> None:
        self.package = package
        self.enums = {name: dict(values) for name, values in (enums or {}).items()}
        self._tables = messages
        self._numbers = {enum: {name: at for at, name in values.items()} for enum, values in self.enums.items()}
        self.messages: dict[str, list[Field]] = {
            name: [self._field(number, text) for number, text in sorted(fields.items())]
            for name, fields in messages.items()
        }
        """The fields of each message, in the order of their numbers."""
        self._plans = {name: _Plan(fields, strict) for name, fields in self.messages.items()}

    def decode(self, name: str, body: Any) -> dict[str, Any]:
        """The message of that name in ``body``, any bytes-like. Fields that the table does not have are skipped.

        Raises ``InvalidBody``; ``BodyTooLarge`` for more messages within it than ``MAX_MESSAGES``.
        """
        return _Reader(self, body).read(name)

    def encode(self, name: str, message: Mapping[str, Any]) -> bytes:
        """The message's bytes. None stands for a field that is not there, but in a ``google.protobuf.Value``.

        Repeated numbers may be any buffer or sequence. Raises ``ValueError`` for what does not fit its field.
        """
        parts: list[Any] = []
        self._write(name, message, parts, 0)
        return b"".join(parts)

    def _field(self, number: int, text: str) -> Field:
        match = _FIELD.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} does not describe a field")
        repeated, key, value, single, name, oneof = match.groups("")
        kind = value or single
        return Field(number, name, kind, self._form(kind), "map" if key else repeated, key, oneof)

    def _form(self, kind: str) -> str:
        if kind in self._tables:
            return "message"
        if kind in self.enums:
            return "enum"
        if kind in NUMBERS:
            return "number"
        if kind in PLAIN:
            return "plain"
        if kind in _TEXTS:
            return "text"
        if "." in kind:
            return "foreign"
        raise ValueError(f"there is no type {kind!r}")

    # --- writing -----------------------------------------------------------------------------------------

    def _write(self, name: str, message: Mapping[str, Any], parts: list[Any], depth: int) -> int:
        """Adds the message's bytes to ``parts`` and returns how many."""
        if depth > MAX_DEPTH:
            raise ValueError(f"messages are nested deeper than {MAX_DEPTH}")
        size = 0
        for field in self.messages[name]:
            value = message.get(field.name)
            if value is None and not (field.name in message and field.type == "google.protobuf.Value"):
                continue
            try:
                size += self._write_field(field, value, parts, depth)
            except (TypeError, ValueError, OverflowError, AttributeError, struct.error) as fault:
                raise ValueError(f"{name}.{field.name}: {fault}") from None
        return size

    def _write_field(self, field: Field, value: Any, parts: list[Any], depth: int) -> int:
        if field.label == "map":
            return sum(self._write_entry(field, key, item, parts, depth) for key, item in value.items())
        if not field.label:
            if not field.oneof and self._is_default(field, value):
                return 0
            return self._write_one(field, value, parts, depth)
        if field.form in ("number", "enum"):
            if field.form == "enum":
                packed = _packed([self._enum(field, item) for item in value], "int32")
            else:
                packed = _packed(value, field.type)
            return _add(field.number, [packed], len(packed), parts) if len(packed) else 0
        return sum(self._write_one(field, item, parts, depth) for item in value)

    def _write_entry(self, field: Field, key: Any, value: Any, parts: list[Any], depth: int) -> int:
        entry: list[Any] = []
        _, of_key, of_value = _entry_plan(field)
        size = self._write_one(of_key, key, entry, depth)
        size += self._write_one(of_value, value, entry, depth + 1)
        return _add(field.number, entry, size, parts)

    def _write_one(self, field: Field, value: Any, parts: list[Any], depth: int) -> int:
        form = field.form
        if form in ("number", "enum"):
            wire, written = self._write_number(field, value)
            tag = _varint(field.number << 3 | wire)
            parts += (tag, written)
            return len(tag) + len(written)
        inner: list[Any] = []
        if form == "message":
            size = self._write(field.type, value, inner, depth + 1)
        elif form == "plain":
            inner = [_PLAIN_WRITERS[PLAIN[field.type]](value, depth + 1)]
            size = len(inner[0])
        elif field.type == "string":
            inner = [value.encode()]
            size = len(inner[0])
        else:
            inner = [memoryview(value).cast("B")]
            size = len(inner[0])
        return _add(field.number, inner, size, parts)

    def _write_number(self, field: Field, value: Any) -> tuple[int, bytes]:
        kind = field.type
        if field.form == "enum":
            return VARINT, _varint(self._enum(field, value) & _LOW_64)
        if kind in _FIXED:
            code = _FIXED[kind]
            return _WIRES[code], _pack_fixed(code, value)
        return VARINT, _varint(_unsigned(value, kind))

    def _is_default(self, field: Field, value: Any) -> bool:
        """Whether a field with this value is not written: a negative zero is."""
        if field.form == "text":
            return not len(value)
        if field.form == "enum":
            return self._enum(field, value) == 0
        if field.form == "number" and field.type in ("double", "float"):
            return bool(value == 0) and not str(float(value)).startswith("-")
        return field.form == "number" and bool(value == 0)

    def _enum(self, field: Field, value: Any) -> int:
        number = self._numbers[field.type].get(value, value)
        if type(number) is not int or not -1 << 31 <= number < 1 << 31:
            raise ValueError(f"{value!r:.80} is not a {field.type}")
        return number


def peek(body: Any, number: int) -> str:
    """The text in the first field of that number; empty where it does not come among the first ``MAX_PEEK`` fields.

    Raises ``InvalidBody``.
    """
    reader = _Reader(_NOTHING, body)
    fields = islice(reader.parts(0, len(body), 1), MAX_PEEK)
    place = next(((start, end) for tag, start, end in fields if tag == number << 3 | BYTES), None)
    return reader.text(*place, f"of number {number}") if place is not None else ""


class _Plan:
    """What the reader looks up: by tag which field comes, by field number which wire types are right."""

    def __init__(self, fields: Iterable[Field], strict: bool = True) -> None:
        self.by_tag: dict[int, Field] = {}
        self.names: dict[int, str] = {}
        self.rivals: dict[str, list[str]] = {}
        groups: dict[str, list[str]] = {}
        for field in fields:
            if strict:
                self.names[field.number] = field.name
            for wire in _wires(field):
                self.by_tag[field.number << 3 | wire] = field
            if field.oneof:
                groups.setdefault(field.oneof, []).append(field.name)
        for names in groups.values():
            for name in names:
                self.rivals[name] = [other for other in names if other != name]


@lru_cache(maxsize=1024)
def _entry_plan(field: Field) -> tuple[_Plan, Field, Field]:
    """A map's entries are messages of two fields."""
    key = Field(1, "key", field.key, "text" if field.key == "string" else "number")
    value = Field(2, "value", field.type, field.form)
    return _Plan([key, value]), key, value


def _wires(field: Field) -> tuple[int, ...]:
    own = _WIRES[_FIXED[field.type]] if field.type in _FIXED else VARINT
    if field.label == "map" or field.form not in ("number", "enum"):
        return (BYTES,)
    return (own, BYTES) if field.label else (own,)


_WIRES = {"d": FIXED64, "Q": FIXED64, "q": FIXED64, "f": FIXED32, "I": FIXED32, "i": FIXED32}


# --- reading ---------------------------------------------------------------------------------------------


class _Reader:
    """Reads one body. Every step forward is checked against the end of the message that it is in."""

    def __init__(self, schema: Schema, body: Any) -> None:
        self._schema = schema
        self._data = memoryview(body).cast("B")
        self._messages = 0
        self._packed: list[tuple[dict[str, Any], Field]] = []

    def read(self, name: str) -> dict[str, Any]:
        message: dict[str, Any] = {}
        self._message(0, len(self._data), self._schema._plans[name], message, 1)  # noqa: SLF001
        for holder, field in self._packed:  # which may have come in several parts
            holder[field.name] = self._buffer(field, holder[field.name])
        return message

    def _message(self, at: int, end: int, plan: _Plan, into: dict[str, Any], depth: int) -> None:
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
                tag, at = self._varint(start, end)
            field = by_tag.get(tag)
            if field is None:
                if tag >> 3 in plan.names:
                    raise InvalidBody(f"the field {plan.names[tag >> 3]} is of another wire type than {tag & 7}")
                at = self._skip(tag, at, end, depth)
                continue
            start = at
            wire = tag & 7
            if wire == BYTES:
                size, start = self._varint(at, end)
                at = start + size
            elif wire == VARINT:
                at = self._varint(at, end)[1]
            else:
                at += 8 if wire == FIXED64 else 4
            if at > end:
                raise InvalidBody(f"the message ends within the field {field.name}")
            if field.oneof:
                for rival in plan.rivals[field.name]:
                    into.pop(rival, None)
            self._take(field, start, at, into, depth)

    def _take(self, field: Field, start: int, end: int, into: dict[str, Any], depth: int) -> None:
        """Puts the value that lies between ``start`` and ``end`` into its message."""
        name, form = field.name, field.form
        if field.label == "map":
            key, value = self._entry(field, start, end, depth + 1)
            into.setdefault(name, {})[key] = value
        elif field.label and form in ("number", "enum"):
            if name not in into:
                into[name] = self._data[start:end]
                self._packed.append((into, field))
            else:
                if isinstance(into[name], memoryview):
                    into[name] = bytearray(into[name])
                into[name] += self._data[start:end]
        elif field.label:
            into.setdefault(name, []).append(self._one(field, start, end, None, depth))
        else:
            into[name] = self._one(field, start, end, into.get(name), depth)

    def _one(self, field: Field, start: int, end: int, before: Any, depth: int) -> Any:
        """One value; a message that comes twice is one message, of which ``before`` is the first part."""
        form, kind = field.form, field.type
        if form == "text":
            if kind == "string":
                return self.text(start, end, field.name)
            return self._data[start:end] if kind == "view" else bytes(self._data[start:end])
        if form == "number":
            return self._number(kind, start, end)
        if form == "message":
            message = before if before is not None else {}
            self._message(start, end, self._schema._plans[kind], message, depth + 1)  # noqa: SLF001
            return message
        if form == "enum":
            number = self._number("int32", start, end)
            return self._schema.enums[kind].get(number, number)
        if form == "plain":
            return getattr(self, f"_{PLAIN[kind]}")(start, end, depth + 1)
        return (before or b"") + bytes(self._data[start:end])

    def _entry(self, field: Field, at: int, end: int, depth: int) -> tuple[Any, Any]:
        """A map's key and value, which is a message with two fields."""
        plan, of_key, of_value = _entry_plan(field)
        found: dict[str, Any] = {}
        self._message(at, end, plan, found, depth)
        key = found["key"] if "key" in found else _zero(of_key)
        if "value" in found:
            return key, found["value"]
        if field.form in ("message", "plain"):
            return key, self._one(of_value, end, end, None, depth)
        return key, self._schema.enums[field.type].get(0, 0) if field.form == "enum" else _zero(of_value)

    def _number(self, kind: str, start: int, end: int) -> Any:
        if kind in _FIXED:
            return struct.unpack("<" + _FIXED[kind], self._data[start:end])[0]
        return _signed(self._varint(start, end)[0], kind)

    def text(self, start: int, end: int, name: str) -> str:
        try:
            return str(self._data[start:end], "utf-8")
        except UnicodeDecodeError:
            raise InvalidBody(f"the field {name} is not valid UTF-8") from None

    def _buffer(self, field: Field, raw: Any) -> Any:
        """A repeated number as a typed buffer; enums as a list of names."""
        if field.type in _FIXED:
            code: Any = _FIXED[field.type]
            if len(raw) % struct.calcsize(code):
                raise InvalidBody(f"the field {field.name} is cut off within a number")
            return memoryview(raw).cast(code)
        found = _unpacked(raw, field.type if field.form == "number" else "int32", field.name)
        if field.form == "enum":
            names = self._schema.enums[field.type]
            return [names.get(number, number) for number in found]
        return found

    # --- steps -------------------------------------------------------------------------------------------

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        """The number at ``at``, and where it ends."""
        value = shift = 0
        data = self._data
        while at < end:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value & _LOW_64, at
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
            at = self._varint(at, end)[1]
        elif wire == BYTES:
            size, at = self._varint(at, end)
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
            inner, at = self._varint(at, end)
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
            tag, start = self._varint(at, end)
            at = self._skip(tag, start, end, depth)
            if tag & 7 == BYTES:
                start = self._varint(start, end)[1]
            yield tag, start, at

    def _value(self, at: int, end: int, depth: int) -> Any:
        found: Any = None
        for tag, start, stop in self.parts(at, end, depth):
            if tag == _VALUE["number"]:
                (found,) = _DOUBLE.unpack(self._data[start:stop])
            elif tag == _VALUE["string"]:
                found = self.text(start, stop, "string_value")
            elif tag == _VALUE["bool"]:
                found = self._varint(start, stop)[0] != 0
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
        if not rest and count:
            view = self._data[at:end]
            if all(bytes(view[i::11]) == _NUMBER_IN_LIST[i : i + 1] * count for i in range(3)):
                return [number for (number,) in struct.iter_unpack("<3xd", view)]
        found = []
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


def _zero(field: Field) -> Any:
    """What a value is that was left out."""
    if field.form == "text":
        return "" if field.type == "string" else b""
    if field.form == "foreign":
        return b""
    return False if field.type == "bool" else 0.0 if field.type in ("double", "float") else 0


_NOTHING = Schema("", {})


# --- integers --------------------------------------------------------------------------------------------


def _signed(value: int, kind: str) -> Any:
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


def _unsigned(value: Any, kind: str) -> int:
    """A number as it goes onto the wire. Raises ``ValueError`` where its type does not hold it."""
    if kind == "bool":
        if not hasattr(value, "__bool__"):
            raise ValueError(f"{value!r:.80} is not a bool")
        return int(bool(value))
    number = value.__index__()
    low, high = _RANGES[kind]
    if not low <= number <= high:
        raise ValueError(f"{value!r:.80} is not a {kind}")
    if kind in ("sint32", "sint64"):
        number = number << 1 ^ number >> 63
    return int(number) & _LOW_64


def _varint(value: int) -> bytes:
    if value < 128:
        return _SHORT[value]
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


_SHORT = [bytes([value]) for value in range(128)]


def _add(number: int, inner: list[Any], size: int, parts: list[Any]) -> int:
    """Adds a field of ``size`` bytes to ``parts``; returns its size with what goes before it."""
    head = _varint(number << 3 | BYTES) + _varint(size)
    parts.append(head)
    parts += inner
    return len(head) + size


def _pack_fixed(code: str, value: Any) -> bytes:
    """One number. A double that a float cannot hold becomes infinite, as in the common implementations."""
    try:
        return struct.pack("<" + code, value)
    except OverflowError:
        if code == "f":
            return struct.pack("<f", float("inf") if value > 0 else float("-inf"))
        raise


def _packed(numbers: Any, kind: str) -> Any:
    """Repeated numbers in their packed form, as bytes."""
    code = NUMBERS[kind]
    view = _as_view(numbers)
    if view is not None and _same(view.format, code) and view.c_contiguous:
        if kind in _FIXED or kind == "bool":
            return view.cast("B") if view.nbytes else b""
        numbers = view if view.ndim == 1 else view.cast("B").cast(code)
    if hasattr(numbers, "tolist"):
        numbers = numbers if kind not in _FIXED and _is_native(numbers, code) else numbers.tolist()
    if kind in _FIXED:
        if code == "f":
            return b"".join([_pack_fixed(code, number) for number in numbers])
        return memoryview(array(code, numbers)).cast("B")
    numpy = sys.modules.get("numpy")
    if numpy is not None and kind in ("int32", "int64", "uint32", "uint64") and len(numbers) >= MANY:
        return _packed_by_numpy(numpy, numbers, kind, code)
    return b"".join([_varint(_unsigned(number, kind)) for number in numbers])


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


def _unpacked(raw: Any, kind: str, name: str) -> Any:
    """Packed integers or truth values as a typed buffer."""
    code = _VARINTS[kind]
    numpy = sys.modules.get("numpy")
    if len(raw) and raw[-1] > 127:
        raise InvalidBody(f"the field {name} is cut off within a number")
    if numpy is not None and len(raw) >= MANY:
        return _unpacked_by_numpy(numpy, raw, kind, code)
    found = []
    value = shift = 0
    for byte in raw:
        value |= (byte & 127) << shift
        if byte < 128:
            found.append(_signed(value & _LOW_64, kind))
            value = shift = 0
        else:
            shift += 7
            if shift > 63:
                raise InvalidBody("a number in the message is longer than 10 bytes")
    if code == "?":
        return memoryview(bytes(found)).cast("?")
    return memoryview(array(code, found))


def _unpacked_by_numpy(numpy: Any, raw: Any, kind: str, code: Any) -> Any:
    given = numpy.frombuffer(raw, numpy.uint8)
    ends = numpy.flatnonzero(given < 128)
    starts = numpy.empty_like(ends)
    starts[0], starts[1:] = 0, ends[:-1] + 1
    sizes = ends - starts + 1
    longest = int(sizes.max())
    if longest > 10:
        raise InvalidBody("a number in the message is longer than 10 bytes")
    values = numpy.zeros(len(ends), numpy.uint64)
    for place in range(longest):
        has = sizes > place
        values[has] |= (given[starts[has] + place] & 127).astype(numpy.uint64) << numpy.uint64(7 * place)
    if kind == "bool":
        return memoryview((values != 0).view(numpy.uint8)).cast("?")
    if kind in ("sint32", "sint64"):
        values = values & numpy.uint64(0xFFFFFFFF) if kind == "sint32" else values
        values = (values >> numpy.uint64(1)) ^ (numpy.uint64(0) - (values & numpy.uint64(1)))
    return memoryview(values.astype(code).view(numpy.uint8)).cast("B").cast(code)


# --- plain values ----------------------------------------------------------------------------------------


def _write_value(value: Any, depth: int) -> bytes:
    if depth > MAX_DEPTH:
        raise ValueError(f"messages are nested deeper than {MAX_DEPTH}")
    if value is None:
        return b"\x08\x00"
    if isinstance(value, bool):
        return b"\x20\x01" if value else b"\x20\x00"
    if isinstance(value, (int, float)):
        return b"\x11" + _DOUBLE.pack(value)
    if isinstance(value, str):
        text = value.encode()
        return b"\x1a" + _varint(len(text)) + text
    if isinstance(value, Mapping):
        inner = _write_struct(value, depth + 1)
        return b"\x2a" + _varint(len(inner)) + inner
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        inner = _write_list(value, depth + 1)
        return b"\x32" + _varint(len(inner)) + inner
    raise ValueError(f"a {type(value).__name__} has no place in a Value")


def _write_list(values: Any, depth: int) -> bytes:
    if set(map(type, values)) == {float}:
        return b"".join([_NUMBER_IN_LIST + _DOUBLE.pack(value) for value in values])
    parts = []
    for value in values:
        inner = _write_value(value, depth + 1)
        parts += [b"\x0a", _varint(len(inner)), inner]
    return b"".join(parts)


def _write_struct(members: Mapping[Any, Any], depth: int) -> bytes:
    parts = []
    for name, value in members.items():
        if not isinstance(name, str):
            raise ValueError(f"{name!r:.80} is not the name of a member: those are strings")
        key, inner = name.encode(), _write_value(value, depth + 2)
        entry = b"\x0a" + _varint(len(key)) + key + b"\x12" + _varint(len(inner)) + inner
        parts += [b"\x0a", _varint(len(entry)), entry]
    return b"".join(parts)


_PLAIN_WRITERS = {"value": _write_value, "list": _write_list, "struct": _write_struct}

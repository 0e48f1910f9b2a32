"""Messages written from plain values."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from modelport.core.protobuf.fields import BYTES, FIXED, MAX_DEPTH, PLAIN, VARINT, WIRES, Field, entry_of
from modelport.core.protobuf.integers import LOW_64, pack_fixed, packed, unsigned, varint
from modelport.core.protobuf.plain import WRITERS


class Writer:
    """Writes the messages of one schema."""

    def __init__(self, messages: Mapping[str, Sequence[Field]], enums: Mapping[str, Mapping[int, str]]) -> None:
        self._messages = messages
        self._numbers = {enum: {name: at for at, name in values.items()} for enum, values in enums.items()}

    def write(self, name: str, message: Mapping[str, Any]) -> bytes:
        """Raises ``ValueError`` for what does not fit its field."""
        parts: list[Any] = []
        self._write(name, message, parts, 0)
        return b"".join(parts)

    def _write(self, name: str, message: Mapping[str, Any], parts: list[Any], depth: int) -> int:
        """Adds the message's bytes to ``parts`` and returns how many."""
        if depth > MAX_DEPTH:
            raise ValueError(f"messages are nested deeper than {MAX_DEPTH}")
        size = 0
        for field in self._messages[name]:
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
                row = packed([self._enum(field, item) for item in value], "int32")
            else:
                row = packed(value, field.type)
            return _add(field.number, [row], len(row), parts) if len(row) else 0
        return sum(self._write_one(field, item, parts, depth) for item in value)

    def _write_entry(self, field: Field, key: Any, value: Any, parts: list[Any], depth: int) -> int:
        entry: list[Any] = []
        of_key, of_value = entry_of(field)
        size = self._write_one(of_key, key, entry, depth)
        size += self._write_one(of_value, value, entry, depth + 1)
        return _add(field.number, entry, size, parts)

    def _write_one(self, field: Field, value: Any, parts: list[Any], depth: int) -> int:
        form = field.form
        if form in ("number", "enum"):
            wire, written = self._write_number(field, value)
            tag = varint(field.number << 3 | wire)
            parts += (tag, written)
            return len(tag) + len(written)
        inner: list[Any] = []
        if form == "message":
            size = self._write(field.type, value, inner, depth + 1)
        elif form == "plain":
            inner = [WRITERS[PLAIN[field.type]](value, depth + 1)]
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
            return VARINT, varint(self._enum(field, value) & LOW_64)
        if kind in FIXED:
            code = FIXED[kind]
            return WIRES[code], pack_fixed(code, value)
        return VARINT, varint(unsigned(value, kind))

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


def _add(number: int, inner: list[Any], size: int, parts: list[Any]) -> int:
    """Adds a field of ``size`` bytes to ``parts``; returns its size with what goes before it."""
    head = varint(number << 3 | BYTES) + varint(size)
    parts.append(head)
    parts += inner
    return len(head) + size

"""What a table says of a field, and how its values lie on the wire."""

from __future__ import annotations

import re
from collections.abc import Container
from functools import lru_cache
from typing import Any, NamedTuple

VARINT, FIXED64, BYTES, GROUP, END_GROUP, FIXED32 = range(6)
"""Wire types."""
MAX_DEPTH = 100
"""Messages within one another, as in the common implementations."""

FIXED = {"double": "d", "fixed64": "Q", "sfixed64": "q", "float": "f", "fixed32": "I", "sfixed32": "i"}
VARINTS = {"int32": "i", "int64": "q", "uint32": "I", "uint64": "Q", "sint32": "i", "sint64": "q", "bool": "?"}
NUMBERS = {**FIXED, **VARINTS}
"""Number types and the native format of their typed buffers."""
PLAIN = {"google.protobuf.Struct": "struct", "google.protobuf.Value": "value", "google.protobuf.ListValue": "list"}
"""Messages that are read as plain values."""
WIRES = {"d": FIXED64, "Q": FIXED64, "q": FIXED64, "f": FIXED32, "I": FIXED32, "i": FIXED32}
"""Native format of a type of fixed width to its wire type."""

_TEXTS = ("string", "bytes", "view")
_FIELD = re.compile(r"(?:(repeated) )?(?:map<(\w+), ([\w.]+)>|([\w.]+)) (\w+)(?: oneof (\w+))?")


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

    @classmethod
    def read(cls, number: int, text: str, messages: Container[str], enums: Container[str]) -> Field:
        """From a line of a table. Raises ``ValueError``."""
        match = _FIELD.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} does not describe a field")
        repeated, key, value, single, name, oneof = match.groups("")
        kind = value or single
        return cls(number, name, kind, _form(kind, messages, enums), "map" if key else repeated, key, oneof)

    @property
    def wires(self) -> tuple[int, ...]:
        """The wire types that it may come in."""
        if self.label == "map" or self.form not in ("number", "enum"):
            return (BYTES,)
        own = WIRES[FIXED[self.type]] if self.type in FIXED else VARINT
        return (own, BYTES) if self.label else (own,)

    @property
    def zero(self) -> Any:
        """What a number, text or unknown message is that was left out."""
        if self.form in ("text", "foreign"):
            return "" if self.type == "string" else b""
        return False if self.type == "bool" else 0.0 if self.type in ("double", "float") else 0


def _form(kind: str, messages: Container[str], enums: Container[str]) -> str:
    if kind in messages:
        return "message"
    if kind in enums:
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


@lru_cache(maxsize=1024)
def entry_of(field: Field) -> tuple[Field, Field]:
    """The two fields of the messages that a map's entries are."""
    key = Field(1, "key", field.key, "text" if field.key == "string" else "number")
    return key, Field(2, "value", field.type, field.form)

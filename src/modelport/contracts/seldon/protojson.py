"""The JSON that protobuf makes of the platform's messages: feedback passes through it on its way in and out.

Field names are checked, numbers get the types of their fields, and what has its default value is left out.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from typing import Any, Callable

from modelport.core.protobuf import Field
from modelport.schemas.seldon import PACKAGE, SCHEMA

FIELDS = {kind: {field.name: field for field in fields} for kind, fields in SCHEMA.messages.items()}
INTEGERS = {"int32": 1 << 31, "int64": 1 << 63}
"""What their numbers stay below."""
MAX_DEPTH = 100
"""Lists and objects within one another."""
_KEPT = {float, str, bool, type(None)}
"""What protobuf keeps as it is."""
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def parse(value: Any, kind: str, place: str = "") -> dict[str, Any]:
    """A message as plain values of its fields' types, as it is read from bytes; without those that have their
    defaults. Messages of other packages stay JSON.

    Raises ``ValueError`` saying what does not fit, and where.
    """
    fields = FIELDS[kind]
    place = place or kind
    if not isinstance(value, dict):
        raise ValueError(f"{place} must be an object, not {value!r:.80}")
    message: dict[str, Any] = {}
    chosen: set[str] = set()
    for name, item in value.items():
        field = fields.get(name)
        if field is None:
            raise ValueError(
                f'Message type "{PACKAGE}.{kind}" has no field named "{name:.80}" at "{place}".\n'
                f' Available Fields(except extensions): "{list(fields)}"'
            )
        if item is None and field.type != "google.protobuf.Value":
            continue
        if field.oneof and field.oneof in chosen:
            raise ValueError(
                f'Message type "{PACKAGE}.{kind}" should not have multiple "{field.oneof}" oneof fields at "{place}"'
            )
        chosen.add(field.oneof)
        found = _field(item, field, f"{place}.{name}")
        if _is_told(found, field):
            message[name] = found
    return message


def _is_told(value: Any, field: Field) -> bool:
    """Whether a field with this value is there at all."""
    if field.label:
        return bool(len(value))
    if field.oneof or field.form in ("message", "plain", "foreign"):
        return True
    if field.form == "enum":
        return bool(value != SCHEMA.enums[field.type][0])
    return bool(value) or str(value) == "-0.0"


def _field(value: Any, field: Field, place: str) -> Any:
    if field.label == "repeated":
        if not isinstance(value, list):
            raise ValueError(f"repeated field {place} must be in [] which is {value!r:.80}")
        return [_single(item, field, f"{place}[{at}]") for at, item in enumerate(value)]
    if field.label == "map":
        if not isinstance(value, dict):
            raise ValueError(f"Map field {place} must be in a dict which is {value!r:.80}")
        for key in value:
            if not isinstance(key, str):
                raise ValueError(f"Map field {place} must have strings for keys, not {key!r:.80}")
        return {key: _single(item, field, f"{place}[{key:.80}]") for key, item in value.items()}
    return _single(value, field, place)


def _single(value: Any, field: Field, place: str) -> Any:
    if field.form == "message":
        return parse(value, field.type, place)
    try:
        if field.form == "enum":
            return _enum(value, SCHEMA.enums[field.type])
        if field.form == "foreign":
            return _foreign(value)
        if field.type in INTEGERS:
            return _integer(value, INTEGERS[field.type])
        return _SCALARS[field.type](value)
    except (TypeError, ValueError, OverflowError) as fault:
        raise ValueError(f"Failed to parse {place}: {fault}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected string, got {value!r:.80}")
    return value


def _bytes(value: Any) -> bytes:
    """Base64 of either alphabet, with or without padding."""
    text = _text(value).replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as fault:
        raise ValueError(str(fault)) from None


def _double(value: Any) -> float:
    if isinstance(value, str):
        if value in _SPECIAL:
            return _SPECIAL[value]
        try:
            return float(value)
        except ValueError:
            raise ValueError(f"Couldn't parse float: {value:.80}") from None
    if type(value).__module__ == "numpy":
        value = value.tolist()
    if not isinstance(value, (int, float)):
        raise TypeError(f"Couldn't parse float: {value!r:.80}")
    return float(value)


def _float(value: Any) -> float:
    """In single precision, as Python sees it."""
    number = _double(value)
    try:
        rounded: float = struct.unpack("<f", struct.pack("<f", number))[0]
    except OverflowError:
        raise ValueError("Float value too large") from None
    return rounded


def _integer(value: Any, bound: int) -> int:
    number = int(value) if isinstance(value, (int, str)) else _double(value)
    if not float(number).is_integer():
        raise ValueError(f"Couldn't parse integer: {value!r:.80}")
    if not -bound <= number < bound:
        raise ValueError(f"Value out of range: {value!r:.80}")
    return int(number)


def _enum(value: Any, names: dict[int, str]) -> str:
    """Its name."""
    name = names.get(value, value) if isinstance(value, int) else value
    if name not in names.values():
        raise ValueError(f"Invalid enum value {value!r:.80}")
    return str(name)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"ListValue must be in [] which is {value!r:.80}")
    return [plain(item) for item in value]


def _foreign(value: Any) -> Any:
    """A message of another package; what its own fields are is not looked at."""
    if not isinstance(value, dict):
        raise TypeError(f"a message must be an object, not {value!r:.80}")
    return value


def plain(value: Any, depth: int = 0) -> Any:
    """Any JSON value as protobuf keeps it: every number is a double. Raises ``TypeError`` for other values."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float)):
        return float(value)
    if depth > MAX_DEPTH:
        raise TypeError("nested too deeply")
    if isinstance(value, list):
        return value if set(map(type, value)) <= _KEPT else [plain(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item, depth + 1) for key, item in value.items()}
    if type(value).__module__ == "numpy":
        return plain(value.tolist(), depth + 1)
    raise TypeError(f"{type(value).__name__} has no JSON form")


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "string": _text,
    "bytes": _bytes,
    "double": _double,
    "float": _float,
    "google.protobuf.Value": plain,
    "google.protobuf.ListValue": _list,
}


def write(message: dict[str, Any], kind: str = "SeldonMessage") -> dict[str, Any]:
    """A message in protobuf's JSON. Raises ``ValueError`` for what its fields cannot hold."""
    return render(parse(message, kind), kind)


def render(message: dict[str, Any], kind: str) -> dict[str, Any]:
    """The JSON of a message that was parsed, or read from bytes."""
    fields = FIELDS[kind]
    return {name: _rendered(value, fields[name]) for name, value in message.items() if _is_told(value, fields[name])}


def _rendered(value: Any, field: Field) -> Any:
    if field.label == "map":
        return {key: _one(item, field) for key, item in value.items()}
    if field.label:
        return [_one(item, field) for item in (value if isinstance(value, list) else value.tolist())]
    return _one(value, field)


def _one(value: Any, field: Field) -> Any:
    if field.form == "message":
        return render(value, field.type)
    if field.type == "bytes":
        return base64.b64encode(value).decode()
    if field.type == "int64":
        return str(value)
    return _finite(_shortest(value) if field.type == "float" else value)


def _finite(value: Any) -> Any:
    """With names for the numbers that JSON has not."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return value


def _shortest(number: float) -> float:
    """The shortest decimal that is the same number in single precision."""
    if not math.isfinite(number):
        return number
    return next((short for digits in range(6, 9) if _float(short := float(f"{number:.{digits}g}")) == number), number)

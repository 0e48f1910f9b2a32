"""The JSON that protobuf makes of the platform's messages: feedback passes through it on its way in and out.

Field names are checked, numbers get the types of their fields, and what has its default value is left out.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from typing import Any, Callable

MESSAGES: dict[str, dict[str, str]] = {
    "Feedback": {"request": "SeldonMessage", "response": "SeldonMessage", "reward": "float", "truth": "SeldonMessage"},
    "SeldonMessage": {
        "status": "Status", "meta": "Meta", "data": "DefaultData", "binData": "bytes", "strData": "string",
        "jsonData": "Value", "customData": "Any",
    },
    "Status": {"code": "int32", "info": "string", "reason": "string", "status": "StatusFlag"},
    "Meta": {
        "puid": "string", "tags": "map Value", "routing": "map int32", "requestPath": "map string",
        "metrics": "repeated Metric",
    },
    "Metric": {"key": "string", "type": "MetricType", "value": "float", "tags": "map string"},
    "DefaultData": {"names": "repeated string", "tensor": "Tensor", "ndarray": "ListValue", "tftensor": "Any"},
    "Tensor": {"shape": "repeated int32", "values": "repeated double"},
}  # fmt: skip
"""Field to type, message by message."""
ENUMS = {"StatusFlag": ("SUCCESS", "FAILURE"), "MetricType": ("COUNTER", "GAUGE", "TIMER")}
CHOICES = {
    "SeldonMessage": ("data", "binData", "strData", "jsonData", "customData"),
    "DefaultData": ("tensor", "ndarray", "tftensor"),
}
"""Fields of which a message has only one. It is there also with its type's default."""
INT32 = 1 << 31
MAX_DEPTH = 100
"""Lists and objects within one another."""
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def parse(value: Any, kind: str, place: str = "") -> dict[str, Any]:
    """A message as plain values of its fields' types, without those that have their defaults.

    Raises ``ValueError`` saying what does not fit, and where.
    """
    fields = MESSAGES[kind]
    place = place or kind
    if not isinstance(value, dict):
        raise ValueError(f"{place} must be an object, not {value!r:.80}")
    message: dict[str, Any] = {}
    for name, item in value.items():
        if name not in fields:
            raise ValueError(
                f'Message type "seldon.protos.{kind}" has no field named "{name:.80}" at "{place}".\n'
                f' Available Fields(except extensions): "{list(fields)}"'
            )
        if item is None and fields[name] != "Value":
            continue
        found = _field(item, fields[name], f"{place}.{name}")
        if fields[name] in MESSAGES or name in CHOICES.get(kind, ()) or not _is_default(found):
            message[name] = found
    if sum(name in message for name in CHOICES.get(kind, ())) > 1:
        raise ValueError(
            f'Message type "seldon.protos.{kind}" should not have multiple "data_oneof" oneof fields at "{place}"'
        )
    return message


def _is_default(value: Any) -> bool:
    return value in (0, "", [], {})


def _field(value: Any, kind: str, place: str) -> Any:
    group, _, inner = kind.rpartition(" ")
    if group == "repeated":
        if not isinstance(value, list):
            raise ValueError(f"repeated field {place} must be in [] which is {value!r:.80}")
        return [_single(item, inner, f"{place}[{at}]") for at, item in enumerate(value)]
    if group == "map":
        if not isinstance(value, dict):
            raise ValueError(f"Map field {place} must be in a dict which is {value!r:.80}")
        return {key: _single(item, inner, f"{place}[{key:.80}]") for key, item in value.items()}
    return _single(value, kind, place)


def _single(value: Any, kind: str, place: str) -> Any:
    if kind in MESSAGES:
        return parse(value, kind, place)
    try:
        if kind in ENUMS:
            return _enum(value, ENUMS[kind])
        return _SCALARS[kind](value)
    except (TypeError, ValueError, OverflowError) as fault:
        raise ValueError(f"Failed to parse {place}: {fault}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected string, got {value!r:.80}")
    return value


def _bytes(value: Any) -> str:
    """Base64 of either alphabet, with or without padding, as it goes out again."""
    text = _text(value).replace("-", "+").replace("_", "/")
    try:
        return base64.b64encode(base64.b64decode(text + "=" * (-len(text) % 4))).decode()
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


def _int32(value: Any) -> int:
    number = _double(value)
    if not number.is_integer():
        raise ValueError(f"Couldn't parse integer: {value!r:.80}")
    if not -INT32 <= number < INT32:
        raise ValueError(f"Value out of range: {value!r:.80}")
    return int(number)


def _enum(value: Any, names: tuple[str, ...]) -> str | int:
    """Its name; 0 for the first one, which is every enum's default."""
    if isinstance(value, int) and 0 <= value < len(names):
        value = names[value]
    if value not in names:
        raise ValueError(f"Invalid enum value {value!r:.80}")
    return 0 if value == names[0] else str(value)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"ListValue must be in [] which is {value!r:.80}")
    return [plain(item) for item in value]


def _any(value: Any) -> Any:
    if not isinstance(value, dict) or "@type" not in value:
        raise ValueError("@type is missing when parsing any message")
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
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item, depth + 1) for key, item in value.items()}
    if type(value).__module__ == "numpy":
        return plain(value.tolist(), depth + 1)
    raise TypeError(f"{type(value).__name__} has no JSON form")


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "string": _text, "bytes": _bytes, "double": _double, "float": _float, "int32": _int32, "Value": plain,
    "ListValue": _list, "Any": _any,
}  # fmt: skip


def write(message: dict[str, Any], kind: str = "SeldonMessage") -> dict[str, Any]:
    """A message in protobuf's JSON. Raises ``ValueError`` for what its fields cannot hold."""
    written: dict[str, Any] = _finite(parse(message, kind))
    for metric in written.get("meta", {}).get("metrics", []):
        if isinstance(metric.get("value"), float):
            metric["value"] = _shortest(metric["value"])
    return written


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
    return next((short for digits in range(6, 9) if _float(short := float(f"{number:.{digits}g}")) == number), number)

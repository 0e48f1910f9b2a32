"""JSON in and out: ``orjson`` where the environment has it, else ``json``; one behaviour for both.

In: UTF-8 only; the bare tokens NaN and Infinity are accepted, since real clients send them; integers keep 64
bits. Out: never a bare NaN (it becomes null); numpy and pandas scalars, arrays, dates, decimals, sets, bytes
and UUIDs serialise.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import math
import re
import uuid
from typing import Any, Callable

try:
    import orjson
except ImportError:  # the model's environment may not have it
    orjson = None  # type: ignore[assignment]


def loads(text: Any) -> Any:
    """Parses UTF-8 JSON bytes. Raises ``ValueError`` with the place of the fault."""
    if orjson is not None:
        try:
            return orjson.loads(text)
        except ValueError:
            pass  # bare NaN and very deep or odd documents get a second, slower opinion
    plain = str(text, "utf-8-sig")
    try:
        value = json.loads(plain)
        if _SURROGATE.search(plain):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except json.JSONDecodeError:
        raise
    except UnicodeEncodeError:
        raise ValueError("a string holds half of a surrogate pair") from None
    except ValueError:
        raise ValueError("a number has too many digits") from None
    return value


def dumps(value: Any) -> bytes:
    """Serialises to UTF-8 JSON bytes. Raises ``TypeError`` naming what has no JSON form."""
    if orjson is not None:
        try:
            return orjson.dumps(value, default=_plain, option=_OPTIONS)
        except TypeError as fault:
            if not _SLOWER.search(str(fault)):
                raise TypeError(str(fault.__cause__ or fault)) from None
    try:
        return json.dumps(_strict(value), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    except RecursionError:
        raise TypeError("nested too deeply, or containing itself") from None


def shown(value: Any) -> str:
    """A JSON value in few words, for an error."""
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    text = dumps(value[:80] if isinstance(value, str) else value).decode()
    return text if len(text) <= 82 else text[:80] + "..."


_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_SLOWER = re.compile("exceeds 64-bit|surrogates|Dict key")
"""What ``orjson`` refuses that ``json`` can do."""

WRITES_ARRAYS = orjson is not None
"""Whether ``dumps`` takes numpy arrays as they are, without a detour by lists."""

_OPTIONS = 0 if orjson is None else orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def _plain(value: Any) -> Any:
    """The JSON-able form of what ``orjson`` does not know; duck-typed, so that nothing needs importing."""
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    for kind, form in _FORMS:
        if isinstance(value, kind):
            return form(value)
    if type(value).__module__ == "numpy" and value.dtype.kind == "M":
        value = value.astype("datetime64[us]")  # finer ones would become integers
    for method in ("tolist", "to_dict", "isoformat"):
        convert = getattr(value, method, None)
        if callable(convert):
            return convert()
    raise TypeError(f"{type(value).__name__} has no JSON form")


_FORMS: list[tuple[Any, Callable[[Any], Any]]] = [
    (decimal.Decimal, lambda value: float(value) if value.is_finite() else None),
    ((datetime.datetime, datetime.date, datetime.time), lambda value: value.isoformat()),
    (datetime.timedelta, lambda value: value.total_seconds()),
    ((set, frozenset, tuple), list),
    ((bytes, bytearray, memoryview), lambda value: str(bytes(value), "utf-8", "replace")),
    (uuid.UUID, str),
    (enum.Enum, lambda value: value.value),
]


def _strict(value: Any) -> Any:
    """``value`` with plain types only, and null for what is not a finite number."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key if isinstance(key, str) else _key(key): _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: _strict(getattr(value, item.name)) for item in dataclasses.fields(value)}
    return _strict(_plain(value))


def _key(key: Any) -> str:
    """An object's key that is no string: as its value would be written, without quotes."""
    plain = key if isinstance(key, tuple) else _strict(key)
    if isinstance(plain, str):
        return plain
    return json.dumps(plain) if isinstance(plain, (bool, int, float, type(None))) else str(key)

"""JSON in and out: ``orjson`` where the environment has it, else ``json``; one behaviour for both.

In: UTF-8 only; the bare tokens NaN and Infinity are accepted, since real clients send them; integers keep 64
bits. Out: never a bare NaN (it becomes null); numpy and pandas scalars, arrays, dates, decimals, sets, bytes
and UUIDs serialise.
"""

from __future__ import annotations

import datetime
import decimal
import json
import math
import uuid
from typing import Any

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
    try:
        return json.loads(str(text, "utf-8-sig"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def dumps(value: Any) -> bytes:
    """Serialises to UTF-8 JSON bytes. Raises ``TypeError`` naming what has no JSON form."""
    if orjson is not None:
        try:
            return orjson.dumps(value, default=_plain, option=_OPTIONS)
        except TypeError as fault:
            if "exceeds 64-bit" not in str(fault) and "surrogates" not in str(fault):
                raise TypeError(str(fault.__cause__ or fault)) from None
    try:
        return json.dumps(_strict(value), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    except RecursionError:
        raise TypeError("nested too deeply, or containing itself") from None


WRITES_ARRAYS = orjson is not None
"""Whether ``dumps`` takes numpy arrays as they are, without a detour by lists."""

_OPTIONS = 0 if orjson is None else orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def _plain(value: Any) -> Any:
    """The JSON-able form of what ``orjson`` does not know; duck-typed, so that nothing needs importing."""
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, decimal.Decimal):
        return float(value) if value.is_finite() else None
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return str(bytes(value), "utf-8", "replace")
    if isinstance(value, uuid.UUID):
        return str(value)
    for method in ("tolist", "to_dict", "isoformat"):
        convert = getattr(value, method, None)
        if callable(convert):
            return convert()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _strict(value: Any) -> Any:
    """``value`` with plain types only, and null for what is not a finite number."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    return _strict(_plain(value))

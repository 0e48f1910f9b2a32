"""Messages that go from one component to the next in the same process: as they would come off the wire."""

from __future__ import annotations

import json
from typing import Any

from modelport.errors import InvalidOutput
from modelport.schemas.seldon_values import plain

_PLAIN = {str, int, float, bool, type(None)}


def handed(message: Any, keeps_arrays: bool) -> Any:
    """A message's copy in plain JSON values, which nobody else holds.

    With ``keeps_arrays`` the numbers of its ``data`` stay in an array of the type that reading them would give, for
    readers that copy it. Raises ``InvalidOutput`` for what has no JSON form.
    """
    try:
        if not keeps_arrays or not isinstance(message, dict) or not isinstance(message.get("data"), dict):
            return _plain(message)
        rest = {key: _plain(item) for key, item in message.items() if key != "data"}
        return {**rest, "data": {str(key): _data(item) for key, item in message["data"].items()}}
    except RecursionError:
        raise InvalidOutput("the answer is nested too deeply, or contains itself") from None
    except (TypeError, ValueError) as fault:
        raise InvalidOutput(f"the answer has no JSON form: {fault}") from None


def _data(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _data(item) for key, item in value.items()}
    kind = getattr(value, "dtype", None)
    if kind is None or not value.ndim or not value.size:
        return _plain(value)
    if kind.kind == "b":
        return value
    if kind.kind == "i" or (kind.kind == "u" and kind.itemsize < 8):
        return value.astype("int64", copy=False)
    if kind.kind == "f" and kind.itemsize <= 8:
        return value.astype("float64", copy=False)
    return _plain(value)


def _plain(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, dict):
        return {key if type(key) is str else _key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return list(value) if set(map(type, value)) <= _PLAIN else [_plain(item) for item in value]
    return _plain(plain(value))


def _key(key: Any) -> str:
    """An object's key that is no string, as JSON writes it."""
    written: dict[str, Any] = json.loads(json.dumps({key: None}))
    return next(iter(written))

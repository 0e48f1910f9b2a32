"""JSON bodies, written as the platform's wrapper writes them."""

from __future__ import annotations

import json
import os
from typing import Any

from modelport.errors import InvalidOutput
from modelport.schemas.seldon_values import plain

try:
    import orjson
except ImportError:  # the model's environment may not have it
    orjson = None  # type: ignore[assignment]


def _is_set(key: str, default: bool) -> bool:
    stated = os.environ.get(f"FLASK_{key}")
    return default if stated is None else stated.lower() in ("1", "t", "true")


SORTED, ASCII = _is_set("JSON_SORT_KEYS", True), _is_set("JSON_AS_ASCII", True)
PRETTY = _is_set("JSONIFY_PRETTYPRINT_REGULAR", False)

_OPTIONS = (
    0
    if orjson is None
    else orjson.OPT_SERIALIZE_NUMPY
    | orjson.OPT_NON_STR_KEYS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_APPEND_NEWLINE
    | (orjson.OPT_SORT_KEYS if SORTED else 0)
    | (orjson.OPT_INDENT_2 if PRETTY else 0)
)


def written(message: Any) -> bytes:
    """The message as the platform writes it: bare NaN and Infinity, a newline at the end; sorted keys, ASCII and no
    spaces, unless the environment says otherwise.

    Raises ``InvalidOutput`` for what has no JSON form.
    """
    message = _widened(message)
    try:
        if orjson is not None:
            try:
                text = orjson.dumps(message, default=plain, option=_OPTIONS)
                if (text.isascii() or not ASCII) and b"null" not in text:  # else it may have been NaN
                    return text
            except TypeError:
                pass  # integers and strings that only ``json`` can write
        return _dumped(message)
    except RecursionError:
        raise InvalidOutput("the answer is nested too deeply, or contains itself") from None
    except (TypeError, ValueError) as fault:
        raise InvalidOutput(f"the answer has no JSON form: {fault}") from None


def _dumped(message: Any) -> bytes:
    spacing: dict[str, Any] = {"indent": 2} if PRETTY else {"separators": (",", ":")}
    text = json.dumps(message, default=plain, sort_keys=SORTED, ensure_ascii=ASCII, **spacing)
    return text.encode("utf-8", "replace") + b"\n"


def _widened(message: Any) -> Any:
    """The message with those arrays as lists that orjson would write in another form than their items: dates, and
    single precision, which has the digits of the doubles that it equals."""
    data = message.get("data") if isinstance(message, dict) else None
    if not isinstance(data, dict):
        return message
    if _is_odd(data.get("ndarray")):
        return {**message, "data": {**data, "ndarray": data["ndarray"].tolist()}}
    tensor = data.get("tensor")
    if isinstance(tensor, dict) and _is_odd(tensor.get("values")):
        return {**message, "data": {**data, "tensor": {**tensor, "values": tensor["values"].tolist()}}}
    return message


def _is_odd(array: Any) -> bool:
    kind = getattr(array, "dtype", None)
    return kind is not None and kind.char in "efM"

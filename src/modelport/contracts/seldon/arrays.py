"""What a ``SeldonMessage`` carries as a Python value, and what a component returned as a message's part.

The message is that of the REST API: plain JSON, so that whole numbers stay whole.
"""

from __future__ import annotations

import base64
import math
import sys
from typing import Any, Callable, NamedTuple

from modelport.contracts.seldon import tftensors
from modelport.errors import InvalidInput, ModelRejected

BAD_DATA = "MICROSERVICE_BAD_DATA"
INTERNAL = "MICROSERVICE_INTERNAL_ERROR"
FORMS = ("tensor", "ndarray", "tftensor")
"""What ``data`` may hold; the first one counts."""
MAX_EMPTY = 1 << 20
"""Rows, columns or the like that an array without values may claim to have."""
MAX_SHOWN = 2000
"""Characters of a message that its own error repeats."""


class Content(NamedTuple):
    """``meta`` is the message's own, for code may change it; None where it has none. ``form`` is the kind of array,
    which the reply's will be of too; None for a message without ``data``."""

    value: Any
    names: Any
    meta: Any
    form: str | None


def read(message: Any) -> Content:
    """Raises ``InvalidInput`` for what is no message, and what numpy raises for data that it cannot take."""
    if not isinstance(message, dict):
        raise wrong_type(message)
    meta = message.get("meta")
    if "meta" in message and not isinstance(meta, dict):
        raise AttributeError(f"{type(meta).__name__!r} object has no attribute 'get'")
    if "data" in message:
        return read_array(message["data"])._replace(meta=meta)
    if "jsonData" in message:
        return Content(message["jsonData"], [], meta, None)
    if "strData" in message:
        return Content(message["strData"], [], meta, None)
    if "binData" in message:
        return Content(base64.b64decode(message["binData"]), [], meta, None)
    raise wrong_type(message)


def wrong_type(message: Any) -> InvalidInput:
    """The error for what is no message."""
    return InvalidInput(f"Invalid request data type: {message}"[:MAX_SHOWN])


def read_array(data: Any) -> Content:
    """The array that the ``data`` of a message holds; an empty one where it holds none."""
    import numpy

    form = next((name for name in FORMS if name in data), None)
    names = data.get("names", []) if isinstance(data, dict) else []
    if form == "tensor":
        array = numpy.array(data["tensor"]["values"]).reshape(data["tensor"]["shape"])
        if not array.size and math.prod(n for n in array.shape if n) > MAX_EMPTY:
            raise ValueError(f"a tensor without values cannot have the shape {list(array.shape)}")
        return Content(array, names, None, form)
    if form == "tftensor":
        return Content(tftensors.read(data["tftensor"]), names, None, form)
    return Content(numpy.array(data["ndarray"] if form else []), names, None, "ndarray")


def write(value: Any, form: str | None, names: Callable[[], Any]) -> dict[str, Any]:
    """The part of a message for what a component returned. ``names`` gives the class names, where the array is to have
    any. Raises ``ModelRejected`` for a type that no message carries."""
    if isinstance(value, dict):
        return {"jsonData": value}
    if isinstance(value, (bytes, bytearray)):
        return {"binData": base64.b64encode(value).decode()}
    if isinstance(value, str):
        return {"strData": value}
    if not is_array(value):
        text = f"Unknown data type returned as payload (must be list or np array):{value}"
        raise ModelRejected(type(value).__name__, text[:MAX_SHOWN], 400, reason=BAD_DATA)
    return {"data": _datadef(value, form, names)}


def message(content: Content) -> dict[str, Any]:
    """A message that carries this content, if any does."""
    written = write(content.value, content.form, lambda: content.names)
    return {**written, "data": {**written["data"], "names": content.names}} if "data" in written else written


def is_array(value: Any) -> bool:
    """Whether it is a list or a numpy array; numpy is not imported to find that out."""
    numpy = sys.modules.get("numpy")
    return isinstance(value, list) or (numpy is not None and isinstance(value, numpy.ndarray))


def _datadef(value: Any, form: str | None, names: Callable[[], Any]) -> dict[str, Any]:
    """An array keeps the request's form, if it can: a tensor carries numbers alone. A list keeps its own items."""
    array = as_array(value)
    form = form_of(array, form)
    labels = labels_of(array, names)
    if form == "ndarray":
        return {"names": labels, "ndarray": value}
    if form == "tftensor":
        return {"names": labels, "tftensor": tftensors.write_json(array)}
    return {"names": labels, "tensor": {"shape": list(array.shape), "values": array.ravel()}}


def form_of(array: Any, form: str | None) -> str:
    """The form of array that a reply has to a request of this one; None for a request without ``data``."""
    import numpy

    return (form or "tensor") if numpy.issubdtype(array.dtype, numpy.number) else "ndarray"


def labels_of(array: Any, names: Callable[[], Any]) -> Any:
    """The names of an array's columns, where it has any; ``names`` gives the class names, or None."""
    if array.ndim <= 1:
        return []
    labels = names()
    return [f"t:{column}" for column in range(array.shape[1])] if labels is None else labels


def as_array(value: Any) -> Any:
    """A list as an array; anything else as it is."""
    if not isinstance(value, list):
        return value
    import numpy

    return numpy.array(value)


def listed(message: dict[str, Any]) -> dict[str, Any]:
    """A message with lists for arrays."""
    data = message.get("data", {})
    for holder, key in ((data, "ndarray"), (data.get("tensor", {}), "values")):
        if hasattr(holder.get(key), "tolist"):
            holder[key] = holder[key].tolist()
    return message

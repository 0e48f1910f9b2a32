"""What messages carry for models of other platforms, and what is a message's part of what those answer.

A message is plain values here, whether it came as JSON or as protobuf: rows, a tensor, text, bytes or JSON.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from modelport.core.call import Outcome
from modelport.core.conversion import content, convert
from modelport.core.model import Description
from modelport.core.payload import Blob, Column, Json, Payload, Table, Tensor, Tensors, column_to_tensor, values
from modelport.errors import InvalidInput, Unconvertible

TEXT, BYTES = "strData", "binData"
MAX_DIMENSIONS = 32


def carried(message: Any, model: Description) -> tuple[Payload, str | None]:
    """What a message carries, and the kind of its array. Bytes may be base64, and a tensor's values a buffer."""
    if isinstance(message, dict):
        if "data" in message:
            data = message["data"]
            if not isinstance(data, dict):
                raise InvalidInput("data must be an object with a tensor or an ndarray")
            return _rows(data, model), "tensor" if "tensor" in data else "ndarray"
        if "jsonData" in message:
            return Json(message["jsonData"]), None
        if isinstance(message.get(TEXT), str):
            return Blob(message[TEXT].encode("utf-8", "replace"), "text/plain", "utf-8"), None
        if isinstance(message.get(BYTES), (bytes, str)):
            return Blob(_decoded(message[BYTES]), "application/octet-stream"), None
    raise InvalidInput(f"the message has none of data, jsonData, {TEXT} and {BYTES}")


def _decoded(text: str | bytes) -> bytes:
    if isinstance(text, bytes):
        return text
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as fault:
        raise InvalidInput(f"{BYTES} is not base64: {fault}") from None


def _rows(data: dict[str, Any], model: Description) -> Payload:
    """A matrix with names is a table, and so is one that no tensor can carry; anything else is one tensor."""
    names = data.get("names") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidInput("data.names must be a list of strings")
    flat: Column
    flat, shape = _tensor(data["tensor"]) if "tensor" in data else _array(data.get("ndarray"))
    if len(shape) == 2 and shape[0] and shape[1]:
        if names and len(names) != shape[1]:
            raise InvalidInput(f"data.names has {len(names)} names, and the rows have {shape[1]} values")
        if names:
            return _table(names, flat, shape)
        try:
            return Tensors([column_to_tensor("X", flat, shape)])
        except Unconvertible:
            if model.columns and len(model.columns) != shape[1]:
                raise InvalidInput(f"the rows have {shape[1]} values, the model takes {len(model.columns)}") from None
            return _table(model.columns or list(range(shape[1])), flat, shape)
    if len(names) > 1 and len(shape) == 1:
        raise InvalidInput(
            f"data.names has {len(names)} names, and there are no rows", hint="a row is a list: [[1, 2]]"
        )
    return Tensors([column_to_tensor(names[0] if len(names) == 1 else "X", flat, shape)])


def _table(names: list[Any], flat: Column, shape: list[int]) -> Table:
    if not isinstance(flat, list) or set(map(type, flat)) == {float}:
        return Table(names, block=column_to_tensor("", flat, shape))
    return Table(names, [flat[at :: shape[1]] for at in range(shape[1])])


def _tensor(given: Any) -> tuple[Column, list[int]]:
    flat = given.get("values") if isinstance(given, dict) else None
    shape = given.get("shape") if isinstance(given, dict) else None
    if not isinstance(flat, (list, memoryview)) or not isinstance(shape, list):
        raise InvalidInput("data.tensor must have a shape and values, both lists")
    if len(shape) > MAX_DIMENSIONS or not all(type(size) is int and size >= 0 for size in shape):
        raise InvalidInput(f"data.tensor.shape must be up to {MAX_DIMENSIONS} sizes of 0 or more")
    if math.prod(shape) != len(flat):
        raise InvalidInput(f"data.tensor has {len(flat)} values, and shape {shape} takes {math.prod(shape)}")
    return flat, shape


def _array(given: Any) -> tuple[list[Any], list[int]]:
    """Nested lists, flat, and their shape."""
    if not isinstance(given, list):
        raise InvalidInput("data must have a tensor, or an ndarray that is a list")
    flat, shape = given, [len(given)]
    while flat and isinstance(flat[0], list) and len(shape) <= MAX_DIMENSIONS:
        if set(map(type, flat)) != {list} or len(set(map(len, flat))) > 1:
            raise InvalidInput("data.ndarray has lists of different lengths, or lists beside values")
        shape.append(len(flat[0]))
        flat = list(chain.from_iterable(flat))
    if any(isinstance(value, list) for value in flat):
        raise InvalidInput("data.ndarray has lists beside values, or too many dimensions")
    return flat, shape


def answered(outcome: Outcome, kind: str | None) -> dict[str, Any]:
    """What the model answered, as the platform says it: where there are classes, the probabilities of each. Bytes stay
    bytes."""
    payload = outcome.payload
    if outcome.probabilities:
        return _matrix(outcome.probabilities, list(outcome.probabilities.values()), kind)
    if payload is None:
        predictions = [] if outcome.predictions is None else outcome.predictions
        return _data([], [len(predictions)], values(predictions), kind)
    if isinstance(payload, Blob):
        return written_by_model(payload)
    if isinstance(payload, Table):
        return _matrix(payload.names, payload.columns, kind)
    if isinstance(payload, Tensors) and len(payload.items) == 1:
        (tensor,) = payload.items
        names = [f"t:{at}" for at in range(tensor.shape[1])] if len(tensor.shape) > 1 else []
        return _data(names, list(tensor.shape), tensor.flat(), kind)
    answer = convert(payload, "json")
    assert isinstance(answer, Json)
    return {"jsonData": answer.value}


def _matrix(names: Iterable[Any], columns: Sequence[Column], kind: str | None) -> dict[str, Any]:
    lists = list(map(values, columns))
    shape = [len(lists[0]) if lists else 0, len(lists)]
    return _data(list(map(str, names)), shape, list(chain.from_iterable(zip(*lists))), kind)


def _data(names: list[str], shape: list[int], flat: list[Any], kind: str | None) -> dict[str, Any]:
    """Numbers in the kind of array that was sent, or as a tensor where none was; anything else as nested lists."""
    if kind != "ndarray" and set(map(type, flat)) <= {int, float}:
        return {"data": {"names": names, "tensor": {"shape": shape, "values": flat}}}
    return {"data": {"names": names, "ndarray": Tensor("", "", shape, flat).nested()}}


def written_by_model(blob: Blob) -> dict[str, Any]:
    """What a model wrote itself: the value of JSON, the text, or the bytes."""
    found = content(blob)
    if isinstance(found, Json):
        return {"jsonData": found.value}
    return {TEXT: found} if isinstance(found, str) else {BYTES: found}

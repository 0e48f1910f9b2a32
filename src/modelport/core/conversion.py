"""The only place where one kind of payload becomes another: faithfully, or not at all."""

from __future__ import annotations

import base64
import datetime
import math
from collections.abc import Sequence
from typing import Any, Callable

from modelport.core import jsontext, mediatype, tabular
from modelport.core.payload import (
    TYPECODES,
    Args,
    Blob,
    Column,
    Json,
    Payload,
    Table,
    Tensor,
    Tensors,
    column_to_tensor,
    kind_of,
)
from modelport.errors import InvalidInput, InvalidOutput, Unconvertible

MAX_EMPTY = 1 << 20
"""Rows, columns or the like that a tensor may have beside a dimension of 0."""


def convert(payload: Payload, kind: str, columns: Sequence[str] = (), limit: int = tabular.LIMIT) -> Payload:
    """``payload`` as another kind ("table", "tensors", "blob", "json", "args").

    ``columns`` names the columns that the model expects, where that is known; ``limit`` is in bytes, for what is
    compressed. Raises ``Unconvertible`` naming both sides where there is no faithful way.
    """
    have = kind_of(payload)
    if have == kind:
        return payload
    if isinstance(payload, Tensors) and kind == "table":
        return _tensors_to_table(payload, columns)
    if isinstance(payload, Blob) and kind in ("table", "tensors"):
        table = tabular.read_table(payload, limit)
        return table if kind == "table" else _table_to_tensors(table)
    way = _WAYS.get((have, kind))
    if way is None:
        raise Unconvertible(
            f"this model takes {kind}, and {have} cannot become {kind} without loss",
            hint=f"what can: {', '.join(sorted({source for source, target in WAYS if target == kind}))}",
        )
    converted: Payload = way(payload)
    return converted


def content(answer: Blob) -> Json | str | bytes:
    """What a model's own bytes are: the JSON that they are called, the text that they have a charset for, else bytes.

    Raises ``InvalidOutput`` where they are not what the model called them.
    """
    data = bytes(answer.data)
    if "json" in answer.media_type:
        try:
            return Json(jsontext.loads(data))
        except ValueError as fault:
            raise InvalidOutput(
                f"the model called its answer {answer.media_type}, and it is no JSON: {fault}"
            ) from None
    if answer.charset is None:
        return data
    try:
        return data.decode(answer.charset)
    except (LookupError, ValueError):
        raise InvalidOutput(f"the model called its answer text in {answer.charset[:40]}, and it is not") from None


def _tensors_to_table(payload: Tensors, columns: Sequence[str]) -> Table:
    tensors = payload.items
    for tensor in tensors:
        _check_empty(tensor)
    if len(tensors) == 1 and len(tensors[0].shape) == 2:
        return _matrix_to_table(tensors[0], columns)
    lengths = {tensor.rows for tensor in tensors}
    if len(lengths) > 1:
        sizes = ", ".join(f"{tensor.name!r} {tensor.rows}" for tensor in tensors)
        raise InvalidInput(f"as columns of one table the inputs need equal lengths, but have {sizes}")
    names: list[str] = []
    cells: list[Column] = []
    for tensor in tensors:
        if tensor.size != tensor.rows:
            raise Unconvertible(
                f"this model takes a table, and input {tensor.name!r} of shape {list(tensor.shape)} is not a column",
                hint="send one [n] or [n, 1] input a column, or a single [n, columns] input",
            )
        names.append(tensor.name)
        cells.append(_as_column(tensor))
    return Table(names, cells)


def _check_empty(tensor: Tensor) -> None:
    """A tensor without values may still have a shape that would make a great many rows or columns."""
    if not tensor.size and math.prod(n for n in tensor.shape if n) > MAX_EMPTY:
        raise InvalidInput(f"input {tensor.name!r} has no values, and too large a shape: {list(tensor.shape)}")


def _matrix_to_table(tensor: Tensor, columns: Sequence[str]) -> Table:
    rows, width = tensor.shape
    names: Sequence[Any]
    if columns and len(columns) != width:
        raise InvalidInput(
            f"input {tensor.name!r} has {width} columns, the model takes {len(columns)}: {', '.join(columns)}"
        )
    names = columns or ([tensor.name] if width == 1 else list(range(width)))
    if tensor.datatype in TYPECODES:
        return Table(names, block=tensor)
    flat = _as_column(tensor)
    return Table(names, [flat[i::width] for i in range(width)]) if width else Table.empty(rows)


def _as_column(tensor: Tensor) -> Column:
    if tensor.datatype == "BYTES":
        hint = tensor.parameters.get("content_type")
        read = _HINTS.get(hint, _decoded) if isinstance(hint, str) else _decoded
        try:
            return [None if value is None else read(value) for value in tensor.data]
        except ValueError as fault:
            raise InvalidInput(f"input {tensor.name!r} is not {hint}: {fault}") from None
    return tensor.flat() if tensor.datatype in ("FP16", "BF16") else tensor.data


def _decoded(value: Any) -> Any:
    """Strings must not arrive as bytes; what is not UTF-8 stays as it is."""
    if isinstance(value, (bytes, memoryview)):
        try:
            return str(value, "utf-8")
        except UnicodeDecodeError:
            return bytes(value)
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value, "utf-8")


def _moment(value: Any) -> datetime.datetime:
    text = _text(value)
    return datetime.datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)


_HINTS: dict[str, Callable[[Any], Any]] = {
    "str": _text,
    "base64": lambda value: base64.b64decode(value, validate=True),
    "datetime": _moment,
}
"""What a ``content_type`` parameter says that strings stand for."""


def _tensors_to_args(payload: Tensors) -> Args:
    return Args({tensor.name: _argument(tensor) for tensor in payload.items})


def _argument(tensor: Tensor) -> Any:
    _check_empty(tensor)
    plain = Tensor(tensor.name, tensor.datatype, tensor.shape, _as_column(tensor))
    return plain.flat()[0] if plain.size == 1 and len(plain.shape) < 2 else plain.nested()


def _table_to_tensors(payload: Table) -> Tensors:
    return Tensors([column_to_tensor(str(name), column) for name, column in zip(payload.names, payload.columns)])


def _table_to_args(payload: Table) -> Args:
    if len(payload) != 1:
        raise Unconvertible(f"a function takes one set of arguments, and the table has {len(payload)} rows")
    return Args(payload.to_records()[0])


def _json_to_table(payload: Json) -> Table:
    records = payload.value if isinstance(payload.value, list) else [payload.value]
    if not all(isinstance(record, dict) for record in records):
        raise Unconvertible("this model takes a table: JSON must be an object, or a list of objects, one a row")
    return Table.from_records(records)


def _json_to_args(payload: Json) -> Args:
    if not isinstance(payload.value, dict):
        raise Unconvertible("arguments have names: JSON must be an object")
    return Args(payload.value)


def _blob_to_json(payload: Blob) -> Json:
    if "json" not in payload.media_type and payload.media_type not in mediatype.OPEN:
        raise Unconvertible(f"{payload.media_type} is not JSON")
    try:
        return Json(jsontext.loads(payload.data))
    except ValueError as fault:
        raise InvalidInput(f"not JSON: {fault}") from None


def _args_to_blob(payload: Args) -> Blob:
    try:
        return Blob(jsontext.dumps(payload.values), "application/json", "utf-8")
    except TypeError as fault:
        raise Unconvertible(f"the arguments have no JSON form: {fault}") from None


def _tensors_to_blob(payload: Tensors) -> Blob:
    """The one BYTES element: text if it came as text, else bytes, unless its ``content_type`` says more."""
    tensor = payload.items[0] if len(payload.items) == 1 else None
    if tensor is None or tensor.datatype != "BYTES" or tensor.size != 1 or tensor.data[0] is None:
        raise Unconvertible(
            "this model takes one text or one sequence of bytes",
            hint='send one BYTES input of shape [1]; its parameter content_type may name a media type, as "text/csv"',
        )
    given = tensor.parameters.get("content_type")
    hint = given if isinstance(given, str) else ""
    value = _as_column(tensor)[0] if hint in _HINTS else tensor.data[0]
    if isinstance(value, datetime.datetime):
        value = tensor.data[0]
    media_type, charset = mediatype.parsed(hint) if "/" in hint else ("", None)
    if isinstance(value, str):
        return Blob(value.encode(), media_type or "text/plain", "utf-8")
    media_type = media_type or "application/octet-stream"
    return Blob(bytes(value), media_type, charset or ("utf-8" if mediatype.is_text(media_type) else None))


_WAYS: dict[tuple[str, str], Callable[[Any], Payload]] = {
    ("tensors", "args"): _tensors_to_args,
    ("tensors", "json"): lambda payload: Json(_tensors_to_args(payload).values),
    ("table", "tensors"): _table_to_tensors,
    ("table", "args"): _table_to_args,
    ("table", "json"): lambda payload: Json(payload.to_records()),
    ("json", "table"): _json_to_table,
    ("json", "args"): _json_to_args,
    ("json", "blob"): lambda payload: Blob(jsontext.dumps(payload.value), "application/json", "utf-8"),
    ("args", "table"): lambda payload: Table.from_records([payload.values]),
    ("args", "json"): lambda payload: Json(payload.values),
    ("blob", "json"): _blob_to_json,
    ("blob", "args"): lambda payload: _json_to_args(_blob_to_json(payload)),
    ("tensors", "blob"): _tensors_to_blob,
    ("args", "blob"): _args_to_blob,
}
WAYS = frozenset(_WAYS) | {("tensors", "table"), ("blob", "table"), ("blob", "tensors")}
"""Every (from, to) that there is."""

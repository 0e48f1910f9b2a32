"""What a request carries, and the only place where one kind becomes another.

Columns and tensor data are *typed buffers* (``array.array``, ``memoryview``, ``numpy.ndarray``: whatever speaks
the buffer protocol with a native number format) or lists of Python values. So this module needs no numpy, and
numpy can wrap a buffer without copying it.
"""

from __future__ import annotations

import base64
import datetime
import math
import struct
from array import array
from collections.abc import Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, Callable, NamedTuple, Union

from modelport.core import jsontext
from modelport.errors import InvalidInput, Unconvertible

Column = Any
"""A typed buffer or a list, one value a row."""

TYPECODES = {
    "BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q",
    "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q",
    "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip
"""Number types and their ``struct`` format; BYTES (strings) and BF16 (opaque bytes) have none."""

SIZES = {name: struct.calcsize(code) for name, code in TYPECODES.items()}
SIZES["BF16"] = 2

_FORMATS = {code: name for name, code in TYPECODES.items()}
_FORMATS.update({"l": "INT64", "L": "UINT64"})


class Tensor:
    """A named n-dimensional array, row-major.

    ``data`` holds ``product(shape)`` values: a typed buffer for number types, a list of ``str`` or ``bytes``
    for BYTES, raw little-endian bytes for BF16.
    """

    __slots__ = ("name", "datatype", "shape", "data", "parameters")

    def __init__(
        self,
        name: str,
        datatype: str,
        shape: Sequence[int],
        data: Any,
        parameters: dict[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.datatype = datatype
        self.shape = tuple(shape)
        self.data = data
        self.parameters = parameters or {}

    @property
    def rows(self) -> int:
        return self.shape[0] if self.shape else 1

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def flat(self) -> list[Any]:
        """The values as a flat list of Python values."""
        return values(self.data, self.datatype)

    def nested(self) -> Any:
        """The values nested as the shape says; one plain value for a scalar."""
        flat = self.flat()
        if not self.shape:
            return flat[0]
        for width in reversed(self.shape[1:]):
            count = len(flat) // width if width else math.prod(self.shape[:-1])
            flat = [flat[i * width : (i + 1) * width] for i in range(count)]
        return flat


class Tensors:
    """Named tensors, in order."""

    __slots__ = ("items",)

    def __init__(self, items: Sequence[Tensor]) -> None:
        self.items = list(items)

    def __len__(self) -> int:
        return self.items[0].rows if self.items else 0


class Table:
    """Rows with named columns.

    Held as one 2-D ``block`` tensor when all cells are of one number type, else as ``columns``. An absent cell
    is ``nan``, a null is ``None``.
    """

    __slots__ = ("names", "block", "_columns", "_length")

    def __init__(
        self, names: Sequence[Any], columns: Sequence[Column] | None = None, block: Tensor | None = None
    ) -> None:
        self.names = tuple(names)
        self.block = block
        self._columns = columns
        if block is not None:
            self._length = block.shape[0]
        else:
            self._length = len(columns[0]) if columns else 0

    def __len__(self) -> int:
        return self._length

    @property
    def columns(self) -> Sequence[Column]:
        """One column a name, in order."""
        if self._columns is None:
            data = memoryview(self.block.data)  # type: ignore[union-attr]
            width = len(self.names)
            self._columns = [data[i::width] for i in range(width)]
        return self._columns

    @classmethod
    def empty(cls, length: int) -> Table:
        """Rows that have no columns at all."""
        table = cls((), ())
        table._length = length
        return table

    @classmethod
    def from_records(cls, records: list[dict[str, Any]]) -> Table:
        """Rows given as objects. Columns come in first-seen order; numbers, strings and nulls stay as they are."""
        if not records:
            return cls.empty(0)
        first = records[0]
        names = tuple(first)
        if not names:
            names = tuple(dict.fromkeys(chain.from_iterable(records)))
            if not names:
                return cls.empty(len(records))
        if len(records) == 1:
            flat = list(first.values())
        else:
            width = len(names)
            take = itemgetter(*names) if width > 1 else (lambda record: (record[names[0]],))
            try:
                flat = list(chain.from_iterable(map(take, records)))
            except KeyError:
                return cls._from_uneven(records)
            if set(map(len, records)) != {width}:
                return cls._from_uneven(records)
        if set(map(type, flat)) == {float}:
            return cls(names, block=Tensor("", "FP64", (len(records), len(names)), array("d", flat)))
        width = len(names)
        return cls(names, [flat[i::width] for i in range(width)])

    @classmethod
    def _from_uneven(cls, records: list[dict[str, Any]]) -> Table:
        names = tuple(dict.fromkeys(chain.from_iterable(records)))
        absent = math.nan
        return cls(names, [[record.get(name, absent) for record in records] for name in names])

    def to_records(self) -> list[dict[str, Any]]:
        lists = [values(column) for column in self.columns]
        if not lists:
            return [{} for _ in range(len(self))]
        return [dict(zip(self.names, row)) for row in zip(*lists)]


class Blob:
    """Bytes with a media type; text when it has a charset."""

    __slots__ = ("data", "media_type", "charset")

    def __init__(self, data: bytes, media_type: str, charset: str | None = None) -> None:
        self.data = data
        self.media_type = media_type
        self.charset = charset


class Json:
    """Any JSON value."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Args:
    """Named arguments."""

    __slots__ = ("values",)

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values


Payload = Union[Table, Tensors, Blob, Json, Args]
KINDS: dict[str, type[Any]] = {"table": Table, "tensors": Tensors, "blob": Blob, "json": Json, "args": Args}


def kind_of(payload: Payload) -> str:
    return type(payload).__name__.lower()


# --- columns ---------------------------------------------------------------------------------------------


def buffer_format(column: Column) -> str | None:
    """The neutral type of a typed buffer ("FP64"), or None for a list or an unknown format."""
    if isinstance(column, list):
        return None
    try:
        view = memoryview(column)
    except (TypeError, ValueError):
        return None
    return _FORMATS.get(view.format)


def values(column: Column, datatype: str | None = None) -> list[Any]:
    """A column or tensor data as a list of Python values."""
    if isinstance(column, list):
        return column
    if datatype == "BF16":
        raw = memoryview(column).cast("B")
        wide = b"".join(b"\0\0" + bytes(raw[i : i + 2]) for i in range(0, len(raw), 2))
        return list(struct.unpack(f"<{len(raw) // 2}f", wide))
    if isinstance(column, memoryview) and column.format == "e":
        return list(struct.unpack(f"{len(column)}e", bytes(column)))
    tolist = getattr(column, "tolist", None)
    return tolist() if tolist is not None else list(column)  # type: ignore[no-any-return]


def typed_buffer(data: list[Any], datatype: str) -> Any:
    """A flat list as a typed buffer. Raises ``ValueError`` naming the first value that does not fit."""
    code = TYPECODES[datatype]
    kinds = set(map(type, data))
    if datatype == "BOOL":
        fits = kinds <= {bool}
    elif code in "efd":
        fits = kinds <= {int, float, type(None)}
        if type(None) in kinds:
            data = [math.nan if value is None else value for value in data]
    else:
        fits = kinds <= {int}
    try:
        if not fits:
            raise TypeError
        if code == "?":
            return memoryview(bytes(data)).cast("?")
        if code == "e":
            return memoryview(bytearray(struct.pack(f"{len(data)}e", *data))).cast("B").cast("e")
        return array(code, data)
    except (TypeError, OverflowError, struct.error):
        raise ValueError(f"{_first_misfit(data, datatype)} is not a {datatype}") from None


def _first_misfit(data: list[Any], datatype: str) -> str:
    for value in data:
        try:
            fits = isinstance(value, bool) if datatype == "BOOL" else not isinstance(value, (bool, str))
            struct.pack(TYPECODES[datatype], value)
        except (TypeError, OverflowError, struct.error):
            fits = False
        if not fits:
            return jsontext.dumps(value).decode()[:80]
    return "a value"


def raw_buffer(raw: Any, datatype: str) -> Any:
    """Raw little-endian bytes as a typed buffer (no copy). Size must have been checked."""
    if datatype == "BF16":
        return raw
    return memoryview(raw).cast("B").cast(TYPECODES[datatype])


def column_to_tensor(name: str, column: Column, shape: Sequence[int] | None = None) -> Tensor:
    """A column as a tensor of the type its values have.

    Numbers with missing values become FP64 with NaN; strings become BYTES. Raises ``Unconvertible`` for mixed
    or nested values.
    """
    shape = (len(column),) if shape is None else shape
    datatype = buffer_format(column)
    if datatype is not None:
        return Tensor(name, datatype, shape, column)
    cells = values(column)
    kinds = set(map(type, cells))
    missing = type(None) in kinds
    kinds.discard(type(None))
    if kinds and all(issubclass(kind, (str, bytes)) for kind in kinds):
        return Tensor(name, "BYTES", shape, cells)
    if kinds <= {bool} and kinds and not missing:
        return Tensor(name, "BOOL", shape, typed_buffer(cells, "BOOL"))
    if kinds == {int} and not missing:
        try:
            return Tensor(name, "INT64", shape, array("q", cells))
        except OverflowError:
            pass
    if kinds <= {int, float}:
        return Tensor(name, "FP64", shape, typed_buffer(cells, "FP64"))
    if kinds:
        texts = [None if cell is None else _text(cell) for cell in cells]
        if all(text is None or isinstance(text, str) for text in texts):
            return Tensor(name, "BYTES", shape, texts)
    raise Unconvertible(
        f"column {name!r} holds {', '.join(sorted(kind.__name__ for kind in kinds)) or 'only nulls'}: "
        "no tensor type carries that"
    )


def _text(cell: Any) -> Any:
    plain = jsontext.loads(jsontext.dumps(cell))
    return plain if isinstance(plain, str) else cell


# --- conversions -----------------------------------------------------------------------------------------


def convert(payload: Payload, kind: str, columns: Sequence[str] = ()) -> Payload:
    """``payload`` as another kind ("table", "tensors", "blob", "json", "args").

    ``columns`` names the columns that the model expects, where that is known. Raises ``Unconvertible`` naming
    both sides where there is no faithful way.
    """
    have = kind_of(payload)
    if have == kind:
        return payload
    way = _WAYS.get((have, kind))
    if way is None:
        raise Unconvertible(
            f"this model takes {kind}, and {have} cannot become {kind} without loss",
            hint=f"what can: {', '.join(sorted(source for source, target in _WAYS if target == kind))}",
        )
    return way(payload, columns)


def _tensors_to_table(payload: Tensors, columns: Sequence[str]) -> Table:
    tensors = payload.items
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


def _matrix_to_table(tensor: Tensor, columns: Sequence[str]) -> Table:
    rows, width = tensor.shape
    names: Sequence[Any]
    if columns and len(columns) != width:
        raise InvalidInput(
            f"input {tensor.name!r} has {width} columns, the model takes {len(columns)}: {', '.join(columns)}"
        )
    names = columns or ([tensor.name] if width == 1 else list(range(width)))
    if tensor.datatype in TYPECODES and tensor.datatype != "FP16":
        return Table(names, block=tensor)
    flat = _as_column(tensor)
    return Table(names, [flat[i::width] for i in range(width)]) if width else Table.empty(rows)


def _as_column(tensor: Tensor) -> Column:
    if tensor.datatype == "BYTES":
        read = _HINTS.get(tensor.parameters.get("content_type", ""), _decoded)
        try:
            return [None if value is None else read(value) for value in tensor.data]
        except ValueError as fault:
            raise InvalidInput(f"input {tensor.name!r}: {fault}") from None
    return tensor.flat() if tensor.datatype in ("FP16", "BF16") else tensor.data


def _decoded(value: Any) -> Any:
    """Strings must not arrive as bytes; what is not UTF-8 stays as it is."""
    if isinstance(value, (bytes, memoryview)):
        try:
            return str(value, "utf-8")
        except UnicodeDecodeError:
            return bytes(value)
    return value


_HINTS: dict[Any, Callable[[Any], Any]] = {
    "base64": lambda value: base64.b64decode(value, validate=True),
    "datetime": lambda value: datetime.datetime.fromisoformat(_decoded(value)),
}
"""What a ``content_type`` parameter says that strings stand for."""


def _tensors_to_args(payload: Tensors, columns: Sequence[str]) -> Args:
    return Args({tensor.name: _argument(tensor) for tensor in payload.items})


def _argument(tensor: Tensor) -> Any:
    plain = Tensor(tensor.name, tensor.datatype, tensor.shape, _as_column(tensor))
    return plain.flat()[0] if plain.size == 1 and len(plain.shape) < 2 else plain.nested()


def _table_to_tensors(payload: Table, columns: Sequence[str]) -> Tensors:
    if payload.block is not None and not columns:
        return Tensors([payload.block])
    return Tensors([column_to_tensor(str(name), column) for name, column in zip(payload.names, payload.columns)])


def _table_to_args(payload: Table, columns: Sequence[str]) -> Args:
    if len(payload) != 1:
        raise Unconvertible(f"a function takes one set of arguments, and the table has {len(payload)} rows")
    return Args(payload.to_records()[0])


def _json_to_table(payload: Json, columns: Sequence[str]) -> Table:
    records = payload.value if isinstance(payload.value, list) else [payload.value]
    if not all(isinstance(record, dict) for record in records):
        raise Unconvertible("this model takes a table: JSON must be an object, or a list of objects, one a row")
    return Table.from_records(records)


def _json_to_args(payload: Json, columns: Sequence[str]) -> Args:
    if not isinstance(payload.value, dict):
        raise Unconvertible("arguments have names: JSON must be an object")
    return Args(payload.value)


def _blob_to_json(payload: Blob, columns: Sequence[str]) -> Json:
    if "json" not in payload.media_type:
        raise Unconvertible(f"{payload.media_type} is not JSON")
    try:
        return Json(jsontext.loads(payload.data))
    except ValueError as fault:
        raise InvalidInput(f"not JSON: {fault}") from None


_WAYS: dict[tuple[str, str], Callable[[Any, Sequence[str]], Any]] = {
    ("tensors", "table"): _tensors_to_table,
    ("tensors", "args"): _tensors_to_args,
    ("tensors", "json"): lambda payload, columns: Json(_tensors_to_args(payload, columns).values),
    ("table", "tensors"): _table_to_tensors,
    ("table", "args"): _table_to_args,
    ("table", "json"): lambda payload, columns: Json(payload.to_records()),
    ("json", "table"): _json_to_table,
    ("json", "args"): _json_to_args,
    ("json", "blob"): lambda payload, columns: Blob(jsontext.dumps(payload.value), "application/json", "utf-8"),
    ("args", "table"): lambda payload, columns: Table.from_records([payload.values]),
    ("args", "json"): lambda payload, columns: Json(payload.values),
    ("blob", "json"): _blob_to_json,
}


# --- batches ---------------------------------------------------------------------------------------------


class Batch(NamedTuple):
    """Several payloads as one, and how many rows each of them brought."""

    payload: Payload
    rows: list[int]


def merge(payloads: Sequence[Payload]) -> Batch | None:
    """The payloads as one, or None when their outlines differ (columns, types, trailing dimensions)."""
    first = payloads[0]
    if isinstance(first, Table):
        return _merge_tables(payloads)
    if isinstance(first, Tensors):
        return _merge_tensors(payloads)
    return None


def _merge_tables(payloads: Sequence[Any]) -> Batch | None:
    first = payloads[0]
    if any(not isinstance(table, Table) or table.names != first.names for table in payloads):
        return None
    rows = [len(table) for table in payloads]
    if all(table.block is not None for table in payloads):
        if len({table.block.datatype for table in payloads}) > 1:
            return None
        data = b"".join([table.block.data for table in payloads])
        block = Tensor("", first.block.datatype, (sum(rows), len(first.names)), raw_buffer(data, first.block.datatype))
        return Batch(Table(first.names, block=block), rows)
    if any(table.block is not None for table in payloads):
        return None  # the same column would be float in one request and something else in its neighbour
    parts = [[values(column) for column in table.columns] for table in payloads]
    return Batch(Table(first.names, [list(chain.from_iterable(cells)) for cells in zip(*parts)]), rows)


def _merge_tensors(payloads: Sequence[Any]) -> Batch | None:
    def outline(payload: Any) -> Any:
        return [(t.name, t.datatype, t.shape[1:]) for t in payload.items] if isinstance(payload, Tensors) else None

    first = outline(payloads[0])
    if any(outline(payload) != first or any(not t.shape for t in payload.items) for payload in payloads):
        return None
    rows = [len(payload) for payload in payloads]
    if any(t.rows != n for payload, n in zip(payloads, rows) for t in payload.items):
        return None
    merged = []
    for parts in zip(*(payload.items for payload in payloads)):
        head = parts[0]
        if head.datatype == "BYTES":
            data: Any = list(chain.from_iterable(part.data for part in parts))
        else:
            data = raw_buffer(b"".join([part.data for part in parts]), head.datatype)
        merged.append(Tensor(head.name, head.datatype, (sum(rows), *head.shape[1:]), data))
    return Batch(Tensors(merged), rows)

"""What a request carries: Table, Tensors, Blob, Json, Args.

Columns and tensor data are *typed buffers* (``array.array``, ``memoryview``, ``numpy.ndarray``: whatever speaks
the buffer protocol with a native number format) or lists of Python values. So this module needs no numpy, and
numpy can wrap a buffer without copying it.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple, Union

from modelport.core import claims, jsontext
from modelport.errors import Unconvertible

Column = Any
"""A typed buffer or a list, one value a row."""

TYPECODES: dict[str, Any] = {
    "BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q",
    "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q",
    "FP32": "f", "FP64": "d",
}  # fmt: skip
"""Number types and their native format. BYTES (strings) has none, nor have FP16 and BF16: before Python 3.12 no
buffer can be seen as half floats, so theirs are opaque bytes."""

SIZES = {name: struct.calcsize(code) for name, code in TYPECODES.items()}
SIZES.update(FP16=2, BF16=2)

_FORMATS = {code: name for name, code in TYPECODES.items()}
_FORMATS.update({"l": "INT64", "L": "UINT64", "e": "FP16"})
_PLAIN = {bool, int, float, str, bytes, type(None)}
_BYTES = 8
"""What a cell takes at least in JSON, with its name."""
_EXACT = 1 << 53
"""Up to here every integer has a float of its own."""


class Tensor:
    """A named n-dimensional array, row-major.

    ``data`` holds ``product(shape)`` values: a contiguous typed buffer for number types, a list of ``str`` or
    ``bytes`` for BYTES, raw little-endian bytes for FP16 and BF16.
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
        for axis in range(len(self.shape) - 1, 0, -1):
            width = self.shape[axis]
            flat = [flat[i * width : (i + 1) * width] for i in range(math.prod(self.shape[:axis]))]
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
        """Rows given as objects. Columns come in first-seen order; numbers, strings and nulls stay as they are.

        Raises ``BodyTooLarge`` for too many columns, and where nearly all cells are absent ones.
        """
        if not records:
            return cls.empty(0)
        first = records[0]
        names = tuple(first)
        if not names:
            names = tuple(dict.fromkeys(chain.from_iterable(records)))
            if not names:
                return cls.empty(len(records))
        claims.check(1, len(names), claims.FEW)
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
        claims.check(len(records), len(names), claims.most(_BYTES * sum(map(len, records))))
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
    """Any JSON value. ``origin`` is the protocol whose own message it is, for a contract of the same platform."""

    __slots__ = ("value", "origin")

    def __init__(self, value: Any, origin: str | None = None) -> None:
        self.value = value
        self.origin = origin


class Upload(NamedTuple):
    """A file among the arguments. ``filename`` is what the client calls it; ``data`` may be a view of the body."""

    filename: str
    content_type: str | None
    data: Any


class Args:
    """Named arguments. Where it matters by which way each came, they are in ``places`` instead: "query", "form",
    "headers" and "cookies" map a name to the list of its values, "json" a name to its value.
    """

    __slots__ = ("values", "places")

    def __init__(self, values: dict[str, Any], places: dict[str, dict[str, Any]] | None = None) -> None:
        self.values = values
        self.places = places


Payload = Union[Table, Tensors, Blob, Json, Args]


def kind_of(payload: Payload) -> str:
    """ "table", "tensors", "blob", "json" or "args"."""
    return type(payload).__name__.lower()


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
    if datatype in ("FP16", "BF16"):
        raw = bytes(memoryview(column))
        count = len(raw) // 2
        if datatype == "FP16":
            return list(struct.unpack(f"<{count}e", raw))
        wide = b"".join(b"\0\0" + raw[i : i + 2] for i in range(0, len(raw), 2))
        return list(struct.unpack(f"<{count}f", wide))
    tolist = getattr(column, "tolist", None)
    return list(column) if tolist is None else tolist()


def typed_buffer(data: list[Any], datatype: str, has_booleans: bool = True) -> Any:
    """A flat list as a typed buffer. Raises ``ValueError`` naming the first value that does not fit.

    Without ``has_booleans`` the caller knows that there are none, which an array would take for numbers; looking for
    them costs as much as all the rest.
    """
    code = TYPECODES[datatype]
    if code == "d" and not has_booleans:
        try:
            return array("d", data)
        except (TypeError, OverflowError):
            pass  # nulls, or a misfit worth naming
    kinds = set(map(type, data))
    if datatype == "BOOL":
        fits = kinds <= {bool}
    elif code in "fd":
        fits = kinds <= {int, float, type(None)}
        if type(None) in kinds:
            data = [math.nan if value is None else value for value in data]
    else:
        fits = kinds <= {int}
    try:
        if not fits:
            raise TypeError
        if code == "?":
            return memoryview(bytearray(data)).cast("?")
        if code in "fd":  # packing in a standard size refuses what is too large; an array would make it infinite
            return memoryview(bytearray(struct.pack(f"={len(data)}{code}", *data))).cast(code)
        return array(code, data)
    except (TypeError, OverflowError, struct.error):
        raise ValueError(f"{_first_misfit(data, datatype)} is not a {datatype}") from None


def _first_misfit(data: list[Any], datatype: str) -> str:
    for value in data:
        try:
            fits = isinstance(value, bool) if datatype == "BOOL" else not isinstance(value, (bool, str))
            struct.pack("=" + TYPECODES[datatype], value)
        except (TypeError, OverflowError, struct.error):
            fits = False
        if not fits:
            return jsontext.shown(value)
    return "a value"


def raw_buffer(raw: Any, datatype: str) -> Any:
    """Raw little-endian bytes as a typed buffer (no copy). Size must have been checked."""
    code = TYPECODES.get(datatype)
    return raw if code is None else memoryview(raw).cast("B").cast(code)


def column_to_tensor(name: str, column: Column, shape: Sequence[int] | None = None) -> Tensor:
    """A column as a tensor of the type its values have.

    Numbers with missing values become FP64 with NaN; strings become BYTES. Raises ``Unconvertible`` for mixed
    or nested values, and for integers that would lose digits.
    """
    shape = (len(column),) if shape is None else shape
    datatype = buffer_format(column)
    if datatype is not None:
        view = memoryview(column)
        return Tensor(name, datatype, shape, column if view.c_contiguous else raw_buffer(view.tobytes(), datatype))
    cells = values(column)
    given = set(map(type, cells))
    if not given <= _PLAIN:
        cells = [cell if type(cell) in _PLAIN else _plain(cell) for cell in cells]
    tensor = _list_to_tensor(name, cells, shape)
    if tensor is None:
        kinds = ", ".join(sorted("null" if kind is type(None) else kind.__name__ for kind in given))
        raise Unconvertible(f"column {name!r} holds {kinds}: no tensor type carries that")
    return tensor


def _list_to_tensor(name: str, cells: list[Any], shape: Sequence[int]) -> Tensor | None:
    kinds = set(map(type, cells))
    if kinds == {bool}:
        return Tensor(name, "BOOL", shape, typed_buffer(cells, "BOOL"))
    if kinds == {int}:
        for datatype in ("INT64", "UINT64"):
            try:
                return Tensor(name, datatype, shape, array(TYPECODES[datatype], cells))
            except OverflowError:
                pass
    kinds.discard(type(None))
    if kinds and kinds <= {str, bytes}:
        return Tensor(name, "BYTES", shape, cells)
    if kinds <= {int, float} and all(type(cell) is not int or -_EXACT <= cell <= _EXACT for cell in cells):
        return Tensor(name, "FP64", shape, typed_buffer(cells, "FP64"))
    return None


def _plain(cell: Any) -> Any:
    """What JSON makes of a value: numpy's numbers become Python's, dates become text."""
    try:
        return jsontext.loads(jsontext.dumps(cell))
    except TypeError:
        return cell

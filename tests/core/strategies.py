"""What may be sent: JSON values, tensors, tables."""

from __future__ import annotations

import math
import struct
from array import array
from typing import Any

from hypothesis import strategies as st

from modelport.core.payload import SIZES, TYPECODES, Table, Tensor, raw_buffer, typed_buffer

INTEGERS = {
    f"{sign}INT{bits}": (-(2 ** (bits - 1)) if not sign else 0, 2 ** (bits - bool(not sign)) - 1)
    for sign in ("", "U")
    for bits in (8, 16, 32, 64)
}
DATATYPES = [*SIZES, "BYTES"]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=20,
)

shapes = st.lists(st.integers(0, 4), max_size=3)


def elements(datatype: str) -> st.SearchStrategy[Any]:
    """Values of one data type; of FP16 and BF16 those that the type holds exactly."""
    if datatype == "BOOL":
        return st.booleans()
    if datatype == "BYTES":
        return st.text(max_size=8)
    if datatype in INTEGERS:
        return st.integers(*INTEGERS[datatype])
    if datatype == "BF16":
        return st.integers(-128, 128).map(float)
    code = {**TYPECODES, "FP16": "e"}[datatype]
    return st.floats(allow_nan=False, allow_infinity=False, width=64).map(lambda value: rounded(value, code))


def rounded(value: float, code: str) -> float:
    """The nearest that the type holds; what is too large for it becomes 1."""
    try:
        return float(struct.unpack(f"<{code}", struct.pack(f"<{code}", value))[0])
    except OverflowError:
        return 1.0


def pack(data: list[Any], datatype: str) -> bytes:
    """The binary form, written here once more so that ours has something to be compared with."""
    if datatype == "BYTES":
        cells = [cell.encode() if isinstance(cell, str) else cell for cell in data]
        return b"".join(struct.pack("<I", len(cell)) + cell for cell in cells)
    if datatype == "BF16":
        return b"".join(struct.pack("<f", value)[2:] for value in data)
    code = {**TYPECODES, "FP16": "e"}[datatype]
    return struct.pack(f"<{len(data)}{code}", *data)


@st.composite
def tensors(draw: st.DrawFn, datatypes: list[str] = DATATYPES, rows: int | None = None) -> Tensor:
    datatype = draw(st.sampled_from(datatypes))
    shape = draw(shapes)
    if rows is not None:
        shape = [rows, *shape[1:]]
    count = math.prod(shape)
    data: Any = draw(st.lists(elements(datatype), min_size=count, max_size=count))
    if datatype in TYPECODES:
        data = typed_buffer(data, datatype)
    elif datatype != "BYTES":
        data = raw_buffer(pack(data, datatype), datatype)
    return Tensor(draw(st.text(min_size=1, max_size=5)), datatype, shape, data)


cells = {
    "float": st.floats(allow_infinity=False),
    "int": st.integers(-(2**63), 2**63 - 1),
    "str": st.text(max_size=5),
    "bool": st.booleans(),
    "null or str": st.none() | st.text(max_size=5),
    "anything": st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
}


def rows_of(columns: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects whose keys come in this order; ``fixed_dictionaries`` would shuffle them."""
    return st.tuples(*columns.values()).map(lambda row: dict(zip(columns, row, strict=True)))


@st.composite
def records(draw: st.DrawFn, min_rows: int = 0) -> list[dict[str, Any]]:
    """Rows with the same columns, each column of one kind of cells."""
    kinds = draw(st.dictionaries(st.text(max_size=4), st.sampled_from(sorted(cells)), max_size=4))
    return draw(st.lists(rows_of({name: cells[kind] for name, kind in kinds.items()}), min_size=min_rows, max_size=5))


def block(names: list[str], rows: list[list[float]]) -> Table:
    """A table of floats, held as one block."""
    flat = [value for row in rows for value in row]
    return Table(names, block=Tensor("", "FP64", (len(rows), len(names)), array("d", flat)))


def same(one: Any, other: Any) -> bool:
    """Equal in type too, and NaN equal to itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other or (one != one and other != other))

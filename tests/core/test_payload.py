"""Tables, tensors and columns: what goes in comes out, types and nulls included."""

from __future__ import annotations

import datetime
import decimal
import math
from array import array
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport.core import jsontext
from modelport.core.payload import (
    SIZES,
    TYPECODES,
    Table,
    Tensor,
    buffer_format,
    column_to_tensor,
    raw_buffer,
    typed_buffer,
    values,
)
from modelport.errors import Unconvertible
from tests.core.strategies import block, cells, elements, pack, records, same, shapes, tensors

NUMPY = {"BOOL": "?", "FP16": "f2", "FP32": "f4", "FP64": "f8"} | {
    f"{kind}{bits}": f"{kind[0].lower()}{bits // 8}" for kind in ("INT", "UINT") for bits in (8, 16, 32, 64)
}


@given(rows=records())
def test_records_come_back_as_they_were(rows: list[dict[str, Any]]) -> None:
    table = Table.from_records(rows)
    assert len(table) == len(rows)
    assert same(table.to_records(), rows)


@given(rows=st.lists(st.dictionaries(st.sampled_from("abc"), cells["anything"]), max_size=4))
def test_uneven_records_get_nan_where_a_cell_is_absent(rows: list[dict[str, Any]]) -> None:
    table = Table.from_records(rows)
    names = list(dict.fromkeys(name for row in rows for name in row))
    assert list(table.names) == names
    assert same(table.to_records(), [{name: row.get(name, math.nan) for name in names} for row in rows])


@given(rows=st.lists(st.lists(st.floats(), min_size=3, max_size=3), max_size=5))
def test_a_block_has_the_columns_of_its_names(rows: list[list[float]]) -> None:
    table = block(["a", "b", "c"], rows)
    assert same(table.to_records(), [dict(zip("abc", row, strict=True)) for row in rows])


@given(tensor=tensors())
def test_nesting_is_what_numpy_makes_of_it(tensor: Tensor) -> None:
    flat = tensor.flat()
    assert len(flat) == tensor.size
    like = np.empty(len(flat), dtype=object)
    like[:] = flat
    assert same(tensor.nested(), like.reshape(tensor.shape).tolist())


@pytest.mark.parametrize("datatype", sorted(TYPECODES))
@given(data=st.data())
def test_typed_buffers_hold_their_values(datatype: str, data: st.DataObject) -> None:
    cells = data.draw(st.lists(elements(datatype), max_size=6))
    buffer = typed_buffer(cells, datatype)
    assert same(values(buffer), cells)
    assert buffer_format(buffer) == datatype
    assert memoryview(buffer).nbytes == len(cells) * SIZES[datatype]
    assert not memoryview(buffer).readonly
    assert np.asarray(buffer).dtype == NUMPY[datatype]


@pytest.mark.parametrize("datatype", sorted(SIZES))
@given(data=st.data())
def test_raw_bytes_hold_their_values(datatype: str, data: st.DataObject) -> None:
    cells = data.draw(st.lists(elements(datatype), max_size=6))
    assert same(values(raw_buffer(pack(cells, datatype), datatype), datatype), cells)


@pytest.mark.parametrize(
    ("datatype", "bad"),
    [
        ("BOOL", 1), ("BOOL", None), ("BOOL", "true"),
        ("UINT8", -1), ("UINT8", 256), ("INT8", 128), ("INT8", -129), ("UINT64", 2**64), ("INT64", 2**63),
        ("INT32", 1.0), ("INT32", True), ("INT32", None), ("INT32", "1"), ("INT32", [1]),
        ("FP32", True), ("FP32", "1"), ("FP32", 1e39), ("FP32", {}), ("FP32", 10**400),
        ("FP64", False), ("FP64", "nan"), ("FP64", 10**400), ("FP64", [0.5]),
    ],
    ids=repr,
)  # fmt: skip
def test_the_first_misfit_is_named(datatype: str, bad: Any) -> None:
    fine = True if datatype == "BOOL" else 1
    with pytest.raises(ValueError, match=f"is not a {datatype}") as caught:
        typed_buffer([fine, bad, fine, bad], datatype)
    assert str(caught.value) == f"{jsontext.shown(bad)} is not a {datatype}"


def test_nulls_among_floats_are_nan() -> None:
    assert same(values(typed_buffer([1, None], "FP32")), [1.0, math.nan])


@given(name=st.text(), column=st.sampled_from(sorted(cells)).flatmap(lambda kind: st.lists(cells[kind], max_size=6)))
def test_a_column_survives_as_a_tensor_or_is_refused(name: str, column: list[Any]) -> None:
    try:
        tensor = column_to_tensor(name, column)
    except Unconvertible:
        kinds = {type(cell) for cell in column} - {type(None)}
        large = any(isinstance(cell, int) and abs(cell) > 2**53 for cell in column)
        assert len(kinds) > 1 or large or (bool in kinds and None in column)
        return
    assert (tensor.name, tensor.shape) == (name, (len(column),))
    if tensor.datatype == "FP64":  # the one type that stands for more than itself
        assert same(tensor.flat(), [math.nan if cell is None else float(cell) for cell in column])
        assert all(cell is None or math.isnan(cell) or float(cell) == cell for cell in column)
    else:
        assert same(tensor.flat(), column)


@pytest.mark.parametrize(
    ("column", "datatype"),
    [
        ([1, -2], "INT64"), ([2**63], "UINT64"), ([2**63, 1], "UINT64"), ([1, None], "FP64"), ([1, 0.5], "FP64"),
        ([True, False], "BOOL"), (["a", None], "BYTES"), ([b"a", "b"], "BYTES"), ([None, None], "FP64"), ([], "FP64"),
        ([np.float64(0.5), None], "FP64"), ([np.int32(1), 2], "INT64"), ([np.True_], "BOOL"), ([np.str_("a")], "BYTES"),
        ([decimal.Decimal("0.5")], "FP64"), ([datetime.date(2020, 1, 2), None], "BYTES"),
        (array("f", [1]), "FP32"), (np.array([1.5], dtype="f2"), "FP16"), (np.arange(4, dtype="u1")[::2], "UINT8"),
        (np.array([1, 2], dtype=">i4"), "INT64"),
    ],
    ids=repr,
)  # fmt: skip
def test_the_type_of_a_column(column: Any, datatype: str) -> None:
    tensor = column_to_tensor("c", column)
    assert tensor.datatype == datatype
    if datatype != "BYTES":
        assert memoryview(tensor.data).c_contiguous


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ([1, "a"], "int, str"), ([True, None], "bool, null"), ([[1], [2]], "list"), ([{}], "dict"),
        ([2**64], "int"), ([-(2**63) - 1], "int"), ([2**53 + 1, None], "int, null"), ([2**53 + 1, 0.5], "float, int"),
        ([1j], "complex"), pytest.param([object()], "object", id="object"),
    ],
    ids=repr,
)  # fmt: skip
def test_columns_that_no_tensor_carries(column: list[Any], said: str) -> None:
    with pytest.raises(Unconvertible, match=rf"column 'c' holds {said}: "):
        column_to_tensor("c", column)


@given(shape=shapes)
def test_a_scalar_and_an_empty_tensor_have_rows(shape: list[int]) -> None:
    tensor = Tensor("t", "FP64", shape, array("d", [0.0] * math.prod(shape)))
    assert tensor.rows == (shape[0] if shape else 1)

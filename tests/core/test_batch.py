"""Several requests as one: only where each of them sees what it would have seen alone."""

from __future__ import annotations

import math
from array import array
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport.core.batch import merge
from modelport.core.call import Outcome
from modelport.core.conversion import convert
from modelport.core.payload import Table, Tensor, Tensors, raw_buffer, typed_buffer, values
from modelport.errors import InvalidOutput
from tests.core.strategies import DATATYPES, block, cells, elements, pack, rows_of, same

TABLES = st.lists(
    st.lists(rows_of({"a": cells["anything"], "b": cells["anything"]}), min_size=1, max_size=3), min_size=2, max_size=4
)


def kinds(rows: list[dict[str, Any]]) -> list[set[type]]:
    return [{type(row[name]) for row in rows} for name in "ab"]


@given(requests=TABLES)
def test_tables_merge_where_their_columns_are_alike(requests: list[list[dict[str, Any]]]) -> None:
    batch = merge([Table.from_records(rows) for rows in requests])
    alike = all(kinds(rows) == kinds(requests[0]) for rows in requests)
    assert (batch is not None) == alike
    if batch is not None:
        assert batch.rows == [len(rows) for rows in requests]
        assert isinstance(batch.payload, Table)
        assert same(batch.payload.to_records(), [row for rows in requests for row in rows])


@given(requests=st.lists(st.lists(st.lists(st.floats(), min_size=2, max_size=2), max_size=3), min_size=2, max_size=4))
def test_blocks_merge_to_a_block(requests: list[list[list[float]]]) -> None:
    batch = merge([block(["a", "b"], rows) for rows in requests])
    assert batch is not None
    assert isinstance(batch.payload, Table)
    assert batch.payload.block is not None
    assert batch.rows == [len(rows) for rows in requests]
    want = [dict(zip("ab", row, strict=True)) for rows in requests for row in rows]
    assert same(batch.payload.to_records(), want)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([{"a": 1.0}], [{"b": 1.0}]),
        ([{"a": 1.0}], [{"a": 1}]),
        ([{"a": 1}], [{"a": None}]),
        ([{"a": "x"}], [{"a": 1}]),
        ([{"a": 1, "b": 2}], [{"b": 2, "a": 1}]),
        ([{}], [{"a": 1}]),
    ],
)
def test_tables_that_differ_do_not_merge(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    assert merge([Table.from_records(one), Table.from_records(other)]) is None
    assert merge([Table.from_records(other), Table.from_records(one)]) is None


def test_rows_without_columns_are_counted() -> None:
    batch = merge([Table.from_records([{}]), Table.from_records([{}, {}])])
    assert batch is not None
    assert len(batch.payload) == 3  # type: ignore[arg-type]
    assert batch.rows == [1, 2]


def test_blocks_of_different_types_do_not_merge() -> None:
    fp32 = Table(["a"], block=Tensor("", "FP32", (1, 1), array("f", [1])))
    assert merge([block(["a"], [[1.0]]), fp32]) is None


@pytest.mark.parametrize("datatype", DATATYPES)
@given(data=st.data())
def test_tensors_merge_by_rows(datatype: str, data: st.DataObject) -> None:
    width = data.draw(st.integers(0, 3))
    counts = data.draw(st.lists(st.integers(0, 3), min_size=2, max_size=4))
    requests = []
    for count in counts:
        flat: Any = data.draw(st.lists(elements(datatype), min_size=count * width, max_size=count * width))
        if datatype != "BYTES":
            flat = raw_buffer(pack(flat, datatype), datatype)
        requests.append(Tensors([Tensor("a", datatype, (count, width), flat, {"x": 1})]))
    batch = merge(requests)
    if datatype == "BYTES" and len({bool(request.items[0].data) for request in requests}) > 1:
        assert batch is None  # of no elements one cannot say whether they are text
        return
    assert batch is not None
    assert batch.rows == counts
    assert isinstance(batch.payload, Tensors)
    (merged,) = batch.payload.items
    assert (merged.name, merged.datatype, merged.shape) == ("a", datatype, (sum(counts), width))
    assert merged.parameters == {"x": 1}
    assert same(merged.flat(), [value for request in requests for value in request.items[0].flat()])


def tensor(name: str = "a", datatype: str = "INT32", shape: tuple[int, ...] = (1, 2), **parameters: Any) -> Tensors:
    data: Any = ["x"] * math.prod(shape) if datatype == "BYTES" else typed_buffer([1] * math.prod(shape), datatype)
    return Tensors([Tensor(name, datatype, shape, data, parameters)])


@pytest.mark.parametrize(
    "other",
    [
        tensor("b"),
        tensor(datatype="INT64"),
        tensor(shape=(1, 3)),
        tensor(shape=(1, 2, 1)),
        tensor(content_type="np"),
        Tensors(tensor().items + tensor("b").items),
        Tensors([]),
        block(["a"], [[1.0]]),
    ],
)
def test_tensors_that_differ_do_not_merge(other: Any) -> None:
    assert merge([tensor(), other]) is None
    assert merge([other, tensor()]) is None


def test_scalars_and_inputs_of_unlike_rows_do_not_merge() -> None:
    assert merge([tensor(shape=()), tensor(shape=())]) is None
    uneven = Tensors(tensor(shape=(1, 2)).items + tensor("b", shape=(2, 2)).items)
    assert merge([uneven, uneven]) is None


def test_text_and_bytes_do_not_merge() -> None:
    assert merge([tensor(datatype="BYTES"), Tensors([Tensor("a", "BYTES", (1, 2), [b"x", b"x"])])]) is None


def test_tables_made_tensors_merge() -> None:
    requests = [convert(block(["a", "b"], [[1.0, 2.0], [3.0, 4.0]]), "tensors") for _ in range(2)]
    batch = merge(requests)
    assert batch is not None
    assert isinstance(batch.payload, Tensors)
    assert [item.flat() for item in batch.payload.items] == [[1.0, 3.0, 1.0, 3.0], [2.0, 4.0, 2.0, 4.0]]


@given(counts=st.lists(st.integers(0, 4), min_size=1, max_size=5), as_array=st.booleans())
def test_an_outcome_is_split_by_rows(counts: list[int], as_array: bool) -> None:
    total = sum(counts)
    column: Any = np.arange(total) if as_array else list(range(total))
    outcome = Outcome(column, {"yes": column}, [{"row": i} for i in range(total)], extras={"some": "quirk"})
    parts = outcome.split(counts)
    assert [len(values(part.predictions)) for part in parts] == counts
    joined: list[Any] = []
    for part in parts:
        joined += values(part.predictions)
        assert part.probabilities is not None
        assert values(part.probabilities["yes"]) == values(part.predictions)
        assert part.row_extras == [{"row": i} for i in values(part.predictions)]
        assert part.extras == {"some": "quirk"}
    assert joined == list(range(total))


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome([1, 2]),
        Outcome([1, 2, 3, 4]),
        Outcome([1, 2, 3], {"yes": [0.5]}),
        Outcome([1, 2, 3], None, [None]),
    ],
)
def test_an_outcome_of_another_length_is_not_split(outcome: Outcome) -> None:
    with pytest.raises(InvalidOutput, match="one value for each of 3 rows"):
        outcome.split([1, 2])

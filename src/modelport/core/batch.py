"""Several payloads as one, for models that take a batch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

from modelport.core.payload import Payload, Table, Tensor, Tensors, raw_buffer, values


class Batch(NamedTuple):
    """Several payloads as one, and how many rows each of them brought."""

    payload: Payload
    rows: list[int]


def merge(payloads: Sequence[Payload]) -> Batch | None:
    """The payloads as one, or None when their outlines differ: columns, types, trailing dimensions."""
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
    if not first.names:
        return Batch(Table.empty(sum(rows)), rows)
    if all(table.block is not None for table in payloads):
        if len({table.block.datatype for table in payloads}) > 1:
            return None
        data = b"".join([table.block.data for table in payloads])
        block = Tensor("", first.block.datatype, (sum(rows), len(first.names)), raw_buffer(data, first.block.datatype))
        return Batch(Table(first.names, block=block), rows)
    if any(table.block is not None for table in payloads):
        return None  # the same column would be float in one request and something else in its neighbour
    parts = [[values(column) for column in table.columns] for table in payloads]
    kinds = [[set(map(type, cells)) for cells in part] for part in parts]
    if any(other != kinds[0] for other in kinds):
        return None  # as above: a whole number beside another's fraction or null would no longer be one
    return Batch(Table(first.names, [list(chain.from_iterable(cells)) for cells in zip(*parts)]), rows)


def _merge_tensors(payloads: Sequence[Any]) -> Batch | None:
    def outline(payload: Any) -> Any:
        if not isinstance(payload, Tensors):
            return None
        kinds = [set(map(type, t.data)) if t.datatype == "BYTES" else None for t in payload.items]
        return [(t.name, t.datatype, t.shape[1:], t.parameters, kind) for t, kind in zip(payload.items, kinds)]

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
        merged.append(Tensor(head.name, head.datatype, (sum(rows), *head.shape[1:]), data, head.parameters))
    return Batch(Tensors(merged), rows)

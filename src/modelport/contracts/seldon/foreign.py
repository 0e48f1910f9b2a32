"""Calls that come by another platform's protocol: what ``predict`` gets of them, and what its answer is to them."""

from __future__ import annotations

import sys
from itertools import chain
from typing import Any, Callable

from modelport.contracts.seldon import arrays
from modelport.contracts.seldon.arrays import Content
from modelport.core.call import Outcome
from modelport.core.conversion import convert
from modelport.core.payload import Blob, Json, Payload, Table, Tensor, Tensors, buffer_format, values
from modelport.errors import InvalidOutput

NAME = "predict"
"""What an answer's only tensor is called."""


def read(payload: Payload, columns: list[str]) -> Content:
    """As an array with the names of its columns; JSON as it is."""
    if isinstance(payload, Json):
        return Content(payload.value, [], None, None)
    if isinstance(payload, Tensors) and len(payload.items) == 1:
        array = _array(payload.items[0])
        names = columns if array.ndim == 2 and array.shape[1] == len(columns) else []
        return Content(array, list(names), None, "ndarray")
    table = convert(payload, "table", columns)
    assert isinstance(table, Table)
    return Content(_matrix(table), list(map(str, table.names)), None, "ndarray")


def _array(tensor: Tensor) -> Any:
    """A copy: the component may change it."""
    import numpy

    if tensor.datatype == "BYTES":
        return _of_cells([_text(cell) for cell in tensor.data], tensor.shape)
    if tensor.datatype == "FP16":
        return numpy.frombuffer(tensor.data, "<f2").reshape(tensor.shape).copy()
    data = numpy.array(tensor.flat(), "float32") if tensor.datatype == "BF16" else numpy.array(tensor.data)
    return data.reshape(tensor.shape)


def _text(cell: Any) -> Any:
    if isinstance(cell, (bytes, memoryview)):
        try:
            return str(cell, "utf-8")
        except UnicodeDecodeError:
            return bytes(cell)
    return cell


def _matrix(table: Table) -> Any:
    if table.block is not None:
        return _array(table.block)
    return _of_cells(list(chain.from_iterable(zip(*map(values, table.columns)))), (len(table), len(table.names)))


def _of_cells(cells: list[Any], shape: Any) -> Any:
    """Cells of different types stay what they are: numpy would make text of numbers that have text beside them."""
    import numpy

    kinds = set(map(type, cells))
    if kinds <= {int, float} or kinds in ({bool}, {str}):
        return numpy.array(cells).reshape(shape)
    array = numpy.empty(len(cells), dtype=object)
    for at, cell in enumerate(cells):
        array[at] = cell
    return array.reshape(shape)


def write(answer: Any, names: Callable[[], Any], rows: int | None) -> Outcome:
    """A column of predictions, a table where the columns have names, a tensor, JSON, text or bytes.

    ``names`` gives the class names, or None; ``rows`` is how many were given. Raises ``InvalidOutput`` for another
    number of predictions.
    """
    if isinstance(answer, dict):
        return Outcome(payload=Json(answer))
    if isinstance(answer, str):
        return Outcome(payload=Blob(answer.encode("utf-8", "replace"), "text/plain", "utf-8"))
    if isinstance(answer, (bytes, bytearray)):
        return Outcome(payload=Blob(bytes(answer), "application/octet-stream"))
    if not arrays.is_array(answer):
        raise InvalidOutput(
            f"predict returned {type(answer).__name__}; an array, a list, text, bytes or a dict was expected"
        )
    array = _native(answer)
    if array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1):
        if rows is not None and len(array) != rows:
            raise InvalidOutput(f"predict returned {len(array)} values for {rows} rows")
        return Outcome(predictions=_column(array.ravel()))
    labels = names() if array.ndim == 2 else None
    if labels is not None and len(labels) == array.shape[1]:
        columns = [_column(array[:, at]) for at in range(len(labels))]
        return Outcome(payload=Table(list(map(str, labels)), columns))
    return _whole(array)


def _native(answer: Any) -> Any:
    import numpy

    array = numpy.asarray(answer)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return numpy.ascontiguousarray(array).reshape(array.shape)


def _column(array: Any) -> Any:
    return array if buffer_format(array) not in (None, "FP16") else array.tolist()


def _whole(array: Any) -> Outcome:
    """Any array as the one tensor that it is; as JSON where its values are of several kinds."""
    datatype = buffer_format(array)
    if datatype is not None and datatype != "FP16":
        return Outcome(payload=Tensors([Tensor(NAME, datatype, array.shape, array.ravel())]))
    if array.dtype.kind == "f" and array.dtype.itemsize == 2:
        little = array if sys.byteorder == "little" else array.byteswap()
        return Outcome(payload=Tensors([Tensor(NAME, "FP16", array.shape, little.tobytes())]))
    cells = array.ravel().tolist()
    if cells and set(map(type, cells)) <= {str, bytes}:
        return Outcome(payload=Tensors([Tensor(NAME, "BYTES", array.shape, cells)]))
    return Outcome(payload=Json(array.tolist()))

"""Tables as pandas DataFrames, made in the model's environment."""

from __future__ import annotations

from typing import Any

from modelport.core.payload import Table

MAX_INDEXES = 256
MAX_NAMES = 1000
MAX_TEXT = 32 << 10
"""Sets of names that are remembered, names in one, and characters in all of its names."""


class Frames:
    """Builds frames; the column index of each set of names is made once."""

    def __init__(self) -> None:
        import numpy
        import pandas

        self._numpy = numpy
        self._pandas = pandas
        self._indexes: dict[tuple[Any, ...], Any] = {}

    def build(self, table: Table) -> Any:
        """One row a row, columns as named, no coercion: what ``pandas.DataFrame`` makes of the values."""
        index = self._indexes.get(table.names)
        if index is None:
            index = self._pandas.Index(table.names)
            self._keep(table.names, index)
        index = index.view()  # user code may name it
        if table.block is not None:
            block = self._numpy.frombuffer(table.block.data, dtype=self._dtype(table.block.data))
            return self._pandas.DataFrame(block.reshape(table.block.shape).copy(), columns=index)
        if not table.names:
            return self._pandas.DataFrame(index=range(len(table)))
        frame = self._pandas.DataFrame(dict(enumerate(map(self._column, table.columns))))
        frame.columns = index
        return frame

    def _keep(self, names: tuple[Any, ...], index: Any) -> None:
        """Clients choose the names, so both how many sets and how large ones are kept has a bound."""
        if len(names) > MAX_NAMES or sum(len(str(name)) for name in names) > MAX_TEXT:
            return
        if len(self._indexes) >= MAX_INDEXES:
            self._indexes.clear()
        self._indexes[names] = index

    def _column(self, column: Any) -> Any:
        return column if isinstance(column, list) else self._numpy.array(column)

    def _dtype(self, data: Any) -> Any:
        code = getattr(data, "typecode", None) or memoryview(data).format
        return self._numpy.dtype(code)

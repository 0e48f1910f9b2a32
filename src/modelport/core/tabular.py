"""Tables as they travel: CSV, Arrow, MatrixMarket, JSON records, each perhaps gzipped.

The media type decides what a body is; where that leaves it open, its first bytes do, and else it is CSV.
"""

from __future__ import annotations

import io
from itertools import zip_longest
from typing import Any

from modelport.core import arrow, claims, csvtext, jsontext, mediatype
from modelport.core.charset import as_utf8, not_utf8
from modelport.core.compression import decompress
from modelport.core.dataframe import Frames
from modelport.core.payload import Blob, Column, Table, Tensor, buffer_format
from modelport.errors import BodyTooLarge, ConfigError, InvalidInput, Unconvertible

LIMIT = 1 << 30
"""Bytes that a compressed body may unfold to, where nothing else is said."""
MIN_ROWS = 1 << 20
"""So many rows any body may claim; a larger one as many as it has bytes."""
SPARSE_A_BYTE = 256
"""Cells that a matrix may claim for each of its bytes: most of a sparse one's are not written."""

_GZIP = b"\x1f\x8b"
MATRIX_MAGIC = b"%%MatrixMarket"
_NAMED = (
    ("arrow", "arrow"), ("mtx", "matrix"), ("matrixmarket", "matrix"), ("matrix-market", "matrix"),
    ("json", "json"), ("tab-separated-values", "tsv"), ("csv", "csv"),
)  # fmt: skip
"""What a media type says when it holds a word."""
_DELIMITERS = {"csv": ",", "tsv": "\t"}


def read_frame(blob: Blob, sparse_columns: str | None = None, limit: int = LIMIT) -> Any:
    """The ``pandas.DataFrame`` of a body. ``sparse_columns`` is a file with the names of a matrix's columns, one a
    line; ``limit`` is in bytes, for what is compressed.

    Raises ``InvalidInput`` saying what is wrong and where, ``InvalidBody`` for damaged compression, ``BodyTooLarge``
    over the limit and for tables that are far larger than their bodies, ``Unconvertible`` for what is no table.
    """
    kind, data = _opened(blob, limit)
    if kind == "arrow":
        table = arrow.read(data, limit, _most_rows(data))
        try:
            return table.to_pandas()
        except Exception as fault:  # types that pandas has no column for, dates out of its range
            raise _unreadable("Arrow", fault) from None
    if kind == "matrix":
        return _read_matrix(data, sparse_columns)
    if kind == "json":
        return frame_of(_table_of_json(as_utf8(data, blob.charset)))
    return csvtext.read(as_utf8(data, blob.charset), _DELIMITERS[kind])


def read_table(blob: Blob, limit: int = LIMIT) -> Table:
    """The rows of a body. CSV without pandas, where the environment has none, comes out the same but for rare values.

    Raises as ``read_frame`` does.
    """
    kind, data = _opened(blob, limit)
    if kind == "json":
        return _table_of_json(as_utf8(data, blob.charset))
    try:
        import pandas  # noqa: F401 - only whether it is there
    except ImportError:
        if kind not in _DELIMITERS:
            raise InvalidInput(
                "this body needs pandas, which the model's environment does not have", hint="send CSV or JSON"
            ) from None
        return csvtext.read_plainly(as_utf8(data, blob.charset), _DELIMITERS[kind])
    frame = read_frame(blob, limit=limit)
    if kind == "matrix":  # from here on also its zeros take memory
        rows, width = frame.shape
        claims.check(rows, width, claims.most(len(data)))
    return table_of(frame)


def table_of(frame: Any) -> Table:
    """A frame's rows: numbers as typed buffers, everything else as lists with None for what is missing.

    A frame of one number type becomes one block. Its index is left out.
    """
    names = frame.columns.tolist()
    if not names:
        return Table.empty(len(frame))
    dtypes = set(frame.dtypes)
    if len(dtypes) == 1 and _is_number(dtypes.pop()):
        block = _contiguous(frame.to_numpy())
        return Table(names, block=Tensor("", str(buffer_format(block)), block.shape, block.reshape(-1)))
    return Table(names, [_column(series) for _, series in frame.items()])


# --- what a body is --------------------------------------------------------------------------------------


def _opened(blob: Blob, limit: int) -> tuple[str, Any]:
    """What a body is ("csv", "tsv", "arrow", "matrix", "json"), and its bytes without gzip."""
    media_type, _ = mediatype.parsed(blob.media_type or "")
    kind = next((kind for word, kind in _NAMED if word in media_type), None)
    if kind is None and media_type not in mediatype.OPEN:
        raise Unconvertible(
            f"this model takes a table, and {media_type[:80]} is none", hint="send CSV, Arrow or JSON records"
        )
    data: Any = blob.data
    if bytes(data[:2]) == _GZIP:
        data = decompress(data, "gzip", limit)
    if not len(data):
        raise InvalidInput("the body is empty")
    if kind is None:
        head = bytes(data[:16])
        if head.startswith((arrow.FILE_MAGIC, arrow.STREAM_MAGIC)):
            kind = "arrow"
        else:
            kind = "matrix" if head.startswith(MATRIX_MAGIC) else "csv"
    return kind, data


def _most_rows(data: Any) -> int:
    return max(MIN_ROWS, len(data))


def _unreadable(what: str, fault: BaseException) -> InvalidInput:
    words = str(fault).strip().partition("\n")[0][:200]
    return InvalidInput(f"not readable as {what}: {words or type(fault).__name__}")


# --- MatrixMarket ----------------------------------------------------------------------------------------


def _read_matrix(data: Any, names_file: str | None) -> Any:
    import pandas

    try:
        import scipy.io
    except ImportError:
        raise InvalidInput(
            "MatrixMarket bodies need scipy, which the model's environment does not have",
            hint="pip install scipy there, or send CSV",
        ) from None
    try:
        rows, width, entries, _, field, _ = scipy.io.mminfo(io.BytesIO(data))
        _check_matrix(data, rows, width, entries, field)
        matrix = scipy.io.mmread(io.BytesIO(data))
    except (InvalidInput, BodyTooLarge):
        raise
    except Exception as fault:  # its reader is another's, and raises what that does
        raise _unreadable("MatrixMarket", fault) from None
    names = None if names_file is None else _names(names_file)
    if names is not None and len(names) != width:
        raise InvalidInput(f"the matrix has {width} columns, and the model's file of column names has {len(names)}")
    if hasattr(matrix, "tocsc"):
        return pandas.DataFrame.sparse.from_spmatrix(matrix, columns=names)
    return pandas.DataFrame(matrix, columns=names)


def _check_matrix(data: Any, rows: int, width: int, entries: int, field: str) -> None:
    """Sizes are claims, and memory is taken for them before a value is read."""
    if field == "complex":
        raise InvalidInput("the matrix holds complex numbers; real ones are taken")
    if rows > _most_rows(data) or entries > 2 * len(data):
        raise BodyTooLarge(f"the body claims {rows} rows, {width} columns and {entries} values in {len(data)} bytes")
    claims.check(rows, width, claims.most(len(data), SPARSE_A_BYTE))


def _names(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read().splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(f"the file of column names cannot be read: {fault}") from None


# --- JSON ------------------------------------------------------------------------------------------------


def _table_of_json(data: Any) -> Table:
    try:
        value = jsontext.loads(data)
    except UnicodeDecodeError:
        raise not_utf8(data) from None
    except ValueError as fault:
        raise InvalidInput(f"not JSON: {fault}") from None
    if isinstance(value, dict):
        if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
            return _table_of_rows(value["columns"], value["data"])
        inner = next((value[key] for key in ("data", "records") if _is_records(value.get(key))), None)
        value = [value] if inner is None else inner
    if not _is_records(value):
        raise InvalidInput(
            "JSON must be an object a row: one, or a list of them",
            hint='[{"a": 1, "b": 2}], or {"columns": ["a", "b"], "data": [[1, 2]]}',
        )
    return Table.from_records(value)


def _is_records(value: Any) -> bool:
    return isinstance(value, list) and set(map(type, value)) <= {dict}


def _table_of_rows(names: list[Any], rows: list[Any]) -> Table:
    for at, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            have = f"{len(row)} values" if isinstance(row, list) else "no list"
            raise InvalidInput(f"data[{at}] has {have} for {len(names)} columns")
    if not set(map(type, names)) <= {str}:
        raise InvalidInput("columns must be names")
    if not names:
        return Table.empty(len(rows))
    claims.check(1, len(names), claims.FEW)
    return Table(names, [list(cells) for cells in zip_longest(*rows)] if rows else [[] for _ in names])


def frame_of(table: Table, frames: Frames | None = None) -> Any:
    """The rows as a DataFrame, in which what is missing is a NaN, as in one read from CSV. Raises ``InvalidInput``."""
    try:
        frame = (frames or Frames()).build(table)
    except (OverflowError, TypeError, ValueError) as fault:
        raise InvalidInput(f"the rows cannot be put into a DataFrame: {str(fault)[:200]}") from None
    for at, dtype in enumerate(frame.dtypes):
        if dtype.kind == "O" and frame.iloc[:, at].isna().all():
            frame.isetitem(at, frame.iloc[:, at].astype(float))
    return frame


# --- frames ----------------------------------------------------------------------------------------------


def _is_number(dtype: Any) -> bool:
    """Whether it is one of numpy's: pandas has its own, which know nulls."""
    import numpy

    return isinstance(dtype, numpy.dtype) and dtype.kind in "fiub"


def _contiguous(values: Any) -> Any:
    """As memory holds a tensor: row-major, in the byte order of the machine, floats of 4 or 8 bytes."""
    import numpy

    dtype = values.dtype.newbyteorder("=")
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        dtype = numpy.dtype("f4" if dtype.itemsize < 4 else "f8")
    return numpy.ascontiguousarray(values, dtype=dtype)


def _column(series: Any) -> Column:
    if _is_number(series.dtype):
        return _contiguous(series.to_numpy())
    missing = series.isna().to_numpy()
    if missing.any():
        return [None if gone else cell for cell, gone in zip(series.astype(object).tolist(), missing.tolist())]
    values = series.to_numpy()
    return _contiguous(values) if _is_number(values.dtype) else series.astype(object).tolist()

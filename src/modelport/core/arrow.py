"""Arrow IPC bodies, stream and file: what they would unfold to is known before they do."""

from __future__ import annotations

import struct
from typing import Any

from modelport.core import claims
from modelport.errors import BodyTooLarge, InvalidInput

FILE_MAGIC = b"ARROW1\0\0"
"""How a file starts; a stream follows, up to the file's own index, which is not needed."""
STREAM_MAGIC = b"\xff\xff\xff\xff"


def read(data: Any, limit: int, most_rows: int) -> Any:
    """The ``pyarrow.Table``, over ``data`` where it is not compressed.

    Raises ``BodyTooLarge`` for more than ``limit`` bytes once decompressed, more than ``most_rows`` rows, or more
    columns or cells than so many bytes may claim; ``InvalidInput`` for what is no Arrow, or where pyarrow is missing.
    """
    try:
        import pyarrow
        from pyarrow import ipc
    except ImportError:
        raise InvalidInput(
            "Arrow bodies need pyarrow, which the model's environment does not have",
            hint="pip install pyarrow there, or send CSV",
        ) from None
    stream = memoryview(data)[len(FILE_MAGIC) :] if data[: len(FILE_MAGIC)] == FILE_MAGIC else data
    try:
        source = ipc.open_stream(pyarrow.py_buffer(stream))
        claims.check(1, len(source.schema), claims.FEW)
        _check(ipc.MessageReader.open_stream(pyarrow.py_buffer(stream)), len(stream), limit, most_rows)
        table = source.read_all()
        table.validate(full=True)
    except (BodyTooLarge, ImportError):
        raise
    except Exception as fault:  # damaged bytes make it raise a great many things
        raise InvalidInput(f"not readable as Arrow: {str(fault)[:200]}") from None
    return table


def _check(messages: Any, length: int, limit: int, most_rows: int) -> None:
    rows = cells = size = 0
    for message in messages:
        metadata = memoryview(message.metadata)
        batch = _batch(metadata)
        if batch is None:
            continue
        told = _field(metadata, batch, 0)
        rows += struct.unpack_from("<q", metadata, told)[0] if told else 0
        cells += _cells(metadata, batch)
        size += _unfolded(metadata, batch, memoryview(message.body))
        if size > limit:
            raise BodyTooLarge(f"the body is over {limit} bytes once decompressed")
        if rows > most_rows:
            raise BodyTooLarge(f"the body claims {rows} rows; at most {most_rows} are taken in one of its size")
        most = claims.most(max(length, size))
        if cells > most:
            raise BodyTooLarge(f"the body claims {cells} cells; at most {most} are taken in one of its size")


def _batch(metadata: memoryview) -> int | None:
    """Where the record batch of a message is, that of a dictionary too; None if it has none."""
    message = _target(metadata, 0)
    kind, header = _field(metadata, message, 1), _field(metadata, message, 2)
    if not kind or not header or metadata[kind] not in (2, 3):
        return None
    table = _target(metadata, header)
    if metadata[kind] == 3:
        return table
    inner = _field(metadata, table, 1)
    return _target(metadata, inner) if inner else None


def _cells(metadata: memoryview, batch: int) -> int:
    """The cells of a batch, those within lists too. Nulls take no bytes until they become Python's."""
    listed = _field(metadata, batch, 1)
    if not listed:
        return 0
    vector = _target(metadata, listed)
    (count,) = struct.unpack_from("<I", metadata, vector)
    nodes = struct.iter_unpack("<qq", metadata[vector + 4 : vector + 4 + 16 * count])
    return sum(length for length, _ in nodes)


def _unfolded(metadata: memoryview, batch: int, body: memoryview) -> int:
    """The bytes of a batch once decompressed: each compressed buffer starts with its size."""
    listed, compression = _field(metadata, batch, 2), _field(metadata, batch, 3)
    if not listed or not compression:
        return 0
    vector = _target(metadata, listed)
    (count,) = struct.unpack_from("<I", metadata, vector)
    total = 0
    for at in range(vector + 4, vector + 4 + 16 * count, 16):
        offset, length = struct.unpack_from("<qq", metadata, at)
        if length >= 8:
            total += max(0, struct.unpack_from("<q", body, offset)[0])
    return total


def _target(metadata: memoryview, at: int) -> int:
    """Where the reference at a place leads. Messages are FlatBuffers."""
    return int(at + struct.unpack_from("<I", metadata, at)[0])


def _field(metadata: memoryview, table: int, index: int) -> int:
    """Where a table's field is; 0 if it is left out."""
    index_of_fields = table - struct.unpack_from("<i", metadata, table)[0]
    (size,) = struct.unpack_from("<H", metadata, index_of_fields)
    place = 4 + 2 * index
    offset = struct.unpack_from("<H", metadata, index_of_fields + place)[0] if place < size else 0
    return int(table + offset) if offset else 0

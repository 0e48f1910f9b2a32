"""Bodies on their way: small ones in memory, large ones in an anonymous file that only descriptors reach."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from typing import IO

CHUNK = 256 << 10


class Spool:
    """A large body in a file without a name; it is gone when the last descriptor closes.

    ``size`` in bytes. Raises ``OSError`` when the disk is full.
    """

    __slots__ = ("_file", "size")

    def __init__(self, file: IO[bytes] | None = None, size: int = 0) -> None:
        self._file = file if file is not None else tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        self.size = size

    @classmethod
    def adopt(cls, fd: int, size: int) -> Spool:
        """Takes over a descriptor that was received."""
        return cls(os.fdopen(fd, "rb", buffering=0), size)

    def write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:  # a full disk may take less than asked before it refuses
            left = left[self._file.write(left) :]
        self.size += len(data)

    def fileno(self) -> int:
        return self._file.fileno()

    def chunks(self) -> Iterator[bytes]:
        """The content from its beginning."""
        at = 0
        while at < self.size:
            data = os.pread(self._file.fileno(), min(CHUNK, self.size - at), at)
            if not data:
                return
            at += len(data)
            yield data

    def __bytes__(self) -> bytes:
        return b"".join(self.chunks())

    def close(self) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self.size


Body = bytes | Spool

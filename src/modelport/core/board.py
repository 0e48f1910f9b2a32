"""A word of memory that front and worker share: which call, handed over ahead of time, is not to be begun after all."""

from __future__ import annotations

import mmap
import os
import struct

_WORD = struct.Struct("<Q")


class Board:
    """Over a file descriptor that both sides have. Calls are numbered from 1, in the order of their frames."""

    def __init__(self, fd: int) -> None:
        if os.fstat(fd).st_size < _WORD.size:
            os.ftruncate(fd, _WORD.size)
        self._memory = mmap.mmap(fd, _WORD.size)

    def revoke(self, number: int) -> None:
        """For the front: a worker that has not begun this call will not."""
        _WORD.pack_into(self._memory, 0, number)

    def is_revoked(self, number: int) -> bool:
        return bool(_WORD.unpack_from(self._memory)[0] == number)

"""Memory that front and worker share: which call is not to be begun after all, and which answer nobody reads on."""

from __future__ import annotations

import mmap
import os
import struct

_WORDS = struct.Struct("<QQ")
_WORD = struct.Struct("<Q")


class Board:
    """Over a file descriptor that both sides have. Calls are numbered from 1, in the order of their frames."""

    def __init__(self, fd: int) -> None:
        if os.fstat(fd).st_size < _WORDS.size:
            os.ftruncate(fd, _WORDS.size)
        self._memory = mmap.mmap(fd, _WORDS.size)

    def revoke(self, number: int) -> None:
        """For the front: a worker that has not begun this call will not."""
        _WORD.pack_into(self._memory, 0, number)

    def is_revoked(self, number: int) -> bool:
        return bool(_WORD.unpack_from(self._memory)[0] == number)

    def drop(self, number: int) -> None:
        """For the front: the worker need not go on answering this call, whose client has left."""
        _WORD.pack_into(self._memory, _WORD.size, number)

    def is_dropped(self, number: int) -> bool:
        return bool(_WORD.unpack_from(self._memory, _WORD.size)[0] == number)

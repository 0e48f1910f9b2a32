"""An answer on its way piece by piece, no faster than its client reads."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from modelport.errors import Cancelled, ModelportError
from modelport.pool.body import Spool

HELD = 1 << 20
"""Bytes that may lie here unread; beyond, the worker waits."""


class Stream:
    """Iterates over the pieces; raises the ``ModelportError`` that cut the answer off.

    ``hold`` is told True when the worker has to wait, False when it may go on; ``on_close`` that nobody reads on.
    """

    __slots__ = ("_fault", "_hold", "_is_ended", "_is_held", "_news", "_on_close", "_pieces", "_size")

    def __init__(self, hold: Callable[[bool], None], on_close: Callable[[], None]) -> None:
        self._hold = hold
        self._on_close = on_close
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._news = asyncio.Event()
        self._is_ended = self._is_held = False
        self._fault: ModelportError | None = None

    def feed(self, piece: bytes) -> None:
        if self._is_ended:
            return
        self._pieces.append(piece)
        self._size += len(piece)
        self._news.set()
        if self._size > HELD and not self._is_held:
            self._is_held = True
            self._hold(True)

    def end(self, fault: ModelportError | None = None) -> None:
        """There will be no more; ``fault`` says why, when that was not the answer's end."""
        if not self._is_ended:
            self._is_ended = True
            self._fault = fault
            self._news.set()
            self._let_go()  # the worker's next answer is somebody else's

    def close(self) -> None:
        """For who reads: it does not want the rest."""
        self._pieces.clear()
        self._size = 0
        if not self._is_ended:
            self.end(Cancelled("the client went away"))
            self._on_close()

    def _let_go(self) -> None:
        if self._is_held:
            self._is_held = False
            self._hold(False)

    async def spooled(self) -> Spool:
        """All of it, for who needs to know its length first."""
        spool = Spool()
        try:
            async for piece in self:
                spool.write(piece)
        except BaseException:
            spool.close()
            raise
        return spool

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self._fault is not None:
                raise self._fault
            if self._is_ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        piece = self._pieces.popleft()
        self._size -= len(piece)
        if self._size <= HELD // 2:
            self._let_go()
        return piece

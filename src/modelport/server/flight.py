"""The calls of one gRPC stream that are under way."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any


class Stopping(Exception):
    """The server is about to stop."""


class Flight:
    """The calls of one stream that are under way, oldest first; ``is_cut`` says that more messages would have come."""

    def __init__(self) -> None:
        self.is_cut = False
        self._tasks: deque[Any] = deque()
        self._news = asyncio.Event()
        self._count = 0
        self._is_closed = False

    def add(self, task: Any) -> None:
        self._count += 1
        self._tasks.append(task)
        self._news.set()

    async def next(self) -> Any:
        """The oldest; None when there will be no more."""
        while not self._tasks:
            if self._is_closed:
                return None
            await self._changed()
        return self._tasks.popleft()

    def done(self) -> None:
        """An answer has gone out."""
        self._count -= 1
        self._news.set()

    async def room(self, most: int) -> None:
        """Until fewer than ``most`` are under way."""
        while self._count >= most:
            await self._changed()

    async def _changed(self) -> None:
        self._news.clear()
        await self._news.wait()

    def close(self) -> None:
        self._is_closed = True
        self._news.set()

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

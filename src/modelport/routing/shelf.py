"""A bounded number of things in memory: each is fetched when it is first wanted, and for another put away again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

from modelport.errors import QueueTimeout

T = TypeVar("T")


class Superseded(Exception):
    """Raised by ``fetch`` for an item that another has taken the place of."""


class Shelf(Generic[T]):
    """At most ``size`` items; the one that was unused for longest makes room. What is in use stays.

    ``patience`` is the seconds that somebody waits for room.
    """

    def __init__(
        self, size: int, fetch: Callable[[T], Awaitable[None]], leave: Callable[[T], Awaitable[None]], patience: float
    ) -> None:
        self._size = size
        self._fetch = fetch
        self._leave = leave
        self._patience = patience
        self._users: dict[T, int] = {}  # those used last come last
        self._changing = asyncio.Lock()
        self._freed = asyncio.Event()

    def __contains__(self, item: T) -> bool:
        return item in self._users

    @contextlib.asynccontextmanager
    async def lent(self, item: T) -> AsyncIterator[None]:
        """Has the item there for as long as it is used. Raises ``QueueTimeout``, and what fetching it raises."""
        if item not in self._users:
            await self._make_available(item)
        self._users[item] = self._users.pop(item) + 1
        try:
            yield
        finally:
            self._users[item] -= 1
            if not self._users[item]:
                self._freed.set()

    async def drop(self, item: T) -> None:
        """Puts an item away for good, once nobody uses it."""
        while True:
            async with self._changing:
                if not self._users.get(item):
                    if self._users.pop(item, None) is not None:
                        await self._leave(item)
                    return
                self._freed.clear()
            await self._freed.wait()

    async def _make_available(self, item: T) -> None:
        try:
            async with asyncio.timeout(self._patience), self._changing:
                if item in self._users:
                    return
                while len(self._users) >= self._size:
                    await self._make_room()
                await self._fetch(item)
                self._users[item] = 0
        except TimeoutError:
            raise QueueTimeout(f"waited {self._patience:g} s for room among {self._size} loaded models") from None

    async def _make_room(self) -> None:
        idle = next((one for one, users in self._users.items() if not users), None)
        if idle is None:
            self._freed.clear()
            await self._freed.wait()
            return
        del self._users[idle]
        await self._leave(idle)

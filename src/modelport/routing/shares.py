"""Requests shared out by weight, and copies of them whose answers nobody waits for."""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_right
from collections.abc import Callable, Coroutine, Sequence
from itertools import accumulate
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Shares(Generic[T]):
    """Items with weights of 0 or more; where all are 0 they are equal. ``chance`` gives numbers from 0 up to 1."""

    def __init__(self, items: Sequence[tuple[T, float]], chance: Callable[[], float] = random.random) -> None:
        self._items = [item for item, weight in items if weight > 0] or [item for item, _ in items]
        weights = [weight for _, weight in items if weight > 0] or [1.0] * len(items)
        self._bounds = list(accumulate(weights))
        self._chance = chance

    def choose(self) -> T:
        """One of them, in proportion to its weight."""
        if len(self._items) == 1:
            return self._items[0]
        at = bisect_right(self._bounds, self._chance() * self._bounds[-1])
        return self._items[min(at, len(self._items) - 1)]


class Copies:
    """Calls in the background, at most ``most`` at a time: more are left out, and so is whatever goes wrong."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._running: set[asyncio.Task[None]] = set()

    def start(self, call: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Runs the call, if there is room; whether there was."""
        if len(self._running) >= self._most:
            return False
        task = asyncio.get_running_loop().create_task(call())
        self._running.add(task)
        task.add_done_callback(self._over)
        return True

    def _over(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that nobody else is told of it

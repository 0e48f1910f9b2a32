"""What waits for a worker: fair, bounded, with deadlines and cancellation."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from modelport.core.call import Call, Deadline, Reply
from modelport.errors import ModelportError
from modelport.pool.stream import Stream

if TYPE_CHECKING:
    from modelport.pool.body import Body


class Ticket:
    """One request in the pool. ``future`` gets the ``Reply``, or a ``ModelportError``; times are monotonic seconds.

    ``stream`` is the reply's body when that comes piece by piece.
    """

    __slots__ = ("body", "call", "deadline", "future", "nanoseconds", "queued", "started", "stream")

    def __init__(self, call: Call, body: Body, now: float, loop: asyncio.AbstractEventLoop) -> None:
        self.call = call
        self.body = body
        self.queued = now
        self.started = 0.0
        self.deadline: Deadline | None = None
        self.future: asyncio.Future[Reply] = loop.create_future()
        self.nanoseconds: list[int] = []
        self.stream: Stream | None = None

    def resolve(self, reply: Reply) -> None:
        if not self.future.done():
            self.future.set_result(reply)

    def fail(self, error: ModelportError) -> None:
        if not self.future.done():
            self.future.set_exception(error)
        elif self.stream is not None:
            self.stream.end(error)


class Queue:
    """First in, first out. Every ticket waits equally long at most, so deadlines are in order too."""

    def __init__(self) -> None:
        self._tickets: deque[Ticket] = deque()

    def __len__(self) -> int:
        return len(self._tickets)

    def push(self, ticket: Ticket) -> None:
        self._tickets.append(ticket)

    def push_front(self, ticket: Ticket) -> None:
        self._tickets.appendleft(ticket)

    def take(self, count: int) -> list[Ticket]:
        """Up to ``count`` tickets, oldest first."""
        tickets = self._tickets
        return [tickets.popleft() for _ in range(min(count, len(tickets)))]

    def remove(self, ticket: Ticket) -> bool:
        """Whether the ticket was still waiting."""
        try:
            self._tickets.remove(ticket)
        except ValueError:
            return False
        return True

    def expired(self, now: float) -> list[Ticket]:
        """Takes out what has waited too long."""
        tickets = self._tickets
        late = []
        while tickets and (deadline := tickets[0].deadline) is not None and deadline.at <= now:
            late.append(tickets.popleft())
        return late

    def next_deadline(self) -> float | None:
        """When the oldest ticket has waited too long."""
        if not self._tickets or (deadline := self._tickets[0].deadline) is None:
            return None
        return deadline.at

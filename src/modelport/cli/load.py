"""Load on one URL, from one process: open loop at a rate, or closed loop to find out what is possible.

In an open loop each request has a moment at which it should leave, fixed beforehand. Its latency counts from that
moment, also when it left late because every connection was still waiting for an answer: a server that stalls
cannot make the load wait with it and so hide the stall.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import selectors
import socket
from array import array
from collections import Counter, deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httptools

from modelport.cli.address import Address
from modelport.errors import SetupError

DRAIN = 5.0
"""Seconds after the last request should have left in which answers are still awaited."""
LEAD = 0.05
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}


class Question(NamedTuple):
    """What is sent, over and over."""

    address: Address
    body: bytes | None
    key: str | None = None
    media_type: str = "application/json"

    def wire(self) -> bytes:
        host = f"[{self.address.host}]" if ":" in self.address.host else self.address.host
        lines = [f"{'GET' if self.body is None else 'POST'} {self.address.target} HTTP/1.1"]
        lines.append(f"Host: {host}:{self.address.port}")
        if self.body is not None:
            lines += [f"Content-Type: {self.media_type}", f"Content-Length: {len(self.body)}"]
        if self.key is not None:
            lines.append(f"Authorization: Bearer {self.key}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (self.body or b"")


@dataclass
class Measured:
    """One rate. ``latencies`` (seconds) are those of good answers; one not yet answered counts with its age.

    ``seconds`` run from the first request's moment to the last answer, and are never less than was planned.
    """

    rate: float
    seconds: float
    good: int = 0
    unfinished: int = 0
    lag: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)
    latencies: array[float] = field(default_factory=lambda: array("d"))

    @property
    def per_second(self) -> float:
        """Good answers a second."""
        return self.good / self.seconds

    def percentiles(self) -> dict[str, float]:
        """In milliseconds; empty when there was no good answer."""
        ordered = sorted(self.latencies)
        last = len(ordered) - 1
        return {name: ordered[round(last * part)] * 1000 for name, part in PERCENTILES.items()} if ordered else {}

    def to_dict(self) -> dict[str, Any]:
        return {
            "rate": round(self.rate, 3),
            "seconds": round(self.seconds, 3),
            "answered_per_second": round(self.per_second, 3),
            "good": self.good,
            "errors": dict(self.errors),
            "unfinished": self.unfinished,
            "latency_ms": {name: round(value, 4) for name, value in self.percentiles().items()},
            "client_lag_ms": round(self.lag * 1000, 4),
        }


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way. ``intended`` is when that should have left."""

    def __init__(self, load: Load) -> None:
        self.intended: float | None = None
        self._load = load

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transport = transport
        self._parser = httptools.HttpResponseParser(self)
        self._load.free(self)

    def send(self, intended: float) -> None:
        self.intended = intended
        self.transport.write(self._load.wire)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.abort()

    def on_message_complete(self) -> None:
        intended, self.intended = self.intended, None
        if intended is None:
            return
        self._load.answered(intended, self._parser.get_status_code())
        if self._parser.should_keep_alive():
            self._load.free(self)
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.lost(self)


class Load:
    """Open loop: ``rate`` requests a second for ``seconds``, over ``connections``."""

    def __init__(self, question: Question, rate: float, seconds: float, connections: int) -> None:
        self.wire = question.wire()
        self.measured = Measured(rate, seconds)
        self._address = question.address
        self._end = seconds
        self._count = max(1, round(rate * seconds))
        self._connections = connections
        self._next = 0
        self._ended = 0
        self._start = math.inf
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._waiting: deque[float] = deque()
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._finished = asyncio.Event()

    async def run(self) -> Measured:
        """Raises ``SetupError`` when no connection can be made."""
        try:
            async with asyncio.timeout(10):
                await asyncio.gather(*(self._connect() for _ in range(self._connections)))
        except OSError as fault:
            host, port = self._address.host, self._address.port
            raise SetupError(f"cannot connect to {host} port {port}: {fault.strerror or 'no answer'}") from None
        self._start = self._loop.time() + LEAD
        self._begin()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._start + self._end + DRAIN):
                await self._finished.wait()
        self.measured.seconds = max(self._end, self._loop.time() - self._start)
        self._close()
        return self.measured

    def _begin(self) -> None:
        self._loop.call_at(self._start, self._tick)

    def _tick(self) -> None:
        """Sends, or lets wait, what should have left by now."""
        now = self._loop.time()
        while self._next < self._count and (intended := self._intended()) <= now:
            self._next += 1
            if self._idle:
                self.measured.lag = max(self.measured.lag, now - intended)
                self._idle.pop().send(intended)
            else:
                self._waiting.append(intended)
        if self._next < self._count:
            self._loop.call_at(self._intended(), self._tick)

    def _intended(self) -> float:
        return self._start + self._next / self.measured.rate

    def free(self, connection: Connection) -> None:
        """The connection can take a request."""
        self._all.add(connection)
        if self._waiting:
            connection.send(self._waiting.popleft())
        else:
            self._idle.append(connection)

    def answered(self, intended: float, status: int) -> None:
        if 200 <= status < 300:
            self.measured.good += 1
            self.measured.latencies.append(self._loop.time() - intended)
        else:
            self.measured.errors[str(status)] += 1
        self._end_one()

    def lost(self, connection: Connection) -> None:
        """The connection is gone, perhaps with a request; another takes its place."""
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._finished.is_set():
            return
        if connection.intended is not None:
            self.measured.errors["connection lost"] += 1
            self._end_one()
        self._spawn(self._reconnect())

    def _end_one(self) -> None:
        self._ended += 1
        if self._ended >= self._count:
            self._finished.set()

    async def _connect(self) -> None:
        host, port, tls = self._address.host, self._address.port, self._address.is_tls
        await self._loop.create_connection(lambda: Connection(self), host, port, ssl=tls or None)

    async def _reconnect(self) -> None:
        while not self._finished.is_set():
            with contextlib.suppress(OSError):
                await self._connect()
                return
            await asyncio.sleep(0.1)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _close(self) -> None:
        self._finished.set()
        now = self._loop.time()
        late = [*self._waiting, *(one.intended for one in self._all if one.intended is not None)]
        self.measured.unfinished = len(late)
        self.measured.latencies.extend(now - intended for intended in late)
        for task in self._tasks:
            task.cancel()
        for connection in self._all:
            connection.transport.abort()


class ClosedLoop(Load):
    """Every connection sends its next request as soon as it has its answer: what the server can do at most."""

    def __init__(self, question: Question, seconds: float, connections: int) -> None:
        super().__init__(question, 1.0, seconds, connections)

    def _begin(self) -> None:
        self._start -= LEAD
        self._loop.call_later(self._end, self._finished.set)
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.send(self._loop.time())

    def free(self, connection: Connection) -> None:
        self._all.add(connection)
        if self._loop.time() < self._start:
            self._idle.append(connection)
        elif not self._finished.is_set():
            connection.send(self._loop.time())

    def _end_one(self) -> None:
        pass


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Runs on a loop that can wait for less than a millisecond; epoll's cannot, and would send late."""
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        return runner.run(work)

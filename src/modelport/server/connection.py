"""One HTTP connection, with limits on how much and how slowly a client may send."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from modelport.core import jsontext

MIN_RATE = 1024
"""Bytes a second that a body must make on average over one ``body_timeout``."""
LAST_CALL = 1.0
"""Seconds that a connection without its first request, or with half a one, stays open when the server ends."""
STALLED_READER = 30.0
"""Seconds that a client may leave its answer unread before the connection is cut."""


class Refused(Exception):
    """What was received is over a limit."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Exchange:
    """One request and its answer on a connection."""

    __slots__ = ("_connection", "_cycle")

    def __init__(self, connection: Connection, cycle: RequestResponseCycle) -> None:
        self._connection = connection
        self._cycle = cycle

    def watch(self, on_lost: Callable[[], None] | None) -> None:
        """Whom to tell, once, when the client goes away."""
        self._connection.on_lost = on_lost

    def cut(self) -> None:
        """Hangs up in the middle of an answer, which is how a client learns that the rest will not come."""
        self._cycle.disconnected = True
        self._cycle.transport.close()

    def respond(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bool:
        """The whole answer in one write, past the server's message by message way; False where that has to be taken.

        Head and body in two writes would be two packets, and two system calls cost more than all else here.
        """
        cycle, connection = self._cycle, self._connection
        lines = [b"%b: %b\r\n" % pair for pair in (*cycle.default_headers, *headers)]
        head = b"".join(lines)
        if connection.flow.write_paused or cycle.response_started or head.count(b"\n") != len(lines):
            return False
        if cycle.disconnected:
            return True
        close = b"" if cycle.keep_alive else b"connection: close\r\n"
        if cycle.scope["method"] == "HEAD":
            body = b""
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        cycle.transport.write(b"%b%b%b\r\n%b" % (STATUS_LINE[status], head, close, body))
        if close:
            cycle.transport.close()
        cycle.on_response()
        return True


class Connection(HttpToolsProtocol):
    """``on_lost`` is called once when the client goes away while its request runs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_lost: Callable[[], None] | None = None
        self._limits = self.config.app.limits  # type: ignore[union-attr]
        self._in_head = True
        self._head_size = 0
        self._body_size = 0
        self._wrapping = 0
        self._timer: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._refusal = Refused(400, "this is not HTTP")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.max_connections:
            self._refusal = Refused(503, "too many connections")
            self.send_400_response("")
            return
        self._timer = self.loop.call_later(self._limits.head_timeout, self._late_head)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self._stalled is not None:
            self._stalled.cancel()
        super().connection_lost(exc)
        on_lost, self.on_lost = self.on_lost, None
        if on_lost is not None:
            on_lost()

    def data_received(self, data: bytes) -> None:
        size = len(data)
        if self._in_head:
            self._head_size += size
        self._body_size += size
        self._wrapping += size
        super().data_received(data)
        if self._in_head:
            if self._head_size > self._limits.max_head:
                self._refuse(431, f"request line and headers are over {self._limits.max_head} bytes")
            elif self._timer is None and self._head_size:
                self._timer = self.loop.call_later(self._limits.head_timeout, self._late_head)
            if self.cycle is not None and self.cycle.response_complete and self.timeout_keep_alive_task is None:
                self.on_idle()
        elif self._wrapping > self._limits.max_head:
            self._give_up(431, f"chunk extensions and trailers are over {self._limits.max_head} bytes")
        elif self._timer is None and self.cycle is not None and self.cycle.more_body:
            self._body_size = 0
            self._timer = self.loop.call_later(self._limits.body_timeout, self._check_rate)

    def on_idle(self) -> None:
        """The rest of a body came after its answer: only now does the wait for the next request begin."""
        if not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_body(self, body: bytes) -> None:
        self._wrapping = max(0, self._wrapping - 8 * len(body))
        super().on_body(body)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self._limits.max_url:
            self._reject(414, f"the request target is over {self._limits.max_url} bytes")

    def on_headers_complete(self) -> None:
        limits = self._limits
        self._in_head = False
        self._head_size = self._wrapping = 0
        self._stop_timer()
        if len(self.headers) > limits.max_headers:
            self._reject(431, f"there are more than {limits.max_headers} headers")
        if sum(len(name) + len(value) for name, value in self.headers) > limits.max_head:
            self._reject(431, f"the headers are over {limits.max_head} bytes")
        super().on_headers_complete()
        self.scope["modelport.exchange"] = Exchange(self, self.cycle)  # type: ignore[typeddict-unknown-key]

    def on_message_complete(self) -> None:
        self._in_head = True
        self._stop_timer()
        super().on_message_complete()

    def shutdown(self) -> None:
        """The server is going down: what has not come yet has a moment to come."""
        if (self.cycle is None or self._head_size) and not self.transport.is_closing():
            self.loop.call_later(LAST_CALL, self._close_unused)
        else:
            super().shutdown()

    def _close_unused(self) -> None:
        if self.parser is not None:  # it is still connected
            super().shutdown()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(STALLED_READER, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def send_400_response(self, msg: str) -> None:
        """Every refusal at this level, in JSON and with its own status.

        What is wrong with a pipelined request is no answer to the one before it: that one is answered, then it ends.
        """
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete and not cycle.more_body:
            cycle.keep_alive = False
            self.flow.pause_reading()
            return
        body = jsontext.dumps({"error": str(self._refusal)})
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[self._refusal.status] + head + body)
        self.transport.close()

    def _reject(self, status: int, message: str) -> None:
        """Refuses from inside the parser, which then reports the refusal."""
        self._refusal = Refused(status, message)
        raise self._refusal

    def _refuse(self, status: int, message: str) -> None:
        if not self.transport.is_closing():
            self._refusal = Refused(status, message)
            self.send_400_response("")

    def _give_up(self, status: int, message: str) -> None:
        """Refuses a body, of which nothing more is said once it has been answered."""
        if self.cycle.response_started:
            self.transport.close()
        else:
            self._refuse(status, message)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late_head(self) -> None:
        self._timer = None
        if self.cycle is not None and not self.cycle.response_complete:  # pipelined: its answer comes first
            self._timer = self.loop.call_later(self._limits.head_timeout, self._late_head)
            return
        self._refuse(408, f"the request did not arrive within {self._limits.head_timeout:g} s")

    def _check_rate(self) -> None:
        self._timer = None
        if self.cycle is None or not self.cycle.more_body:
            return
        if self._body_size < MIN_RATE * self._limits.body_timeout:
            self._give_up(408, "the request body arrives too slowly")
            return
        self._body_size = 0
        self._timer = self.loop.call_later(self._limits.body_timeout, self._check_rate)

"""The front's end of the link to one worker."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

from modelport.core import frames
from modelport.core.frames import BrokenFrame, Frame, FrameBuffer
from modelport.pool.body import Body, Spool

_JOINED = 64 << 10
"""Bytes of a body from which a second buffer costs less than a copy."""
MAX_REPLY = frames.SPOOL_THRESHOLD + (1 << 16)
"""Bytes that a reply may have in the stream; workers send larger ones as descriptors."""


class Link(asyncio.Protocol):
    """``on_frame`` gets each frame; ``on_end`` is told once that there will be no more: what was wrong, or None."""

    def __init__(
        self, side: socket.socket, on_frame: Callable[[Frame], None], on_end: Callable[[str | None], None]
    ) -> None:
        self._side = side
        self._on_frame = on_frame
        self._on_end = on_end
        self._buffer = FrameBuffer(MAX_REPLY)
        self._transport: asyncio.Transport | None = None
        self._fault: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def send(self, messages: list[tuple[int, Any, Body]]) -> None:
        """Several frames in one write; a spooled body's descriptor goes first, on the side channel."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        parts: list[Any] = []
        following = len(messages) - 1
        for kind, meta, body in messages:
            if isinstance(body, Spool):
                try:
                    socket.send_fds(self._side, [b"\0"], [body.fileno()])
                except ConnectionError:  # its process has just ended, of which the pool will hear
                    return
                except OSError as fault:
                    self._fault = f"it takes no more descriptors: {fault!r}"
                    self.close()
                    return
                parts += frames.pack(kind, meta, following=following, spooled=body.size)
            else:
                parts += frames.pack(kind, meta, body, following=following)
            following = 0
        if len(parts) > 2 or len(parts[-1]) < _JOINED:
            transport.write(b"".join(parts))
        else:
            transport.writelines(parts)

    def hold(self, is_held: bool) -> None:
        """Leaves what the worker sends in the socket, so that it waits with the rest; or takes it again."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.pause_reading() if is_held else transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._buffer.feed(data):
                self._on_frame(frame._replace(body=self._adopt(frame.spooled)) if frame.spooled else frame)
        except (BrokenFrame, LookupError, TypeError, ValueError, OSError) as fault:
            self._fault = f"it broke the link: {fault!r}"
            self.close()

    def _adopt(self, size: int) -> Spool:
        _, fds, _, _ = socket.recv_fds(self._side, 1, 1)
        if not fds:
            raise BrokenFrame("no descriptor came with a spooled body")
        return Spool.adopt(fds[0], size)

    def connection_lost(self, exc: Exception | None) -> None:
        self._side.close()
        self._on_end(self._fault)

    def close(self) -> None:
        """Hangs up, which tells a healthy worker to leave."""
        if self._transport is not None:
            self._transport.abort()

"""A transport on which an answer's head and body leave in one write, and so in one packet where they fit."""

from __future__ import annotations

import asyncio
from typing import Any

_JOINED = 64 << 10
"""Bytes up to which copying is cheaper than a vectored write."""


class OneWrite:
    """Holds back a head until what follows it is written, or until ``flush``. All else is the transport's."""

    __slots__ = ("_head", "_transport", "is_closing")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        head = self._head
        if head is not None:
            self._head = None
            if len(data) > _JOINED:
                self._transport.writelines([head, data])
            else:
                self._transport.write(head + data)
        elif data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 100"):
            self._head = data
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Writes a head that nothing followed."""
        if self._head is not None:
            self.write(b"")

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

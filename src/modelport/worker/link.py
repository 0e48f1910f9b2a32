"""The worker's end of the link: blocking, whole frames in, whole frames out."""

from __future__ import annotations

import mmap
import os
import socket
import tempfile
import threading
from typing import Any

from modelport.core import frames, jsontext
from modelport.core.frames import HEAD, SPOOLED, BrokenFrame, Frame

_READ = 1 << 16
_LARGE = 1 << 16
"""Bytes of a body from which it is received where it is to stay."""


class Link:
    """``receive`` only from the main thread; ``send`` from any."""

    def __init__(self, stream: socket.socket, side: socket.socket) -> None:
        self._stream = stream
        self._side = side
        self._buffer = bytearray(_READ)
        self._view = memoryview(self._buffer)
        self._start = 0
        self._end = 0
        self._lock = threading.RLock()

    def receive(self) -> Frame | None:
        """The next frame, with a spooled body already mapped; None when the front has hung up."""
        if not self._need(HEAD.size):
            return None
        kind, flags, following, meta_size, body_size = HEAD.unpack_from(self._buffer, self._start)
        if not self._need(HEAD.size + meta_size):
            return None
        meta = jsontext.loads(self._take(HEAD.size + meta_size)[HEAD.size :])
        body: Any
        if flags & SPOOLED:
            body = self._mapped(body_size)
        elif body_size > _LARGE:
            body = self._filled(body_size)
        else:
            body = self._take(body_size) if self._need(body_size) else None
        return None if body is None else Frame(kind, flags, following, meta, body, 0)

    def _take(self, size: int) -> bytes:
        """The next bytes of the buffer, which has them."""
        end = self._start + size
        taken = bytes(self._view[self._start : end])
        self._start = end
        if self._start == self._end:
            self._start = self._end = 0
        return taken

    def _filled(self, size: int) -> memoryview | None:
        """The next ``size`` bytes in memory of their own, most copied once; None at the end of the stream."""
        view = memoryview(bytearray(size))
        have = min(self._end - self._start, size)
        view[:have] = self._take(have)
        while have < size:
            count = self._received(view[have:])
            if not count:
                return None
            have += count
        return view.toreadonly()

    def _received(self, view: memoryview) -> int:
        """How many bytes came; 0 at the end of the stream."""
        try:
            return self._stream.recv_into(view)
        except ConnectionError:
            return 0

    def _need(self, size: int) -> bool:
        """Makes ``size`` bytes available from ``_start`` on; False at the end of the stream."""
        if self._end - self._start >= size:
            return True
        if self._start + size > len(self._buffer):
            have = self._end - self._start
            grown = bytearray(max(size, _READ))
            grown[:have] = self._view[self._start : self._end]
            self._buffer, self._view = grown, memoryview(grown)
            self._start, self._end = 0, have
        while self._end - self._start < size:
            count = self._received(self._view[self._end :])
            if not count:
                return False
            self._end += count
        return True

    def _mapped(self, size: int) -> Any:
        _, fds, _, _ = socket.recv_fds(self._side, 1, 1)
        if not fds:
            raise BrokenFrame("no descriptor came with a spooled body")
        try:
            if os.fstat(fds[0]).st_size < size or not size:
                raise BrokenFrame("a spooled body is shorter than announced")
            return memoryview(mmap.mmap(fds[0], size, access=mmap.ACCESS_READ))
        finally:
            os.close(fds[0])

    def send(self, *message: Any) -> None:
        """One frame: kind, meta, and perhaps a body and flags."""
        self.send_all([message])

    def send_all(self, messages: list[Any]) -> None:
        """Several frames in one write."""
        with self._lock:
            parts = [part for message in messages for part in self._pack(*message)]
            self._stream.sendall(b"".join(parts))

    def _pack(self, kind: int, meta: Any, body: Any = b"", flags: int = 0) -> list[Any]:
        if len(body) <= frames.SPOOL_THRESHOLD:
            return frames.pack(kind, meta, body, flags=flags)
        self._spool(body)
        return frames.pack(kind, meta, flags=flags, spooled=len(body))

    def _spool(self, body: Any) -> None:
        with tempfile.TemporaryFile() as file:
            file.write(body)
            file.flush()
            socket.send_fds(self._side, [b"\0"], [file.fileno()])

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

_READ = 1 << 18


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
        spooled = flags & SPOOLED
        size = HEAD.size + meta_size + (0 if spooled else body_size)
        if not self._need(size):
            return None
        meta_at = self._start + HEAD.size
        body_at = meta_at + meta_size
        meta = jsontext.loads(bytes(self._view[meta_at:body_at]))
        end = self._start + size
        body: Any = bytes(self._view[body_at:end]) if not spooled else self._mapped(body_size)
        self._start = end
        if self._start == self._end:
            self._start = self._end = 0
        return Frame(kind, flags, following, meta, body, 0)

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
            try:
                count = self._stream.recv_into(self._view[self._end :])
            except ConnectionError:
                return False
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

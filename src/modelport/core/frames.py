"""The frames between front and worker: a fixed head, a JSON meta part, a raw body.

Plain data only; nothing is ever unpickled. Little-endian head of 16 bytes:

    kind u8 | flags u8 | following u16 | meta length u32 | body length u64

``following`` is how many more frames belong to the same batch. With ``SPOOLED`` set the body is not in the
stream: its file descriptor was sent just before on the side channel. A ``REPLY`` with ``MORE`` set is only the
beginning of an answer: ``CHUNK`` frames follow, up to the first without ``MORE``, whose meta says what went wrong on
the way, or null.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from modelport.core import jsontext

LOAD, READY, FAILED, CALL, REPLY, LOG, CHUNK = range(1, 8)
SPOOLED, MORE = 1, 2

SPOOL_THRESHOLD = 1 << 20
"""Bytes from which a body travels as a file descriptor instead of in the stream."""
MAX_META = 4 << 20
"""Bytes of meta that a frame may have; more is a broken peer."""

HEAD = struct.Struct("<BBHIQ")


class BrokenFrame(Exception):
    """The peer does not speak the protocol; the connection is of no more use."""


class Frame(NamedTuple):
    """One message. ``body`` is bytes-like; for a spooled frame it is empty and ``spooled`` holds its size."""

    kind: int
    flags: int
    following: int
    meta: Any
    body: Any
    spooled: int = 0


def pack(
    kind: int, meta: Any, body: Any = b"", *, flags: int = 0, following: int = 0, spooled: int | None = None
) -> list[Any]:
    """The frame as a list of buffers to be written in order; the body is not copied."""
    head_meta = jsontext.dumps(meta)
    if spooled is not None:
        return [HEAD.pack(kind, flags | SPOOLED, following, len(head_meta), spooled) + head_meta]
    return [HEAD.pack(kind, flags, following, len(head_meta), len(body)) + head_meta, body]


class FrameBuffer:
    """Cuts a byte stream into frames. ``max_body`` bounds what the peer may announce, in bytes."""

    def __init__(self, max_body: int) -> None:
        self.max_body = max_body
        self._data = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Takes what arrived, returns the frames that are complete. Raises ``BrokenFrame``."""
        if not self._data:
            frames, used = self._cut(data)
            if used < len(data):
                self._data += memoryview(data)[used:]
            return frames
        self._data += data
        if not self._complete():
            return []
        frames, used = self._cut(bytes(self._data))
        del self._data[:used]
        return frames

    def _complete(self) -> bool:
        data = self._data
        if len(data) < HEAD.size:
            return False
        _, flags, _, meta_size, body_size = HEAD.unpack_from(data)
        self._check(meta_size, body_size, flags)
        size: int = HEAD.size + meta_size + (0 if flags & SPOOLED else body_size)
        return len(data) >= size

    def _check(self, meta_size: int, body_size: int, flags: int) -> None:
        if meta_size > MAX_META or (body_size > self.max_body and not flags & SPOOLED):
            raise BrokenFrame(f"a frame of {meta_size} + {body_size} bytes is over the limit")

    def _cut(self, data: bytes) -> tuple[list[Frame], int]:
        frames: list[Frame] = []
        at = 0
        size = len(data)
        while size - at >= HEAD.size:
            kind, flags, following, meta_size, body_size = HEAD.unpack_from(data, at)
            self._check(meta_size, body_size, flags)
            meta_at = at + HEAD.size
            body_at = meta_at + meta_size
            spooled = flags & SPOOLED
            end = body_at if spooled else body_at + body_size
            if size < end:
                break
            try:
                meta = jsontext.loads(data[meta_at:body_at])
            except ValueError as fault:
                raise BrokenFrame(f"unreadable meta: {fault}") from None
            frames.append(Frame(kind, flags, following, meta, data[body_at:end], body_size if spooled else 0))
            at = end
        return frames, at

"""Sends answers in the order of their calls: whole ones in as few writes as possible, the others piece by piece."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from modelport.core import frames
from modelport.core.board import Board
from modelport.core.call import Reply
from modelport.errors import InvalidOutput
from modelport.worker import capture, imports
from modelport.worker.link import Link

PIECE = 256 << 10
"""Bytes that one chunk has at most."""
_OURS = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})
"""Headers that are about the connection: the server sets them, whatever the user's code says."""
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")


class Answers:
    """``send`` takes reply messages: kind, meta, and a body that is bytes-like or an iterator of such."""

    def __init__(self, link: Link, board: Board) -> None:
        self._link = link
        self._board = board
        self._sent = 0

    def send(self, messages: list[Any]) -> None:
        whole: list[Any] = []
        for message in messages:
            if isinstance(message[2], Iterator):
                self._send_whole(whole)
                whole = []
                self._send_pieces(*message)
            else:
                whole.append(message)
        self._send_whole(whole)

    def _send_whole(self, messages: list[Any]) -> None:
        if messages:
            self._link.send_all(messages)
            self._sent += len(messages)

    def _send_pieces(self, kind: int, meta: Any, pieces: Iterator[Any]) -> None:
        """Each write waits while the client is slower than the model, so that nothing piles up."""
        self._link.send(kind, meta, b"", frames.MORE)
        fault = None
        try:
            for piece in _cut(pieces):
                if self._board.is_dropped(self._sent + 1):
                    break
                self._link.send(frames.CHUNK, None, piece, frames.MORE)
        except BaseException as raised:
            capture.current.emit("error", imports.user_traceback(raised))
            fault = type(raised).__name__
        capture.settle()
        self._link.send(frames.CHUNK, fault)
        self._sent += 1


def begun(reply: Reply) -> Reply:
    """A model's own reply, without what the server decides.

    One in pieces has made its first, so that a model which fails at once can still be told of. Raises
    ``InvalidOutput`` for a header that could be taken for more than one.
    """
    for name, value in reply.headers:
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise InvalidOutput(f"header {name[:80]!r} has characters that a header may not have")
    headers = [(name, value) for name, value in reply.headers if name.lower() not in _OURS]
    body = reply.body
    if isinstance(body, Iterator):
        body = _resumed(next(body, b""), body)
    return reply._replace(headers=headers, body=body)


def _resumed(first: Any, pieces: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from pieces


def _cut(pieces: Iterator[Any]) -> Iterator[Any]:
    """The pieces in sizes that frames may have."""
    for piece in pieces:
        view = memoryview(piece).cast("B")
        for at in range(0, len(view), PIECE):
            yield view[at : at + PIECE]

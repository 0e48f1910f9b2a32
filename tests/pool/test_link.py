"""The front's end of a link to a worker that is no more, and bodies on a disk that takes them bit by bit."""

from __future__ import annotations

import socket
from typing import Any

from modelport.core import frames
from modelport.pool.body import Spool
from modelport.pool.link import Link


class Transport:
    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        raise AssertionError("nothing can be written to it")

    def abort(self) -> None:
        pass


def test_a_spooled_body_for_a_worker_that_just_ended_is_no_error_here() -> None:
    mine, theirs = socket.socketpair()
    theirs.close()
    link = Link(mine, lambda frame: None, lambda fault: None)
    transport: Any = Transport()
    link.connection_made(transport)
    spool = Spool()
    spool.write(b"x" * 10)
    link.send([(frames.CALL, [], spool)])
    spool.close()
    mine.close()


class Reluctant:
    """A file that takes three bytes at a time."""

    def __init__(self) -> None:
        self.kept = b""

    def write(self, data: Any) -> int:
        self.kept += bytes(data[:3])
        return min(3, len(data))


def test_a_body_is_written_whole_by_a_file_that_takes_little_at_once() -> None:
    file: Any = Reluctant()
    spool = Spool(file)
    spool.write(b"0123456789")
    assert (file.kept, spool.size) == (b"0123456789", 10)

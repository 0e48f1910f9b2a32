"""Captures what a model prints or logs, tagged with the request it belongs to, at a bounded rate.

Python-level output goes to the front as LOG frames, in order with the replies. What native code writes to the
descriptors 1 and 2 reaches the front through pipes.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from typing import Any

from modelport.core import frames
from modelport.core.budget import OutputBudget

MAX_LINE = 8 << 10
"""Bytes after which a line without an end is passed on all the same."""


class Capture:
    """Where captured lines go. ``request`` is the id of the request being served, or an empty string."""

    def __init__(self, link: Any) -> None:
        self.request = ""
        self._link = link
        self._budget = OutputBudget()

    def emit(self, level: str, text: str) -> None:
        if not self._budget.take(len(text)):
            return
        notice = self._budget.notice()
        if notice:
            self._send("warning", notice)
        self._send(level, text)

    def settle(self) -> None:
        """At a request's end: says what was dropped, if anything."""
        notice = self._budget.notice()
        if notice:
            self._send("warning", notice)

    def _send(self, level: str, text: str) -> None:
        try:
            self._link.send(frames.LOG, {"level": level, "text": text, "request": self.request})
        except OSError:
            pass  # the front is gone, and so will this process be


class LineWriter(io.RawIOBase):
    """A raw stream that passes on whole lines."""

    def __init__(self, capture: Capture, level: str, fd: int) -> None:
        super().__init__()
        self._capture = capture
        self._level = level
        self._fd = fd
        self._line = bytearray()
        self._lock = threading.RLock()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def write(self, data: Any) -> int:
        size = len(data)
        with self._lock:
            self._line += data
            if b"\n" in data or len(self._line) > MAX_LINE:
                *lines, rest = bytes(self._line).split(b"\n")
                self._line = bytearray(rest)
                for line in lines:
                    self._emit(line)
                if len(self._line) > MAX_LINE:
                    self._flush()
        return size

    def finish_line(self) -> None:
        with self._lock:
            if self._line:
                self._flush()

    def _flush(self) -> None:
        line, self._line = bytes(self._line), bytearray()
        self._emit(line)

    def _emit(self, line: bytes) -> None:
        for at in range(0, len(line), MAX_LINE):
            self._capture.emit(self._level, line[at : at + MAX_LINE].decode("utf-8", "replace"))


class LogHandler(logging.Handler):
    """For models that use ``logging`` without configuring it."""

    def __init__(self, capture: Capture) -> None:
        super().__init__()
        self._capture = capture

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._capture.emit(record.levelname.lower(), self.format(record))
        except Exception:
            self.handleError(record)


current: Capture
_writers: Any = ()


def start(link: Any) -> Capture:
    """Redirects ``sys.stdout``, ``sys.stderr`` and unconfigured logging for the rest of the process."""
    global current, _writers
    current = Capture(link)
    _writers = (LineWriter(current, "info", 1), LineWriter(current, "error", 2))
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(writer, encoding="utf-8", errors="backslashreplace", line_buffering=True, write_through=True)
        for writer in _writers
    )
    handler = LogHandler(current)
    logging.getLogger().addHandler(handler)
    os.register_at_fork(after_in_child=lambda: detach(handler))
    return current


def detach(handler: logging.Handler) -> None:
    """In a process that the model forked: the link is not its own, so what it prints goes to the pipes."""
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    logging.getLogger().removeHandler(handler)


def settle() -> None:
    """At a request's end: nothing that it printed stays behind to be blamed on the next."""
    for writer in _writers:
        writer.finish_line()
    current.settle()

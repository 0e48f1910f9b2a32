"""What a component has learned, in a file that its workers share and that outlives them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from typing import Any, Callable

from modelport.errors import LoadError

State = dict[str, Any]


class Kept:
    """A JSON object in a file. It is replaced as a whole, so that it can be read at any moment."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._seen: tuple[int, ...] = ()
        folder = os.path.dirname(file)
        try:
            os.makedirs(folder, exist_ok=True)
            with self._locked():
                pass
        except OSError as fault:
            raise LoadError(f"state cannot be kept in {folder}: {fault.strerror}") from None

    def changed(self) -> State | None:
        """What is in the file, if it has changed since it was last read or written; None where there is none.

        Raises ``LoadError`` for a file that holds something else.
        """
        try:
            with open(self.file, "rb") as opened:
                seen = _mark(opened.fileno())
                if seen == self._seen:
                    return None
                text = opened.read()
        except FileNotFoundError:
            return None
        try:
            state = json.loads(text)
        except ValueError:
            state = None
        if not isinstance(state, dict):
            raise LoadError(f"{self.file} is damaged", hint="mend it, or remove it: what was learned is lost then")
        self._seen = seen
        return state

    def update(self, learn: Callable[[State | None], State]) -> None:
        """Replaces the state by what ``learn`` makes of it, if others changed it; nobody else writes meanwhile."""
        with self._locked():
            state = learn(self.changed())
            folder, name = os.path.split(self.file)
            handle, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
            try:
                with open(handle, "wb") as opened:
                    opened.write(json.dumps(state).encode())
                    opened.flush()
                    self._seen = _mark(opened.fileno())
                os.replace(temporary, self.file)
            except BaseException:
                os.unlink(temporary)
                raise

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with open(f"{self.file}.lock", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _mark(descriptor: int) -> tuple[int, ...]:
    """What tells one content of the file from the next."""
    told = os.fstat(descriptor)
    return told.st_ino, told.st_mtime_ns, told.st_size

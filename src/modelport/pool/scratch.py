"""Folders for workers' files, which go with them; also when this process is killed: the next one clears up."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

PREFIX = "modelport-"
LOCK = "lock"


def folder() -> str:
    """A new one."""
    return tempfile.mkdtemp(dir=_root())


def clear(path: str) -> None:
    """Deletes one, whatever is in it."""
    shutil.rmtree(path, ignore_errors=True)


@cache
def _root() -> Path:
    """This process's own, which holds a lock as long as it lives."""
    sweep()
    root = Path(tempfile.mkdtemp(prefix=PREFIX))
    atexit.register(clear, str(root))
    new = root / "new"
    fcntl.flock(os.open(new, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600), fcntl.LOCK_EX)
    new.rename(root / LOCK)  # only now may others try it
    return root


def sweep() -> None:
    """Deletes what processes have left behind that were killed."""
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
        with contextlib.suppress(OSError):
            if lock.parent.is_symlink() or lock.parent.stat().st_uid != os.getuid():
                continue
            number = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                clear(str(lock.parent))
            finally:
                os.close(number)

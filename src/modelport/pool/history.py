"""What is known of tasks, on disk, so that it outlasts the server."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from modelport.core.model import ModelSpec
from modelport.core.task import DONE, FAILED, RUNNING, Task
from modelport.errors import NotFound, ServiceError

KEPT = 200
"""Ended tasks of a model; beyond, the oldest go."""
BUSY = 1.0
"""Seconds to wait for another server that writes."""
OUTPUT = 4 << 20
"""Bytes of output after which a new file is begun; the one before is kept, those before that are not."""
_SELECT = "SELECT id, state, arguments, created, ended, result, message FROM tasks "
_TABLE = """
CREATE TABLE IF NOT EXISTS tasks (
    id TEXT PRIMARY KEY, root TEXT NOT NULL, model TEXT NOT NULL, owner TEXT NOT NULL, state TEXT NOT NULL,
    arguments BLOB NOT NULL, created REAL NOT NULL, ended REAL, result BLOB, message TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS by_model ON tasks (root, model, created);
"""
_OWNERS = "SELECT DISTINCT owner FROM tasks WHERE ended IS NULL"
_FAIL = "UPDATE tasks SET state = ?, ended = ?, message = ? WHERE owner = ? AND ended IS NULL"
_log = logging.getLogger("modelport.tasks")


class History:
    """Tasks in ``tasks.sqlite3`` and their output in ``tasks/``, in a folder that several servers may share.

    Tasks of servers that have died count as failed. Where the folder cannot be used, tasks are known only as long as
    this server runs.
    """

    def __init__(self, folder: Path) -> None:
        self._owner = owner(os.getpid())
        self._outputs: Path | None = folder / "tasks"
        try:
            self._outputs.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._base = sqlite3.connect(folder / "tasks.sqlite3", timeout=BUSY, isolation_level=None)
            self._base.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; {_TABLE}")
        except (OSError, sqlite3.Error) as fault:
            _log.warning("tasks will be forgotten when this server ends: %s: %s", folder, fault)
            self._outputs = None
            self._base = sqlite3.connect(":memory:", isolation_level=None)
            self._base.executescript(_TABLE)
        self._bury()

    def _bury(self) -> None:
        for (other,) in self._base.execute(_OWNERS).fetchall():
            if not is_alive(other):
                self._base.execute(_FAIL, (FAILED, time.time(), "the server ended before the task did", other))

    def add(self, spec: ModelSpec, task: Task) -> None:
        """Raises ``ServiceError`` where it cannot be written down."""
        try:
            self._base.execute(
                "INSERT INTO tasks (id, state, arguments, created, ended, result, message, root, model, owner) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*task, spec.root, spec.name, self._owner),
            )
        except sqlite3.Error as fault:
            raise ServiceError(f"the task cannot be written down: {fault}") from None
        old = self._base.execute(
            "SELECT id FROM tasks WHERE root = ? AND model = ? AND ended IS NOT NULL ORDER BY created DESC "
            "LIMIT -1 OFFSET ?",
            (spec.root, spec.name, KEPT),
        )
        for (key,) in old.fetchall():
            self.delete(key)

    def begin(self, key: str) -> None:
        self._change("UPDATE tasks SET state = ? WHERE id = ?", RUNNING, key)

    def end(self, key: str, result: bytes | None, message: str = "") -> None:
        """Without a result it has failed."""
        state = DONE if result is not None else FAILED
        change = "UPDATE tasks SET state = ?, ended = ?, result = ?, message = ? WHERE id = ?"
        self._change(change, state, time.time(), result, message, key)

    def delete(self, key: str) -> None:
        self._change("DELETE FROM tasks WHERE id = ?", key)
        for path in self._files(key):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def _change(self, words: str, *values: Any) -> None:
        """A full disk keeps no task from running."""
        try:
            self._base.execute(words, values)
        except sqlite3.Error as fault:
            _log.error("the history of tasks is not up to date: %s", fault)

    def all(self, spec: ModelSpec) -> list[Task]:
        rows = self._base.execute(
            _SELECT + "WHERE root = ? AND model = ? ORDER BY created",
            (spec.root, spec.name),
        )
        return [Task(*row) for row in rows]

    def find(self, spec: ModelSpec, key: str) -> Task:
        """Raises ``NotFound``."""
        row = self._base.execute(
            _SELECT + "WHERE id = ? AND root = ? AND model = ?",
            (key, spec.root, spec.name),
        ).fetchone()
        if row is None:
            raise NotFound(f"{spec.name} has no task {key[:100]!r}")
        return Task(*row)

    def write(self, key: str, text: str) -> None:
        """One more line of output."""
        files = self._files(key)
        if not files:
            return
        older, newer = files
        try:
            with newer.open("ab") as file:
                file.write(text.encode("utf-8", "replace") + b"\n")
                is_full = file.tell() > OUTPUT
            if is_full:
                newer.replace(older)
        except OSError as fault:
            _log.warning("the output of task %s is not kept: %s", key, fault)

    def output(self, key: str) -> bytes:
        parts = []
        for path in self._files(key):
            with contextlib.suppress(OSError):
                parts.append(path.read_bytes())
        return b"".join(parts)

    def _files(self, key: str) -> list[Path]:
        """The earlier output and the latest."""
        return [] if self._outputs is None else [self._outputs / f"{key}.1.log", self._outputs / f"{key}.log"]

    def close(self) -> None:
        self._base.close()


def owner(process: int) -> str:
    """A process so named that no other ever has the name, where the system tells when it began."""
    try:
        began = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        began = "0"
    return f"{process}-{began}"


def is_alive(name: str) -> bool:
    """Whether an ``owner`` still runs."""
    process = int(name.partition("-")[0])
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return owner(process) == name

"""Work that outlasts the request that asked for it: begun by one, looked after by others."""

from __future__ import annotations

from typing import Callable, NamedTuple, Protocol

from modelport.core.call import Reply
from modelport.core.model import ModelSpec

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
FAILURE = "failure"
"""Of an outcome's extras: what a task's model raised, as {"type": ..., "message": ..., "traceback": ...}. As JSON that
is the body of an answer with a code."""


class Task(NamedTuple):
    """``arguments`` and ``result`` are JSON, ``message`` says why it failed; times are seconds since the epoch."""

    id: str
    state: str
    arguments: bytes
    created: float
    ended: float | None = None
    result: bytes | None = None
    message: str = ""


class Begins(NamedTuple):
    """What a route does that begins a task: the model's worker has first checked the request; ``verb`` is then what
    a worker of the task's own is told, and ``answer`` what the client is."""

    verb: str
    answer: Callable[[Task], Reply]


class Tasks(Protocol):
    """The tasks of a server, by the model that they are of."""

    def all(self, spec: ModelSpec) -> list[Task]:
        """Oldest first."""
        ...

    def find(self, spec: ModelSpec, key: str) -> Task:
        """Raises ``NotFound``."""
        ...

    def remove(self, spec: ModelSpec, key: str) -> Task:
        """Forgets it, and ends it where it has not ended; as it was, or cancelled. Raises ``NotFound``."""
        ...

    def output(self, spec: ModelSpec, key: str) -> bytes:
        """What the model printed so far, the end of it where that is much. Raises ``NotFound``."""
        ...

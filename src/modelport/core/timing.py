"""Times of the requests to graphs, and of the questions to their units, for platforms that have metrics of them."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from modelport.core.call import Call, Reply
from modelport.core.model import ModelSpec
from modelport.errors import ModelportError


class Series(NamedTuple):
    """Where times are shown: a metric of that name, and of ``summary`` for its quantiles, with these labels."""

    name: str
    summary: str
    labels: dict[str, str]


class Timing(Protocol):
    """How a platform shows them: in buckets that end at ``bounds`` seconds, and by ``quantiles`` from 0 to 1.

    There are only as many series as there are units, verbs and codes: no text of a client may get into one.
    """

    bounds: tuple[float, ...]
    quantiles: tuple[float, ...]

    def request(self, spec: ModelSpec, call: Call, code: str) -> Series | None:
        """Of a request to the graph; None for one that the platform does not know."""
        ...

    def question(self, spec: ModelSpec, unit: str, verb: str, code: str) -> Series:
        """Of a question to a unit. Raises ``ValueError`` for a verb or a code that there is not."""
        ...

    def code(self, call: Call, end: Reply | ModelportError) -> str:
        """What whoever asked is told of how it ended; with ``call.unit`` that is who asked the unit."""
        ...

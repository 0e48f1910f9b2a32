"""One request on its way to a model, and what comes back."""

from __future__ import annotations

from typing import Any, NamedTuple

from modelport.core.payload import Column, Payload
from modelport.errors import InvalidOutput

PREDICT = "predict"
"""The operation of a model that answers rows with predictions."""
FUNCTION = "function"
"""The operation of a plain function: arguments in, any value out."""


class Call(NamedTuple):
    """What the front tells a worker of a request; the body travels beside it, unparsed.

    ``verb`` is the protocol's own word for what is asked, ``headers`` holds only what the protocol's codec asked
    for (names in lower case), ``query`` is the undecoded query string, ``waited`` the seconds spent in the queue,
    ``path`` the request's path, ``unit`` the part of a graph that is meant, where it is not all of it.
    """

    id: str
    protocol: str
    verb: str
    headers: dict[str, str]
    query: str
    path: str
    unit: str = ""
    waited: float = 0.0


class Reply(NamedTuple):
    """A finished answer: status, headers and body. ``code`` is the error's code, for logs and metrics.

    In a worker ``body`` is bytes-like, or an iterator of bytes-like pieces, which go out as they are made.
    """

    status: int
    headers: list[tuple[str, str]]
    body: Any
    code: str | None = None


class Outcome:
    """What a model answered, in terms that every protocol can read.

    Either ``predictions`` (one value a row, ``None`` or ``nan`` where the model left a row out) with perhaps
    ``probabilities`` (class label to column) and ``row_extras`` (one dict a row); or a ``payload`` of any kind;
    or a ``reply`` that goes out verbatim. ``extras`` carries platform quirks, keyed by platform.
    """

    __slots__ = ("predictions", "probabilities", "row_extras", "payload", "reply", "extras")

    def __init__(
        self,
        predictions: Column | None = None,
        probabilities: dict[Any, Column] | None = None,
        row_extras: list[dict[str, Any] | None] | None = None,
        payload: Payload | None = None,
        reply: Reply | None = None,
        extras: dict[str, Any] | None = None,
    ) -> None:
        self.predictions = predictions
        self.probabilities = probabilities
        self.row_extras = row_extras
        self.payload = payload
        self.reply = reply
        self.extras = extras or {}

    def split(self, rows: list[int]) -> list[Outcome]:
        """The outcome of a merged batch, cut back into one outcome a request.

        Raises ``InvalidOutput`` where the model did not answer one value a row.
        """
        columns = [self.predictions, self.row_extras, *(self.probabilities or {}).values()]
        if any(column is not None and len(column) != sum(rows) for column in columns):
            raise InvalidOutput(f"the model did not answer one value for each of {sum(rows)} rows")
        parts = []
        start = 0
        for count in rows:
            cut = slice(start, start + count)
            start += count
            parts.append(
                Outcome(
                    predictions=None if self.predictions is None else self.predictions[cut],
                    probabilities=None
                    if self.probabilities is None
                    else {label: column[cut] for label, column in self.probabilities.items()},
                    row_extras=None if self.row_extras is None else self.row_extras[cut],
                    extras=self.extras,
                )
            )
        return parts


class Deadline(NamedTuple):
    """A moment on the monotonic clock, in seconds; wall-clock jumps do not move it."""

    at: float

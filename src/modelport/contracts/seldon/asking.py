"""A question to a unit within a graph's own worker: how it can end, and how long it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from modelport.core import measures, statuses
from modelport.core.call import Outcome
from modelport.errors import ModelError, ModelportError

REMOTE = "grpc/"
"""What verbs begin with that come over gRPC: their messages are bytes."""


class Stopped(Exception):
    """A unit's own answer ended the walk: it goes out as it is."""

    def __init__(self, unit: str, outcome: Outcome, status: int) -> None:
        super().__init__(unit)
        self.unit = unit
        self.outcome = outcome
        self.status = status


@contextmanager
def timed(unit: str, verb: str) -> Iterator[None]:
    """Has the front count a question, with the status that its answer would have on the wire."""
    is_remote = verb.startswith(REMOTE)
    code = "OK" if is_remote else "200"
    begin = time.perf_counter()
    try:
        yield
    except Stopped as stopped:
        code = str(stopped.status)
        raise
    except ModelportError as error:
        code = _code(error, is_remote)
        raise
    except BaseException:
        code = "UNKNOWN" if is_remote else "500"
        raise
    finally:
        told = {measures.VERB: verb, measures.CODE: code}
        measures.report(measures.QUESTION, unit, time.perf_counter() - begin, told)


def _code(error: ModelportError, is_remote: bool) -> str:
    if not is_remote:
        return str(statuses.status_of(error, statuses.HTTP))
    return "UNKNOWN" if isinstance(error, ModelError) else statuses.rpc_code(error, statuses.GRPC)

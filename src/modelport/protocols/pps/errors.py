"""Errors as the platform words them: an object with a message."""

from __future__ import annotations

from modelport.core import jsontext, statuses
from modelport.core.call import Reply
from modelport.errors import InvalidInput, ModelportError


class Unprocessable(InvalidInput):
    """An argument that is not allowed or makes no sense, or a column that the model needs and does not get."""

    code = "unprocessable"


STATUSES = dict(
    statuses.HTTP,
    unprocessable=422,
    unsupported_type=415,
    unconvertible=422,
    bad_package=422,
    service=503,
    queue_timeout=503,
    run_timeout=503,
    worker_died=503,
)
"""Clients of the platform send a request again after a 503, not after a 500."""


def error(error: ModelportError, request_id: str) -> Reply:
    """The reply with the error as its ``message``."""
    status = statuses.status_of(error, STATUSES)
    text = statuses.worded(error, status, request_id)
    return Reply(status, statuses.headers_of(error), jsontext.dumps({"message": text}), error.code)

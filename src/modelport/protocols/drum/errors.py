"""Errors as DRUM words them: an object whose message begins with ERROR."""

from __future__ import annotations

from modelport.core import jsontext, statuses
from modelport.core.call import Reply
from modelport.errors import ModelportError

STATUSES = dict(statuses.HTTP, invalid_input=422, unconvertible=422, service=503, model_unavailable=513)
"""513 says that the model could not be loaded; one that is still loading, or was unloaded, is a 503.

The platform's documents give no status for bad data: 422 for data that the model cannot take, 400 for a body that
cannot even be taken apart.
"""


def error(error: ModelportError, request_id: str) -> Reply:
    """The reply with the error as its ``message``."""
    status = statuses.status_of(error, STATUSES)
    text = statuses.worded(error, status, request_id)
    return Reply(status, statuses.headers_of(error), jsontext.dumps({"message": f"ERROR: {text}"}), error.code)

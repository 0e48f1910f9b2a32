"""Errors as the Dataiku client reads them: an object with errorType, message and detailedMessage."""

from __future__ import annotations

from modelport.core import jsontext, statuses
from modelport.core.call import Reply
from modelport.errors import ModelportError

STATUSES = dict(statuses.HTTP, queue_timeout=503)
"""Waiting too long is a rejection on this platform, like a full queue."""

VERSIONS = [("dss-api-version", "1"), ("dss-version", "modelport")]
"""Headers on every reply."""


def error(error: ModelportError, request_id: str) -> Reply:
    """The reply; from 500 on it names the request, so that the log can be searched."""
    message = error.describe()
    detailed = f"{message} ({error.hint})" if error.hint else message
    if statuses.status_of(error, STATUSES) >= 500:
        detailed += f" [request {request_id}]"
    body = {"errorType": error.type_name, "message": message, "detailedMessage": detailed}
    return Reply(
        statuses.status_of(error, STATUSES),
        statuses.headers_of(error) + VERSIONS,
        jsontext.dumps(body),
        error.code,
    )

"""Errors as Seldon's wrapper words them: over REST a message with nothing but its status, over gRPC a status."""

from __future__ import annotations

import json

from modelport.core import statuses
from modelport.core.call import Reply
from modelport.errors import InvalidBody, ModelError, ModelportError, ModelRejected, RequestError, ServiceError
from modelport.protocols.seldon.jsonbody import written

BAD_DATA = "MICROSERVICE_BAD_DATA"
INTERNAL = "MICROSERVICE_INTERNAL_ERROR"
FAILURE = 1
"""The status flag of every error."""


class Unparsed(InvalidBody):
    """A form or a query whose JSON or text cannot be read: the client's fault, which the platform calls its own."""

    code = "unparsed"


class Stray(RequestError):
    """A path or a method that does not exist: no 404 or 405 here."""

    code = "stray"


STATUSES = dict(statuses.HTTP, unparsed=500, stray=500)


class Unreachable(ServiceError):
    """A unit of a graph cannot be asked."""

    code = "unreachable"


def error(error: ModelportError, request_id: str) -> Reply:
    """The reply. What the platform itself would say stands there alone; what only this server knows names the request
    from 500 on, so that the log can be searched."""
    if error.unit is not None and isinstance(error, ServiceError):
        return _failure(error, request_id)
    status = statuses.status_of(error, STATUSES)
    reason = error.reason if isinstance(error, ModelRejected) else None
    info = error.describe()
    if error.hint and not isinstance(error, ModelError):
        info += f" ({error.hint})"
    if status >= 500 and not isinstance(error, (ModelError, RequestError)):
        info += f" [request {request_id}]"
    told = {
        "code": -1,
        "info": info,
        "reason": reason or (INTERNAL if status >= 500 else BAD_DATA),
        "status": FAILURE,
    }
    return Reply(status, statuses.headers_of(error), written({"status": told}), error.code)


def _failure(error: ModelportError, request_id: str) -> Reply:
    """What the platform's orchestrator says of a unit that it cannot get an answer from."""
    status = 503 if error.code == "queue_full" else 500
    info = f"{error.describe()} [request {request_id}]"
    text = json.dumps({"status": {"code": status, "info": info, "status": "FAILURE"}}, separators=(",", ":"))
    return Reply(status, statuses.headers_of(error), f"{text}\n".encode(), error.code)


def refusal(error: ModelportError, request_id: str) -> Reply:
    """The reply over gRPC. Whatever a model raises is UNKNOWN, in the words of a Python server of gRPC."""
    if not isinstance(error, ModelError):
        return statuses.refused(error, request_id)
    text = f"Exception calling application: {error.describe()}"
    headers = [(statuses.GRPC_STATUS, "UNKNOWN"), *([(statuses.UNIT, error.unit)] if error.unit else [])]
    return Reply(statuses.status_of(error, STATUSES), headers, text.encode("utf-8", "replace"), error.code)

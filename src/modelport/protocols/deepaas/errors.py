"""Errors as DEEPaaS words them: one line of text, or an object that says of each argument what is wrong with it."""

from __future__ import annotations

from http import HTTPStatus

from modelport.core import jsontext, statuses
from modelport.core.call import Reply
from modelport.errors import BodyTooLarge, InvalidArguments, InvalidBody, ModelportError, RequestError

TEXT = "text/plain; charset=utf-8"
STATUSES = dict(
    statuses.HTTP, invalid_input=422, unconvertible=422, service=503, broken_json=400, switched_off=402, moved=308
)


class BrokenJson(InvalidBody):
    """A body that is called JSON and is none."""

    code = "broken_json"


class SwitchedOff(RequestError):
    """A part of the API that this server was told not to offer."""

    code = "switched_off"


class Moved(RequestError):
    """The path lacks its final slash, or has one too many in between; ``location`` is the right one."""

    code = "moved"

    def __init__(self, location: str) -> None:
        super().__init__(f"it is at {location}")
        self.location = location


BARE = ("not_found", "method_not_allowed", "switched_off", "moved")
"""What the platform says in the words of the status alone."""


def error(error: ModelportError, request_id: str) -> Reply:
    """The reply."""
    status = statuses.status_of(error, STATUSES)
    if isinstance(error, InvalidArguments):
        return Reply(status, [("content-type", "application/json")], jsontext.dumps(error.misfits), error.code)
    if isinstance(error, BrokenJson):
        body = jsontext.dumps({"json": ["Invalid JSON body."]})
        return Reply(status, [("content-type", "application/json")], body, error.code)
    headers = [("content-type", TEXT), *statuses.headers_of(error)[1:]]
    if isinstance(error, Moved):
        headers.append(("location", error.location))
    return Reply(status, headers, _worded(error, status, request_id).encode(), error.code)


def _worded(error: ModelportError, status: int, request_id: str) -> str:
    if error.code in BARE:
        return f"{status}: {HTTPStatus(status).phrase}"
    if isinstance(error, BodyTooLarge) and error.limit is not None:
        return f"Maximum request body size {error.limit} exceeded."
    if error.code in ("model_rejected", "invalid_output"):
        return f"{status}: {error.message}"
    return f"{status}: {statuses.worded(error, status, request_id)}"

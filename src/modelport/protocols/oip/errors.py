"""Errors as the Open Inference Protocol has them: an object with the text as ``error``."""

from __future__ import annotations

from modelport.core import jsontext, statuses
from modelport.core.call import Reply
from modelport.errors import ModelportError

STATUSES = dict(statuses.HTTP, model_unloaded=404)
"""To clients of a repository, a model that is not loaded is not there."""


def error(error: ModelportError, request_id: str) -> Reply:
    """The reply with the error as its ``error``."""
    status = statuses.status_of(error, STATUSES)
    text = statuses.worded(error, status, request_id)
    return Reply(status, statuses.headers_of(error), jsontext.dumps({"error": text}), error.code)


RPC_STATUSES = dict(statuses.GRPC, model_unloaded="NOT_FOUND")


def refusal(error: ModelportError, request_id: str) -> Reply:
    """The same for gRPC."""
    return statuses.refused(error, request_id, RPC_STATUSES)

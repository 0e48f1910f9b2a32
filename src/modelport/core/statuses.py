"""The HTTP and gRPC forms of an error, unless a protocol says otherwise in its own ``errors.py``."""

from __future__ import annotations

from modelport.core.call import Reply
from modelport.errors import ModelError, ModelportError, ModelRejected

HTTP = {
    "invalid_body": 400,
    "unsupported_type": 400,
    "invalid_input": 400,
    "unconvertible": 400,
    "body_too_large": 413,
    "not_found": 404,
    "method_not_allowed": 405,
    "unauthorized": 401,
    "forbidden": 403,
    "model_raised": 500,
    "invalid_output": 500,
    "queue_full": 503,
    "queue_timeout": 504,
    "run_timeout": 504,
    "worker_died": 502,
    "model_unavailable": 503,
    "model_unloaded": 503,
    "storage_full": 507,
}

GRPC = {
    "invalid_body": "INVALID_ARGUMENT",
    "unsupported_type": "INVALID_ARGUMENT",
    "invalid_input": "INVALID_ARGUMENT",
    "unconvertible": "INVALID_ARGUMENT",
    "body_too_large": "RESOURCE_EXHAUSTED",
    "not_found": "NOT_FOUND",
    "method_not_allowed": "UNIMPLEMENTED",
    "unauthorized": "UNAUTHENTICATED",
    "forbidden": "PERMISSION_DENIED",
    "model_raised": "INTERNAL",
    "invalid_output": "INTERNAL",
    "queue_full": "RESOURCE_EXHAUSTED",
    "queue_timeout": "DEADLINE_EXCEEDED",
    "run_timeout": "DEADLINE_EXCEEDED",
    "worker_died": "UNAVAILABLE",
    "model_unavailable": "UNAVAILABLE",
    "model_unloaded": "UNAVAILABLE",
    "storage_full": "RESOURCE_EXHAUSTED",
    "cancelled": "CANCELLED",
}
"""A full queue is not UNAVAILABLE: clients send that again by themselves and at once, which is no help to a server that
has too much to do."""
_OF_HTTP = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "RESOURCE_EXHAUSTED",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
GRPC_STATUS = "grpc-status"
"""The header by which a reply that is an error names its gRPC status; its body is then the text."""


def refused(error: ModelportError, request_id: str, table: dict[str, str] | None = None) -> Reply:
    """The error for a client of gRPC; ``table`` has other status codes than ``GRPC``."""
    status = status_of(error, HTTP)
    code = rpc_code(error, table or GRPC)
    headers = [(GRPC_STATUS, code), *([(UNIT, error.unit)] if error.unit else [])]
    return Reply(status, headers, worded(error, status, request_id).encode(), error.code)


def rpc_code(error: ModelportError, table: dict[str, str]) -> str:
    """The gRPC status of an error: the table's, else the one closest to its HTTP status."""
    return table.get(error.code) or grpc_of(status_of(error, HTTP))


def code_of(reply: Reply, is_remote: bool) -> str:
    """The status that a reply has for its client: HTTP's, or the name of gRPC's."""
    if not is_remote:
        return str(reply.status)
    return dict(reply.headers).get(GRPC_STATUS) or grpc_of(reply.status)


def grpc_of(status: int) -> str:
    """The gRPC status closest to an HTTP one."""
    return "OK" if status < 400 else _OF_HTTP.get(status, "FAILED_PRECONDITION" if status < 500 else "INTERNAL")


def status_of(error: ModelportError, table: dict[str, int]) -> int:
    """The model's own choice where it made one, else the table's."""
    if isinstance(error, ModelRejected):
        return error.status
    return table.get(error.code, 500)


def worded(error: ModelportError, status: int, request_id: str) -> str:
    """The error in one line; from 500 on it names the request, so that the log can be searched."""
    text = error.describe()
    if isinstance(error, ModelError):
        text = f"{error.type_name}: {text}"
    if error.hint:
        text += f" ({error.hint})"
    if status >= 500:
        text += f" [request {request_id}]"
    return text


UNIT = "x-modelport-node"
"""The header that says which unit of a graph failed."""


def headers_of(error: ModelportError) -> list[tuple[str, str]]:
    """The headers that HTTP wants beside some errors."""
    headers = [("content-type", "application/json")]
    if error.unit:
        headers.append((UNIT, error.unit))
    if error.code == "queue_full":
        headers.append(("retry-after", str(getattr(error, "retry_after", 1))))
    elif error.code == "method_not_allowed":
        headers.append(("allow", ", ".join(getattr(error, "allowed", []))))
    elif error.code == "unauthorized":
        headers.append(("www-authenticate", 'Basic realm="modelport"'))
    return headers

"""The HTTP form of an error, unless a protocol says otherwise in its own ``errors.py``."""

from __future__ import annotations

from modelport.errors import ModelError, ModelportError, ModelRejected

HTTP = {
    "invalid_body": 400,
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
}


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


def headers_of(error: ModelportError) -> list[tuple[str, str]]:
    """The headers that HTTP wants beside some errors."""
    headers = [("content-type", "application/json")]
    if error.code == "queue_full":
        headers.append(("retry-after", str(getattr(error, "retry_after", 1))))
    elif error.code == "method_not_allowed":
        headers.append(("allow", ", ".join(getattr(error, "allowed", []))))
    elif error.code == "unauthorized":
        headers.append(("www-authenticate", 'Basic realm="modelport"'))
    return headers

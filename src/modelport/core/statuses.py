"""The HTTP status of each error code, unless a protocol says otherwise in its own ``errors.py``."""

from __future__ import annotations

from modelport.errors import ModelportError, ModelRejected

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

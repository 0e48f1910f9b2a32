"""The port on which a component shows the metrics of its own code."""

from __future__ import annotations

from modelport.core.call import Reply

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8; charset=utf-8"
"""As the platform says it."""
HTML = "text/html; charset=utf-8"
METHODS = ("GET", "HEAD", "OPTIONS")
PAGE = "<!doctype html>\n<html lang=en>\n<title>{0}</title>\n<h1>{0}</h1>\n<p>{1}</p>\n"


def scraped(method: str, path: str, endpoint: str, metrics: bytes) -> Reply:
    """The metrics at one path, and nothing anywhere else."""
    if path != endpoint:
        return _page(404, "404 Not Found", f"The metrics are at {endpoint}.")
    allow = ("allow", ", ".join(METHODS))
    if method == "OPTIONS":
        return Reply(200, [("content-type", HTML), allow], b"")
    if method not in METHODS:
        reply = _page(405, "405 Method Not Allowed", "The metrics can only be read.")
        return reply._replace(headers=[*reply.headers, allow])
    return Reply(200, [("content-type", CONTENT_TYPE)], metrics)


def _page(status: int, title: str, text: str) -> Reply:
    return Reply(status, [("content-type", HTML)], PAGE.format(title, text).encode())

"""Routes of a Seldon component: its own, and those by which the platform's gateway shows it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from modelport.core.call import Reply
from modelport.core.protocol import Marked, Node, Procedure, Question, Route, Served, not_loaded, nothing_at
from modelport.errors import ModelportError, ModelUnavailable
from modelport.protocols.seldon import errors
from modelport.protocols.seldon.codec import FEEDBACK, HEALTH, METADATA, PLATFORM, PREDICT, PUID
from modelport.protocols.seldon.executor import graph_routes, marks, with_gateway
from modelport.protocols.seldon.jsonbody import written
from modelport.protocols.seldon.messages import FILES
from modelport.protocols.seldon.openapi import document
from modelport.protocols.seldon.procedures import procedures
from modelport.protocols.seldon.timing import timing

READ = ("GET",)
ASK = ("GET", "POST")
POST = ("POST",)
PATHS = {
    "/predict": (ASK, PREDICT),
    "/transform-input": (ASK, "transform-input"),
    "/transform-output": (ASK, "transform-output"),
    "/route": (ASK, "route"),
    "/aggregate": (ASK, "aggregate"),
    "/send-feedback": (ASK, FEEDBACK),
    "/api/v1.0/predictions": (POST, PREDICT),
    "/api/v0.1/predictions": (POST, PREDICT),
    "/api/v1.0/feedback": (POST, FEEDBACK),
    "/api/v0.1/feedback": (POST, FEEDBACK),
    "/health/status": (READ, HEALTH),
    "/api/v1.0/health/status": (READ, HEALTH),
    "/metadata": (READ, METADATA),
    "/api/v1.0/metadata": (READ, METADATA),
}
"""Each path's methods, and the verb that a worker is told."""
PING, OPENAPI = "/health/ping", "/seldon.json"
HTML = "text/html; charset=utf-8"
NOT_FOUND = (
    "404 Not Found: The requested URL was not found on the server. "
    "If you entered the URL manually please check your spelling and try again."
)
NOT_ALLOWED = "405 Method Not Allowed: The method is not allowed for the requested URL."


class SeldonProtocol:
    """The front half of the protocol. No path of it names a model."""

    name = PLATFORM
    codec = "modelport.protocols.seldon.codec"
    headers = ("content-type", PUID)
    roots = ()
    rpc_codec = "modelport.protocols.seldon.rpc_codec"
    files = FILES
    timing = timing

    def routes(self, node: Node, endpoints: Iterable[Served]) -> list[Route]:
        endpoints = list(endpoints)
        routes = [*_reads(PING, _ping(endpoints), None), *_reads(OPENAPI, _openapi, None)]
        for endpoint in endpoints:
            routes += self._model_routes(node, endpoint)
        return routes

    def _model_routes(self, node: Node, endpoint: Served) -> list[Route]:
        """A component answers all by itself; of any other model the front knows what is not a prediction."""
        if endpoint.spec.graph is not None:
            return graph_routes(node, endpoint, _metadata)
        answers: dict[str, Callable[[Question], Reply]] = {}
        verbs = {verb for _, verb in PATHS.values()}
        if endpoint.spec.contract != PLATFORM:
            answers = {HEALTH: lambda _: _health(endpoint), METADATA: lambda _: _json(_metadata(endpoint))}
            verbs = {PREDICT, *answers}
        routes = [*_reads(PING, _ping([endpoint]), endpoint), *_reads(OPENAPI, _openapi, endpoint)]
        for path, (methods, verb) in PATHS.items():
            if verb not in verbs:
                continue
            answer = answers.get(verb)
            routes += [Route(m, path, verb, endpoint, answer, nameless=True) for m in _with_head(methods)]
            routes.append(_options(path, methods, endpoint))
        return with_gateway(routes, endpoint)

    def error(self, error: ModelportError, request_id: str) -> Reply:
        return errors.error(error, request_id)

    def procedures(self, node: Node, endpoints: Sequence[Served]) -> list[Procedure]:
        return procedures(endpoints, _metadata)

    def refusal(self, error: ModelportError, request_id: str) -> Reply:
        return errors.refusal(error, request_id)

    def missing(self, path: str, node: Node) -> ModelportError:
        return nothing_at(path, self.name, node)

    def refuse(self, method: str, path: str) -> ModelportError:
        """To the platform everything exists for reading, if only as a file that is not there."""
        return errors.Stray(NOT_FOUND if method in ("GET", "HEAD") else NOT_ALLOWED)

    def marks(self, asked: Marked) -> list[tuple[str, str]]:
        """Web pages from everywhere may read the answers, and ask before they send."""
        if asked.endpoint is not None and asked.endpoint.spec.graph is not None:
            return marks(asked, asked.endpoint)
        origin = next((value.decode("latin-1") for name, value in asked.headers if name == b"origin"), None)
        if origin is None:
            return [("access-control-allow-origin", "*")]
        return [("access-control-allow-origin", origin), ("vary", "origin")]

    def example(self, endpoint: Served, base: str) -> str | None:
        columns = endpoint.description.columns if endpoint.description is not None else []
        rows = {"names": columns, "ndarray": [[1] * len(columns)]} if columns else {"ndarray": [[1, 2]]}
        body = json.dumps({"data": rows}, ensure_ascii=False).replace("'", "'\\''")
        return f"curl -s {base}/api/v1.0/predictions -H 'Content-Type: application/json' -d '{body}'"


protocol = SeldonProtocol()


def _with_head(methods: tuple[str, ...]) -> tuple[str, ...]:
    return (*methods, "HEAD") if "GET" in methods else methods


def _reads(path: str, answer: Callable[[Question], Reply], endpoint: Served | None) -> list[Route]:
    routes = [Route(m, path, endpoint=endpoint, answer=answer, nameless=True) for m in _with_head(READ)]
    return [*routes, _options(path, READ, endpoint)]


def _options(path: str, methods: tuple[str, ...], endpoint: Served | None) -> Route:
    """What may be sent there; reading is always named (see ``refuse``)."""
    allowed = ", ".join(dict.fromkeys(["HEAD", "GET", *methods, "OPTIONS"]))
    headers = [
        ("content-type", HTML),
        ("allow", allowed),
        ("access-control-allow-methods", allowed),
        ("access-control-allow-headers", "authorization, content-encoding, content-type, x-request-id"),
    ]
    return Route("OPTIONS", path, endpoint=endpoint, answer=lambda _: Reply(200, headers, b""), nameless=True)


def _ping(endpoints: list[Served]) -> Callable[[Question], Reply]:
    """The server is up, also while a model loads; not where it is of no use, as no model could be loaded."""

    def ping(_: Question) -> Reply:
        if endpoints and all(endpoint.failure is not None for endpoint in endpoints):
            raise not_loaded(endpoints[0])
        return Reply(200, [("content-type", HTML)], b"pong")

    return ping


def _openapi(_: Question) -> Reply:
    return _json(document())


def _json(value: Any) -> Reply:
    return Reply(200, [("content-type", "application/json")], written(value))


def _health(endpoint: Served) -> Reply:
    if endpoint.state != "ready":
        raise ModelUnavailable(f"{endpoint.spec.name} is {endpoint.state}: {endpoint.reason}")
    return _json({"strData": "healthy", "meta": {}})


def _metadata(endpoint: Served) -> dict[str, Any]:
    """What is known of another platform's model, in the platform's form."""
    spec, description = endpoint.spec, endpoint.description
    columns = list(map(str, description.columns)) if description is not None else []
    return {
        "name": spec.name,
        "versions": [spec.version or ""],
        "platform": spec.contract,
        "inputs": [{"messagetype": "ndarray", "schema": {"names": columns}}] if columns else [],
        "outputs": [],
        "custom": {},
    }

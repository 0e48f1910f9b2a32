"""Routes of a graph, as the platform's orchestrator has them, and what marks its answers."""

from __future__ import annotations

import html
import os
from collections.abc import Callable
from typing import Any

from modelport.core.call import Reply
from modelport.core.graph import Unit
from modelport.core.protocol import Marked, Node, Question, Route, Served
from modelport.protocols.seldon import errors
from modelport.protocols.seldon.codec import (
    FEEDBACK,
    GRAPH_METADATA,
    HEALTH,
    METADATA,
    PLATFORM,
    PREDICT,
    PUID,
    puid_of,
)
from modelport.protocols.seldon.jsonbody import written
from modelport.protocols.seldon.openapi import graph_document

VERSIONS = ("v1.0", "v0.1")
ORIGINS = "CORS_ALLOWED_ORIGINS"
ALLOWED = "authorization, content-encoding, content-type, seldon-puid, x-request-id"
SCRAPED = "/prometheus"
"""Where the platform's operator has the metrics, beside the server's own place."""
EVENTS = "0.3"
"""The version of CloudEvents that answers claim to be."""


def graph_routes(node: Node, endpoint: Served, metadata_of: Callable[[Served], dict[str, Any]]) -> list[Route]:
    """Without a name, and by the gateway. ``metadata_of`` describes another platform's model."""
    measured = _answer("GET", SCRAPED, lambda _: node.measured(), endpoint)
    return with_gateway([*_routes(endpoint, metadata_of), measured], endpoint)


def with_gateway(routes: list[Route], endpoint: Served) -> list[Route]:
    """The routes and, for what is of a deployment, the same behind its namespace and name."""
    options = endpoint.spec.options
    if "deployment" not in options or endpoint.spec.split is not None:  # that path reaches all predictors
        return routes
    named = f"/seldon/{options['namespace']}/{options['deployment']}"
    return [*routes, *(route._replace(path=named + route.path, nameless=False) for route in routes)]


def _routes(endpoint: Served, metadata_of: Callable[[Served], dict[str, Any]]) -> list[Route]:
    routes = []
    for version in VERSIONS:
        base = f"/api/{version}"
        for path, verb in (("predictions", PREDICT), ("feedback", FEEDBACK)):
            routes.append(Route("POST", f"{base}/{path}", verb, endpoint, nameless=True))
            routes.append(_answer("OPTIONS", f"{base}/{path}", _preflight, endpoint))
        for unit in _models(endpoint):
            routes += _unit_routes(base, unit, endpoint, metadata_of)
        routes.append(_answer("GET", f"{base}/doc/", _page(endpoint), endpoint))
        routes.append(_answer("GET", f"{base}/doc/seldon.json", _document, endpoint))
    routes.append(Route("GET", "/api/v1.0/metadata", GRAPH_METADATA, endpoint, nameless=True))
    for path in ("/api/v1.0/status", "/api/v1.0/health/status", "/ready"):
        routes.append(_answer("GET", path, _ready(endpoint), endpoint))
    routes.append(_answer("GET", "/live", lambda _: Reply(200, [], b""), endpoint))
    return routes


def _answer(method: str, path: str, answer: Callable[[Question], Reply], endpoint: Served) -> Route:
    return Route(method, path, endpoint=endpoint, answer=answer, nameless=True)


def _preflight(_: Question) -> Reply:
    return Reply(200, [("allow", "OPTIONS, POST"), ("access-control-allow-methods", "OPTIONS, POST")], b"")


def _models(endpoint: Served) -> list[str]:
    """The units that have a model."""
    assert endpoint.spec.graph is not None
    return [unit.name for unit in endpoint.spec.graph.root.units() if unit.is_asked]


def _unit_routes(
    base: str, unit: str, endpoint: Served, metadata_of: Callable[[Served], dict[str, Any]]
) -> list[Route]:
    """A component answers by itself; for another platform's model the front does."""
    part = endpoint.parts.get(unit)
    health, metadata = f"{base}/status/{unit}", f"{base}/metadata/{unit}"
    if part is None or part.spec.contract == PLATFORM:
        return [
            Route("GET", health, HEALTH, endpoint, nameless=True, unit=unit),
            Route("GET", metadata, METADATA, endpoint, nameless=True, unit=unit),
        ]
    foreign = part

    def status(_: Question) -> Reply:
        if foreign.state != "ready":
            raise errors.Unreachable(f"{unit} is {foreign.state}: {foreign.reason}").of(unit)
        return _json({"strData": "healthy", "meta": {}})

    return [
        _answer("GET", health, status, endpoint),
        _answer("GET", metadata, lambda _: _json(metadata_of(foreign)), endpoint),
    ]


def _ready(endpoint: Served) -> Callable[[Question], Reply]:
    return lambda _: Reply(200 if endpoint.state == "ready" else 503, [], b"")


def _json(value: Any) -> Reply:
    return Reply(200, [("content-type", "application/json")], written(value))


# --- documentation ---------------------------------------------------------------------------------------


def _document(_: Question) -> Reply:
    return _json(graph_document())


def _page(endpoint: Served) -> Callable[[Question], Reply]:
    graph = endpoint.spec.graph
    assert graph is not None
    name = html.escape(endpoint.spec.name)
    text = (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{name}</title>"
        "<style>body{font:16px system-ui;margin:2em}li{margin:.3em 0}code{background:#eee;padding:0 .3em}</style>"
        f"<h1>{name}</h1><p>POST <code>../predictions</code>, POST <code>../feedback</code>; "
        f"<a href='seldon.json'>seldon.json</a></p><ul>{_drawn(graph.root)}</ul></html>"
    )
    return lambda _: Reply(200, [("content-type", "text/html; charset=utf-8")], text.encode())


def _drawn(unit: Unit) -> str:
    """A unit as an item of a list, with what is below it."""
    verbs = ", ".join(filter(None, (unit.ask, unit.route, unit.join, unit.then))) or "passes on"
    below = f"<ul>{''.join(map(_drawn, unit.children))}</ul>" if unit.children else ""
    return f"<li>{html.escape(unit.name)} <code>{html.escape(verbs)}</code>{below}</li>"


# --- marks -----------------------------------------------------------------------------------------------


def marks(asked: Marked, endpoint: Served) -> list[tuple[str, str]]:
    """Headers of every answer of a graph."""
    sent = {name: value.decode("latin-1") for name, value in asked.headers}
    puid = sent.get(PUID.encode()) or puid_of(asked.id)
    found = [
        (PUID, puid),
        ("x-content-type-options", "nosniff"),
        ("access-control-allow-origin", os.environ.get(ORIGINS) or "*"),
        ("access-control-allow-headers", ALLOWED),
    ]
    if b"ce-specversion" in sent:
        options = endpoint.spec.options
        source = f"seldon.{options['deployment']}"
        found += [
            ("ce-id", puid),
            ("ce-specversion", EVENTS),
            ("ce-path", asked.path),
            ("ce-type", f"{source}.{options['namespace']}.response"),
            ("ce-source", source),
        ]
    return found

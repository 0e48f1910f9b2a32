"""Routes of the Portable Prediction Server: those of one model, and those of many."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from modelport.core import jsontext
from modelport.core.call import FUNCTION, Reply
from modelport.core.protocol import Node, Question, Route, Served
from modelport.errors import ModelportError, NotFound
from modelport.protocols.pps import errors
from modelport.protocols.pps.codec import PREDICT
from modelport.protocols.pps.target import target_of

FORMAT = "modelport/1"


class PpsProtocol:
    """The front half of the protocol."""

    name = "pps"
    codec = "modelport.protocols.pps.codec"
    headers = ("content-type", "accept")
    roots = ("/deployments",)

    def routes(self, node: Node, endpoints: Iterable[Served]) -> list[Route]:
        routes = _reads("/ping", lambda _: _json({"response": "pong"}), None)
        for endpoint in endpoints:
            routes += _named(endpoint) + _nameless(endpoint)
        return routes

    def error(self, error: ModelportError, request_id: str) -> Reply:
        return errors.error(error, request_id)

    def missing(self, path: str, node: Node) -> ModelportError:
        name, _, _ = path.partition("/deployments/")[2].partition("/")
        if name and all(endpoint.spec.name != name for endpoint in node.endpoints):
            return NotFound(f"deployment {name[:100]!r} not found")
        return NotFound(f"there is nothing at {path[:200]}")

    def example(self, endpoint: Served, base: str) -> str | None:
        if endpoint.spec.operation == FUNCTION:
            return None
        return f"curl -s {base}/predictions -H 'Content-Type: text/csv' --data-binary @data.csv"


protocol = PpsProtocol()


def _named(endpoint: Served) -> list[Route]:
    base = f"/deployments/{endpoint.spec.name}"
    return [
        Route("POST", f"{base}/predictions", PREDICT, endpoint),
        *_reads(f"{base}/info", lambda _: _json(_info(endpoint)), endpoint),
    ]


def _nameless(endpoint: Served) -> list[Route]:
    return [
        Route("POST", "/predictions", PREDICT, endpoint, nameless=True),
        *_reads("/info", lambda _: _json(_info(endpoint)), endpoint),
    ]


def _reads(path: str, answer: Callable[[Question], Reply], endpoint: Served | None) -> list[Route]:
    is_nameless = not path.startswith("/deployments")
    return [Route(method, path, endpoint=endpoint, answer=answer, nameless=is_nameless) for method in ("GET", "HEAD")]


def _json(value: Any) -> Reply:
    return Reply(200, [("content-type", "application/json")], jsontext.dumps(value))


def _info(endpoint: Served) -> dict[str, Any]:
    """What is known of the model, also while it is not loaded."""
    spec = endpoint.spec
    card = spec.card or {}
    target = target_of(spec.card, endpoint.description)
    explanations = card.get("explanations")
    return {
        "id": spec.name,
        "modelId": card.get("modelId") or spec.version,
        "deploymentId": None,
        "target": {
            "name": target.name,
            "type": target.kind,
            "classLabels": list(target.labels) or None,
            "positiveClass": target.positive,
            "threshold": target.threshold if target.kind == "binary" else None,
        },
        "features": card.get("features") or [],
        "timeSeries": card.get("timeSeries"),
        "explanations": explanations["algorithm"] if explanations else None,
        "packageFormat": FORMAT if spec.card is not None and spec.path.endswith(".mlpkg") else None,
    }

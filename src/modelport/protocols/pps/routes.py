"""Routes of the Portable Prediction Server: those of one model, and those of many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from modelport.core import jsontext
from modelport.core.call import FUNCTION, Reply
from modelport.core.protocol import Answer, Deployments, Node, Question, Route, Served
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
        """Those that name a model, and those that do not; where the server is for one or for many, only either."""
        routes = _reads("/ping", lambda _: _json({"response": "pong"}), None)
        for endpoint in endpoints:
            if not node.is_single:
                routes += _named(endpoint)
            if node.deployments is None:
                routes += _nameless(endpoint)
        return routes if node.deployments is None else routes + _changing(node.deployments)

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


def _changing(deployments: Deployments) -> list[Route]:
    """Listing, uploading and deleting packages."""

    async def listed(_: Question) -> Reply:
        return _json({"data": [_listed(endpoint) for endpoint in await deployments.listed()]})

    async def put(question: Question) -> Reply:
        name = _name(question)
        is_new = await deployments.put(name, question.body, question.headers.get("content-type", ""))
        return _json({"id": name}, 201 if is_new else 200)

    async def remove(question: Question) -> Reply:
        await deployments.remove(_name(question))
        return Reply(204, [], b"")

    return [
        *_reads("/deployments", listed, None),
        Route("POST", "/deployments/*", answer=put, admin=True, bulky=True),
        Route("DELETE", "/deployments/*", answer=remove, admin=True),
    ]


def _name(question: Question) -> str:
    return question.path.rpartition("/")[2]


def _reads(path: str, answer: Answer, endpoint: Served | None) -> list[Route]:
    is_nameless = not path.startswith("/deployments")
    return [Route(method, path, endpoint=endpoint, answer=answer, nameless=is_nameless) for method in ("GET", "HEAD")]


def _json(value: Any, status: int = 200) -> Reply:
    return Reply(status, [("content-type", "application/json")], jsontext.dumps(value))


def _listed(endpoint: Served) -> dict[str, Any]:
    """The card in short; nulls for a package that cannot be read."""
    target = (endpoint.spec.card or {}).get("target") or {}
    return {
        "id": endpoint.spec.name,
        "modelId": endpoint.spec.version,
        "deploymentId": _deployment(endpoint),
        "targetName": target.get("name"),
        "targetType": target.get("type"),
    }


def _deployment(endpoint: Served) -> str | None:
    found: str | None = ((endpoint.spec.card or {}).get("deployment") or {}).get("deployment_id")
    return found


def _info(endpoint: Served) -> dict[str, Any]:
    """What is known of the model, also while it is not loaded."""
    if endpoint.fault is not None:
        raise endpoint.fault.with_traceback(None)  # it is raised many times
    spec = endpoint.spec
    card = spec.card or {}
    target = target_of(spec.card, endpoint.description)
    explanations = card.get("explanations")
    return {
        "id": spec.name,
        "modelId": card.get("modelId") or spec.version,
        "deploymentId": _deployment(endpoint),
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

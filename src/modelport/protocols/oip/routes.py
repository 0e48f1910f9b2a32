"""Routes of the Open Inference Protocol: ``/v2...``, exact and without a final slash."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from modelport.core import jsontext
from modelport.core.call import Reply
from modelport.core.protocol import Node, Procedure, Question, Route, Served
from modelport.errors import InvalidBody, LoadError, ModelportError, ModelUnavailable, ModelUnloaded, NotFound
from modelport.protocols.oip import errors, facts, messages, procedures
from modelport.protocols.oip.codec import LENGTH_HEADER


class OipProtocol:
    """The front half of the protocol."""

    name = "oip"
    codec = "modelport.protocols.oip.codec"
    headers = (LENGTH_HEADER, "content-type")
    roots = ("/v2",)
    rpc_codec = "modelport.protocols.oip.rpc_codec"
    files = messages.FILES

    def routes(self, node: Node, endpoints: Iterable[Served]) -> list[Route]:
        endpoints = list(endpoints)

        def server(_: Question) -> Reply:
            return _json(facts.server(node))

        def live(_: Question) -> Reply:
            return _json({"live": True})

        def ready(_: Question) -> Reply:
            return _json({"ready": node.ready}, 200 if node.ready else 503)

        def models(_: Question) -> Reply:
            return _json({"models": [endpoint.spec.name for endpoint in endpoints]})

        def all_statistics(_: Question) -> Reply:
            return _json({"model_stats": [facts.statistics(endpoint) for endpoint in endpoints]})

        def index(question: Question) -> Reply:
            only_ready = _flag(question.body)
            listed = [facts.listed(endpoint) for endpoint in endpoints if endpoint.state == "ready" or not only_ready]
            return _json(listed)

        routes = _reads(
            {
                "/v2": server,
                "/v2/health/live": live,
                "/v2/health/ready": ready,
                "/v2/models": models,
                "/v2/models/stats": all_statistics,
            }
        )
        routes.append(Route("POST", "/v2/repository/index", answer=index, admin=True))
        for endpoint in endpoints:
            routes += self._model_routes(node, endpoint)
        return routes

    def _model_routes(self, node: Node, endpoint: Served) -> list[Route]:
        name = endpoint.spec.name

        def metadata(_: Question) -> Reply:
            return _json(facts.metadata(endpoint))

        def ready(_: Question) -> Reply:
            if endpoint.state == "unloaded":
                raise ModelUnloaded(f"model {name!r} is not loaded")
            is_ready = endpoint.state == "ready"
            return _json({"name": name, "ready": is_ready}, 200 if is_ready else 503)

        def statistics(_: Question) -> Reply:
            return _json({"model_stats": [facts.statistics(endpoint)]})

        async def load(_: Question) -> Reply:
            try:
                await node.load(name)
            except LoadError as error:
                raise ModelUnavailable(f"model {name!r} could not be loaded: {error.told}") from None
            return Reply(200, [], b"")

        async def unload(_: Question) -> Reply:
            await node.unload(name)
            return Reply(200, [], b"")

        bases = [f"/v2/models/{name}"]
        if endpoint.spec.version is not None:
            bases.append(f"{bases[0]}/versions/{endpoint.spec.version}")
        routes = [Route("POST", f"{base}/infer", "infer", endpoint) for base in bases]
        for base in bases:
            routes += _reads({base: metadata, f"{base}/ready": ready, f"{base}/stats": statistics})
        for verb, answer in (("load", load), ("unload", unload)):
            routes.append(Route("POST", f"/v2/repository/models/{name}/{verb}", answer=answer, admin=True))
        return routes

    def procedures(self, node: Node, endpoints: Sequence[Served]) -> list[Procedure]:
        return procedures.procedures(node, endpoints)

    def error(self, error: ModelportError, request_id: str) -> Reply:
        return errors.error(error, request_id)

    def refusal(self, error: ModelportError, request_id: str) -> Reply:
        return errors.refusal(error, request_id)

    def missing(self, path: str, node: Node) -> ModelportError:
        parts = path.strip("/").split("/")
        names = {endpoint.spec.name: endpoint for endpoint in node.endpoints}
        at = parts.index("models") + 1 if "models" in parts else len(parts)
        if at < len(parts):
            name = parts[at][:100]
            if name not in names:
                return NotFound(f"model {name!r} not found")
            if parts[at + 1 : at + 2] == ["versions"] and parts[at + 2 : at + 3] != [names[name].spec.version]:
                return NotFound(f"model {name!r} with version {'/'.join(parts[at + 2 : at + 3])[:100]!r} not found")
        return NotFound(f"there is nothing at {path[:200]}")

    def example(self, endpoint: Served, base: str) -> str | None:
        description = endpoint.description
        if description is None or not description.inputs:
            return None
        features: dict[str, Any] = {}
        for query in endpoint.spec.queries:
            features = query.get("q", query).get("features", {})
            break
        inputs = [
            {
                "name": field.name,
                "shape": [1, 1],
                "datatype": field.datatype,
                "data": [features.get(field.name)],
            }
            for field in description.inputs
        ]
        text = jsontext.dumps({"inputs": inputs}).decode().replace("'", "'\\''")
        return f"curl -s {base}/v2/models/{endpoint.spec.name}/infer -d '{text}'"


protocol = OipProtocol()


def _reads(answers: dict[str, Callable[[Question], Any]]) -> list[Route]:
    return [Route(method, path, answer=answer) for path, answer in answers.items() for method in ("GET", "HEAD")]


def _json(value: Any, status: int = 200) -> Reply:
    return Reply(status, [("content-type", "application/json")], jsontext.dumps(value))


def _flag(body: bytes) -> bool:
    """``ready`` of an index request, which may be empty."""
    if not body.strip():
        return False
    try:
        value = jsontext.loads(body)
    except ValueError as fault:
        raise InvalidBody(f"the request is not valid JSON: {fault}") from None
    if not isinstance(value, dict):
        raise InvalidBody("the request must be a JSON object")
    return value.get("ready") is True

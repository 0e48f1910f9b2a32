"""Routes of the Open Inference Protocol: ``/v2...``, exact and without a final slash."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from modelport import __version__
from modelport.core import jsontext
from modelport.core.call import Reply
from modelport.core.model import Field
from modelport.core.protocol import Node, Question, Route, Served
from modelport.errors import InvalidBody, LoadError, ModelportError, ModelUnavailable, ModelUnloaded, NotFound
from modelport.protocols.oip import errors
from modelport.protocols.oip.codec import LENGTH_HEADER

EXTENSIONS = ["binary_tensor_data", "statistics"]
STATES = {"ready": "READY", "starting": "LOADING", "failed": "UNAVAILABLE", "unloaded": "UNAVAILABLE"}


class OipProtocol:
    """The front half of the protocol."""

    name = "oip"
    codec = "modelport.protocols.oip.codec"
    headers = (LENGTH_HEADER, "content-type")
    roots = ("/v2",)

    def routes(self, node: Node, endpoints: Iterable[Served]) -> list[Route]:
        endpoints = list(endpoints)
        extensions = [*EXTENSIONS, "model_repository"] if node.repository else EXTENSIONS

        def server(_: Question) -> Reply:
            return _json({"name": "modelport", "version": __version__, "extensions": extensions})

        def live(_: Question) -> Reply:
            return _json({"live": True})

        def ready(_: Question) -> Reply:
            return _json({"ready": node.ready}, 200 if node.ready else 503)

        def models(_: Question) -> Reply:
            return _json({"models": [endpoint.spec.name for endpoint in endpoints]})

        def all_statistics(_: Question) -> Reply:
            return _json({"model_stats": [_statistics(endpoint) for endpoint in endpoints]})

        def index(question: Question) -> Reply:
            only_ready = _flag(question.body)
            listed = [_listed(endpoint) for endpoint in endpoints if endpoint.state == "ready" or not only_ready]
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
            return _json(_metadata(endpoint))

        def ready(_: Question) -> Reply:
            if endpoint.state == "unloaded":
                raise ModelUnloaded(f"model {name!r} is not loaded")
            is_ready = endpoint.state == "ready"
            return _json({"name": name, "ready": is_ready}, 200 if is_ready else 503)

        def statistics(_: Question) -> Reply:
            return _json({"model_stats": [_statistics(endpoint)]})

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

    def error(self, error: ModelportError, request_id: str) -> Reply:
        return errors.error(error, request_id)

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


def _listed(endpoint: Served) -> dict[str, Any]:
    entry = {"name": endpoint.spec.name, "state": STATES[endpoint.state], "reason": endpoint.reason}
    if endpoint.spec.version is not None:
        entry["version"] = endpoint.spec.version
    return entry


def _metadata(endpoint: Served) -> dict[str, Any]:
    description = endpoint.description
    if description is None:
        raise ModelUnavailable(f"model {endpoint.spec.name!r} is {endpoint.state}: {endpoint.reason}")
    return {
        "name": endpoint.spec.name,
        "versions": [endpoint.spec.version] if endpoint.spec.version is not None else [],
        "platform": description.platform,
        "inputs": [_field(field) for field in description.inputs],
        "outputs": [_field(field) for field in description.outputs],
    }


def _field(field: Field) -> dict[str, Any]:
    return {"name": field.name, "datatype": field.datatype, "shape": field.shape}


def _statistics(endpoint: Served) -> dict[str, Any]:
    """Durations are sums of nanoseconds. ``execution_count`` counts hand-overs to a worker, a batch being one."""
    counted = endpoint.statistics()
    success, fail = counted["success"], counted["fail"]

    def duration(count: int, nanoseconds: int) -> dict[str, int]:
        return {"count": count, "ns": nanoseconds}

    entry = {
        "name": endpoint.spec.name,
        "last_inference": counted["last"],
        "inference_count": success,
        "execution_count": sum(counted["batches"].values()),
        "inference_stats": {
            "success": duration(success, counted["decode"] + counted["infer"] + counted["encode"]),
            "fail": duration(fail, counted["failed"]),
            "queue": duration(success + fail, counted["queue"]),
            "compute_input": duration(success, counted["decode"]),
            "compute_infer": duration(success, counted["infer"]),
            "compute_output": duration(success, counted["encode"]),
            "cache_hit": duration(0, 0),
            "cache_miss": duration(0, 0),
        },
        "response_stats": {},
        "batch_stats": [
            {
                "batch_size": size,
                "compute_input": duration(count, 0),
                "compute_infer": duration(count, 0),
                "compute_output": duration(count, 0),
            }
            for size, count in sorted(counted["batches"].items())
        ],
        "memory_usage": [],
    }
    if endpoint.spec.version is not None:
        entry["version"] = endpoint.spec.version
    return entry

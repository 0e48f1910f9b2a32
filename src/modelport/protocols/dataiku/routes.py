"""Routes of the Dataiku user API: ``/public/api/v1/<service>/<endpoint>/<verb>`` and ``/isAlive/``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from modelport.core import jsontext
from modelport.core.call import FUNCTION, PREDICT, Reply
from modelport.core.protocol import Node, Question, Route, Served
from modelport.errors import ModelportError, NotFound
from modelport.protocols.dataiku import errors

NOT_ALIVE = "apinode-not-alive.txt"
"""A file of this name in the data folder takes the node out of a load balancer, while it still answers."""

BASE = "/public/api/v1"
VERBS = {
    PREDICT: (("POST", "predict"), ("POST", "predict-multi"), ("GET", "predict-simple")),
    FUNCTION: (("POST", "run"),),
}


class DataikuProtocol:
    """The front half of the user API."""

    name = "dataiku"
    codec = "modelport.protocols.dataiku.codec"
    headers = ("content-type",)
    roots = (f"{BASE}/", "/isAlive")

    def routes(self, node: Node, endpoints: Iterable[Served]) -> list[Route]:
        def is_alive(_: Question) -> Reply:
            alive = not node.draining and not (node.data_dir and Path(node.data_dir, NOT_ALIVE).exists())
            body = jsontext.dumps({"isAlive": alive})
            return Reply(200 if alive else 503, [("content-type", "application/json"), *errors.VERSIONS], body)

        routes = [
            Route(method, path, answer=is_alive) for method in ("GET", "HEAD") for path in ("/isAlive/", "/isAlive")
        ]
        for endpoint in endpoints:
            base = _base(endpoint)
            routes += [Route(m, f"{base}/{verb}", verb, endpoint) for m, verb in VERBS[endpoint.spec.operation]]
        return routes

    def error(self, error: ModelportError, request_id: str) -> Reply:
        return errors.error(error, request_id)

    def missing(self, path: str, node: Node) -> ModelportError:
        """Names the part of ``/<service>/<endpoint>/<verb>`` that is unknown."""
        parts = path.partition(f"{BASE}/")[2].split("/")
        services: dict[str, dict[str, Served]] = {}
        for endpoint in node.endpoints:
            service, name = endpoint.spec.place
            services.setdefault(service, {})[name] = endpoint
        service, name, verb = ([part[:100] for part in parts] + ["", "", ""])[:3]
        if service not in services:
            return NotFound(f"there is no service {service!r}")
        if name not in services[service]:
            return NotFound(f"service {service!r} has no endpoint {name!r}")
        verbs = ", ".join(known for _, known in VERBS[services[service][name].spec.operation])
        return NotFound(f"endpoint {name!r} does not answer {verb!r}; it answers {verbs}")

    def example(self, endpoint: Served, base: str) -> str | None:
        spec = endpoint.spec
        queries = [query.get("q", query) for query in spec.queries]
        if spec.operation == FUNCTION:
            body = queries[0] if queries else {}
            verb = "run"
        else:
            body = queries[0] if queries else {"features": {}}
            verb = "predict"
        key = " -u KEY:" if spec.keys else ""
        text = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
        return f"curl -s{key} {base}{_base(endpoint)}/{verb} -d '{text}'"


protocol = DataikuProtocol()


def _base(endpoint: Served) -> str:
    return "/".join((BASE, *endpoint.spec.place))

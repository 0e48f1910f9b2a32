"""Routes of DRUM's model server: ``/predict/`` and its neighbours, each with and without the final slash."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from modelport import __version__
from modelport.core import jsontext
from modelport.core.call import FUNCTION, Reply
from modelport.core.protocol import Node, Question, Route, Served, not_loaded, nothing_at
from modelport.errors import ModelportError, ModelUnloaded, ServiceError
from modelport.protocols.drum import errors
from modelport.protocols.drum.codec import PREDICT, TRANSFORM, UNSTRUCTURED

MEGABYTE = 1 << 20
VERBS = {
    "/predict/": PREDICT,
    "/predictions/": PREDICT,
    "/transform/": TRANSFORM,
    "/predictUnstructured/": UNSTRUCTURED,
    "/predictionsUnstructured/": UNSTRUCTURED,
}
FORMATS = {
    "csv": ("text/csv", "pandas"),
    "arrow": ("application/vnd.apache.arrow.stream", "pyarrow"),
    "mtx": ("text/mtx", "scipy"),
    "json": ("application/json", "pandas"),
}
"""What rows may come as: the media type, and the library that reads it."""


class DrumProtocol:
    """The front half of the protocol. No path of it names a model."""

    name = "drum"
    codec = "modelport.protocols.drum.codec"
    headers = ("content-type", "accept")
    roots = ()

    def routes(self, node: Node, endpoints: Iterable[Served]) -> list[Route]:
        endpoints = list(endpoints)

        def alive(_: Question) -> Reply:
            return _alive(endpoints)

        routes = _reads({"/": alive, "/ping/": alive}, None)
        for endpoint in endpoints:
            routes += self._model_routes(node, endpoint)
        return routes

    def _model_routes(self, node: Node, endpoint: Served) -> list[Route]:
        def alive(_: Question) -> Reply:
            return _alive([endpoint])

        def health(_: Question) -> Reply:
            return _health(endpoint)

        def info(_: Question) -> Reply:
            return _json(_info(endpoint))

        def stats(_: Question) -> Reply:
            return _json(_stats(node, endpoint))

        def capabilities(_: Question) -> Reply:
            return _json(_capabilities(endpoint))

        asked = [
            Route("POST", path, verb, endpoint, nameless=True)
            for slashed, verb in VERBS.items()
            for path in _both(slashed)
        ]
        answers = {
            "/": alive,
            "/ping/": alive,
            "/health/": health,
            "/info/": info,
            "/stats/": stats,
            "/capabilities/": capabilities,
        }
        return asked + _reads(answers, endpoint)

    def error(self, error: ModelportError, request_id: str) -> Reply:
        return errors.error(error, request_id)

    def missing(self, path: str, node: Node) -> ModelportError:
        return nothing_at(path, self.name, node)

    def example(self, endpoint: Served, base: str) -> str | None:
        if endpoint.spec.operation == FUNCTION:
            return f"curl -s {base}/predictUnstructured/ -H 'Content-Type: text/plain' --data-binary @data.txt"
        target = endpoint.description.details.get("targetType") if endpoint.description is not None else None
        return f"curl -s {base}/{'transform' if target == 'transform' else 'predict'}/ -F X=@data.csv"


protocol = DrumProtocol()


def _both(path: str) -> Sequence[str]:
    """The path with its final slash and without."""
    return path, path[:-1]


def _reads(answers: Mapping[str, Callable[[Question], Reply]], endpoint: Served | None) -> list[Route]:
    return [
        Route(method, path, endpoint=endpoint, answer=answer, nameless=True)
        for slashed, answer in answers.items()
        for path in _both(slashed)
        for method in ("GET", "HEAD")
    ]


def _json(value: Any) -> Reply:
    return Reply(200, [("content-type", "application/json")], jsontext.dumps(value))


def _alive(endpoints: list[Served]) -> Reply:
    """The server is up, also while a model loads. 513 when it is of no use: no model could be loaded."""
    if endpoints and all(endpoint.failure is not None for endpoint in endpoints):
        raise not_loaded(endpoints[0])
    return _json({"message": "OK"})


def _health(endpoint: Served) -> Reply:
    """200 with a loaded model, 513 when it could not be loaded, 503 while it is loading or once it is unloaded."""
    if endpoint.state == "ready":
        return _json({"message": "OK"})
    if endpoint.failure is not None:
        raise not_loaded(endpoint)
    if endpoint.state == "unloaded":
        raise ModelUnloaded(f"{endpoint.spec.name} is not loaded")
    raise ServiceError(f"{endpoint.spec.name} is {endpoint.state}: {endpoint.reason}")


def _info(endpoint: Served) -> dict[str, Any]:
    """What is known of the model; ``null`` for what only its loading will tell."""
    spec, description = endpoint.spec, endpoint.description
    return {
        "name": spec.name,
        "state": endpoint.state if endpoint.failure is None else "failed",
        "language": "python",
        "contract": spec.contract,
        "targetType": None,
        "targetName": None,
        **(description.details if description is not None else {}),
        "classLabels": description.labels if description is not None else None,
        "columns": description.columns or None if description is not None else None,
        "versions": {"modelport": __version__, "model": spec.version},
    }


def _stats(node: Node, endpoint: Served) -> dict[str, Any]:
    """Resident memory in megabytes (1 MB is 1,048,576 bytes), and requests since the start."""
    front, workers = node.memory(), endpoint.memory()
    counted = endpoint.statistics()
    return {
        "memory": {
            "front": _megabytes(front),
            "workers": [{"pid": pid, "memory": _megabytes(size)} for pid, size in workers.items()],
            "total": _megabytes(front + sum(workers.values())),
        },
        "requests": {"succeeded": counted["success"], "failed": counted["fail"]},
    }


def _megabytes(size: int) -> float:
    return round(size / MEGABYTE, 1)


def _capabilities(endpoint: Served) -> dict[str, Any]:
    """What may be sent and asked for. Whether a library is there is ``null`` where the model has an environment of
    its own, into which the front does not look."""
    if endpoint.spec.operation == FUNCTION:
        formats: Any = "any"
    else:
        formats = {
            name: {"contentType": media_type, "library": library, "available": _has(endpoint, library)}
            for name, (media_type, library) in FORMATS.items()
        }
    return {
        "payloadFormats": formats,
        "contentEncodings": ["gzip", "deflate"],
        "answers": ["*/*"] if endpoint.spec.operation == FUNCTION else ["application/json", "text/csv"],
    }


def _has(endpoint: Served, library: str) -> bool | None:
    if endpoint.spec.environment is not None:
        return None
    return importlib.util.find_spec(library) is not None

"""The methods of the Open Inference Protocol over gRPC, and what the front answers to them by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modelport.core.call import Reply
from modelport.core.protobuf import Schema, peek
from modelport.core.protocol import Node, Procedure, Question, Served
from modelport.errors import LoadError, MethodNotAllowed, ModelUnavailable, NotFound
from modelport.protocols.oip import facts
from modelport.protocols.oip.messages import ELSEWHERE, IN_REPOSITORY, REPOSITORY, REPOSITORY_SERVICE, SCHEMA, SERVICE
from modelport.protocols.oip.rpc_codec import STREAM

MODEL_NAME = 1
"""The field of an inference request that names its model."""

Ask = dict[str, Any]


def procedures(node: Node, endpoints: Sequence[Served]) -> list[Procedure]:
    """Every method. Where one model is served, and no other can come, its worker sees whether it is meant."""
    by_name = {endpoint.spec.name: endpoint for endpoint in endpoints}

    def find(message: Any, _: Mapping[str, str]) -> Served:
        if len(endpoints) == 1 and node.deployments is None:
            return endpoints[0]
        return _by_name(by_name, peek(message, MODEL_NAME))

    found = [
        Procedure(f"{SERVICE}/ModelInfer", "infer", find),
        Procedure(f"{SERVICE}/ModelStreamInfer", STREAM, find, is_stream=True, telling=_told),
    ]
    for name, ask in _answers(node, by_name).items():
        found.append(Procedure(f"{SERVICE}/{name}", answer=_answer(SCHEMA, name, ask), admin=name in IN_REPOSITORY))
        if name in IN_REPOSITORY:
            older = _answer(REPOSITORY, name, ask)
            found.append(Procedure(f"{REPOSITORY_SERVICE}/{name}", answer=older, admin=True))
    return found + [Procedure(f"{SERVICE}/{name}", answer=_refuse) for name in ELSEWHERE]


def _answers(node: Node, by_name: Mapping[str, Served]) -> dict[str, Callable[[Ask], Any]]:
    """What is said to each request, both as plain values."""
    endpoints = by_name.values()

    def metadata(asked: Ask) -> Ask:
        return facts.metadata(_meant(by_name, asked))

    def ready(asked: Ask) -> Ask:
        return {"ready": _meant(by_name, asked).state == "ready"}

    def statistics(asked: Ask) -> Ask:
        meant = [_meant(by_name, asked)] if asked.get("name") else endpoints
        return {"model_stats": [facts.statistics(endpoint) for endpoint in meant]}

    def index(asked: Ask) -> Ask:
        return {"models": [facts.listed(e) for e in endpoints if e.state == "ready" or not asked.get("ready")]}

    async def load(asked: Ask) -> Ask:
        endpoint = _by_name(by_name, asked.get("model_name", ""))
        try:
            await node.load(endpoint.spec.name)
        except LoadError as error:
            raise ModelUnavailable(f"model {endpoint.spec.name!r} could not be loaded: {error.told}") from None
        return {}

    async def unload(asked: Ask) -> Ask:
        await node.unload(_by_name(by_name, asked.get("model_name", "")).spec.name)
        return {}

    return {
        "ServerLive": lambda _: {"live": True},
        "ServerReady": lambda _: {"ready": node.ready},
        "ServerMetadata": lambda _: facts.server(node),
        "ModelMetadata": metadata,
        "ModelReady": ready,
        "ModelStatistics": statistics,
        "RepositoryIndex": index,
        "RepositoryModelLoad": load,
        "RepositoryModelUnload": unload,
    }


def _answer(schema: Schema, name: str, ask: Callable[[Ask], Any]) -> Callable[[Question], Any]:
    async def answer(question: Question) -> Reply:
        said = ask(schema.decode(f"{name}Request", question.body))
        return Reply(200, [], schema.encode(f"{name}Response", said if isinstance(said, dict) else await said))

    return answer


def _refuse(question: Question) -> Reply:
    name = question.path.rpartition("/")[2]
    raise MethodNotAllowed(f"{name} is not offered here", [])


def _told(text: str) -> bytes:
    return SCHEMA.encode("ModelStreamInferResponse", {"error_message": text})


def _by_name(by_name: Mapping[str, Served], name: str) -> Served:
    endpoint = by_name.get(name)
    if endpoint is None:
        raise NotFound(f"model {name[:100]!r} not found")
    return endpoint


def _meant(by_name: Mapping[str, Served], asked: Ask) -> Served:
    """The endpoint with the name and, if one is given, the version of a request."""
    endpoint = _by_name(by_name, asked.get("name", ""))
    version = asked.get("version")
    if version and version != endpoint.spec.version:
        raise NotFound(f"model {endpoint.spec.name!r} with version {version[:100]!r} not found")
    return endpoint

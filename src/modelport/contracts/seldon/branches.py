"""The branches of a graph in the platform's messages."""

from __future__ import annotations

from typing import Any

from modelport.contracts.seldon.transports import FEEDBACK, LIST, MESSAGE, data_of
from modelport.core.graph import ALL
from modelport.schemas.seldon import SCHEMA


def branch_of(message: Any) -> int:
    """What a router's answer chose: the first number of its array; every child where it has none."""
    value = message
    if isinstance(message, bytes):
        message = {"data": data_of(SCHEMA.decode(MESSAGE, message))}
    if isinstance(message, dict):
        data = message.get("data")
        data = data if isinstance(data, dict) else {}
        value = data["tensor"].get("values") if isinstance(data.get("tensor"), dict) else data.get("ndarray")
    value = value.tolist() if hasattr(value, "tolist") else value
    while isinstance(value, list) and value:
        value = value[0]
    return int(value) if isinstance(value, (int, float)) and value == value // 1 else ALL


def recorded(feedback: Any) -> dict[str, int]:
    """The branch of each unit that the message with feedback tells of; what is no branch is left out."""
    routing = SCHEMA.decode(FEEDBACK, feedback) if isinstance(feedback, bytes) else feedback
    for key in ("response", "meta", "routing"):
        routing = routing.get(key) if isinstance(routing, dict) else None
    if not isinstance(routing, dict):
        return {}
    return {str(unit): int(branch) for unit, branch in routing.items() if isinstance(branch, (int, float))}


def record(message: Any, routes: dict[str, int]) -> Any:
    """The message with these branches in its meta, if it has one."""
    if isinstance(message, bytes):
        return SCHEMA.encode(MESSAGE, record({"meta": {}, **SCHEMA.decode(MESSAGE, message)}, routes))
    if not isinstance(message, dict) or not isinstance(message.get("meta"), dict):
        return message
    routing = message["meta"].get("routing")
    return {**message, "meta": {**message["meta"], "routing": {**(routing or {}), **routes}}}


def listed(messages: list[bytes]) -> bytes:
    """Messages of protobuf as the one that holds them all."""
    return SCHEMA.encode(LIST, {"seldonMessages": [SCHEMA.decode(MESSAGE, message) for message in messages]})

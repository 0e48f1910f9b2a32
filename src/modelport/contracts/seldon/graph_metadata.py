"""What a graph says of itself: what each of its models says, what goes in and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelport.contracts.seldon import protojson
from modelport.contracts.seldon.wrapper import BAD_METADATA
from modelport.core.graph import Unit
from modelport.errors import ModelRejected, NotFound
from modelport.schemas.seldon import SCHEMA

MODEL, REQUEST, GRAPH = "SeldonModelMetadata", "SeldonModelMetadataRequest", "SeldonGraphMetadata"


def of_part(told: Mapping[str, Any]) -> dict[str, Any] | None:
    """What is known of a model with workers of its own: its own words where it is a component."""
    if "metadata" in told:
        own: dict[str, Any] | None = told["metadata"]
        return own
    columns = list(map(str, told["columns"]))
    return {
        "name": told["name"],
        "versions": [told["version"] or ""],
        "platform": told["contract"],
        "inputs": [{"messagetype": "ndarray", "schema": {"names": columns}}] if columns else [],
        "outputs": [],
        "custom": {},
    }


def of_graph(name: str, root: Unit, models: dict[str, Any]) -> dict[str, Any]:
    """Raises ``ModelRejected`` naming a unit that has nothing valid to say."""
    for unit in root.units():
        if unit.is_asked and models.get(unit.name) is None:
            text = "Model metadata unavailable"
            raise ModelRejected("InvalidMetadata", text, 500, reason=BAD_METADATA).of(unit.name)
    return {
        "name": name,
        "models": models,
        "graphinputs": _edge(root, models, "inputs"),
        "graphoutputs": _edge(root, models, "outputs"),
    }


def _edge(unit: Unit, models: dict[str, Any], side: str) -> Any:
    """Inputs are those of the first model that is asked, outputs those of the last."""
    is_own = unit.ask if side == "inputs" else unit.join or unit.then
    if (is_own or not unit.children) and unit.name in models:
        return models[unit.name].get(side) or []
    return _edge(unit.children[0], models, side) if unit.children else []


def remote_model(message: bytes, models: dict[str, Any]) -> bytes:
    """One model's, by the name in the message. Raises ``NotFound``."""
    name = SCHEMA.decode(REQUEST, message).get("name", "")
    if name not in models:
        raise NotFound(f"there is no model {name[:100]!r} in the graph", hint=f"there are {', '.join(models)}")
    return SCHEMA.encode(MODEL, protojson.parse(models[name] or {}, MODEL))


def remote_graph(told: dict[str, Any]) -> bytes:
    """All of it, as a message of protobuf."""
    sides = {"inputs": told["graphinputs"], "outputs": told["graphoutputs"]}
    return SCHEMA.encode(GRAPH, protojson.parse({"name": told["name"], "models": told["models"], **sides}, GRAPH))

"""The gRPC methods of the platform's seven services. None of them names a model: where there are several, a call's
metadata does, as it does for the platform's gateway."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modelport.core.protocol import Procedure, Served, the_only
from modelport.errors import NotFound
from modelport.protocols.seldon.codec import FEEDBACK, METADATA, PLATFORM, PREDICT
from modelport.protocols.seldon.messages import PACKAGE, SERVICES
from modelport.protocols.seldon.rpc_codec import REMOTE

DEPLOYMENT = "seldon"
"""The metadata that names the model."""
VERBS = {
    "Predict": PREDICT,
    "TransformInput": "transform-input",
    "TransformOutput": "transform-output",
    "Route": "route",
    "Aggregate": "aggregate",
    "SendFeedback": FEEDBACK,
    "Metadata": METADATA,
    "ModelMetadata": METADATA,
    "GraphMetadata": "graph-metadata",
}
"""What each method asks of a component. Models of other platforms only predict."""


def procedures(endpoints: Sequence[Served]) -> list[Procedure]:
    """Every method, for these endpoints."""
    find = finder(endpoints)
    return [
        Procedure(f"{PACKAGE}.{service}/{method}", f"{REMOTE}{VERBS[method]}", find)
        for service, methods in SERVICES.items()
        for method in methods
    ]


def finder(endpoints: Sequence[Served]) -> Callable[[Any, Mapping[str, str]], Served]:
    """Who is meant: the only model, else the one that the metadata names."""
    by_name = {endpoint.spec.name: endpoint for endpoint in endpoints}
    only: Served | None = the_only(PLATFORM, endpoints)

    def find(_: Any, metadata: Mapping[str, str]) -> Served:
        name = metadata.get(DEPLOYMENT)
        found = by_name.get(name) if name is not None else None
        if found is None and only is not None:
            return only
        if found is None:
            told = "no model is named" if name is None else f"model {name[:100]!r} not found"
            raise NotFound(told, hint=f"the metadata {DEPLOYMENT!r} names the model")
        return found

    return find

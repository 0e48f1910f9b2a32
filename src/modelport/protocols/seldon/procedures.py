"""The gRPC methods of the platform's seven services. None of them names a model: where there are several, a call's
metadata does, as it does for the platform's gateway."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modelport.core.call import Reply
from modelport.core.protocol import Find, Procedure, Question, Served, the_only
from modelport.errors import NotFound
from modelport.protocols.seldon.codec import FEEDBACK, METADATA, PLATFORM, PREDICT
from modelport.protocols.seldon.rpc_codec import REMOTE
from modelport.schemas.seldon import PACKAGE, SCHEMA, SERVICES

DEPLOYMENT, NAMESPACE = "seldon", "namespace"
"""The metadata that names the model; a graph has a namespace, too."""
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
"""What each method asks of a component. Models of other platforms only predict, and are described."""


def procedures(endpoints: Sequence[Served], metadata_of: Callable[[Served], dict[str, Any]]) -> list[Procedure]:
    """Every method, for these endpoints. Where none is of the platform, the front says what they are, by
    ``metadata_of``."""
    find = finder(endpoints)
    described = (
        None if any(endpoint.spec.contract == PLATFORM for endpoint in endpoints) else _describer(find, metadata_of)
    )
    found = []
    for service, methods in SERVICES.items():
        for method in methods:
            name, verb = f"{PACKAGE}.{service}/{method}", VERBS[method]
            if verb == METADATA and described is not None:
                found.append(Procedure(name, answer=described))
            else:
                found.append(Procedure(name, f"{REMOTE}{verb}", find))
    return found


def _describer(find: Find, metadata_of: Callable[[Served], dict[str, Any]]) -> Callable[[Question], Reply]:
    def answer(question: Question) -> Reply:
        endpoint = find(question.body, question.headers)
        return Reply(200, [], SCHEMA.encode("SeldonModelMetadata", metadata_of(endpoint)))

    return answer


def finder(endpoints: Sequence[Served]) -> Find:
    """Who is meant: the only model, else the one that the metadata names."""
    by_name = {endpoint.spec.name: endpoint for endpoint in endpoints}
    only: Served | None = the_only(PLATFORM, endpoints)

    def find(_: Any, metadata: Mapping[str, str]) -> Served:
        name, namespace = metadata.get(DEPLOYMENT), metadata.get(NAMESPACE)
        found = by_name.get(name) if name is not None else None
        if found is not None and namespace not in (None, found.spec.options.get("namespace", namespace)):
            found = None
        if found is None and only is not None:
            return only
        if found is None:
            told = "no model is named" if name is None else f"model {name[:100]!r} not found"
            raise NotFound(told, hint=f"the metadata {DEPLOYMENT!r} names the model")
        return found

    return find

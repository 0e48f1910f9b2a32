"""What ``/seldon.json`` says: the component's own paths, as OpenAPI."""

from __future__ import annotations

from typing import Any

from modelport import __version__

TEXT = {"type": "string"}
NUMBER = {"type": "number"}
INTEGER = {"type": "integer"}
ANY: dict[str, Any] = {}
"""Any value at all."""


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _map(values: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": values}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


SCHEMAS = {
    "SeldonMessage": _object(
        data=_ref("DefaultData"),
        binData={"type": "string", "format": "byte"},
        strData=TEXT,
        jsonData=ANY,
        customData=_map(ANY),
        meta=_ref("Meta"),
        status=_ref("Status"),
    ),
    "DefaultData": _object(names=_list(TEXT), tensor=_ref("Tensor"), ndarray=_list(ANY), tftensor=_map(ANY)),
    "Tensor": _object(shape=_list(INTEGER), values=_list(NUMBER)),
    "Meta": _object(
        puid=TEXT, tags=_map(ANY), routing=_map(INTEGER), requestPath=_map(TEXT), metrics=_list(_ref("Metric"))
    ),
    "Metric": _object(
        key=TEXT, type={"type": "string", "enum": ["COUNTER", "GAUGE", "TIMER"]}, value=NUMBER, tags=_map(TEXT)
    ),
    "Status": _object(code=INTEGER, info=TEXT, reason=TEXT, status=ANY),
    "SeldonMessageList": _object(seldonMessages=_list(_ref("SeldonMessage"))),
    "Feedback": _object(
        request=_ref("SeldonMessage"), response=_ref("SeldonMessage"), reward=NUMBER, truth=_ref("SeldonMessage")
    ),
}
OPERATIONS = {
    "/predict": ("SeldonMessage", "Predict"),
    "/transform-input": ("SeldonMessage", "Transform what comes in"),
    "/transform-output": ("SeldonMessage", "Transform what goes out"),
    "/route": ("SeldonMessage", "Choose the child that is to answer"),
    "/aggregate": ("SeldonMessageList", "Make one answer of several"),
    "/send-feedback": ("Feedback", "Tell how good an answer was"),
}
"""Each path's request, and what it does."""


GRAPH_OPERATIONS = {
    "/api/v1.0/predictions": ("SeldonMessage", "Predict"),
    "/api/v1.0/feedback": ("Feedback", "Tell how good an answer was"),
}
"""Those of a graph."""


def document() -> dict[str, Any]:
    """That of a component; every path answers with a message, errors too."""
    return _document("Seldon component", OPERATIONS)


def graph_document() -> dict[str, Any]:
    """That of a graph."""
    return _document("Seldon graph", GRAPH_OPERATIONS)


def _document(title: str, operations: dict[str, tuple[str, str]]) -> dict[str, Any]:
    return {
        "openapi": "3.0.0",
        "info": {"title": title, "version": __version__},
        "paths": {path: {"post": _operation(path, *told)} for path, told in operations.items()},
        "components": {"schemas": SCHEMAS},
    }


def _operation(path: str, takes: str, summary: str) -> dict[str, Any]:
    answer = {"content": _content("SeldonMessage")}
    return {
        "operationId": path.rpartition("/")[2].replace("-", "_"),
        "summary": summary,
        "requestBody": {"required": True, "content": _content(takes)},
        "responses": {
            "200": {"description": "The answer", **answer},
            "default": {"description": "What went wrong, as status", **answer},
        },
    }


def _content(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": _ref(name)}}

"""The API's own description, OpenAPI 2: clients make their forms of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from modelport import __version__
from modelport.core.model import Description
from modelport.core.protocol import Served

JSON = "application/json"
TEXT = {"type": "string"}
INFO = {
    "title": "DEEP as a Service API endpoint",
    "description": "Models behind the DEEPaaS V2 API, served by Modelport.",
    "version": __version__,
}
TYPES = {"INT": "integer", "UIN": "integer", "FP6": "number", "FP3": "number", "BOO": "boolean"}


def document(endpoints: Iterable[Served], base: str) -> dict[str, Any]:
    """All routes of these models; ``base`` is what goes before them."""
    paths: dict[str, Any] = {
        base or "/": _get("Get available API versions", "versions", "Versions", failure=True),
        f"{base}/v2/": _get("Get V2 API version information", "versions", "Version", failure=True),
        f"{base}/v2/debug/": {
            "get": {
                "tags": ["debug"],
                "summary": "Return debug information if enabled by API.",
                "produces": ["text/plain"],
                "parameters": [],
                "responses": {
                    "200": {"description": "Debug information if debug endpoint is enabled"},
                    "204": {"description": "Debug endpoint not enabled"},
                },
            }
        },
        f"{base}/v2/models/": _get("Return loaded models and its information", "models", "ModelMeta"),
    }
    definitions = dict(DEFINITIONS)
    for endpoint in endpoints:
        _describe(endpoint, f"{base}/v2/models/{endpoint.spec.name}", paths, definitions)
    return {
        "swagger": "2.0",
        "info": INFO,
        "externalDocs": {"description": "API documentation", "url": "https://deepaas.readthedocs.org/"},
        "paths": paths,
        "definitions": definitions,
    }


def _describe(endpoint: Served, base: str, paths: dict[str, Any], definitions: dict[str, Any]) -> None:
    """One model's routes; what is not offered is not described."""
    options, description = endpoint.spec.options, endpoint.description
    details = description.details if description is not None and description.platform == "deepaas" else {}
    paths[f"{base}/"] = _get("Return model's metadata", "models", "ModelMeta")
    if options.get("train", True) and endpoint.spec.contract == "deepaas":
        paths[f"{base}/train/"] = {
            "post": _operation("Retrain model with available data", details.get("train", []), {"200": _of("Training")}),
            **_get("Get a list of trainings (running or completed)", "models", "TrainingList"),
        }
        one = [{"in": "path", "name": "uuid", "required": True, **TEXT}]
        paths[f"{base}/train/{{uuid}}"] = {
            "get": _operation("Get status of a training", one, {"200": _of("Training")}),
            "delete": _operation("Cancel a running training", one, {"200": _of("Training")}),
        }
    if not options.get("predict", True):
        return
    answer = "Prediction"
    if details.get("answer"):
        answer = _named(details["answer"], details["schema"], definitions)
    parameters = details["predict"] if details else _parameters_of(description)
    responses = {"200": _of(answer), "400": _of("Failure")}
    post = _operation("Make a prediction given the input data", parameters, responses, details.get("produces"))
    paths[f"{base}/predict/"] = {"post": post}


def _named(name: str, schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """The definition's name, with a number where another model's has it already."""
    chosen, number = name, 0
    while definitions.setdefault(chosen, schema) != schema:
        number += 1
        chosen = f"{name}{number}"
    return chosen


def _parameters_of(description: Description | None) -> list[dict[str, Any]]:
    """Those of another platform's model, as far as they are known."""
    if description is None:
        return []
    typed = {str(field.name): TYPES.get(field.datatype[:3], "string") for field in description.inputs}
    names = list(typed) or list(map(str, description.columns))
    return [{"in": "query", "name": name, "required": False, "type": typed.get(name, "string")} for name in names]


def _operation(
    summary: str, parameters: list[dict[str, Any]], responses: dict[str, Any], produces: list[str] | None = None
) -> dict[str, Any]:
    described = {"tags": ["models"], "summary": summary, "produces": produces or [JSON]}
    if any(parameter["in"] == "formData" for parameter in parameters):
        has_file = any(parameter.get("type") == "file" for parameter in parameters)
        described["consumes"] = ["multipart/form-data" if has_file else "application/x-www-form-urlencoded"]
    return {**described, "parameters": parameters, "responses": responses}


def _get(summary: str, tag: str, answer: str, failure: bool = False) -> dict[str, Any]:
    responses = {"200": _of(answer), **({"400": _of("Failure")} if failure else {})}
    return {
        "get": {"tags": [tag], "summary": summary, "produces": [JSON], "parameters": [], "responses": responses},
    }


def _of(definition: str) -> dict[str, Any]:
    return {"description": "", "schema": _ref(definition)}


def _ref(definition: str) -> dict[str, Any]:
    return {"$ref": f"#/definitions/{definition}"}


def _object(required: Iterable[str] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, **({"required": sorted(required)} if required else {})}


def _text(description: str, **more: Any) -> dict[str, Any]:
    return {**TEXT, "description": description, **more}


STATUSES = ["running", "error", "done", "cancelled"]
DEFINITIONS = {
    "Failure": _object(["message"], message=_text("Failure message")),
    "Location": _object(["rel", "href"], rel=TEXT, href={**TEXT, "format": "url"}, type=TEXT),
    "Version": _object(
        ["version", "id"],
        version=TEXT,
        id=TEXT,
        links={"type": "array", "items": _ref("Location")},
    ),
    "Versions": _object(versions={"type": "array", "items": _ref("Version")}),
    "ModelMeta": _object(
        ["id", "name", "description"],
        id=_text("Model identifier"),
        name=_text("Model name"),
        description=_text("Model description"),
        license=_text("Model license"),
        author=_text("Model author"),
        version=_text("Model version"),
        url=_text("Model url"),
        links={"type": "array", "items": _ref("Location")},
    ),
    "Training": _object(
        ["uuid", "date", "status"],
        uuid=_text("Training identifier", format="uuid"),
        date=_text("Training start time", format="date-time"),
        status=_text("Training status", enum=STATUSES),
        message=_text("Optional message explaining status"),
        args={"type": "object"},
        result={"type": "object"},
    ),
    "TrainingList": {"type": "array", "items": _ref("Training")},
    "Prediction": _object(
        ["status", "predictions"],
        status=_text("Response status message"),
        predictions={"description": "What the model returned"},
    ),
}

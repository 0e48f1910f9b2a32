"""Arguments and answers as OpenAPI 2 has them; forms are made of that."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from modelport.contracts.deepaas.arguments import Arguments, is_file, is_list, key_of, location_of
from modelport.core import jsontext
from modelport.core.model import Field

IN = {None: "query", "query": "query", "form": "formData", "headers": "header", "json": "body"}
"""Where the document says that an argument goes, by its place; elsewhere there is no word for it."""
FORMS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Integer", {"type": "integer", "format": "int32"}),
    ("Float", {"type": "number", "format": "float"}),
    ("Number", {"type": "number"}),
    ("Boolean", {"type": "boolean"}),
    ("Date", {"type": "string", "format": "date"}),
    ("Time", {"type": "string"}),
    ("DateTime", {"type": "string", "format": "date-time"}),
    ("UUID", {"type": "string", "format": "uuid"}),
    ("Url", {"type": "string", "format": "url"}),
    ("Email", {"type": "string", "format": "email"}),
    ("String", {"type": "string"}),
    ("TimeDelta", {"type": "integer"}),
    ("Mapping", {"type": "object"}),
)
"""A field's type, the first of its classes that there is."""
DATATYPES = {"integer": "INT64", "number": "FP64", "boolean": "BOOL"}
KEPT = ("description", "enum", "type", "format", "minimum", "maximum", "title")
"""What of a field's metadata goes into the document."""


def parameters(arguments: Arguments) -> list[dict[str, Any]]:
    """The parameters of an operation; those that only JSON can carry are one body."""
    described: list[dict[str, Any]] = []
    body: dict[str, Any] = {}
    required = []
    for name, field in arguments.fields.items():
        place, form = IN.get(location_of(field)), form_of(field)
        key = key_of(name, field)
        if place is None:
            continue
        if place == "body" or form.get("type") == "object":
            body[key] = form
            required += [key] if field.required else []
            continue
        if form.get("type") == "array":
            form = {"collectionFormat": "multi" if is_list(field) else "csv", **form}
        if "type" not in form:
            form["type"] = "string"
        described.append({"in": place, "name": key, "required": bool(field.required), **form})
    if body and all(parameter["in"] != "formData" for parameter in described):  # there cannot be both
        schema = {"type": "object", "properties": body, **({"required": required} if required else {})}
        described.append({"in": "body", "name": "body", "required": bool(required), "schema": schema})
    return described


def schema(fields: dict[str, Any]) -> dict[str, Any]:
    """An object with these fields."""
    required = [key_of(name, field) for name, field in fields.items() if field.required]
    properties = {key_of(name, field): form_of(field) for name, field in fields.items()}
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def inputs(arguments: Arguments) -> Iterable[Field]:
    """The arguments as tensors."""
    for name, field in arguments.fields.items():
        form = form_of(field)
        listed = form.get("items", form)
        datatype = "BYTES" if is_file(field) else DATATYPES.get(listed.get("type", ""), "BYTES")
        yield Field(name, datatype, [-1] if is_list(field) else [1])


def form_of(field: Any) -> dict[str, Any]:
    """One field, without its name."""
    from marshmallow import fields, validate

    form: dict[str, Any] = {}
    if isinstance(field, fields.List):
        inner = form_of(getattr(field, "inner", None) or getattr(field, "container", None))
        form = {"type": "array", "items": inner if "type" in inner else {"type": "string"}}
    elif isinstance(field, fields.Nested):
        inner_form = schema(dict(field.schema.fields))
        form = {"type": "array", "items": inner_form} if getattr(field, "many", False) else inner_form
    else:
        known = next((said for name, said in FORMS if isinstance(field, getattr(fields, name, ()))), {})
        form = dict(known)
    default = field.load_default if hasattr(field, "load_default") else field.missing
    if _is_plain(default):
        form["default"] = _as_json(default)
    if field.allow_none:
        form["x-nullable"] = True
    for validator in field.validators:
        if isinstance(validator, validate.OneOf):
            form["enum"] = [_as_json(choice) for choice in validator.choices]
        elif isinstance(validator, validate.Range):
            bounds = {"minimum": validator.min, "maximum": validator.max}
            form.update({name: _as_json(bound) for name, bound in bounds.items() if bound is not None})
    form.update({name: _as_json(field.metadata[name]) for name in KEPT if name in field.metadata})
    return form


def _is_plain(default: Any) -> bool:
    from marshmallow import missing

    return default is not missing and default is not None and not callable(default)


def _as_json(value: Any) -> Any:
    try:
        return jsontext.loads(jsontext.dumps(value))
    except (TypeError, ValueError):
        return str(value)

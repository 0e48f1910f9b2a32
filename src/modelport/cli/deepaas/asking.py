"""A model's arguments on the command line, and the request that they become."""

from __future__ import annotations

import ast
import json
import mimetypes
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from modelport.cli.dialects import Request
from modelport.core.model import Description
from modelport.errors import ConfigError

TRUE = ("yes", "true", "t", "1")


def parameters(description: Description, function: str) -> list[dict[str, Any]]:
    """What ``predict`` or ``train`` takes, one by one, as the API's description has it."""
    found: list[dict[str, Any]] = []
    for parameter in description.details[function]:
        if parameter["in"] != "body":
            found.append(parameter)
            continue
        schema = parameter["schema"]
        for name, form in schema["properties"].items():
            found.append({**form, "in": "body", "name": name, "required": name in schema.get("required", [])})
    return found


def typed(parameter: Mapping[str, Any], text: str) -> Any:
    """A value as it was written on the command line. Raises ``ConfigError``."""
    kind = parameter.get("type", "object")
    if kind == "file":
        if not Path(text).is_file():
            raise ConfigError(f"--{parameter['name']}: there is no file {text}")
        return Path(text)
    if kind == "boolean":
        return text.lower() in TRUE
    if kind in ("array", "object"):
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise ConfigError(
                f"--{parameter['name']} cannot be {text!r}", hint="it is written as in Python: ['a', 'b'], {'a': 1}"
            ) from None
    return text


def request(verb: str, given: Iterable[tuple[Mapping[str, Any], Any]]) -> Request:
    """Parameters with their values, each where the API wants it. Raises ``ConfigError`` for a missing file."""
    query: list[tuple[str, str]] = []
    form: list[tuple[str, Any]] = []
    body: dict[str, Any] = {}
    headers: dict[str, str] = {}
    for parameter, value in given:
        name, place = parameter["name"], parameter["in"]
        listed = list(value) if isinstance(value, (list, tuple)) else [value]
        if parameter.get("collectionFormat") == "csv":
            listed = [",".join(map(_text, listed))]
        if place == "body":
            body[name] = value
        elif place == "header":
            headers[name.lower()] = str(value)
        elif place == "formData":
            form += [(name, item) for item in listed]
        else:
            query += [(name, _text(item)) for item in listed]
    data = b""
    if form:
        data, headers["content-type"] = _multipart(form)
    elif body:
        data, headers["content-type"] = json.dumps(body).encode(), "application/json"
    return Request(verb, data, urlencode(query), headers)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _multipart(fields: Iterable[tuple[str, Any]]) -> tuple[bytes, str]:
    boundary = f"modelport-{os.urandom(16).hex()}"
    parts = []
    for name, value in fields:
        head = f'Content-Disposition: form-data; name="{name}"'
        if isinstance(value, Path):
            media_type = mimetypes.guess_type(value.name)[0] or "application/octet-stream"
            escaped = value.name.replace("\\", "\\\\").replace('"', '\\"')
            head += f'; filename="{escaped}"\r\nContent-Type: {media_type}'
            try:
                data = value.read_bytes()
            except OSError as fault:
                raise ConfigError(f"{value}: {fault.strerror}") from None
        else:
            data = _text(value).encode()
        parts.append(b"--%b\r\n%b\r\n\r\n%b\r\n" % (boundary.encode(), head.encode(), data))
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"

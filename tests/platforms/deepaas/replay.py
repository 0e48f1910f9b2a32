"""Recorded requests sent to a server, and its answers compared with those of the real one.

A step's "compare" says how: "exact" (status, content-type, location, allow, body), "status" (status and content-type),
"code" (status), "defect" (the real server misbehaves; any answer below 500 is better). What differs from run to run is
not compared: uuids, dates, durations.
"""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections.abc import Iterator
from typing import Any

from tests.harness import Answer, Running

BOUNDARY = "modelport-boundary-7d1c"
UUID = re.compile(r"\b[0-9a-f]{32}\b")
DATE = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?")
DURATION = re.compile(r"(?:\d+ days?, )?\d+:\d\d:\d\d(?:\.\d+)?")


def multipart(*parts: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    """A form of parts with a name, and "text" or "data", perhaps "filename" and "content_type"."""
    out = []
    for part in parts:
        head = f'Content-Disposition: form-data; name="{part["name"]}"'
        if "filename" in part:
            head += f'; filename="{part["filename"]}"'
        if "content_type" in part:
            head += f"\r\nContent-Type: {part['content_type']}"
        data = part["data"] if "data" in part else part["text"].encode()
        out.append(b"--%b\r\n%b\r\n\r\n%b\r\n" % (BOUNDARY.encode(), head.encode(), data))
    body = b"".join(out) + f"--{BOUNDARY}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def send(server: Running, asked: dict[str, Any], names: dict[str, str]) -> Answer:
    path = re.sub(r"\{\{(\w+)\}\}", lambda found: names[found[1]], asked["path"])
    if asked.get("query"):
        path += "?" + urllib.parse.urlencode(list(map(tuple, asked["query"])))
    body, headers = b"", {}
    if "json" in asked:
        body, headers = json.dumps(asked["json"]).encode(), {"Content-Type": "application/json"}
    elif "form" in asked:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        body = urllib.parse.urlencode(list(map(tuple, asked["form"]))).encode()
    elif "multipart" in asked:
        body, headers = multipart(*asked["multipart"])
    elif "text" in asked:
        body = asked["text"].encode()
    return server.request(asked["method"], path, body, headers={**headers, **asked.get("headers", {})})


def differences(step: dict[str, Any], got: Answer) -> list[str]:
    wanted, mode = step["response"], step.get("compare", "exact")
    if mode == "defect":
        return [] if 200 <= got.status < 500 else [f"status {got.status}"]
    if got.status != wanted["status"]:
        return [f"status {got.status}, wanted {wanted['status']}: {got.body[:200]!r}"]
    headers = ["content-type"] if mode == "status" else ["content-type", "location", "allow"] if mode == "exact" else []
    found = [
        f"{name} {got.headers.get(name)!r}, wanted {wanted['headers'].get(name)!r}"
        for name in headers
        if _listed(got.headers.get(name)) != _listed(wanted["headers"].get(name))
    ]
    if mode == "exact" and _body(wanted) != _of(got):
        found.append(f"body {got.body[:300]!r}, wanted {_body(wanted)!r}")
    return found


def _listed(header: str | None) -> list[str]:
    return sorted((header or "").replace(" ", "").lower().split(","))


def _body(wanted: dict[str, Any]) -> Any:
    if "json" in wanted:
        return _plain(wanted["json"])
    return base64.b64decode(wanted["base64"]) if "base64" in wanted else _plain(wanted["text"]).encode()


def _of(got: Answer) -> Any:
    if "json" in got.headers.get("content-type", ""):
        return _plain(got.json())
    try:
        return _plain(got.body.decode()).encode()
    except UnicodeDecodeError:
        return got.body


def _plain(value: Any) -> Any:
    """Without what differs from run to run; the models in one order."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return sorted(map(_plain, value), key=str) if value and isinstance(value[0], dict) else list(map(_plain, value))
    if isinstance(value, str):
        return "<duration>" if DURATION.fullmatch(value) else DATE.sub("<date>", UUID.sub("<uuid>", value))
    return "NaN" if isinstance(value, float) and value != value else value


def captured(step: dict[str, Any], got: Answer) -> Iterator[tuple[str, str]]:
    """Names that later steps use, and their values."""
    for name, pointer in step.get("capture", {}).items():
        value = got.json()
        for key in filter(None, pointer.split("/")):
            value = value[int(key)] if isinstance(value, list) else value[key]
        yield name, value


# --- the API's own description ------------------------------------------------------------------------------


def outline(document: dict[str, Any]) -> dict[str, Any]:
    """What clients make forms of: of each operation the parameters, the media types and the statuses."""
    keys = ("in", "type", "required", "default", "enum", "format", "minimum", "maximum")
    return {
        f"{method.upper()} {path}": {
            "parameters": {
                parameter["name"]: {key: parameter[key] for key in keys if key in parameter}
                for parameter in operation.get("parameters", [])
            },
            "produces": operation.get("produces"),
            "responses": sorted(operation.get("responses", {})),
        }
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }

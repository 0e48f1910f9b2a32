"""Messages of a Seldon component over REST.

A component of the platform gets the message as it came and answers with one; for any other model see ``foreign``.
"""

from __future__ import annotations

import base64
import os
import uuid
from collections.abc import Iterable
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl

from modelport.core import jsontext, mediatype
from modelport.core.call import Call, Outcome, Reply
from modelport.core.model import Description, ModelSpec
from modelport.core.payload import Json, Payload
from modelport.errors import InvalidBody, InvalidOutput, ModelportError
from modelport.protocols.seldon import errors
from modelport.protocols.seldon.errors import Unparsed
from modelport.protocols.seldon.foreign import BYTES, TEXT, answered, carried
from modelport.protocols.seldon.jsonbody import written

PLATFORM = "seldon"
"""Models of it take whole messages, and answer with some, as ``Outcome.extras`` of that name."""

PREDICT, FEEDBACK, HEALTH, METADATA = "predict", "send-feedback", "health/status", "metadata"
GRAPH_METADATA = "graph-metadata"
"""The verbs that have more than one path; the others are called as their paths."""

JSON = "application/json"
FORM, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"
FIELD = "json"
"""The field of a form or a query that holds the message."""
NO_JSON = "Can't find JSON in data"
PUID = "seldon-puid"
UNIT_ID, UNIT_IMAGE = "PREDICTIVE_UNIT_ID", "PREDICTIVE_UNIT_IMAGE"
NO_IMAGE = "NOT_IMPLEMENTED:NOT_IMPLEMENTED"


class SeldonCodec:
    """The worker half of the protocol. For models of other platforms ``decode`` remembers the kind of array sent,
    and the meta that its answer repeats."""

    marks = ()

    def decode(self, call: Call, body: Any, spec: ModelSpec, model: Description) -> tuple[Payload, Any]:
        if model.platform != PLATFORM:
            message = message_of(call, body)
            payload, kind = carried(message, model)
            return payload, (kind, kept_meta(message.get("meta")))
        if call.verb in (HEALTH, METADATA, GRAPH_METADATA):
            return Json({}, PLATFORM), None
        if call.verb == PREDICT and model.details.get("passthrough"):
            return Json(_raw(call, body), PLATFORM), None
        return Json(message_of(call, body), PLATFORM), None

    def encode(
        self, call: Call, memory: Any, outcome: Outcome, spec: ModelSpec, model: Description, seconds: float
    ) -> Reply:
        if PLATFORM not in outcome.extras:
            kind, meta = memory
            answer = answered(outcome, kind)
            if BYTES in answer:
                answer = {BYTES: base64.b64encode(answer[BYTES]).decode("ascii")}
            return _reply(200, written({**answer, "meta": meta}))
        message = outcome.extras[PLATFORM]
        if call.verb == PREDICT and model.details.get("passthrough"):
            return _reply(200, _unwritten(message))
        status = _status(message) if call.verb == PREDICT else 200
        return _reply(status, written(message), outcome.extras.get("headers", ()))

    def error(self, error: ModelportError, request_id: str) -> Reply:
        return errors.error(error, request_id)


codec = SeldonCodec()


# --- requests --------------------------------------------------------------------------------------------


def message_of(call: Call, body: Any) -> Any:
    """The JSON value sent, from the first place that has one; never null.

    Raises ``InvalidBody`` where there is none, ``Unparsed`` for one that cannot be read, but for a JSON body: that is
    none then.
    """
    header = call.headers.get("content-type", "")
    if header == JSON and not call.query:
        return _json_body(body)
    media_type, _ = mediatype.parsed(header)
    if media_type == MULTIPART:
        return _multipart(body, header)
    text = _field(call, body, media_type)
    if text is not None:
        return _found(_parsed(text.encode("utf-8", "surrogatepass")))
    if media_type == JSON or (media_type.startswith("application/") and media_type.endswith("+json")):
        return _json_body(body)
    raise InvalidBody(NO_JSON)


def _json_body(body: Any) -> Any:
    try:
        value = jsontext.loads(body)
    except ValueError:
        raise InvalidBody(NO_JSON) from None
    return _found(value)


def _found(value: Any) -> Any:
    if value is None:
        raise InvalidBody(NO_JSON)
    return value


def _parsed(text: Any) -> Any:
    try:
        return jsontext.loads(text)
    except ValueError as fault:
        raise Unparsed(str(fault)) from None


def _field(call: Call, body: Any, media_type: str) -> str | None:
    """The text of the field, in the form before the query; one without text is not there."""
    forms = [str(body, "utf-8", "replace")] if media_type == FORM else []
    if call.query:
        forms.append(call.query.encode("latin-1").decode("utf-8", "replace"))
    for form in forms:
        text = next((text for name, text in parse_qsl(form, keep_blank_values=True) if name == FIELD), "")
        if text:
            return text
    return None


def _multipart(body: Any, header: str) -> dict[str, Any]:
    """One message of all parts: the first of each name, files before other fields."""
    from modelport.core import multipart

    fields: dict[str, Any] = {}
    files: dict[str, Any] = {}
    for part in multipart.parts(body, header):
        if part.filename is None:
            if part.name not in fields:
                fields[part.name] = _text(part.data) if part.name == TEXT else _parsed(part.data)
        elif part.name not in files:
            is_bytes = part.name == BYTES
            files[part.name] = base64.b64encode(part.data).decode("ascii") if is_bytes else _text(part.data)
    return {**fields, **files}


def _text(data: Any) -> str:
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as fault:
        raise Unparsed(str(fault)) from None


def _raw(call: Call, body: Any) -> Any:
    """What a component gets that wants nothing decoded: the field's text, else the body's bytes; of a form's parts the
    message nevertheless."""
    header = call.headers.get("content-type", "")
    media_type, _ = mediatype.parsed(header)
    if media_type == MULTIPART:
        return _multipart(body, header)
    text = _field(call, body, media_type)
    return bytes(body) if text is None else text


# --- answers ---------------------------------------------------------------------------------------------


def _unwritten(message: Any) -> bytes:
    """The bytes or the text of a component that wants nothing encoded."""
    if isinstance(message, str):
        return message.encode("utf-8", "replace")
    if isinstance(message, (bytes, bytearray)):
        return bytes(message)
    raise InvalidOutput(
        f"the payload passes through: the model must answer bytes or text, not {type(message).__name__}"
    )


def _status(message: Any) -> int:
    """The HTTP status that a message may ask for."""
    status = message.get("status") if isinstance(message, dict) else None
    code = status.get("code") if isinstance(status, dict) else None
    return code if type(code) is int and 200 <= code < 600 else 200


def _reply(status: int, body: Any, headers: Iterable[tuple[str, str]] = ()) -> Reply:
    return Reply(status, [("content-type", JSON), *headers], body)


def kept_meta(meta: Any) -> dict[str, Any]:
    """What of a message's meta is in the answer to it, as components have it: so it adds up along a graph. The unit
    that this worker is in one is added to the path."""
    meta = meta if isinstance(meta, dict) else {}
    unit, image = os.environ.get(UNIT_ID), os.environ.get(UNIT_IMAGE)
    path = meta.get("requestPath")
    kept = {**meta, "requestPath": {unit: image or NO_IMAGE, **(path or {})} if unit else path}
    return {name: kept[name] for name in ("tags", "metrics", "puid", "requestPath") if kept.get(name)}


def puid_of(request_id: str) -> str:
    """The prediction's id where the client gave none: of the form that the platform makes."""
    return str(uuid.UUID(bytes=sha256(request_id.encode()).digest()[:16], version=4))

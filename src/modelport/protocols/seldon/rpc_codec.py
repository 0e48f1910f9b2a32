"""Messages over gRPC: a component gets the bytes as they came; for any other model see ``foreign``."""

from __future__ import annotations

from typing import Any

from modelport.core import jsontext, mediatype
from modelport.core.call import Call, Outcome, Reply
from modelport.core.model import Description, ModelSpec
from modelport.core.payload import Blob, Json, Payload
from modelport.errors import InvalidOutput, MethodNotAllowed, ModelportError
from modelport.protocols.seldon import errors
from modelport.protocols.seldon.codec import PLATFORM, PREDICT, PUID, kept_meta, puid_of
from modelport.protocols.seldon.foreign import answered, carried, written_by_model
from modelport.schemas.seldon import SCHEMA

MESSAGE = "SeldonMessage"
REMOTE = "grpc/"
"""What verbs begin with that come over gRPC: their messages are bytes, as models of the platform know."""


class RpcCodec:
    """The worker half of the protocol's gRPC services. For models of other platforms ``decode`` remembers the kind of
    array sent, and the meta that the answer repeats."""

    marks = ()

    def decode(self, call: Call, body: Any, spec: ModelSpec, model: Description) -> tuple[Payload, Any]:
        if model.platform == PLATFORM:
            return Json(bytes(body), PLATFORM), None
        if call.verb != f"{REMOTE}{PREDICT}" and not call.unit:
            raise MethodNotAllowed(f"a model of {model.platform} does nothing but predict over gRPC", [PREDICT])
        message = SCHEMA.decode(MESSAGE, body)
        tensor = message.get("data", {}).get("tensor")
        if tensor is not None:
            tensor.update(shape=list(tensor.get("shape", ())), values=tensor.get("values", []))
        payload, kind = carried(message, model)
        return payload, (kind, kept_meta(message.get("meta")))

    def encode(
        self, call: Call, memory: Any, outcome: Outcome, spec: ModelSpec, model: Description, seconds: float
    ) -> Reply:
        headers = [*outcome.extras.get("headers", ()), *_marks(call, spec)]
        if PLATFORM in outcome.extras:
            return Reply(200, headers, outcome.extras[PLATFORM])
        kind, meta = memory
        return Reply(200, headers, _written(answered(outcome, kind), meta))

    def carry(self, call: Call, memory: Any, reply: Reply, spec: ModelSpec) -> Reply:
        """A reply that a model of another platform wrote itself, as a message."""
        headers = {name.lower(): value for name, value in reply.headers}
        media_type, charset = mediatype.parsed(headers.get("content-type", ""))
        body = reply.body if isinstance(reply.body, (bytes, bytearray, memoryview)) else b"".join(reply.body)
        if reply.status >= 400:
            raise InvalidOutput(f"the model answered with the HTTP status {reply.status}")
        _, meta = memory
        written = written_by_model(Blob(bytes(body), media_type, charset))
        return Reply(reply.status, _marks(call, spec), _written(written, meta))

    def error(self, error: ModelportError, request_id: str) -> Reply:
        return errors.refusal(error, request_id)


codec = RpcCodec()


def _marks(call: Call, spec: ModelSpec) -> list[tuple[str, str]]:
    """What a graph's answer has beside its message: the prediction's id."""
    return [(PUID, call.headers.get(PUID) or puid_of(call.id))] if call.unit or spec.graph is not None else []


def _written(answer: dict[str, Any], meta: dict[str, Any]) -> bytes:
    """The message of an answer, with what has no place in a protobuf message in its JSON form. Raises ``InvalidOutput``
    for what has none."""
    message = {**answer, "meta": meta}
    try:
        return SCHEMA.encode(MESSAGE, message)
    except (TypeError, ValueError):
        pass
    try:
        plain = jsontext.loads(jsontext.dumps({key: value for key, value in answer.items() if key != "binData"}))
        return SCHEMA.encode(MESSAGE, {**message, **plain})
    except (TypeError, ValueError) as fault:
        raise InvalidOutput(f"the answer has no place in a message: {fault}") from None

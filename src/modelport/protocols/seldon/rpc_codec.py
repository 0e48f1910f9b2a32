"""Messages over gRPC: a component gets the bytes as they came; for any other model see ``foreign``."""

from __future__ import annotations

from typing import Any

from modelport.core import jsontext, mediatype
from modelport.core.call import Call, Outcome, Reply
from modelport.core.model import Description, ModelSpec
from modelport.core.payload import Blob, Json, Payload
from modelport.errors import InvalidOutput, MethodNotAllowed, ModelportError
from modelport.protocols.seldon import errors
from modelport.protocols.seldon.codec import PLATFORM, PREDICT
from modelport.protocols.seldon.foreign import answered, carried, written_by_model
from modelport.protocols.seldon.messages import SCHEMA

MESSAGE = "SeldonMessage"
REMOTE = "grpc/"
"""What verbs begin with that come over gRPC: their messages are bytes, as models of the platform know."""


class RpcCodec:
    """The worker half of the protocol's gRPC services. For models of other platforms ``decode`` remembers the kind of
    array sent."""

    marks = ()

    def decode(self, call: Call, body: Any, spec: ModelSpec, model: Description) -> tuple[Payload, Any]:
        if model.platform == PLATFORM:
            return Json(bytes(body), PLATFORM), None
        if call.verb != f"{REMOTE}{PREDICT}":
            raise MethodNotAllowed(f"a model of {model.platform} does nothing but predict over gRPC", [PREDICT])
        message = SCHEMA.decode(MESSAGE, body)
        tensor = message.get("data", {}).get("tensor")
        if tensor is not None:
            tensor.update(shape=list(tensor.get("shape", ())), values=tensor.get("values", []))
        return carried(message, model)

    def encode(
        self, call: Call, memory: Any, outcome: Outcome, spec: ModelSpec, model: Description, seconds: float
    ) -> Reply:
        own = outcome.extras.get(PLATFORM)
        return Reply(
            200, outcome.extras.get("headers", []), _written(answered(outcome, memory)) if own is None else own
        )

    def carry(self, call: Call, memory: Any, reply: Reply, spec: ModelSpec) -> Reply:
        """A reply that a model of another platform wrote itself, as a message."""
        headers = {name.lower(): value for name, value in reply.headers}
        media_type, charset = mediatype.parsed(headers.get("content-type", ""))
        body = reply.body if isinstance(reply.body, (bytes, bytearray, memoryview)) else b"".join(reply.body)
        if reply.status >= 400:
            raise InvalidOutput(f"the model answered with the HTTP status {reply.status}")
        return Reply(reply.status, [], _written(written_by_model(Blob(bytes(body), media_type, charset))))

    def error(self, error: ModelportError, request_id: str) -> Reply:
        return errors.refusal(error, request_id)


codec = RpcCodec()


def _written(answer: dict[str, Any]) -> bytes:
    """The message of an answer, with what has no place in a protobuf message in its JSON form. Raises ``InvalidOutput``
    for what has none."""
    message = {**answer, "meta": {}}
    try:
        return SCHEMA.encode(MESSAGE, message)
    except (TypeError, ValueError):
        pass
    try:
        plain = jsontext.loads(jsontext.dumps({key: value for key, value in answer.items() if key != "binData"}))
        return SCHEMA.encode(MESSAGE, {**message, **plain})
    except (TypeError, ValueError) as fault:
        raise InvalidOutput(f"the answer has no place in a message: {fault}") from None

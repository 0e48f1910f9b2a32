"""The two ways by which messages reach a component, and what is different about each.

Over REST a message is a JSON value, over gRPC the bytes of a protobuf message. The real protobuf library is needed
only for hooks that take protobuf messages, and for ``customData``.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any, Callable, Protocol

from modelport.contracts.seldon import arrays, protojson, tftensors
from modelport.contracts.seldon.arrays import Content
from modelport.errors import InvalidInput, ModelRejected
from modelport.schemas.seldon import SCHEMA

MESSAGE, LIST, FEEDBACK = "SeldonMessage", "SeldonMessageList", "Feedback"


class Transport(Protocol):
    """What a message is depends on the way that it comes."""

    predict_hook: str
    """The hook that takes the whole of a prediction's message; other verbs know no difference."""

    def whole(self, message: Any, kind: str) -> Any:
        """The message as hooks get it that take all of it."""
        ...

    def read(self, message: Any) -> Content:
        """Raises ``InvalidInput`` for what is no message, and what numpy raises for data that it cannot take."""
        ...

    def several(self, message: Any) -> list[Content]: ...

    def feedback(self, message: Any) -> dict[str, Any]:
        """A ``Feedback`` as plain values, as they are read from bytes."""
        ...

    def write(self, value: Any, form: str | None, names: Callable[[], Any]) -> dict[str, Any]:
        """The part of a message for what a component returned. ``names`` gives the class names, where the array is to
        have any."""
        ...

    def reply(self, message: dict[str, Any], is_feedback: bool = False) -> Any:
        """The message as it goes out."""
        ...

    def worded(self, reply: Any, is_feedback: bool = False) -> Any:
        """A reply that the component worded as a whole, as it goes out; plain data or protobuf will do."""
        ...


class Rest:
    """JSON values. Feedback and its reply are what protobuf makes of them."""

    predict_hook = "predict_rest"

    def whole(self, message: Any, kind: str) -> Any:
        return message

    def read(self, message: Any) -> Content:
        return arrays.read(message)

    def several(self, message: Any) -> list[Content]:
        messages = message.get("seldonMessages") if isinstance(message, dict) else message
        if not isinstance(messages, list):
            raise arrays.wrong_type(message)
        return list(map(arrays.read, messages))

    def feedback(self, message: Any) -> dict[str, Any]:
        try:
            return protojson.parse(message, FEEDBACK)
        except ValueError as fault:
            raise InvalidInput(f"Invalid JSON: {fault}") from None

    def write(self, value: Any, form: str | None, names: Callable[[], Any]) -> dict[str, Any]:
        return arrays.write(value, form, names)

    def reply(self, message: dict[str, Any], is_feedback: bool = False) -> Any:
        return protojson.write(arrays.listed(message)) if is_feedback else message

    def worded(self, reply: Any, is_feedback: bool = False) -> Any:
        if is_protobuf(reply):
            return as_json(reply)
        return protojson.write({} if reply is None else reply) if is_feedback else reply


class Remote:
    """The bytes of protobuf messages. All numbers are floats."""

    predict_hook = "predict_grpc"

    def whole(self, message: Any, kind: str) -> Any:
        return protobuf_of(message, kind)

    def read(self, message: Any) -> Content:
        return _read(SCHEMA.decode(MESSAGE, message))

    def several(self, message: Any) -> list[Content]:
        return list(map(_read, SCHEMA.decode(LIST, message).get("seldonMessages", ())))

    def feedback(self, message: Any) -> dict[str, Any]:
        return SCHEMA.decode(FEEDBACK, message)

    def write(self, value: Any, form: str | None, names: Callable[[], Any]) -> dict[str, Any]:
        if isinstance(value, dict):
            return {"jsonData": protojson.plain(value)}
        if isinstance(value, (bytes, bytearray)):
            return {"binData": bytes(value)}
        if isinstance(value, str):
            return {"strData": value}
        if _is_any(value):
            return {"customData": value.SerializeToString()}
        if not arrays.is_array(value):
            raise TypeError(f'can only concatenate str (not "{type(value).__name__}") to str')
        return {"data": _datadef(arrays.as_array(value), form, names)}

    def reply(self, message: dict[str, Any], is_feedback: bool = False) -> Any:
        return SCHEMA.encode(MESSAGE, {**message, "meta": protojson.parse(message["meta"], "Meta")})

    def worded(self, reply: Any, is_feedback: bool = False) -> Any:
        if is_protobuf(reply):
            return reply.SerializeToString()
        return SCHEMA.encode(MESSAGE, protojson.parse({} if reply is None and is_feedback else reply, MESSAGE))


REST, REMOTE = Rest(), Remote()


def is_protobuf(value: Any) -> bool:
    """Whether it is a message of the protobuf library, of whatever class."""
    return hasattr(value, "SerializeToString") and hasattr(value, "DESCRIPTOR")


def _is_any(value: Any) -> bool:
    """Whether it is ``google.protobuf.Any``; the library is not imported to find that out."""
    library = sys.modules.get("google.protobuf.any_pb2")
    return library is not None and isinstance(value, library.Any)


def as_json(message: Any) -> dict[str, Any]:
    """A message of the protobuf library in its JSON."""
    from google.protobuf import json_format

    written: dict[str, Any] = json_format.MessageToDict(message)
    return written


def protobuf_of(message: Any, kind: str) -> Any:
    """A message as an object of the protobuf library, from its bytes or its JSON; its class is the one that user code
    imports."""
    made = getattr(_generated(), kind)
    if isinstance(message, (bytes, bytearray, memoryview)):
        return made.FromString(bytes(message))
    from google.protobuf import json_format

    return json_format.ParseDict(message, made())


def _generated() -> Any:
    """The module with the messages' classes. Raises ``ModelRejected`` where there is no protobuf library."""
    try:
        return importlib.import_module("seldon_core.proto.prediction_pb2")
    except ModuleNotFoundError as fault:
        if fault.name is None or fault.name.partition(".")[0] != "google":
            raise
        text = "the component is to get a message of protobuf: its environment needs the package protobuf"
        raise ModelRejected("ModuleNotFoundError", text, 500) from None


def data_of(message: dict[str, Any]) -> dict[str, Any]:
    """The ``data`` of a message that was protobuf once: there, lists without items are left out."""
    data: dict[str, Any] = message.get("data", {})
    if "tensor" not in data:
        return data
    tensor = data["tensor"]
    return {**data, "tensor": {"shape": list(tensor.get("shape", ())), "values": tensor.get("values", [])}}


def _read(message: dict[str, Any]) -> Content:
    meta = protojson.render(message.get("meta", {}), "Meta")
    if "data" in message:
        return arrays.read_array(data_of(message))._replace(meta=meta)
    for field in ("binData", "strData", "jsonData"):
        if field in message:
            return Content(message[field], [], meta, None)
    if "customData" in message:
        _generated()
        from google.protobuf import any_pb2

        return Content(any_pb2.Any.FromString(message["customData"]), [], meta, None)
    raise arrays.wrong_type(message)


def _datadef(array: Any, form: str | None, names: Callable[[], Any]) -> dict[str, Any]:
    import numpy

    form = arrays.form_of(array, form)
    labels: Sequence[str] = list(map(str, arrays.labels_of(array, names)))
    if form == "tensor":
        if array.dtype.kind == "c":
            raise TypeError("complex numbers have no place in a tensor")
        values = numpy.ascontiguousarray(array, dtype="float64").ravel()
        return {"names": labels, "tensor": {"shape": list(array.shape), "values": values}}
    if form == "tftensor":
        return {"names": labels, "tftensor": tftensors.write(array).SerializeToString()}
    if not array.ndim:
        raise TypeError("iteration over a 0-d array")
    return {"names": labels, "ndarray": protojson.plain(array.tolist())}

"""Messages as Python values and back, in JSON and in protobuf, and the environment."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from modelport.contracts.seldon import arrays, transports
from modelport.contracts.seldon.transports import MESSAGE, REMOTE, REST, Transport
from modelport.errors import InvalidInput, ModelRejected
from modelport.schemas.seldon import PACKAGE, SCHEMA
from seldon_core.env_utils import (
    ENV_MODEL_IMAGE,
    ENV_MODEL_NAME,
    NONIMPLEMENTED_IMAGE_MSG,
    NONIMPLEMENTED_MSG,
    get_image_name,
    get_model_name,
)
from seldon_core.flask_utils import SeldonMicroserviceException
from seldon_core.user_model import client_class_names, client_custom_tags, client_feature_names

__all__ = ["ENV_MODEL_IMAGE", "ENV_MODEL_NAME", "NONIMPLEMENTED_IMAGE_MSG", "NONIMPLEMENTED_MSG"]

TRUE = ("1", "t", "true")


# --- between JSON and protobuf ---------------------------------------------------------------------------


def json_to_seldon_message(message_json: Any) -> Any:
    """A ``SeldonMessage``; an empty one for nothing. Raises for what is none."""
    return _of_json(message_json or {}, MESSAGE)


def json_to_seldon_messages(message_json: Any) -> Any:
    """A ``SeldonMessageList``."""
    return _of_json(message_json, transports.LIST)


def json_to_feedback(message_json: Any) -> Any:
    """A ``Feedback``."""
    return _of_json(message_json, transports.FEEDBACK)


def json_to_seldon_model_metadata(metadata_json: Any) -> Any:
    """A ``SeldonModelMetadata``; what that has no place for is left out."""
    from google.protobuf import json_format

    from seldon_core.proto import prediction_pb2

    return json_format.ParseDict(metadata_json or {}, prediction_pb2.SeldonModelMetadata(), ignore_unknown_fields=True)


def seldon_message_to_json(message_proto: Any) -> dict[str, Any]:
    """A message of protobuf in its JSON, and so the next two."""
    return transports.as_json(message_proto)


def seldon_messages_to_json(message_protos: Any) -> dict[str, Any]:
    """See ``seldon_message_to_json``."""
    return transports.as_json(message_protos)


def feedback_to_json(message_proto: Any) -> dict[str, Any]:
    """See ``seldon_message_to_json``."""
    return transports.as_json(message_proto)


def _of_json(message: Any, kind: str) -> Any:
    from google.protobuf import json_format

    try:
        return transports.protobuf_of(message, kind)
    except json_format.ParseError as fault:
        from seldon_core.proto import prediction_pb2

        text = str(fault).replace(prediction_pb2.PACKAGE, PACKAGE)
        raise SeldonMicroserviceException(f"Invalid JSON: {text}") from None


# --- what messages carry ---------------------------------------------------------------------------------


def get_data_from_proto(request: Any) -> Any:
    """The array, text, bytes, JSON value or ``Any`` that a message carries."""
    return _content(request).value


def get_meta_from_proto(request: Any) -> dict[str, Any]:
    """The meta of a message, in its JSON."""
    return transports.as_json(request.meta)


def extract_request_parts(request: Any) -> tuple[Any, dict[str, Any], Any, str]:
    """The value, the meta, the ``data`` and the kind of the payload."""
    content = _content(request)
    return content.value, content.meta, request.data, request.WhichOneof("data_oneof")


def extract_request_parts_json(request: Any) -> tuple[Any, Any, Any, str]:
    """The value, the meta, ``data`` where there is one, and the kind of the payload."""
    try:
        content = arrays.read(request)
    except InvalidInput as fault:
        raise SeldonMicroserviceException(fault.message) from None
    kind = next(key for key in ("data", "jsonData", "strData", "binData") if key in request)
    return content.value, content.meta, request.get("data"), kind


def extract_feedback_request_parts(request: Any) -> tuple[Any, Any, Any, float]:
    """The ``data`` of the request, its array, that of the truth, and the reward."""
    arrays_of = [grpc_datadef_to_array(side.data) for side in (request.request, request.truth)]
    return request.request.data, *arrays_of, request.reward


def grpc_datadef_to_array(datadef: Any) -> Any:
    """The array that a ``DefaultData`` holds; an empty one where it holds none."""
    message = {"data": SCHEMA.decode("DefaultData", datadef.SerializeToString())}
    return arrays.read_array(transports.data_of(message)).value


def _content(request: Any) -> arrays.Content:
    try:
        return REMOTE.read(request.SerializeToString())
    except InvalidInput as fault:
        raise SeldonMicroserviceException(fault.message) from None


# --- values as messages ----------------------------------------------------------------------------------


class _Asked(NamedTuple):
    """What an answer keeps of its request."""

    form: str | None
    names: Any
    puid: Any


def construct_response(  # noqa: PLR0913, PLR0917 - the signature is the platform's
    user_model: Any,
    is_request: bool,
    client_request: Any,
    client_raw_response: Any,
    meta: Any = None,
    custom_metrics: Any = None,
    runtime_tags: Any = None,
) -> Any:
    """The message for an answer to a message; with ``is_request`` its columns are called as features are."""
    form = None
    if client_request.WhichOneof("data_oneof") == "data":
        form = client_request.data.WhichOneof("data_oneof") or "ndarray"
    asked = _Asked(form, list(client_request.data.names), client_request.meta.puid)
    told = (meta, custom_metrics, runtime_tags)
    message = _constructed(REMOTE, user_model, asked, is_request, client_raw_response, told)
    return transports.protobuf_of(REMOTE.reply(message), MESSAGE)


def construct_response_json(  # noqa: PLR0913, PLR0917 - the signature is the platform's
    user_model: Any,
    is_request: bool,
    client_request_raw: Any,
    client_raw_response: Any,
    meta: Any = None,
    custom_metrics: Any = None,
    runtime_tags: Any = None,
) -> dict[str, Any]:
    """The same in JSON."""
    request = client_request_raw if isinstance(client_request_raw, dict) else {}
    data = request.get("data")
    form = None if data is None else next((name for name in arrays.FORMS if name in data), "ndarray")
    asked = _Asked(form, (data or {}).get("names", []), request.get("meta", {}).get("puid"))
    told = (meta, custom_metrics, runtime_tags)
    message = arrays.listed(_constructed(REST, user_model, asked, is_request, client_raw_response, told))
    tensor = message.get("data", {}).get("tensor")
    if tensor is not None:
        tensor["shape"] = tuple(tensor["shape"])
    return message


def _constructed(
    via: Transport, user_model: Any, asked: _Asked, is_request: bool, value: Any, told: tuple[Any, Any, Any]
) -> dict[str, Any]:
    array = arrays.as_array(value)
    try:
        reply = via.write(value, asked.form, lambda: client_class_names(user_model, array))
    except ModelRejected as fault:
        raise SeldonMicroserviceException(fault.message) from None
    if is_request and "data" in reply:
        reply["data"]["names"] = client_feature_names(user_model, asked.names)
    meta, metrics, tags = told[0] or {}, told[1] or [], told[2] or {}
    found = {
        "tags": {**meta.get("tags", {}), **(client_custom_tags(user_model) or {}), **tags},
        "metrics": [*meta.get("metrics", []), *metrics],
        "puid": asked.puid,
        "requestPath": {**get_request_path(), **meta.get("requestPath", {})},
    }
    return {**reply, "meta": {key: value for key, value in found.items() if value}}


def array_to_grpc_datadef(data_type: str, array: Any, names: Any = ()) -> Any:
    """The ``DefaultData`` of a message: a tensor or, for any other word, an ndarray; a tftensor with TensorFlow."""
    form = data_type if data_type in arrays.FORMS else "ndarray"
    data = {**REMOTE.write(array, form, lambda: names)["data"], "names": list(names)}
    return transports.protobuf_of(SCHEMA.encode("DefaultData", data), "DefaultData")


def array_to_rest_datadef(data_type: str, array: Any, names: Any = ()) -> dict[str, Any]:
    """The same in JSON."""
    labels = list(names)
    if data_type == "tensor":
        return {"names": labels, "tensor": {"shape": array.shape, "values": array.ravel().tolist()}}
    if data_type == "tftensor":
        return {**arrays.write(array, data_type, lambda: labels)["data"], "names": labels}
    return {"names": labels, "ndarray": array.tolist()}


def array_to_list_value(array: Any, lv: Any = None) -> Any:
    """A ``google.protobuf.ListValue`` of an array, added to ``lv`` where that is given."""
    from google.protobuf import struct_pb2

    values = struct_pb2.ListValue() if lv is None else lv
    values.MergeFrom(array_to_grpc_datadef("ndarray", array).ndarray)
    return values


# --- the environment -------------------------------------------------------------------------------------


def get_request_path() -> dict[str, str]:
    """This component's own step on a message's way."""
    name = get_model_name()
    return {} if name == NONIMPLEMENTED_MSG else {name: get_image_name()}


def getenv(*env_vars: str, default: Any = None) -> Any:
    """The first variable that is set."""
    return next((os.environ[name] for name in env_vars if name in os.environ), default)


def getenv_as_bool(*env_vars: str, default: bool = False) -> bool:
    """The same as a truth value."""
    value = getenv(*env_vars)
    return default if value is None else value.lower() in TRUE

"""Messages of the REST API as Python values and back, and the environment."""

from __future__ import annotations

import os
from typing import Any

from modelport.contracts.seldon import arrays
from modelport.contracts.seldon.wrapper import NO_IMAGE
from modelport.errors import InvalidInput, ModelRejected
from seldon_core.flask_utils import SeldonMicroserviceException
from seldon_core.user_model import client_class_names, client_custom_tags

ENV_MODEL_NAME = "PREDICTIVE_UNIT_ID"
ENV_MODEL_IMAGE = "PREDICTIVE_UNIT_IMAGE"
NONIMPLEMENTED_MSG = "NOT_IMPLEMENTED"
NONIMPLEMENTED_IMAGE_MSG = NO_IMAGE
TRUE = ("1", "t", "true")


def extract_request_parts_json(request: Any) -> tuple[Any, Any, Any, str]:
    """The value, the meta, ``data`` where there is one, and the kind of the payload."""
    try:
        content = arrays.read(request)
    except InvalidInput as fault:
        raise SeldonMicroserviceException(fault.message) from None
    kind = next(key for key in ("data", "jsonData", "strData", "binData") if key in request)
    return content.value, content.meta, request.get("data"), kind


def construct_response_json(  # noqa: PLR0913, PLR0917 - the signature is the platform's
    user_model: Any,
    is_request: bool,
    client_request_raw: Any,
    client_raw_response: Any,
    meta: Any = None,
    custom_metrics: Any = None,
    runtime_tags: Any = None,
) -> dict[str, Any]:
    """The message for an answer to a message; with ``is_request`` it keeps the names of its columns."""
    data = client_request_raw.get("data") if isinstance(client_request_raw, dict) else None
    form = None if data is None else next((name for name in arrays.FORMS if name in data), "ndarray")
    array = arrays.as_array(client_raw_response)
    try:
        reply = arrays.listed(arrays.write(client_raw_response, form, lambda: client_class_names(user_model, array)))
    except ModelRejected as fault:
        raise SeldonMicroserviceException(fault.message) from None
    if is_request and data is not None and "data" in reply:
        reply["data"]["names"] = data.get("names", [])
    base = client_request_raw.get("meta", {}) if meta is None and isinstance(client_request_raw, dict) else meta or {}
    tags = {**base.get("tags", {}), **(client_custom_tags(user_model) or {}), **(runtime_tags or {})}
    told = {
        "tags": tags,
        "metrics": [*base.get("metrics", []), *(custom_metrics or [])],
        "puid": base.get("puid"),
        "requestPath": {**get_request_path(), **base.get("requestPath", {})},
    }
    return {**reply, "meta": {key: value for key, value in told.items() if value}}


def array_to_rest_datadef(data_type: str, array: Any, names: Any = ()) -> dict[str, Any]:
    """The ``data`` of a message."""
    if data_type == "tensor":
        return {"names": names, "tensor": {"shape": array.shape, "values": array.ravel().tolist()}}
    return {"names": names, "ndarray": array.tolist()}


def get_request_path() -> dict[str, str]:
    """This component's own step on a message's way."""
    name = os.environ.get(ENV_MODEL_NAME)
    return {name: os.environ.get(ENV_MODEL_IMAGE) or NO_IMAGE} if name else {}


def getenv(*env_vars: str, default: Any = None) -> Any:
    """The first variable that is set."""
    return next((os.environ[name] for name in env_vars if name in os.environ), default)


def getenv_as_bool(*env_vars: str, default: bool = False) -> bool:
    """The same as a truth value."""
    value = getenv(*env_vars)
    return default if value is None else value.lower() in TRUE

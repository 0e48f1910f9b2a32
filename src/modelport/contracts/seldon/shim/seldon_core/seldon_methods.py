"""The verbs of a component, called in the same process: a message in, a message out, JSON or protobuf alike."""

from __future__ import annotations

import json
import os
from typing import Any

from modelport.contracts.seldon import arrays, transports
from modelport.contracts.seldon.hooks import Hooks
from modelport.contracts.seldon.wrapper import Place, Wrapper
from modelport.errors import InvalidInput, ModelRejected
from seldon_core import metadata, utils
from seldon_core.flask_utils import SeldonMicroserviceException
from seldon_core.metrics import (
    AGGREGATE_METRIC_METHOD_TAG,
    FEEDBACK_METRIC_METHOD_TAG,
    HEALTH_METRIC_METHOD_TAG,
    INPUT_TRANSFORM_METRIC_METHOD_TAG,
    OUTPUT_TRANSFORM_METRIC_METHOD_TAG,
    PREDICT_METRIC_METHOD_TAG,
    ROUTER_METRIC_METHOD_TAG,
)
from seldon_core.user_model import INCLUDE_METRICS_IN_CLIENT_RESPONSE

__all__ = [
    "AGGREGATE_METRIC_METHOD_TAG",
    "FEEDBACK_METRIC_METHOD_TAG",
    "HEALTH_METRIC_METHOD_TAG",
    "INPUT_TRANSFORM_METRIC_METHOD_TAG",
    "OUTPUT_TRANSFORM_METRIC_METHOD_TAG",
    "PREDICT_METRIC_METHOD_TAG",
    "ROUTER_METRIC_METHOD_TAG",
]


class Tally:
    """Counts the metrics of calls in a ``SeldonMetrics``."""

    def __init__(self, seldon_metrics: Any) -> None:
        self._metrics = seldon_metrics

    def count(self, metrics: Any, method: str) -> None:
        self._metrics.update(metrics, method)

    def reward(self, reward: float) -> None:
        self._metrics.update_reward(reward)


def wrapped(user_model: Any, seldon_metrics: Any) -> Wrapper:
    """The component behind its wrapper; what the platform told of its place is looked up now."""
    name = utils.get_model_name()
    unit = None if name == utils.NONIMPLEMENTED_MSG else name
    place = Place(unit, metadata.MODEL_IMAGE or "", utils.get_image_name(), INCLUDE_METRICS_IN_CLIENT_RESPONSE)
    return Wrapper(Hooks(user_model), _said(), place, Tally(seldon_metrics))


def _said() -> dict[str, Any]:
    """What the environment says that the component is: YAML, or JSON where there is no library for YAML."""
    text = os.environ.get("MODEL_METADATA", "")
    try:
        import yaml
    except ImportError:
        said = json.loads(text or "{}")
    else:
        try:
            said = yaml.safe_load(text)
        except yaml.YAMLError:
            said = {}
    return said if isinstance(said, dict) else {}


def remote(wrapper: Wrapper, verb: str, request: Any, reply: str) -> Any:
    """A message of protobuf's library answered by another, of the class that ``reply`` names. None is an empty one."""
    body = b"" if request is None else request.SerializeToString()
    return transports.protobuf_of(_done(wrapper.remote[verb], body), reply)


def predict(user_model: Any, request: Any, seldon_metrics: Any) -> Any:
    """A message's prediction."""
    return _answer("predict", user_model, request, seldon_metrics)


def transform_input(user_model: Any, request: Any, seldon_metrics: Any) -> Any:
    """A message on its way in."""
    return _answer("transform-input", user_model, request, seldon_metrics)


def transform_output(user_model: Any, request: Any, seldon_metrics: Any) -> Any:
    """A message on its way out."""
    return _answer("transform-output", user_model, request, seldon_metrics)


def route(user_model: Any, request: Any, seldon_metrics: Any) -> Any:
    """The branch that a message is to take."""
    return _answer("route", user_model, request, seldon_metrics)


def aggregate(user_model: Any, request: Any, seldon_metrics: Any) -> Any:
    """Several messages as one."""
    return _answer("aggregate", user_model, request, seldon_metrics)


def send_feedback(user_model: Any, request: Any, predictive_unit_id: str, seldon_metrics: Any) -> Any:
    """A ``Feedback`` of protobuf, told."""
    wrapper = wrapped(user_model, seldon_metrics)
    wrapper.place = wrapper.place._replace(unit=predictive_unit_id)
    return remote(wrapper, "send-feedback", request, transports.MESSAGE)


def health_status(user_model: Any, seldon_metrics: Any) -> Any:
    """How the component is, in JSON."""
    return _answer("health/status", user_model, None, seldon_metrics)


def init_metadata(user_model: Any) -> Any:
    """What the component says of itself; None where that is invalid."""
    return Wrapper(Hooks(user_model), _said(), Place(None, metadata.MODEL_IMAGE or "", "", False)).metadata


def _answer(verb: str, user_model: Any, request: Any, seldon_metrics: Any) -> Any:
    wrapper = wrapped(user_model, seldon_metrics)
    if transports.is_protobuf(request):
        return remote(wrapper, verb, request, transports.MESSAGE)
    reply = _done(wrapper.verbs[verb], request)
    return arrays.listed(reply) if isinstance(reply, dict) else reply


def _done(answer: Any, message: Any) -> Any:
    """The answer, errors as the platform's own exception."""
    try:
        return answer(message)
    except InvalidInput as fault:
        raise SeldonMicroserviceException(fault.message) from None
    except ModelRejected as fault:
        if fault.reason is None:
            raise NotImplementedError(fault.message) from None
        raise SeldonMicroserviceException(fault.message, fault.status, reason=fault.reason) from None

"""The base class of components, what they may return, and their hooks called as the platform calls them."""

from __future__ import annotations

import os
from typing import Any

from modelport.contracts.seldon.arrays import Content
from modelport.contracts.seldon.hooks import ABSENT, Hooks
from modelport.contracts.seldon.metrics import recorded
from modelport.errors import ModelRejected
from seldon_core.flask_utils import SeldonMicroserviceException

INCLUDE_METRICS_IN_CLIENT_RESPONSE = os.environ.get("INCLUDE_METRICS_IN_CLIENT_RESPONSE", "true").lower() == "true"


class SeldonNotImplementedError(SeldonMicroserviceException):  # type: ignore[misc, unused-ignore]
    """The hook is to be taken for absent."""

    def __init__(self, message: Any) -> None:
        super().__init__(message)


class SeldonResponse:
    """An answer with tags and metrics of its own."""

    def __init__(self, data: Any, tags: Any = None, metrics: Any = None) -> None:
        self.data = data
        self.tags = {} if tags is None else tags
        self.metrics = [] if metrics is None else metrics

    @classmethod
    def create(cls, data: Any) -> SeldonResponse:
        """What is no such answer yet, as one."""
        return data if isinstance(data, cls) else cls(data)


class SeldonComponent:
    """Every hook, none of them implemented."""

    def __init__(self, **kwargs: Any) -> None:
        pass

    def load(self) -> None:
        pass

    def predict(self, X: Any, names: Any, meta: Any = None) -> Any:
        raise SeldonNotImplementedError("predict is not implemented")

    def predict_raw(self, msg: Any) -> Any:
        raise SeldonNotImplementedError("predict_raw is not implemented")

    def transform_input(self, X: Any, names: Any, meta: Any = None) -> Any:
        raise SeldonNotImplementedError("transform_input is not implemented")

    def transform_input_raw(self, msg: Any) -> Any:
        raise SeldonNotImplementedError("transform_input_raw is not implemented")

    def transform_output(self, X: Any, names: Any, meta: Any = None) -> Any:
        raise SeldonNotImplementedError("transform_output is not implemented")

    def transform_output_raw(self, msg: Any) -> Any:
        raise SeldonNotImplementedError("transform_output_raw is not implemented")

    def route(self, features: Any, feature_names: Any, meta: Any = None) -> Any:
        raise SeldonNotImplementedError("route is not implemented")

    def route_raw(self, msg: Any) -> Any:
        raise SeldonNotImplementedError("route_raw is not implemented")

    def aggregate(self, features_list: Any, feature_names_list: Any) -> Any:
        raise SeldonNotImplementedError("aggregate is not implemented")

    def aggregate_raw(self, msgs: Any) -> Any:
        raise SeldonNotImplementedError("aggregate_raw is not implemented")

    def send_feedback(self, features: Any, feature_names: Any, reward: float, truth: Any, routing: Any = None) -> Any:
        raise SeldonNotImplementedError("send_feedback is not implemented")

    def send_feedback_raw(self, feedback: Any) -> Any:
        raise SeldonNotImplementedError("send_feedback_raw is not implemented")

    def tags(self) -> Any:
        raise SeldonNotImplementedError("tags is not implemented")

    def metrics(self) -> Any:
        raise SeldonNotImplementedError("metrics is not implemented")

    def class_names(self) -> Any:
        raise SeldonNotImplementedError("class_names is not implemented")

    def feature_names(self) -> Any:
        raise SeldonNotImplementedError("feature_names is not implemented")

    def health_status(self) -> Any:
        raise SeldonNotImplementedError("health_status is not implemented")

    def health_status_raw(self) -> Any:
        raise SeldonNotImplementedError("health_status_raw is not implemented")

    def init_metadata(self) -> Any:
        raise SeldonNotImplementedError("init_metadata is not implemented")

    def metadata(self) -> Any:
        raise SeldonNotImplementedError("metadata is not implemented")


def client_predict(user_model: Any, features: Any, feature_names: Any, meta: Any = None) -> SeldonResponse:
    """Nothing without a ``predict``."""
    return _responded(user_model, "predict", [], Content(features, feature_names, meta, None))


def client_transform_input(user_model: Any, features: Any, feature_names: Any, meta: Any = None) -> SeldonResponse:
    """The features themselves without a ``transform_input``."""
    return _responded(user_model, "transform_input", features, Content(features, feature_names, meta, None))


def client_transform_output(user_model: Any, features: Any, feature_names: Any, meta: Any = None) -> SeldonResponse:
    """The features themselves without a ``transform_output``."""
    return _responded(user_model, "transform_output", features, Content(features, feature_names, meta, None))


def client_route(user_model: Any, features: Any, feature_names: Any, meta: Any = None) -> SeldonResponse:
    """Raises for a component without ``route``, and for a branch that is no int."""
    answer = Hooks(user_model).demand("route", Content(features, feature_names, meta, None))
    if not isinstance(answer.data, int):
        raise SeldonMicroserviceException(f"Routing response must be int but got {answer.data}")
    return SeldonResponse(answer.data, answer.tags, answer.metrics)


def client_aggregate(user_model: Any, features_list: Any, feature_names_list: Any) -> SeldonResponse:
    """Raises for a component without ``aggregate``."""
    return SeldonResponse.create(Hooks(user_model).defined("aggregate")(features_list, feature_names_list))


def client_send_feedback(
    user_model: Any, features: Any, feature_names: Any, reward: float, truth: Any, routing: Any
) -> SeldonResponse:
    """No data without a ``send_feedback``."""
    answer = Hooks(user_model).call("send_feedback", features, feature_names, reward, truth, routing=routing)
    return SeldonResponse.create(None if answer is ABSENT else answer)


def client_class_names(user_model: Any, predictions: Any) -> Any:
    """The names of the columns; none where there is only one dimension."""
    if len(predictions.shape) < 2:
        return []
    names = Hooks(user_model).class_names()
    return [f"t:{column}" for column in range(predictions.shape[1])] if names is None else names


def client_feature_names(user_model: Any, original: Any) -> Any:
    """The component's own, else those given."""
    return _asked(user_model, "feature_names", original)


def client_custom_tags(user_model: Any) -> Any:
    """None at all without ``tags``."""
    return _asked(user_model, "tags", {})


def client_custom_metrics(
    user_model: Any, seldon_metrics: Any, method: str, runtime_metrics: Any = ()
) -> list[dict[str, Any]]:
    """The component's own, then those of the answer; none where answers are not to have any."""
    try:
        runtime = recorded(list(runtime_metrics), method)
        own = recorded(_asked(user_model, "metrics", []), method)
    except ModelRejected as fault:
        raise SeldonMicroserviceException(fault.message, fault.status, reason=fault.reason) from None
    seldon_metrics.update([*own, *runtime], method)
    return [*own, *runtime] if INCLUDE_METRICS_IN_CLIENT_RESPONSE else []


def client_health_status(user_model: Any) -> Any:
    """Healthy, if the component does not say."""
    unsaid = "not implemented - assuming healthy" if hasattr(user_model, "health_status") else "healthy"
    return _asked(user_model, "health_status", unsaid)


def _asked(user_model: Any, hook: str, otherwise: Any) -> Any:
    answer = Hooks(user_model).call(hook)
    return otherwise if answer is ABSENT else answer


def _responded(user_model: Any, hook: str, otherwise: Any, content: Content) -> SeldonResponse:
    answer = Hooks(user_model).respond(hook, content)
    return SeldonResponse(otherwise) if answer is ABSENT else SeldonResponse(answer.data, answer.tags, answer.metrics)

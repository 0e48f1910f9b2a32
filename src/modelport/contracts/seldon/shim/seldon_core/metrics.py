"""Metrics that a component reports."""

from __future__ import annotations

from typing import Any

from modelport.contracts.seldon.metadata import image_parts
from modelport.contracts.seldon.metrics import are_valid

COUNTER, GAUGE, TIMER = "COUNTER", "GAUGE", "TIMER"

PREDICT_METRIC_METHOD_TAG = "predict"
FEEDBACK_METRIC_METHOD_TAG = "feedback"
INPUT_TRANSFORM_METRIC_METHOD_TAG = "inputtransform"
OUTPUT_TRANSFORM_METRIC_METHOD_TAG = "outputtransform"
ROUTER_METRIC_METHOD_TAG = "router"
AGGREGATE_METRIC_METHOD_TAG = "aggregate"
HEALTH_METRIC_METHOD_TAG = "health"


class SeldonMetrics:
    """Takes metrics and forgets them: those of answers are counted by the server."""

    def __init__(self, worker_id_func: Any = None, extra_default_labels: Any = None) -> None:
        self.data: dict[Any, Any] = {}

    def update(self, custom_metrics: Any, method: str) -> None:
        pass

    def update_reward(self, reward: float) -> None:
        pass

    def collect(self) -> list[Any]:
        return []


def create_counter(key: str, value: Any) -> dict[str, Any]:
    """Counts ``value`` up."""
    return _metric(COUNTER, key, value)


def create_gauge(key: str, value: Any) -> dict[str, Any]:
    """Is at ``value``."""
    return _metric(GAUGE, key, value)


def create_timer(key: str, value: Any) -> dict[str, Any]:
    """Took ``value`` milliseconds."""
    return _metric(TIMER, key, value)


def _metric(kind: str, key: str, value: Any) -> dict[str, Any]:
    value + 1
    return {"key": key, "type": kind, "value": value}


def validate_metrics(metrics: Any) -> bool:
    """Whether it is a list of metrics."""
    return are_valid(metrics)


def split_image_tag(tag: str) -> tuple[str, str]:
    """The name and the tag of an image."""
    return image_parts(tag)

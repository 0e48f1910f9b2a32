"""Metrics that a component reports."""

from __future__ import annotations

import math
import os
from bisect import bisect_right
from itertools import accumulate
from typing import Any, Callable

from modelport.contracts.seldon.metadata import image_parts
from modelport.contracts.seldon.metrics import are_valid
from seldon_core import env_utils

COUNTER, GAUGE, TIMER = "COUNTER", "GAUGE", "TIMER"

PREDICT_METRIC_METHOD_TAG = "predict"
FEEDBACK_METRIC_METHOD_TAG = "feedback"
INPUT_TRANSFORM_METRIC_METHOD_TAG = "inputtransform"
OUTPUT_TRANSFORM_METRIC_METHOD_TAG = "outputtransform"
ROUTER_METRIC_METHOD_TAG = "router"
AGGREGATE_METRIC_METHOD_TAG = "aggregate"
HEALTH_METRIC_METHOD_TAG = "health"

FEEDBACK_KEY = "seldon_api_model_feedback"
FEEDBACK_REWARD_KEY = "seldon_api_model_feedback_reward"

_LOWEST, _HIGHEST, _BOUNDS = 0.001, 30.0, 50
BINS = [0, *(_LOWEST * (_HIGHEST / _LOWEST) ** (at / (_BOUNDS - 1)) for at in range(_BOUNDS)), math.inf]
"""Bounds of a timer's buckets, in seconds."""

_IMAGE, _VERSION = image_parts(env_utils.get_image_name())
DEFAULT_LABELS = {
    "deployment_name": env_utils.get_deployment_name(),
    "model_name": env_utils.get_model_name(),
    "model_image": _IMAGE,
    "model_version": _VERSION,
    "predictor_name": env_utils.get_predictor_name(),
    "predictor_version": env_utils.get_predictor_version(),
    "seldon_deployment_name": env_utils.get_deployment_name(),
    "image_name": _IMAGE,
    "image_version": _VERSION,
}
"""Labels that all metrics have beside their tags."""


class SeldonMetrics:
    """What was counted, by worker: ``data`` has (type, key, tags) to value and tags."""

    def __init__(self, worker_id_func: Callable[[], Any] = os.getpid, extra_default_labels: Any = None) -> None:
        self.data: dict[Any, dict[Any, dict[str, Any]]] = {}
        self.worker_id_func = worker_id_func
        self._labels = {**DEFAULT_LABELS, **(extra_default_labels or {})}

    def update(self, custom_metrics: Any, method: str) -> None:
        """Counts them for a method. A timer's value is in milliseconds, and kept in seconds."""
        counted = self.data.setdefault(self.worker_id_func(), {})
        for metric in custom_metrics:
            kind, name, value = metric.get("type", COUNTER), metric["key"], metric["value"]
            tags = {**metric.get("tags", {}), "method": method}
            key = (kind, name, self._generate_tags_key(tags))
            before = counted[key]["value"] if key in counted else None
            counted[key] = {"value": _added(kind, before, value), "tags": tags}

    def update_reward(self, reward: float) -> None:
        """Counts a feedback, if it has a reward."""
        if reward:
            counts = [create_counter(FEEDBACK_KEY, 1), create_counter(FEEDBACK_REWARD_KEY, reward)]
            self.update(counts, FEEDBACK_METRIC_METHOD_TAG)

    def clear(self) -> None:
        """Forgets what this worker counted."""
        self.data.pop(self.worker_id_func(), None)

    def collect(self) -> list[Any]:
        """The metric families, for the Prometheus client."""
        return [
            self._family(kind, name, counted, {**counted["tags"], **self._labels, "worker_id": str(worker)})
            for worker, metrics in self.data.items()
            for (kind, name, _), counted in metrics.items()
        ]

    @staticmethod
    def _family(kind: str, name: str, counted: dict[str, Any], labels: dict[str, Any]) -> Any:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        names, texts = list(labels), list(map(str, labels.values()))
        if kind == TIMER:
            counts, total = counted["value"]
            bounds = ["+Inf" if bound == math.inf else str(bound) for bound in BINS[1:]]
            timer = HistogramMetricFamily(name, "", labels=names)
            timer.add_metric(texts, buckets=list(zip(bounds, accumulate(counts))), sum_value=total)
            return timer
        family = (CounterMetricFamily if kind == COUNTER else GaugeMetricFamily)(name, "", labels=names)
        family.add_metric(texts, counted["value"])
        return family

    @staticmethod
    def _generate_tags_key(tags: dict[str, str]) -> str:
        return "_".join(f"{name}-{tags[name]}" for name in sorted(tags))


def _added(kind: str, before: Any, value: Any) -> Any:
    """The value with a new one: counters add up, gauges keep the last, timers are sorted into ``BINS``."""
    if kind == GAUGE:
        return value
    if kind == COUNTER:
        return value if before is None else before + value
    seconds = value / 1000
    counts, total = ([0.0] * (len(BINS) - 1), 0.0) if before is None else before
    at = min(max(bisect_right(BINS, seconds) - 1, 0), len(counts) - 1)
    return [count + (place == at) for place, count in enumerate(counts)], total + seconds


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

"""The metrics that a component reports with its answers."""

from __future__ import annotations

import json
import os
from typing import Any, Protocol

from modelport.contracts.seldon.metadata import image_parts
from modelport.core import measures
from modelport.errors import ModelRejected

COUNTER, GAUGE, TIMER = "COUNTER", "GAUGE", "TIMER"
TYPES = (COUNTER, GAUGE, TIMER)
KINDS = {COUNTER: measures.COUNTER, GAUGE: measures.GAUGE, TIMER: measures.TIMER}
BAD_METRIC = "MICROSERVICE_BAD_METRIC"
MAX_SHOWN = 2000
"""Characters of bad metrics that an error repeats."""
UNSET = "NOT_IMPLEMENTED"
FEEDBACK, REWARD = "seldon_api_model_feedback", "seldon_api_model_feedback_reward"


def are_valid(metrics: Any) -> bool:
    """Whether it is a list of metrics: type, key, a value that can be counted up, and perhaps tags."""
    return isinstance(metrics, list) and all(map(_is_valid, metrics))


def _is_valid(metric: Any) -> bool:
    if not isinstance(metric, dict) or not {"type", "key", "value"} <= set(metric):
        return False
    if metric["type"] not in TYPES or not isinstance(metric.get("tags", {}), dict):
        return False
    try:
        metric["value"] + 1
    except TypeError:
        return False
    return True


def recorded(metrics: Any, method: str) -> list[Any]:
    """The metrics as they are reported (see ``named``).

    Raises ``ModelRejected`` for bad ones.
    """
    if not are_valid(metrics):
        raise bad(metrics)
    return named(metrics, method)


def named(metrics: list[Any], method: str) -> list[Any]:
    """The metrics, the method named among the tags of those that have any."""
    return [
        {**metric, "tags": {**metric["tags"], "method": method}} if "tags" in metric else metric for metric in metrics
    ]


def bad(metrics: Any, why: str = "") -> ModelRejected:
    """The error for metrics that cannot be counted."""
    text = json.dumps(metrics, default=str)[:MAX_SHOWN]
    text = f"Bad metric created during request: {text}{why and f': {why}'}"
    return ModelRejected("BadMetric", text, 500, reason=BAD_METRIC)


class Counts(Protocol):
    """Whoever counts what components report."""

    def count(self, metrics: Any, method: str) -> None: ...

    def reward(self, reward: float) -> None: ...


class Tally:
    """Counts metrics for Prometheus, with the labels that the environment gives this component."""

    def __init__(self) -> None:
        image, version = image_parts(os.environ.get("PREDICTIVE_UNIT_IMAGE", ""))
        deployment = os.environ.get("SELDON_DEPLOYMENT_ID")
        labels = {
            "deployment_name": deployment,
            "model_name": os.environ.get("PREDICTIVE_UNIT_ID"),
            "model_image": image,
            "model_version": version,
            "predictor_name": os.environ.get("PREDICTOR_ID"),
            "predictor_version": _predictor_version(),
            "seldon_deployment_name": deployment,
            "image_name": image,
            "image_version": version,
        }
        self._labels = {name: value or UNSET for name, value in labels.items()}
        self._counts_rewards = os.environ.get("SELDON_EXECUTOR_ENABLED", "true").lower() in ("1", "t", "true")

    def count(self, metrics: Any, method: str) -> None:
        """Metrics that were found valid, or are of a reply that the component worded itself: a counter may leave out
        its type then. Raises ``ModelRejected`` for what Prometheus has no place for."""
        try:
            counted = [self._measured(metric, method) for metric in metrics]
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as fault:
            raise bad(metrics, str(fault)) from None
        for measured in counted:
            measures.report(*measured)

    def _measured(self, metric: Any, method: str) -> tuple[str, str, float, dict[str, str]]:
        kind, name, value = KINDS[metric.get("type", COUNTER)], metric["key"], float(metric["value"])
        labels = {**metric.get("tags", {}), **self._labels, "method": method}
        measures.check(name, labels)
        return kind, name, value / 1000 if kind == measures.TIMER else value, _texts(labels)

    def reward(self, reward: float) -> None:
        """A feedback's; none at all is no feedback to count."""
        if reward and self._counts_rewards:
            labels = {**self._labels, "method": "feedback"}
            measures.report(measures.COUNTER, FEEDBACK, 1, labels)
            measures.report(measures.COUNTER, REWARD, reward, labels)


def _texts(labels: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in labels.items()}


def _predictor_version() -> Any:
    try:
        labels = json.loads(os.environ.get("PREDICTOR_LABELS", "{}"))
    except ValueError:
        return None
    version = labels.get("version") if isinstance(labels, dict) else None
    return version if isinstance(version, str) else None

"""The metrics that a component reports with its answers."""

from __future__ import annotations

import json
from typing import Any

from modelport.errors import ModelRejected

TYPES = ("COUNTER", "GAUGE", "TIMER")
BAD_METRIC = "MICROSERVICE_BAD_METRIC"
MAX_SHOWN = 2000
"""Characters of bad metrics that an error repeats."""


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
    """The metrics as they are reported: one that came with tags names the method among them.

    Raises ``ModelRejected`` for bad ones.
    """
    if not are_valid(metrics):
        text = json.dumps(metrics, default=str)[:MAX_SHOWN]
        raise ModelRejected("BadMetric", f"Bad metric created during request: {text}", 500, reason=BAD_METRIC)
    return [
        {**metric, "tags": {**metric["tags"], "method": method}} if "tags" in metric else metric for metric in metrics
    ]

"""What a model's own code measures during its calls: numbers with a name and labels, on their way to the front."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from typing import Any

COUNTER, GAUGE, TIMER = "counter", "gauge", "timer"
"""A counter adds its values up, a gauge keeps the last one, a timer sorts seconds into buckets."""
QUESTION = "question"
"""Of a graph's own: the seconds that a unit, which is its name, took to answer; labels are the verb and the code."""
VERB, CODE = "verb", "code"
MAX_AT_ONCE = 1000
"""Numbers that go with one answer."""

_NAME, _LABEL = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,199}"), re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]{0,99}")

log = logging.getLogger(__name__)

reported: list[list[Any]] = []
"""What the next answer takes along: [kind, name, value, [[label, text], ...]], labels in order."""


def check(name: Any, labels: Mapping[Any, Any]) -> None:
    """Raises ``ValueError`` for what Prometheus allows for no metric's name or label."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{name!r:.200} is no name that a metric may have")
    for label in labels:
        if not isinstance(label, str) or not _LABEL.fullmatch(label):
            raise ValueError(f"{label!r:.200} is no name that a label may have")


def report(kind: str, name: str, value: float, labels: Mapping[str, str]) -> None:
    """Has the front count it; a timer's value is in seconds."""
    if len(reported) == MAX_AT_ONCE:
        log.warning("more than %d metrics at once: the rest is not counted", MAX_AT_ONCE)
    if len(reported) <= MAX_AT_ONCE:
        number = value if math.isfinite(value) else str(value)  # JSON has no other form for it
        reported.append([kind, name, number, sorted(map(list, labels.items()))])


def taken() -> list[list[Any]]:
    """What was reported since the last time."""
    items = reported[:MAX_AT_ONCE]
    reported.clear()
    return items

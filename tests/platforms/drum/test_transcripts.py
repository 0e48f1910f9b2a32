"""What the public documents say that DRUM answers, replayed: ``transcripts/`` holds the expectations and the models."""

from __future__ import annotations

import base64
import codecs
import json
from collections import Counter
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Answer, serving

HERE = Path(__file__).parent / "transcripts"
CASES = {path.stem: json.loads(path.read_text()) for path in sorted(HERE.glob("*.json"))}
LABELS = {"positive": "POSITIVE_CLASS_LABEL", "negative": "NEGATIVE_CLASS_LABEL"}


def test_every_expectation_is_there() -> None:
    assert len(CASES) == 8
    assert sum(len(case["steps"]) for case in CASES.values()) == 14


@pytest.mark.parametrize("name", CASES)
def test_replay(name: str) -> None:
    case = CASES[name]
    stated = case["server"]
    labels = {LABELS[which]: label for which, label in stated["labels"].items()}
    env = {"TARGET_TYPE": stated["target_type"], **labels, **stated["env"]}
    with serving(HERE / case["model"], env=env) as server:
        for step in case["steps"]:
            asked = step["request"]
            headers = asked.get("headers", {})
            compare(step["expect"], server.request(asked["method"], asked["path"], body_of(asked), headers=headers))


def body_of(part: dict[str, Any]) -> bytes | None:
    if "body_b64" in part:
        return base64.b64decode(part["body_b64"])
    return part["body_text"].encode() if "body_text" in part else None


def compare(wanted: dict[str, Any], got: Answer) -> None:
    assert got.status == wanted["status"], got.body[:300]
    marks = Message()
    marks["Content-Type"] = got.headers["content-type"]
    if "mimetype" in wanted:
        assert marks.get_content_type() == wanted["mimetype"]
    if "charset" in wanted:
        assert codecs.lookup(str(marks.get_param("charset"))) == codecs.lookup(wanted["charset"])
    body = body_of(wanted)
    if body is not None:
        assert got.body == body
    for key, value in wanted.get("json_has", {}).items():
        assert got.json()[key] == value
    if "json_numbers" in wanted:
        assert numbers(got.json()) == pytest.approx(wanted["json_numbers"])
    if "json_number_counts" in wanted:
        counts = {float(number): count for number, count in wanted["json_number_counts"].items()}
        assert Counter(numbers(got.json())) == counts


def numbers(value: Any) -> list[float]:
    """Every number in a JSON value, in order."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return [float(value)]
    items = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return [number for item in items for number in numbers(item)]

"""What was recorded from the real server, replayed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Answer, Running, serving, until
from tests.platforms.deepaas.conftest import RUN
from tests.platforms.deepaas.replay import captured, differences, outline, send

pytestmark = pytest.mark.timeout(400)  # the environment is installed once

CASES = {path.stem: json.loads(path.read_text()) for path in sorted(Path(__file__).parent.glob("transcripts/*.json"))}
PATIENCE = 20.0
LATE = "mp-plainclass"
"""The real server cannot load it, so it was not there when the others were recorded."""


def test_every_step_is_there() -> None:
    assert sum(len(case["steps"]) for case in CASES.values()) == 189


@pytest.mark.parametrize("name", CASES)
def test_replay(name: str, request: pytest.FixtureRequest, old: Path, state: dict[str, str]) -> None:
    case = CASES[name]
    if case["serve"]["argv"]:
        with serving("--env", old, *case["serve"]["argv"], verb=RUN, env=state) as server:
            play(server, case)
    else:
        play(request.getfixturevalue("recorded"), case)


def play(server: Running, case: dict[str, Any]) -> None:
    names: dict[str, str] = {}
    for step in case["steps"]:
        if step.get("compare") == "schema":
            check_document(step["response"]["json"], send(server, step["request"], names).json())
            continue
        got = answered(server, step, names)
        if "wait_s" in step:  # the recording waited so long; here until it is so
            until(lambda step=step: not differences(step, answered(server, step, names)), PATIENCE, step["name"])
            continue
        assert differences(step, got) == [], step["name"]
        names.update(captured(step, got))


def answered(server: Running, step: dict[str, Any], names: dict[str, str]) -> Answer:
    got = send(server, step["request"], names)
    if step["request"]["path"] == "/v2/models/" and got.status == 200:
        listed = [model for model in got.json()["models"] if model["id"] != LATE]
        return got._replace(body=json.dumps({"models": listed}).encode())
    return got


def check_document(wanted: dict[str, Any], got: dict[str, Any]) -> None:
    """The same operations with the same parameters, but for what OpenAPI 2 does not allow: an operation without any
    response, parameters outside of the body that are objects, and defaults that are null."""
    expected, found = outline(wanted), outline(got)
    for operation in expected.values():
        operation["responses"] = operation["responses"] or ["200"]
        parameters = operation["parameters"]
        for name in [name for name, said in parameters.items() if said.get("type", "object") == "object"]:
            del parameters[name]
        for said in parameters.values():
            if said.get("default", "") is None:
                del said["default"]
    for operation in found.values():
        operation["parameters"].pop("body", None)
    for parameters in (operation["parameters"] for operation in expected.values()):
        parameters.pop("body", None)
    assert {key: found[key] for key in found if LATE not in key} == expected

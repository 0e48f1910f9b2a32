"""What a real component answered over REST, replayed: ``transcripts/`` holds the recordings.

Not replayed yet: what went over gRPC, what the metrics port said, and the server that did not start.
"""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Answer, Running, serving

HERE = Path(__file__).parent
CASES = {path.stem: json.loads(path.read_text()) for path in sorted((HERE / "transcripts").glob("*.json"))}

OURS = {("echo_transport", "metrics-on-http-port")}
"""The server's own metrics are there, whatever it serves."""


def kind_of(case: dict[str, Any], step: dict[str, Any]) -> str:
    if "grpc" in step:
        return "grpc"
    if "server_start" in case:
        return "start"
    return str(step["request"].get("port", "http"))


STEPS = {
    name: [step for step in case["steps"] if kind_of(case, step) == "http" and (name, step["id"]) not in OURS]
    for name, case in CASES.items()
}
REPLAYED = [name for name, steps in STEPS.items() if steps]


def test_every_recording_is_there() -> None:
    kinds = [kind_of(case, step) for case in CASES.values() for step in case["steps"]]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"http": 161, "grpc": 43, "metrics": 9, "start": 1}
    assert sum(map(len, STEPS.values())) == kinds.count("http") - len(OURS)


@pytest.mark.parametrize("name", REPLAYED)
def test_replay(name: str) -> None:
    case = CASES[name]
    with serving(HERE / case["component"], env=case.get("env", {})) as server:
        problems = {step["id"]: found for step in STEPS[name] if (found := compare(step, ask(server, step["request"])))}
    assert problems == {}


def ask(server: Running, asked: dict[str, Any]) -> Answer:
    body, headers = None, dict(asked.get("headers", {}))
    if "body_json" in asked:
        body = json.dumps(asked["body_json"]).encode()
        headers.setdefault("Content-Type", "application/json")
    elif "body_text" in asked:
        body = asked["body_text"].encode()
    elif "body_b64" in asked:
        body = base64.b64decode(asked["body_b64"])
    return server.request(asked["method"], asked["path"], body, headers=headers)


def compare(step: dict[str, Any], got: Answer) -> list[str]:
    """What differs from the recorded answer; nothing where another release's answer is met."""
    found = [list(differences(want, got)) for want in (step["response"], *step.get("also", []))]
    return found[0] if all(found) else []


def differences(want: dict[str, Any], got: Answer) -> list[str]:
    headers = want["headers"]
    found = []
    for what, wanted, given in (
        ("status", want["status"], got.status),
        ("type", media_type(headers), media_type(got.headers)),
        ("allow", listed(headers.get("allow")), listed(got.headers.get("allow"))),
        ("origin", headers["access-control-allow-origin"], got.headers.get("access-control-allow-origin")),
    ):
        if wanted != given:
            found.append(f"{what}: {given!r}, not {wanted!r}: {got.body[:200]!r}")
    if found:
        return found
    if "json" in want:
        found += unlike(got.json(), want["json"], "")
    raw = want.get("raw", "...") if "json" in want else want.get("text", "")
    if not raw.endswith("...") and got.body.decode() != raw:  # long ones were recorded in part
        found.append(f"body: {got.body!r}, not {raw!r}")
    return found


def media_type(headers: dict[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def listed(header: str | None) -> set[str]:
    return {word.strip() for word in header.split(",")} if header else set()


def unlike(got: Any, want: Any, where: str) -> list[str]:
    """Where two JSON values differ: integers from floats too, floats but for rounding; any puid will do."""
    if where.endswith("/puid"):
        return []
    if type(got) is not type(want):
        return [f"{where}: {got!r}, not {want!r}"]
    if isinstance(want, dict) and got.keys() == want.keys():
        return [found for key in want for found in unlike(got[key], want[key], f"{where}/{key}")]
    if isinstance(want, list) and len(got) == len(want):
        pairs = enumerate(zip(got, want, strict=True))
        return [found for at, pair in pairs for found in unlike(*pair, f"{where}[{at}]")]
    if isinstance(want, float):
        is_same = math.isclose(got, want, rel_tol=1e-6, abs_tol=1e-6) or (math.isnan(got) and math.isnan(want))
    else:
        is_same = got == want
    return [] if is_same else [f"{where}: {got!r}, not {want!r}"]

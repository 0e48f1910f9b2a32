"""What a real component answered over REST, over gRPC and on its metrics port, replayed: ``transcripts/`` holds the
recordings."""

from __future__ import annotations

import base64
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Answer, Running
from tests.platforms.seldon.conftest import launched, metrics_port, microservice
from tests.platforms.seldon.remote import pb, refused, speaking, utils

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
    name: [
        step for step in case["steps"] if kind_of(case, step) in ("http", "metrics") and (name, step["id"]) not in OURS
    ]
    for name, case in CASES.items()
}
REPLAYED = [name for name, steps in STEPS.items() if steps]


def test_every_recording_is_there() -> None:
    kinds = [kind_of(case, step) for case in CASES.values() for step in case["steps"]]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"http": 161, "grpc": 43, "metrics": 9, "start": 1}
    assert sum(map(len, STEPS.values())) == kinds.count("http") + kinds.count("metrics") - len(OURS)


@pytest.mark.parametrize("name", REPLAYED)
def test_replay(name: str) -> None:
    case = CASES[name]
    with microservice(case["interface"], *case.get("args", []), env=case.get("env", {})) as server:
        problems = {step["id"]: found for step in STEPS[name] if (found := compare(step, ask(server, step["request"])))}
    assert problems == {}


REMOTE = {name: steps for name, case in CASES.items() if (steps := [step for step in case["steps"] if "grpc" in step])}
"""The steps over gRPC: a process of their own answered them, so they are replayed on a server of their own."""


@pytest.mark.parametrize("name", REMOTE)
def test_replay_over_grpc(name: str) -> None:
    case = CASES[name]
    with speaking(HERE / case["component"], env=case.get("env", {})) as (_, channel):
        problems = {step["id"]: found for step in REMOTE[name] if (found := unlike_remote(channel, step))}
    assert problems == {}


def unlike_remote(channel: Any, step: dict[str, Any]) -> Any:
    """What differs from the recorded answer: its status, its text, or its message as the protobuf library reads it."""
    asked, want = step["grpc"], step["response"]
    call = channel.unary_unary(f"/seldon.protos.{asked['service']}/{asked['method']}")
    body = base64.b64decode(asked["request_b64"])
    if want["code"] != "OK":
        told = refused(call, body)
        return [] if told == (want["code"], want["details"]) else told
    kind = pb.SeldonModelMetadata if asked["method"].endswith("Metadata") else pb.SeldonMessage
    got, wanted = (kind.FromString(raw) for raw in (call(body, timeout=30), base64.b64decode(want["response_b64"])))
    return unlike(utils.seldon_message_to_json(got), utils.seldon_message_to_json(wanted), "")


def test_the_server_that_did_not_start() -> None:
    case = CASES["parameters_bad_value"]
    server = launched(case["interface"], *case["args"])
    try:
        assert server.process.wait(30) == case["server_start"]["exit_code"]
    finally:
        server.kill()
    assert any("parameter count of type INT" in line for line in server.raw_logs)


def ask(server: Running, asked: dict[str, Any]) -> Answer:
    body, headers = None, dict(asked.get("headers", {}))
    if "body_json" in asked:
        body = json.dumps(asked["body_json"]).encode()
        headers.setdefault("Content-Type", "application/json")
    elif "body_text" in asked:
        body = asked["body_text"].encode()
    elif "body_b64" in asked:
        body = base64.b64decode(asked["body_b64"])
    port = metrics_port(server) if asked.get("port") == "metrics" else None
    return server.request(asked["method"], asked["path"], body, headers=headers, port=port)


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
    if got.headers["content-type"].startswith("text/plain; version"):
        is_same = headers["content-type"] == got.headers["content-type"]
        return [*unlike_metrics(got, want["text"]), *([] if is_same else [f"type: {got.headers['content-type']}"])]
    if "<title>" in want.get("text", ""):
        return []  # the words of a page are its server's own
    if "json" in want:
        found += unlike(got.json(), want["json"], "")
    raw = want.get("raw", "...") if "json" in want else want.get("text", "")
    if not raw.endswith("...") and got.body.decode() != raw:  # long ones were recorded in part
        found.append(f"body: {got.body!r}, not {raw!r}")
    return found


def unlike_metrics(got: Answer, want: str) -> list[str]:
    """Where families or samples differ. The first worker recorded is the one that answered over REST."""
    families, wanted = exposed(want)
    ours, given = exposed(got.body.decode())
    first = next((dict(labels)["worker_id"] for _, labels in wanted), "")
    alike = {key: value for key, value in wanted.items() if ("worker_id", first) in key[1]}
    (pid,) = {dict(labels)["worker_id"] for _, labels in given} or {""}
    renamed = {(name, labels - {("worker_id", first)} | {("worker_id", pid)}): v for (name, labels), v in alike.items()}
    found = [] if families == ours else [f"families: {ours}, not {families}"]
    return found + [
        f"{key}: {given.get(key)}, not {renamed.get(key)}"
        for key in given.keys() | renamed.keys()
        if not math.isclose(given.get(key, math.nan), renamed.get(key, math.nan), rel_tol=1e-6)
    ]


def exposed(text: str) -> tuple[set[str], dict[tuple[str, frozenset[tuple[str, str]]], float]]:
    """The HELP and TYPE lines of Prometheus' text, and its samples by name and labels."""
    lines = text.splitlines()
    samples = [re.fullmatch(r"(\w+)\{(.*)\} (\S+)", line) for line in lines if not line.startswith("#")]
    found = [(match[1], frozenset(re.findall(r'(\w+)="([^"]*)"', match[2])), match[3]) for match in samples if match]
    assert len(found) == len(samples)
    return {line for line in lines if line.startswith("#")}, {(name, pairs): float(v) for name, pairs, v in found}


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

"""What mlserver and kserve answered, replayed: ``transcripts/`` holds the recordings."""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelport.core.payload import TYPECODES
from tests.harness import Answer, Running, serving
from tests.platforms.oip import models

CASES = {
    path.stem: json.loads(path.read_text())
    for path in sorted((Path(__file__).parent / "transcripts").glob("http_*.json"))
}
SEQUENCE = [
    "http_repo_unload",
    "http_repo_unloaded_ready",
    "http_repo_unloaded_server_ready",
    "http_repo_index_after_unload",
    "http_repo_load",
    "http_repo_loaded_ready",
]
SCORED = [name for name, case in CASES.items() if case["compare"] != "record-only" and name not in SEQUENCE]

# The recorded server says "versions": [] of models that have a version, and answers under it; we name the version.
WITHOUT_VERSIONS = {"http_model_metadata", "http_model_metadata_version", "http_model_metadata_noinputs"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folders = models.write_all(tmp_path_factory.mktemp("models"))
    with serving(*folders, "--repository", env=models.ENVIRONMENT) as running:
        yield running


def test_every_recording_is_there() -> None:
    assert len(CASES) == 63
    assert len(SCORED) == 40


@pytest.mark.parametrize("name", SCORED)
def test_replay(server: Running, name: str) -> None:
    compare(CASES[name], ask(server, CASES[name]), {"versions"} if name in WITHOUT_VERSIONS else set())


def test_replay_unloading_and_loading(server: Running) -> None:
    for name in SEQUENCE:
        answer = ask(server, CASES[name])
        if name == "http_repo_index_after_unload":  # recorded only; what we promise of it
            assert {item["name"]: item["state"] for item in answer.json()}["typed"] == "UNAVAILABLE"
        else:
            compare(CASES[name], answer)


def ask(server: Running, case: dict[str, Any]) -> Answer:
    asked = case["request"]
    return server.request(asked["method"], asked["path"], recorded_body(asked), headers=asked["headers"])


def recorded_body(part: dict[str, Any]) -> bytes | None:
    if "body_b64" in part:
        return base64.b64decode(part["body_b64"])
    text: str | None = part.get("body_text")
    return None if text is None else text.encode()


def compare(case: dict[str, Any], got: Answer, ignore: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    """Fails where the answer is not what the recording asks for, by its own rule."""
    rule, want = case["compare"], case["response"]
    if rule == "fails":
        assert got.status >= 400
    elif rule == "fails-4xx":
        assert 400 <= got.status < 500
    else:
        assert got.status == want["status"], got.body[:300]
    if got.status >= 400:
        assert isinstance(got.json()["error"], str)
        return
    if rule in ("json", "json+binary"):
        length = "inference-header-content-length"
        left_out = {*case["ignore"], *ignore, "parameters"}
        wanted = document(recorded_body(want) or b"{}", want["headers"].get(length), left_out)
        assert_same(document(got.body, got.headers.get(length), left_out), wanted)
        if rule == "json+binary":
            assert (length in got.headers) == (length in want["headers"])


def document(body: bytes, head_length: str | None, ignore: set[str]) -> Any:
    """The JSON head, binary data put in as ``data``; without nulls and what is ignored."""
    size = len(body) if head_length is None else int(head_length)
    head, tail = json.loads(body[:size]), body[size:]
    for output in head.get("outputs", []) if isinstance(head, dict) else []:
        binary = (output.get("parameters") or {}).get("binary_data_size")
        if binary is not None:
            output["data"] = unpack(tail[:binary], output["datatype"])
            tail = tail[binary:]
    return stripped(head, ignore)


def unpack(raw: bytes, datatype: str) -> list[Any]:
    code = {**TYPECODES, "FP16": "e"}[datatype]
    return list(struct.unpack(f"<{len(raw) // struct.calcsize(code)}{code}", raw))


def stripped(value: Any, ignore: set[str]) -> Any:
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if key not in ignore and item is not None}
        return {key: flat(item) if key == "data" else stripped(item, ignore) for key, item in kept.items()}
    return [stripped(item, ignore) for item in value] if isinstance(value, list) else value


def flat(data: Any) -> list[Any]:
    return [leaf for item in data for leaf in flat(item)] if isinstance(data, list) else [data]


def assert_same(got: Any, want: Any) -> None:
    """Equal, truth values apart from numbers, numbers but for rounding."""
    if isinstance(want, dict):
        assert isinstance(got, dict)
        assert got.keys() == want.keys()
        for key in want:
            assert_same(got[key], want[key])
    elif isinstance(want, list):
        assert isinstance(got, list)
        assert len(got) == len(want)
        for one, other in zip(got, want, strict=True):
            assert_same(one, other)
    elif isinstance(want, float):
        assert type(got) in (int, float)
        assert math.isclose(got, want, rel_tol=1e-12)
    else:
        assert type(got) is type(want)
        assert got == want

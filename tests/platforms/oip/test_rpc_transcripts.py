"""What mlserver answered over gRPC, replayed: ``transcripts/`` holds the recordings."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from tritonclient.grpc import service_pb2

from modelport.core.payload import TYPECODES
from modelport.protocols.oip.rpc_codec import CONTENTS
from tests.harness import Running, serving
from tests.platforms.oip import models
from tests.platforms.oip.conftest import RPC
from tests.platforms.oip.test_transcripts import assert_same, stripped, unpack

CASES = {
    path.stem: json.loads(path.read_text())
    for path in sorted((Path(__file__).parent / "transcripts").glob("grpc_*.json"))
}

SCORED = [name for name, case in CASES.items() if case["compare"] != "record-only"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folders = models.write_all(tmp_path_factory.mktemp("models"))
    with serving(*folders, "--repository", *RPC, env=models.ENVIRONMENT) as running:
        yield running


def test_every_recording_is_there() -> None:
    assert len(CASES) == 22
    assert len(SCORED) == 21


@pytest.mark.parametrize("name", SCORED)
def test_replay(server: Running, name: str) -> None:
    case = CASES[name]
    asked, want = case["request"], case["response"]
    code, answer = ask(server, asked["method"], base64.b64decode(asked["wire_b64"]))
    if case["compare"] == "grpc-fails":
        assert code in ("NOT_FOUND", "INVALID_ARGUMENT", "INTERNAL")
        return
    assert code == want["grpc_code"]
    if code == "OK":
        wanted = kind(asked["method"]).FromString(base64.b64decode(want["wire_b64"]))
        assert_same(told(answer, case["ignore"]), told(wanted, case["ignore"]))


def test_the_index_says_what_the_recorded_one_means_to(server: Running) -> None:
    asked = CASES["grpc_repo_index"]["request"]
    code, answer = ask(server, asked["method"], base64.b64decode(asked["wire_b64"]))
    assert code == "OK"
    states = {model.name: model.state for model in answer.models}
    assert states["noop"] == "READY"  # recorded was "State.READY"
    assert set(states) >= {"noop", "sk", "raiser", "typed"}


def ask(server: Running, method: str, message: bytes) -> tuple[str, Any]:
    with grpc.insecure_channel(server.rpc) as channel:
        call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
        try:
            return "OK", kind(method).FromString(call(message, timeout=20))
        except grpc.RpcError as fault:
            return fault.code().name, None


def kind(method: str) -> Any:
    return getattr(service_pb2, f"{method}Response")


def told(message: Any, ignore: list[str]) -> Any:
    """A message as plain values: tensors with their data, whichever way that came."""
    if not isinstance(message, service_pb2.ModelInferResponse):
        return stripped(json_format.MessageToDict(message, preserving_proto_field_name=True), {*ignore, "parameters"})
    outputs = []
    for position, output in enumerate(message.outputs):
        if message.raw_output_contents:
            raw = message.raw_output_contents[position]
            data: Any = unpack(raw, output.datatype) if output.datatype in {*TYPECODES, "FP16"} else raw
        else:
            data = list(getattr(output.contents, CONTENTS[output.datatype]))
        outputs.append([output.name, output.datatype, list(output.shape), data, bool(message.raw_output_contents)])
    return [message.model_name, message.model_version, message.id, outputs]

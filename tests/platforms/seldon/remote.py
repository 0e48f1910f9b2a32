"""The stand-in's messages and stubs, as a client over gRPC uses them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf import duration_pb2

from modelport.contracts.seldon.adapter import contract
from tests.harness import Running, serving

sys.path.extend(contract.shims())
pb: Any = importlib.import_module("seldon_core.proto.prediction_pb2")
services: Any = importlib.import_module("seldon_core.proto.prediction_pb2_grpc")
utils: Any = importlib.import_module("seldon_core.utils")

TIMEOUT = 30.0
KNOWN = duration_pb2.Duration
"""What a recorded ``customData`` holds: the library shows the messages that it has been told of."""


@contextmanager
def calling(server: Running) -> Iterator[grpc.Channel]:
    """A channel to a server."""
    with grpc.insecure_channel(server.rpc) as channel:
        yield channel


@contextmanager
def speaking(*arguments: Any, **more: Any) -> Iterator[tuple[Running, grpc.Channel]]:
    """A server that speaks gRPC too, and a channel to it."""
    with serving(*arguments, "--grpc-port", "0", **more) as server, calling(server) as channel:
        yield server, channel


def message(**fields: Any) -> Any:
    """A ``SeldonMessage`` of JSON values."""
    return utils.json_to_seldon_message(fields)


def predict(channel: grpc.Channel, **fields: Any) -> dict[str, Any]:
    """The JSON of what ``Model/Predict`` answers to such a message."""
    reply = services.ModelStub(channel).Predict(message(**fields), timeout=TIMEOUT)
    told: dict[str, Any] = utils.seldon_message_to_json(reply)
    return told


def refused(call: Any, *arguments: Any, **more: Any) -> tuple[str, str]:
    """Status and text of the error that a call ends with."""
    try:
        call(*arguments, timeout=TIMEOUT, **more)
    except grpc.RpcError as error:
        told: Any = error
        return told.code().name, told.details()
    raise AssertionError("the call was answered")

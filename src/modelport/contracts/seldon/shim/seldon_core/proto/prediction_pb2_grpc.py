"""Clients and servers of the platform's gRPC services: for each service a stub, a base class, and what adds it to a
server. They speak under the platform's own names."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import empty_pb2

from modelport.core.descriptors import Method
from modelport.schemas.seldon import EMPTY, PACKAGE, SERVICES
from seldon_core.proto import prediction_pb2


def _reader(message: str) -> Any:
    return (empty_pb2.Empty if message == EMPTY else getattr(prediction_pb2, message)).FromString


def _bytes(message: Any) -> bytes:
    written: bytes = message.SerializeToString()
    return written


def _stub(service: str, methods: dict[str, Method]) -> Any:
    def __init__(self: Any, channel: grpc.Channel) -> None:
        for name, method in methods.items():
            call = channel.unary_unary(
                f"/{PACKAGE}.{service}/{name}",
                request_serializer=_bytes,
                response_deserializer=_reader(method.response),
            )
            setattr(self, name, call)

    return type(f"{service}Stub", (), {"__init__": __init__, "__doc__": f"Calls {PACKAGE}.{service} on a channel."})


def _unimplemented(self: Any, request: Any, context: Any) -> Any:
    context.set_code(grpc.StatusCode.UNIMPLEMENTED)
    context.set_details("Method not implemented!")
    raise NotImplementedError("Method not implemented!")


def _servicer(service: str, methods: dict[str, Method]) -> Any:
    own = {**dict.fromkeys(methods, _unimplemented), "__doc__": f"{PACKAGE}.{service}, nothing of it implemented."}
    return type(f"{service}Servicer", (), own)


def _adder(service: str, methods: dict[str, Method]) -> Any:
    def add(servicer: Any, server: grpc.Server) -> None:
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                getattr(servicer, name), request_deserializer=_reader(method.request), response_serializer=_bytes
            )
            for name, method in methods.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(f"{PACKAGE}.{service}", handlers),))

    return add


for _name, _methods in SERVICES.items():
    globals()[f"{_name}Stub"] = _stub(_name, _methods)
    globals()[f"{_name}Servicer"] = _servicer(_name, _methods)
    globals()[f"add_{_name}Servicer_to_server"] = _adder(_name, _methods)

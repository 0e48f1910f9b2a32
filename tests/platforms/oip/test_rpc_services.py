"""Health and reflection, asked with gRPC's own packages."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tritonclient.grpc import service_pb2

from modelport.protocols.oip.messages import SCHEMA
from modelport.server.rpc_health import FILE
from tests.harness import Running
from tests.platforms.oip.test_rpc_client import SERVICE, asked

OURS = "inference.GRPCInferenceService"


def test_health(tensors: Running) -> None:
    with grpc.insecure_channel(tensors.rpc) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", OURS):
            asked = health_pb2.HealthCheckRequest(service=service)
            assert stub.Check(asked, timeout=20).status == health_pb2.HealthCheckResponse.SERVING
        unknown = health_pb2.HealthCheckRequest(service="none")
        with pytest.raises(grpc.RpcError) as caught:
            stub.Check(unknown, timeout=20)
        assert caught.value.code().name == "NOT_FOUND"
        body = channel.unary_unary("/grpc.health.v1.Health/List")(b"", timeout=20)
        listed = FILE.schema.decode("HealthListResponse", body)["statuses"]
        assert listed[""] == listed[OURS] == {"status": "SERVING"}
        watched = stub.Watch(unknown)
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watched.cancel()


def test_every_service_is_listed(tensors: Running) -> None:
    with grpc.insecure_channel(tensors.rpc) as channel:
        listed = set(ProtoReflectionDescriptorDatabase(channel).get_services())
    assert listed >= {
        OURS,
        "inference.model_repository.ModelRepositoryService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }


def test_a_client_that_knows_nothing_but_the_address(tensors: Running) -> None:
    with grpc.insecure_channel(tensors.rpc) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = DescriptorPool(database)
        for service in database.get_services():  # each can be described
            assert pool.FindServiceByName(service).methods
        method = pool.FindServiceByName(OURS).methods_by_name["ModelInfer"]
        request = message_factory.GetMessageClass(method.input_type)()
        request.model_name = "noop"
        tensor = request.inputs.add(name="a", datatype="FP64", shape=[2])
        tensor.contents.fp64_contents.extend([1.5, 2.5])
        body = channel.unary_unary(SERVICE + "ModelInfer")(request.SerializeToString(), timeout=20)
        answer = message_factory.GetMessageClass(method.output_type).FromString(body)
    assert list(answer.outputs[0].contents.fp64_contents) == [1.5, 2.5]


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_what_reflection_says_of_the_unknown(tensors: Running, version: str) -> None:
    Request = reflection_pb2.ServerReflectionRequest  # noqa: N806
    requests = [
        Request(file_containing_symbol="inference.Nothing"),
        Request(file_by_filename="nothing.proto"),
        Request(all_extension_numbers_of_type="inference.Nothing"),
        Request(all_extension_numbers_of_type="inference.ModelInferRequest"),
        Request(file_by_filename="google/protobuf/struct.proto"),
        Request(),
    ]
    path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    with grpc.insecure_channel(tensors.rpc) as channel:
        stub = channel.stream_stream(
            path,
            request_serializer=Request.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        answers: list[Any] = list(stub(iter(requests), timeout=20))
    assert [answer.error_response.error_code for answer in answers] == [5, 5, 5, 0, 0, 12]
    assert answers[0].original_request == requests[0]
    assert answers[3].all_extension_numbers_response.base_type_name == "inference.ModelInferRequest"
    assert len(answers[4].file_descriptor_response.file_descriptor_proto) == 1


def test_the_messages_are_those_of_the_published_clients() -> None:
    for name, fields in SCHEMA.messages.items():
        top, _, inner = name.partition(".")
        theirs = service_pb2.DESCRIPTOR.message_types_by_name[top]
        described = theirs.nested_types_by_name[inner] if inner else theirs
        ours = {(field.number, field.name, field.label == "repeated") for field in fields if field.label != "map"}
        maps = {(field.number, field.name) for field in fields if field.label == "map"}
        known = {(field.number, field.name, field.is_repeated) for field in described.fields}
        assert ours <= known, name
        assert {(number, text, True) for number, text in maps} <= known, name
        assert len(known) == len(fields), name
    service = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert asked("a", "FP64", []).DESCRIPTOR.full_name == "inference.ModelInferRequest.InferInputTensor"
    assert {method.name for method in service.methods} >= {"ModelInfer", "ModelStreamInfer"}

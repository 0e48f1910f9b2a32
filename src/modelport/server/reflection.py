"""Server reflection: tools ask a gRPC server what it has and how its messages look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelport.core.call import Reply
from modelport.core.descriptors import KNOWN, Method, ProtoFile
from modelport.core.protobuf import Schema
from modelport.core.protocol import Procedure, Question

NOT_FOUND, UNIMPLEMENTED = 5, 12
"""gRPC status codes, as numbers."""

_MESSAGES = {
    "ServerReflectionRequest": {
        1: "string host",
        3: "string file_by_filename oneof message_request",
        4: "string file_containing_symbol oneof message_request",
        5: "ExtensionRequest file_containing_extension oneof message_request",
        6: "string all_extension_numbers_of_type oneof message_request",
        7: "string list_services oneof message_request",
    },
    "ExtensionRequest": {1: "string containing_type", 2: "int32 extension_number"},
    "ServerReflectionResponse": {
        1: "string valid_host",
        2: "ServerReflectionRequest original_request",
        4: "FileDescriptorResponse file_descriptor_response oneof message_response",
        5: "ExtensionNumberResponse all_extension_numbers_response oneof message_response",
        6: "ListServiceResponse list_services_response oneof message_response",
        7: "ErrorResponse error_response oneof message_response",
    },
    "FileDescriptorResponse": {1: "repeated bytes file_descriptor_proto"},
    "ExtensionNumberResponse": {1: "string base_type_name", 2: "repeated int32 extension_number"},
    "ListServiceResponse": {1: "repeated ServiceResponse service"},
    "ServiceResponse": {1: "string name"},
    "ErrorResponse": {1: "int32 error_code", 2: "string error_message"},
}
_METHOD = {"ServerReflectionInfo": Method("ServerReflectionRequest", "ServerReflectionResponse", is_stream=True)}
OWN = [
    ProtoFile(f"grpc/reflection/{version}/reflection.proto", schema, {"ServerReflection": _METHOD})
    for version in ("v1", "v1alpha")
    for schema in [Schema(f"grpc.reflection.{version}", _MESSAGES)]
]
"""The two versions differ in nothing but their name."""


class Reflection:
    """Answers about ``files``; the list is looked at when it is asked, so that it may grow until then."""

    def __init__(self, files: list[ProtoFile]) -> None:
        self._files = files

    def answer(self, question: Question) -> Reply:
        schema = OWN[0].schema
        asked = schema.decode("ServerReflectionRequest", question.body)
        answer = {"valid_host": asked.get("host", ""), "original_request": asked, **self._found(asked)}
        return Reply(200, [], schema.encode("ServerReflectionResponse", answer))

    def _found(self, asked: dict[str, Any]) -> dict[str, Any]:
        files = [*self._files, *KNOWN]
        if "list_services" in asked:
            names = sorted({name for file in files for name in file.service_names})
            return {"list_services_response": {"service": [{"name": name} for name in names]}}
        if "file_by_filename" in asked:
            return _file([file for file in files if file.name == asked["file_by_filename"]])
        if "file_containing_symbol" in asked:
            return _file([file for file in files if asked["file_containing_symbol"] in file.symbols])
        if "all_extension_numbers_of_type" in asked:
            name = asked["all_extension_numbers_of_type"]
            if any(name in file.symbols for file in files):
                return {"all_extension_numbers_response": {"base_type_name": name}}
            return _error(NOT_FOUND, "there is no such type")
        if "file_containing_extension" in asked:
            return _error(NOT_FOUND, "there are no extensions")
        return _error(UNIMPLEMENTED, "there is nothing of the kind to ask for")


def reflection(files: list[ProtoFile]) -> tuple[Sequence[ProtoFile], list[Procedure]]:
    """Its own files, and its methods."""
    answer = Reflection(files).answer
    names = [f"{file.service_names[0]}/ServerReflectionInfo" for file in OWN]
    return OWN, [Procedure(name, answer=answer, is_stream=True) for name in names]


def _file(found: list[ProtoFile]) -> dict[str, Any]:
    if not found:
        return _error(NOT_FOUND, "there is no such file or symbol")
    return {"file_descriptor_response": {"file_descriptor_proto": [found[0].descriptor()]}}


def _error(code: int, text: str) -> dict[str, Any]:
    return {"error_response": {"error_code": code, "error_message": text}}

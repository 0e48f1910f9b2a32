"""The messages and services of the protocol over gRPC: the one table from which they are read, written, described."""

from __future__ import annotations

from modelport.core.descriptors import Method, ProtoFile
from modelport.core.protobuf import Schema

_PARAMETERS = "map<string, InferParameter> parameters"
_TENSOR = {
    1: "string name",
    2: "string datatype",
    3: "repeated int64 shape",
    4: _PARAMETERS,
    5: "InferTensorContents contents",
}
_OF_A_MODEL = {1: "string name", 2: "string version"}
_REPOSITORY = {
    "RepositoryIndexRequest": {1: "string repository_name", 2: "bool ready"},
    "RepositoryIndexResponse": {1: "repeated RepositoryIndexResponse.ModelIndex models"},
    "RepositoryIndexResponse.ModelIndex": {
        1: "string name",
        2: "string version",
        3: "string state",
        4: "string reason",
    },
    "RepositoryModelLoadRequest": {1: "string repository_name", 2: "string model_name"},
    "RepositoryModelLoadResponse": {},
    "RepositoryModelUnloadRequest": {1: "string repository_name", 2: "string model_name"},
    "RepositoryModelUnloadResponse": {},
}
_REPOSITORY_PARAMETERS = {3: "map<string, ModelRepositoryParameter> parameters"}

SCHEMA = Schema(
    "inference",
    {
        "ServerLiveRequest": {},
        "ServerLiveResponse": {1: "bool live"},
        "ServerReadyRequest": {},
        "ServerReadyResponse": {1: "bool ready"},
        "ModelReadyRequest": _OF_A_MODEL,
        "ModelReadyResponse": {1: "bool ready"},
        "ServerMetadataRequest": {},
        "ServerMetadataResponse": {1: "string name", 2: "string version", 3: "repeated string extensions"},
        "ModelMetadataRequest": _OF_A_MODEL,
        "ModelMetadataResponse": {
            1: "string name",
            2: "repeated string versions",
            3: "string platform",
            4: "repeated ModelMetadataResponse.TensorMetadata inputs",
            5: "repeated ModelMetadataResponse.TensorMetadata outputs",
        },
        "ModelMetadataResponse.TensorMetadata": {1: "string name", 2: "string datatype", 3: "repeated int64 shape"},
        "ModelInferRequest": {
            1: "string model_name",
            2: "string model_version",
            3: "string id",
            4: _PARAMETERS,
            5: "repeated ModelInferRequest.InferInputTensor inputs",
            6: "repeated ModelInferRequest.InferRequestedOutputTensor outputs",
            7: "repeated view raw_input_contents",
        },
        "ModelInferRequest.InferInputTensor": _TENSOR,
        "ModelInferRequest.InferRequestedOutputTensor": {1: "string name", 2: _PARAMETERS},
        "ModelInferResponse": {
            1: "string model_name",
            2: "string model_version",
            3: "string id",
            4: _PARAMETERS,
            5: "repeated ModelInferResponse.InferOutputTensor outputs",
            6: "repeated view raw_output_contents",
        },
        "ModelInferResponse.InferOutputTensor": _TENSOR,
        "ModelStreamInferResponse": {1: "string error_message", 2: "ModelInferResponse infer_response"},
        "InferParameter": {
            1: "bool bool_param oneof parameter_choice",
            2: "int64 int64_param oneof parameter_choice",
            3: "string string_param oneof parameter_choice",
            4: "double double_param oneof parameter_choice",
            5: "uint64 uint64_param oneof parameter_choice",
        },
        "InferTensorContents": {
            1: "repeated bool bool_contents",
            2: "repeated int32 int_contents",
            3: "repeated int64 int64_contents",
            4: "repeated uint32 uint_contents",
            5: "repeated uint64 uint64_contents",
            6: "repeated float fp32_contents",
            7: "repeated double fp64_contents",
            8: "repeated bytes bytes_contents",
        },
        **_REPOSITORY,
        "RepositoryModelLoadRequest": {**_REPOSITORY["RepositoryModelLoadRequest"], **_REPOSITORY_PARAMETERS},
        "RepositoryModelUnloadRequest": {**_REPOSITORY["RepositoryModelUnloadRequest"], **_REPOSITORY_PARAMETERS},
        "ModelRepositoryParameter": {
            1: "bool bool_param oneof parameter_choice",
            2: "int64 int64_param oneof parameter_choice",
            3: "string string_param oneof parameter_choice",
            4: "bytes bytes_param oneof parameter_choice",
        },
        "ModelStatisticsRequest": _OF_A_MODEL,
        "ModelStatisticsResponse": {1: "repeated ModelStatistics model_stats"},
        "ModelStatistics": {
            1: "string name",
            2: "string version",
            3: "uint64 last_inference",
            4: "uint64 inference_count",
            5: "uint64 execution_count",
            6: "InferStatistics inference_stats",
            7: "repeated InferBatchStatistics batch_stats",
            8: "repeated MemoryUsage memory_usage",
            9: "map<string, InferResponseStatistics> response_stats",
        },
        "InferStatistics": {
            1: "StatisticDuration success",
            2: "StatisticDuration fail",
            3: "StatisticDuration queue",
            4: "StatisticDuration compute_input",
            5: "StatisticDuration compute_infer",
            6: "StatisticDuration compute_output",
            7: "StatisticDuration cache_hit",
            8: "StatisticDuration cache_miss",
        },
        "InferBatchStatistics": {
            1: "uint64 batch_size",
            2: "StatisticDuration compute_input",
            3: "StatisticDuration compute_infer",
            4: "StatisticDuration compute_output",
        },
        "InferResponseStatistics": {
            1: "StatisticDuration compute_infer",
            2: "StatisticDuration compute_output",
            3: "StatisticDuration success",
            4: "StatisticDuration fail",
            5: "StatisticDuration empty_response",
            6: "StatisticDuration cancel",
        },
        "StatisticDuration": {1: "uint64 count", 2: "uint64 ns"},
        "MemoryUsage": {1: "string type", 2: "int64 id", 3: "uint64 byte_size"},
    },
)
REPOSITORY = Schema("inference.model_repository", _REPOSITORY)
"""The older service of the model repository, which mlserver has beside the other."""

IN_REPOSITORY = ("RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload")
UNARY = (
    "ServerLive",
    "ServerReady",
    "ServerMetadata",
    "ModelReady",
    "ModelMetadata",
    "ModelInfer",
    "ModelStatistics",
    *IN_REPOSITORY,
)
ELSEWHERE = (
    "ModelConfig",
    "SystemSharedMemoryStatus",
    "SystemSharedMemoryRegister",
    "SystemSharedMemoryUnregister",
    "CudaSharedMemoryStatus",
    "CudaSharedMemoryRegister",
    "CudaSharedMemoryUnregister",
    "TraceSetting",
    "LogSettings",
)
"""Methods that other servers have in this service."""


def _methods(names: tuple[str, ...]) -> dict[str, Method]:
    return {name: Method(f"{name}Request", f"{name}Response") for name in names}


STREAM = Method("ModelInferRequest", "ModelStreamInferResponse", is_stream=True)
SERVICE = "inference.GRPCInferenceService"
REPOSITORY_SERVICE = "inference.model_repository.ModelRepositoryService"
FILES = [
    ProtoFile("grpc_service.proto", SCHEMA, {"GRPCInferenceService": {**_methods(UNARY), "ModelStreamInfer": STREAM}}),
    ProtoFile("model_repository.proto", REPOSITORY, {"ModelRepositoryService": _methods(IN_REPOSITORY)}),
]

"""The platform's messages and services: the one table from which they are read, written, checked and described."""

from __future__ import annotations

from modelport.core.descriptors import Method
from modelport.core.protobuf import Schema

PACKAGE = "seldon.protos"
TENSOR = "tensorflow.TensorProto"
ANY, EMPTY = "google.protobuf.Any", "google.protobuf.Empty"

MESSAGES = {
    "SeldonMessage": {
        1: "Status status",
        2: "Meta meta",
        3: "DefaultData data oneof data_oneof",
        4: "bytes binData oneof data_oneof",
        5: "string strData oneof data_oneof",
        6: "google.protobuf.Value jsonData oneof data_oneof",
        7: f"{ANY} customData oneof data_oneof",
    },
    "DefaultData": {
        1: "repeated string names",
        2: "Tensor tensor oneof data_oneof",
        3: "google.protobuf.ListValue ndarray oneof data_oneof",
        4: f"{TENSOR} tftensor oneof data_oneof",
    },
    "Tensor": {1: "repeated int32 shape", 2: "repeated double values"},
    "Meta": {
        1: "string puid",
        2: "map<string, google.protobuf.Value> tags",
        3: "map<string, int32> routing",
        4: "map<string, string> requestPath",
        5: "repeated Metric metrics",
    },
    "Metric": {1: "string key", 2: "Metric.MetricType type", 3: "float value", 4: "map<string, string> tags"},
    "SeldonMessageList": {1: "repeated SeldonMessage seldonMessages"},
    "Status": {1: "int32 code", 2: "string info", 3: "string reason", 4: "Status.StatusFlag status"},
    "Feedback": {1: "SeldonMessage request", 2: "SeldonMessage response", 3: "float reward", 4: "SeldonMessage truth"},
    "RequestResponse": {1: "SeldonMessage request", 2: "SeldonMessage response"},
    "SeldonModelMetadataRequest": {1: "string name"},
    "SeldonMessageMetadata": {
        1: "string messagetype",
        2: "google.protobuf.Value schema",
        3: "string name",
        4: "string datatype",
        5: "repeated int64 shape",
    },
    "SeldonModelMetadata": {
        1: "string name",
        2: "repeated string versions",
        3: "string platform",
        4: "repeated SeldonMessageMetadata inputs",
        5: "repeated SeldonMessageMetadata outputs",
        6: "map<string, string> custom",
    },
    "SeldonGraphMetadata": {
        1: "string name",
        2: "map<string, SeldonModelMetadata> models",
        3: "repeated SeldonMessageMetadata inputs",
        4: "repeated SeldonMessageMetadata outputs",
    },
}
ENUMS = {
    "Metric.MetricType": {0: "COUNTER", 1: "GAUGE", 2: "TIMER"},
    "Status.StatusFlag": {0: "SUCCESS", 1: "FAILURE"},
}
SCHEMA = Schema(PACKAGE, MESSAGES, ENUMS, strict=False)

_MESSAGE = Method("SeldonMessage", "SeldonMessage")
_FEEDBACK = Method("Feedback", "SeldonMessage")
_LIST = Method("SeldonMessageList", "SeldonMessage")

SERVICES = {
    "Generic": {
        "TransformInput": _MESSAGE,
        "TransformOutput": _MESSAGE,
        "Route": _MESSAGE,
        "Aggregate": _LIST,
        "SendFeedback": _FEEDBACK,
    },
    "Model": {"Predict": _MESSAGE, "SendFeedback": _FEEDBACK, "Metadata": Method(EMPTY, "SeldonModelMetadata")},
    "Router": {"Route": _MESSAGE, "SendFeedback": _FEEDBACK},
    "Transformer": {"TransformInput": _MESSAGE},
    "OutputTransformer": {"TransformOutput": _MESSAGE},
    "Combiner": {"Aggregate": _LIST},
    "Seldon": {
        "Predict": _MESSAGE,
        "SendFeedback": _FEEDBACK,
        "ModelMetadata": Method("SeldonModelMetadataRequest", "SeldonModelMetadata"),
        "GraphMetadata": Method(EMPTY, "SeldonGraphMetadata"),
    },
}
"""Each service's methods."""

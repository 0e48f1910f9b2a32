"""The platform's messages and services as clients over gRPC are told of them."""

from __future__ import annotations

from modelport.core.descriptors import ProtoFile
from modelport.core.protobuf import Schema
from modelport.schemas.seldon import SCHEMA, SERVICES, TENSOR

_TENSOR_FILE = "tensorflow/core/framework/tensor.proto"
FILES = (
    # of this message clients are told that it is there, not what is in it: they have it from TensorFlow
    ProtoFile(_TENSOR_FILE, Schema("tensorflow", {"TensorProto": {}})),
    ProtoFile("proto/prediction.proto", SCHEMA, SERVICES, {TENSOR: _TENSOR_FILE}),
)

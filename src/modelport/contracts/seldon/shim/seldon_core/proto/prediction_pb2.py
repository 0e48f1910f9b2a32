"""The platform's messages as classes of the protobuf library, whichever version the environment has.

They are in a package of their own, whatever else is registered under the platform's name, before or after: nothing can
clash, and bytes do not tell. Messages of google.protobuf within them are the library's own.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import any_pb2, descriptor_pool, empty_pb2, message_factory, struct_pb2

from modelport.contracts.seldon import tftensors
from modelport.core.descriptors import ProtoFile
from modelport.core.protobuf import Schema
from modelport.schemas.seldon import ENUMS, MESSAGES, TENSOR

FILE, PACKAGE = "modelport/seldon/prediction.proto", "modelport.seldon.protos"

TENSORS = {
    "TensorProto": {
        1: "DataType dtype",
        2: "TensorShapeProto tensor_shape",
        3: "int32 version_number",
        4: "bytes tensor_content",
        5: "repeated float float_val",
        6: "repeated double double_val",
        7: "repeated int32 int_val",
        8: "repeated bytes string_val",
        9: "repeated float scomplex_val",
        10: "repeated int64 int64_val",
        11: "repeated bool bool_val",
        12: "repeated double dcomplex_val",
        13: "repeated int32 half_val",
        16: "repeated uint32 uint32_val",
        17: "repeated uint64 uint64_val",
    },
    "TensorShapeProto": {2: "repeated TensorShapeProto.Dim dim", 3: "bool unknown_rank"},
    "TensorShapeProto.Dim": {1: "int64 size", 2: "string name"},
}
"""What stands for TensorFlow's own message where there is no TensorFlow."""
DATA_TYPES = (
    "INVALID", "FLOAT", "DOUBLE", "INT32", "UINT8", "INT16", "INT8", "STRING", "COMPLEX64", "INT64", "BOOL", "QINT8",
    "QUINT8", "QINT32", "BFLOAT16", "QINT16", "QUINT16", "UINT16", "COMPLEX128", "HALF", "RESOURCE", "VARIANT",
    "UINT32", "UINT64",
)  # fmt: skip


def _described() -> bytes:
    if tftensors.is_there():
        from tensorflow.core.framework import tensor_pb2

        schema = Schema(PACKAGE, MESSAGES, ENUMS)
        return ProtoFile(FILE, schema, elsewhere={TENSOR: tensor_pb2.DESCRIPTOR.name}).descriptor()
    own = {
        message: {at: text.replace(TENSOR, "TensorProto") for at, text in fields.items()}
        for message, fields in MESSAGES.items()
    }
    types = {"DataType": {at: f"DT_{name}" for at, name in enumerate(DATA_TYPES)}}
    return ProtoFile(FILE, Schema(PACKAGE, {**own, **TENSORS}, {**ENUMS, **types})).descriptor()


def _class(descriptor: Any) -> Any:
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(_pool).GetPrototype(descriptor)


_needed = (any_pb2, empty_pb2, struct_pb2)
_pool = descriptor_pool.Default()
_pool.AddSerializedFile(_described())
DESCRIPTOR = _pool.FindFileByName(FILE)
globals().update({name: _class(DESCRIPTOR.message_types_by_name[name]) for name in MESSAGES})

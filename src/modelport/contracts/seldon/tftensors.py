"""Arrays in TensorFlow's own form, where the model's environment has TensorFlow."""

from __future__ import annotations

import importlib.util
from typing import Any


def is_there() -> bool:
    """Whether TensorFlow could be imported; it is not imported to find that out."""
    return importlib.util.find_spec("tensorflow") is not None


def read(given: Any) -> Any:
    """The array of a ``TensorProto``: its bytes, or its JSON. Raises ``NameError`` without TensorFlow, in the words by
    which clients know that."""
    is_bytes = isinstance(given, bytes)
    if not is_there():
        raise NameError(f"name '{'tf' if is_bytes else 'TensorProto'}' is not defined")
    import tensorflow
    from google.protobuf import json_format
    from tensorflow.core.framework.tensor_pb2 import TensorProto

    tensor = TensorProto.FromString(given) if is_bytes else json_format.ParseDict(given, TensorProto())
    return tensorflow.make_ndarray(tensor)


def write(array: Any) -> Any:
    """A ``TensorProto`` of an array."""
    import tensorflow

    return tensorflow.make_tensor_proto(array)


def write_json(array: Any) -> dict[str, Any]:
    """The JSON of a ``TensorProto`` of an array."""
    from google.protobuf import json_format

    written: dict[str, Any] = json_format.MessageToDict(write(array))
    return written

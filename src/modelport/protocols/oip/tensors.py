"""Tensors as the protocol has them, whatever they travel in."""

from __future__ import annotations

import contextlib
import struct
from array import array
from collections.abc import Iterable
from itertools import chain
from typing import Any

from modelport.core import jsontext
from modelport.core.call import Outcome
from modelport.core.conversion import convert
from modelport.core.payload import SIZES, Blob, Json, Tensor, Tensors, column_to_tensor, raw_buffer, values
from modelport.errors import InvalidInput, InvalidOutput, Unconvertible

MAX_TENSORS = 1024
MAX_DIMENSIONS = 32
MAX_NAME = 512
MAX_FAULTS = 20
MAX_SIZE = 1 << 63
RAW_ONLY = ("FP16", "BF16")
"""Data types that travel in binary only."""

_DATATYPES = frozenset(SIZES) | {"BYTES"}


def check(faults: list[str]) -> None:
    """Raises ``InvalidInput`` with the faults, if there are any."""
    if faults:
        more = [f"and {len(faults) - MAX_FAULTS} more"] if len(faults) > MAX_FAULTS else []
        raise InvalidInput("the request has faults", faults=faults[:MAX_FAULTS] + more)


def read_outline(given: Any, where: str) -> Tensor:
    """An input but for its data. Raises ``ValueError`` with every fault."""
    if not isinstance(given, dict):
        raise ValueError(f"{where} must be an object")
    name, datatype, shape, parameters = map(given.get, ("name", "datatype", "shape", "parameters"))
    faults = []
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        faults.append(f"{where}.name must be a string of 1 to {MAX_NAME} characters")
    if not isinstance(datatype, str) or datatype not in _DATATYPES:
        faults.append(f"{where}.datatype must be one of {', '.join(sorted(_DATATYPES))}")
    if (
        not isinstance(shape, list)
        or len(shape) > MAX_DIMENSIONS
        or not all(type(n) is int and 0 <= n < MAX_SIZE for n in shape)
    ):
        faults.append(f"{where}.shape must be a list of up to {MAX_DIMENSIONS} sizes of 0 or more")
    if not isinstance(parameters, (dict, type(None))):
        faults.append(f"{where}.parameters must be an object")
    if faults:
        raise ValueError(*faults)
    return Tensor(name, datatype, shape, None, parameters)  # type: ignore[arg-type]


def read_raw(raw: Any, tensor: Tensor, where: str) -> Any:
    """Binary data of a tensor whose outline is known. Raises ``ValueError`` where it is not of that size."""
    datatype = tensor.datatype
    if datatype == "BYTES":
        return _read_strings(raw, tensor.size, where)
    size = tensor.size * SIZES[datatype]
    if size != len(raw):
        raise ValueError(f"{where}: {datatype} of shape {list(tensor.shape)} takes {size} bytes, not {len(raw)}")
    if datatype == "BOOL" and bytes(raw).translate(None, b"\0\1"):
        raise ValueError(f"{where}: in binary data a BOOL is a byte 0 or 1")
    return raw_buffer(bytearray(raw), datatype)


def _read_strings(raw: Any, count: int, where: str) -> list[bytes]:
    """BYTES elements: each a 4-byte length and its bytes."""
    found: list[bytes] = []
    at = 0
    while at < len(raw) and len(found) < count:
        if at + 4 > len(raw):
            break
        (size,) = struct.unpack_from("<I", raw, at)
        if at + 4 + size > len(raw):
            break
        found.append(bytes(raw[at + 4 : at + 4 + size]))
        at += 4 + size
    if at != len(raw) or len(found) != count:
        raise ValueError(f"{where}: the binary data does not hold {count} length-prefixed elements")
    return found


# --- responses -------------------------------------------------------------------------------------------


def chosen(tensors: list[Tensor], wanted: Iterable[str] | None) -> list[Tensor]:
    """The outputs that are wanted, all with None. Raises ``InvalidInput`` for one that the model does not have."""
    if wanted is None:
        return tensors
    by_name = {tensor.name: tensor for tensor in tensors}
    unknown = [name for name in wanted if name not in by_name]
    if unknown:
        named = ", ".join(repr(name[:80]) for name in unknown[:MAX_FAULTS])
        raise InvalidInput(f"the model has no output {named}; it has {', '.join(list(by_name)[:MAX_FAULTS])}")
    return [by_name[name] for name in wanted]


def answered(outcome: Outcome) -> list[Tensor]:
    """The answer as named tensors: ``predict`` and ``predict_proba``, or what the model itself named."""
    payload = outcome.payload
    if payload is None:
        rows = 0 if outcome.predictions is None else len(outcome.predictions)
        tensors = [column_to_tensor("predict", outcome.predictions if rows else array("d"), (rows, 1))]
        if outcome.probabilities:
            columns = list(map(values, outcome.probabilities.values()))
            flat = array("d", chain.from_iterable(zip(*columns)))
            labels = jsontext.dumps([str(label) for label in outcome.probabilities]).decode()
            tensors.append(Tensor("predict_proba", "FP64", (rows, len(columns)), flat, {"labels": labels}))
        return tensors
    if isinstance(payload, Json):
        return _json_tensors(payload.value)
    if isinstance(payload, Blob):
        return [_blob_tensor(payload)]
    tensors_ = convert(payload, "tensors")
    assert isinstance(tensors_, Tensors)
    return tensors_.items


def _json_tensors(value: Any) -> list[Tensor]:
    """A number, text, truth value or flat list as one tensor ``response``; an object of such as one tensor a key;
    everything else as JSON text."""
    if isinstance(value, dict) and value:
        tensors = [_plain_tensor(str(key), item) for key, item in value.items()]
        if all(tensors):
            return [tensor for tensor in tensors if tensor is not None]
    tensor = _plain_tensor("response", value)
    if tensor is not None:
        return [tensor]
    try:
        text = jsontext.dumps(value).decode()
    except TypeError as fault:
        raise InvalidOutput(f"the answer has no JSON form: {fault}") from None
    return [Tensor("response", "BYTES", (1,), [text], {"content_type": "application/json"})]


def _blob_tensor(blob: Blob) -> Tensor:
    """One element ``response``, text where it is text; ``content_type`` names its media type."""
    data: Any = bytes(blob.data)
    if blob.charset is not None:
        with contextlib.suppress(LookupError, ValueError):  # not the text that it was said to be
            data = data.decode(blob.charset)
    return Tensor("response", "BYTES", (1,), [data], {"content_type": blob.media_type})


def _plain_tensor(name: str, value: Any) -> Tensor | None:
    cells = value if isinstance(value, list) else [value]
    if not cells or any(isinstance(cell, (list, dict)) or cell is None for cell in cells):
        return None
    try:
        return column_to_tensor(name, cells)
    except (Unconvertible, TypeError):
        return None


def raw_of(tensor: Tensor) -> bytes:
    """Its data in binary."""
    if tensor.datatype != "BYTES":
        return bytes(memoryview(tensor.data))
    cells = [as_bytes(cell) for cell in tensor.data]
    return b"".join(chain.from_iterable((struct.pack("<I", len(cell)), cell) for cell in cells))


def as_bytes(cell: Any) -> bytes:
    """An element of BYTES."""
    if cell is None:
        return b""
    return cell.encode() if isinstance(cell, str) else bytes(cell)

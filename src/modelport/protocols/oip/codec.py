"""Inference requests and responses, as JSON and with the binary tensor extension."""

from __future__ import annotations

import contextlib
import struct
import sys
from array import array
from itertools import chain
from typing import Any, NamedTuple

from modelport.core import jsontext
from modelport.core.call import Call, Outcome, Reply
from modelport.core.conversion import convert
from modelport.core.model import Description, ModelSpec
from modelport.core.payload import (
    SIZES,
    Blob,
    Json,
    Payload,
    Tensor,
    Tensors,
    column_to_tensor,
    raw_buffer,
    typed_buffer,
    values,
)
from modelport.errors import InvalidBody, InvalidInput, InvalidOutput, ModelportError, Unconvertible
from modelport.protocols.oip import errors

LENGTH_HEADER = "inference-header-content-length"
MAX_TENSORS = 1024
MAX_DIMENSIONS = 32
MAX_NAME = 512
MAX_FAULTS = 20
MAX_LETTERS = 256
"""How many places are looked at for a truth value before one is assumed."""
MAX_SIZE = 1 << 63
RAW_ONLY = ("FP16", "BF16")
"""Data types that have no JSON form."""

_DATATYPES = frozenset(SIZES) | {"BYTES"}


class Asked(NamedTuple):
    """What the response must know of the request. ``outputs`` maps a wanted name to "as binary", or is None for all."""

    id: str
    outputs: dict[str, bool | None] | None
    all_binary: bool


class OipCodec:
    """The worker half of the protocol."""

    marks = ()

    def decode(self, call: Call, body: Any, spec: ModelSpec, model: Description) -> tuple[Payload, Any]:
        head, tail = _split(body, call.headers.get(LENGTH_HEADER))
        try:
            asked = jsontext.loads(head)
        except ValueError as fault:
            raise InvalidBody(f"the request is not valid JSON: {fault}") from None
        if not isinstance(asked, dict):
            raise InvalidBody("the request must be a JSON object")
        faults: list[str] = []
        text = head if isinstance(head, bytes) else bytes(head)
        tensors = _read_inputs(asked, tail, faults, _has_booleans(text))
        memory = _read_wishes(asked, call.id, faults)
        if faults:
            more = [f"and {len(faults) - MAX_FAULTS} more"] if len(faults) > MAX_FAULTS else []
            raise InvalidInput("the request has faults", faults=faults[:MAX_FAULTS] + more)
        return Tensors(tensors), memory

    def encode(
        self, call: Call, memory: Any, outcome: Outcome, spec: ModelSpec, model: Description, seconds: float
    ) -> Reply:
        wanted: Asked = memory
        tensors = _tensors(outcome)
        if wanted.outputs is not None:
            by_name = {tensor.name: tensor for tensor in tensors}
            unknown = [name for name in wanted.outputs if name not in by_name]
            if unknown:
                named = ", ".join(repr(name[:80]) for name in unknown[:MAX_FAULTS])
                raise InvalidInput(f"the model has no output {named}; it has {', '.join(list(by_name)[:MAX_FAULTS])}")
            tensors = [by_name[name] for name in wanted.outputs]
        answer: dict[str, Any] = {"model_name": spec.name}
        if spec.version is not None:
            answer["model_version"] = spec.version
        answer["id"] = wanted.id
        outputs: list[dict[str, Any]] = []
        tail: list[Any] = []
        for tensor in tensors:
            as_binary = wanted.outputs.get(tensor.name) if wanted.outputs is not None else None
            is_binary = wanted.all_binary if as_binary is None else as_binary
            outputs.append(_write_output(tensor, is_binary, tail))
        answer["outputs"] = outputs
        head = jsontext.dumps(answer)
        if not tail:
            return Reply(200, [("content-type", "application/json")], head)
        headers = [("content-type", "application/octet-stream"), (LENGTH_HEADER, str(len(head)))]
        return Reply(200, headers, b"".join([head, *tail]))

    def error(self, error: ModelportError, request_id: str) -> Reply:
        return errors.error(error, request_id)


codec = OipCodec()


# --- requests --------------------------------------------------------------------------------------------


def _split(body: Any, length: str | None) -> tuple[Any, Any]:
    """The JSON head and the binary tail."""
    if length is None:
        return body, memoryview(b"")
    if not (length.isascii() and length.isdigit() and len(length) < 20) or int(length) > len(body):
        raise InvalidBody(f"Inference-Header-Content-Length must be a number of bytes up to {len(body)}")
    view = memoryview(body)
    return view[: int(length)], view[int(length) :]


def _has_booleans(text: bytes) -> bool:
    """Whether JSON text may hold true or false. Single letters are found at memory speed, words are not."""
    for letter, word in ((b"u", b"true"), (b"l", b"false")):
        at = text.find(letter)
        for _ in range(MAX_LETTERS):
            if at < 0:
                break
            if text.startswith(word, max(0, at - 2)):
                return True
            at = text.find(letter, at + 1)
        else:
            return True
    return False


def _read_inputs(asked: dict[str, Any], tail: Any, faults: list[str], has_booleans: bool) -> list[Tensor]:
    inputs = asked.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        faults.append("inputs is missing" if inputs is None else "inputs must be a list with at least one tensor")
        return []
    if len(inputs) > MAX_TENSORS:
        faults.append(f"there are {len(inputs)} inputs; at most {MAX_TENSORS} are taken")
        return []
    tensors: list[Tensor] = []
    names = set()
    at = 0
    for position, given in enumerate(inputs):
        try:
            tensor, used = _read_input(given, tail[at:], f"inputs[{position}]", has_booleans)
        except ValueError as fault:
            faults.extend(fault.args)
            at += _announced(given)
            continue
        at += used
        if tensor.name in names:
            faults.append(f"inputs[{position}]: there are two inputs named {tensor.name!r}")
        names.add(tensor.name)
        tensors.append(tensor)
    if at != len(tail) and not faults:
        faults.append(f"the inputs announce {at} bytes of binary data, and {len(tail)} came")
    return tensors


def _announced(given: Any) -> int:
    parameters = given.get("parameters") if isinstance(given, dict) else None
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    return size if isinstance(size, int) and size > 0 else 0


def _read_input(given: Any, tail: Any, where: str, has_booleans: bool) -> tuple[Tensor, int]:
    """One input and how many bytes of the tail it took. Raises ``ValueError`` with every fault."""
    tensor = _read_outline(given, where)
    datatype, parameters = tensor.datatype, tensor.parameters
    binary = parameters.get("binary_data_size")
    if (binary is None) == ("data" not in given):
        raise ValueError(f"{where} needs either data or the parameter binary_data_size")
    if binary is None:
        tensor.data = _read_json_data(given["data"], tensor, where, has_booleans)
        return tensor, 0
    if type(binary) is not int or not 0 <= binary <= len(tail):
        raise ValueError(f"{where}: binary_data_size is {jsontext.shown(binary)}, and {len(tail)} bytes are left")
    raw = tail[:binary]
    if datatype == "BYTES":
        tensor.data = _read_strings(raw, tensor.size, where)
    else:
        size = tensor.size * SIZES[datatype]
        if size != binary:
            raise ValueError(f"{where}: {datatype} of shape {list(tensor.shape)} takes {size} bytes, not {binary}")
        if datatype == "BOOL" and bytes(raw).translate(None, b"\0\1"):
            raise ValueError(f"{where}: in binary data a BOOL is a byte 0 or 1")
        tensor.data = raw_buffer(bytearray(raw), datatype)
    tensor.parameters = {key: value for key, value in parameters.items() if key != "binary_data_size"}
    return tensor, binary


def _read_outline(given: Any, where: str) -> Tensor:
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


def _read_json_data(data: Any, tensor: Tensor, where: str, has_booleans: bool) -> Any:
    """Flat or nested, row-major."""
    if tensor.datatype in RAW_ONLY:
        raise ValueError(f"{where}: {tensor.datatype} travels as binary data only")
    flat = data if isinstance(data, list) else [data]
    for _ in range(MAX_DIMENSIONS):
        if not flat or not isinstance(flat[0], list):
            break
        if set(map(type, flat)) != {list}:
            raise ValueError(f"{where}.data mixes values and lists")
        if len(set(map(len, flat))) > 1:
            raise ValueError(f"{where}.data has lists of different lengths side by side")
        flat = list(chain.from_iterable(flat))
    if len(flat) != tensor.size:
        raise ValueError(f"{where}.data has {len(flat)} values, and shape {list(tensor.shape)} takes {tensor.size}")
    if tensor.datatype == "BYTES":
        misfit = next((value for value in flat if not isinstance(value, str) and value is not None), None)
        if misfit is not None:
            raise ValueError(f"{where}.data: BYTES takes strings, not {jsontext.shown(misfit)}")
        return flat
    try:
        return typed_buffer(flat, tensor.datatype, has_booleans)
    except ValueError as fault:
        raise ValueError(f"{where}.data: {fault}") from None


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


def _read_wishes(asked: dict[str, Any], request_id: str, faults: list[str]) -> Asked:
    given_id = asked.get("id")
    if given_id is not None and not isinstance(given_id, str):
        faults.append("id must be a string")
    all_binary = False
    try:
        all_binary = _flag(_parameters(asked, ""), "binary_data_output", "") is True
    except ValueError as fault:
        faults.append(str(fault))
    return Asked(given_id or request_id, _read_outputs(asked.get("outputs"), faults), all_binary)


def _read_outputs(given: Any, faults: list[str]) -> dict[str, bool | None] | None:
    """The wanted outputs; none given, or an empty list, means all of them."""
    if given is None or given == []:
        return None
    if not isinstance(given, list) or len(given) > MAX_TENSORS:
        faults.append(f"outputs must be a list of up to {MAX_TENSORS}")
        return None
    outputs: dict[str, bool | None] = {}
    for position, output in enumerate(given):
        where = f"outputs[{position}]"
        name = output.get("name") if isinstance(output, dict) else None
        if not isinstance(name, str):
            faults.append(f"{where} must be an object with a name")
            continue
        if name in outputs:
            faults.append(f"{where}: {name[:80]!r} is asked for twice")
        outputs[name] = None
        try:
            outputs[name] = _flag(_parameters(output, where), "binary_data", where)
        except ValueError as fault:
            faults.append(str(fault))
    return outputs


def _parameters(holder: dict[str, Any], where: str) -> dict[str, Any]:
    """The parameters of an object; none are an empty object. Raises ``ValueError``."""
    parameters = holder.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise ValueError(f"{where}.parameters must be an object".lstrip("."))
    return parameters


def _flag(parameters: dict[str, Any], name: str, where: str) -> bool | None:
    """A parameter that is true, false or not given. Raises ``ValueError``."""
    value = parameters.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise ValueError(f"{where}.parameters.{name} must be true or false".lstrip("."))


# --- responses -------------------------------------------------------------------------------------------


def _tensors(outcome: Outcome) -> list[Tensor]:
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


def _write_output(tensor: Tensor, is_binary: bool, tail: list[Any]) -> dict[str, Any]:
    """The output's JSON part; its data there, or appended to ``tail``."""
    parameters = dict(tensor.parameters)
    output: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
    if is_binary or tensor.datatype in RAW_ONLY:
        raw = _binary(tensor)
        parameters["binary_data_size"] = len(raw)
        tail.append(raw)
    else:
        output["data"] = _json_data(tensor)
    if parameters:
        output["parameters"] = parameters
    return output


def _binary(tensor: Tensor) -> bytes:
    if tensor.datatype != "BYTES":
        return bytes(memoryview(tensor.data))
    cells = [_as_bytes(cell) for cell in tensor.data]
    return b"".join(chain.from_iterable((struct.pack("<I", len(cell)), cell) for cell in cells))


def _as_bytes(cell: Any) -> bytes:
    if cell is None:
        return b""
    return cell.encode() if isinstance(cell, str) else bytes(cell)


def _json_data(tensor: Tensor) -> Any:
    if tensor.datatype == "BYTES":
        return [cell if cell is None or isinstance(cell, str) else _as_text(cell, tensor.name) for cell in tensor.data]
    numpy = sys.modules.get("numpy")
    if numpy is not None and jsontext.WRITES_ARRAYS and tensor.size > 64:
        return numpy.ascontiguousarray(numpy.asarray(tensor.data)).reshape(-1)
    return tensor.flat()


def _as_text(cell: Any, name: str) -> str:
    try:
        return str(cell, "utf-8")
    except UnicodeDecodeError:
        raise Unconvertible(
            f"output {name!r} holds bytes that are not UTF-8 text", hint="ask for it with binary_data: true"
        ) from None

"""Inference requests and responses, as JSON and with the binary tensor extension."""

from __future__ import annotations

import sys
from itertools import chain
from typing import Any, NamedTuple

from modelport.core import jsontext
from modelport.core.call import Call, Outcome, Reply
from modelport.core.model import Description, ModelSpec
from modelport.core.payload import Payload, Tensor, Tensors, typed_buffer
from modelport.errors import InvalidBody, ModelportError, Unconvertible
from modelport.protocols.oip import errors
from modelport.protocols.oip.tensors import (
    MAX_DIMENSIONS,
    MAX_TENSORS,
    RAW_ONLY,
    answered,
    check,
    chosen,
    raw_of,
    read_outline,
    read_raw,
)

LENGTH_HEADER = "inference-header-content-length"
MAX_LETTERS = 256
"""How many places are looked at for a truth value before one is assumed."""


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
        check(faults)
        return Tensors(tensors), memory

    def encode(
        self, call: Call, memory: Any, outcome: Outcome, spec: ModelSpec, model: Description, seconds: float
    ) -> Reply:
        wanted: Asked = memory
        tensors = chosen(answered(outcome), wanted.outputs)
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
    tensor = read_outline(given, where)
    parameters = tensor.parameters
    binary = parameters.get("binary_data_size")
    if (binary is None) == ("data" not in given):
        raise ValueError(f"{where} needs either data or the parameter binary_data_size")
    if binary is None:
        tensor.data = _read_json_data(given["data"], tensor, where, has_booleans)
        return tensor, 0
    if type(binary) is not int or not 0 <= binary <= len(tail):
        raise ValueError(f"{where}: binary_data_size is {jsontext.shown(binary)}, and {len(tail)} bytes are left")
    tensor.data = read_raw(tail[:binary], tensor, where)
    tensor.parameters = {key: value for key, value in parameters.items() if key != "binary_data_size"}
    return tensor, binary


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


def _write_output(tensor: Tensor, is_binary: bool, tail: list[Any]) -> dict[str, Any]:
    """The output's JSON part; its data there, or appended to ``tail``."""
    parameters = dict(tensor.parameters)
    output: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
    if is_binary or tensor.datatype in RAW_ONLY:
        raw = raw_of(tensor)
        parameters["binary_data_size"] = len(raw)
        tail.append(raw)
    else:
        output["data"] = _json_data(tensor)
    if parameters:
        output["parameters"] = parameters
    return output


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

"""Inference requests and responses as messages of gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from modelport.core import statuses
from modelport.core.call import Call, Outcome, Reply
from modelport.core.mediatype import parsed
from modelport.core.model import Description, ModelSpec
from modelport.core.payload import Blob, Payload, Tensor, Tensors, raw_buffer, typed_buffer
from modelport.errors import ModelportError, NotFound
from modelport.protocols.oip import errors
from modelport.protocols.oip.messages import SCHEMA
from modelport.protocols.oip.tensors import (
    MAX_TENSORS,
    RAW_ONLY,
    answered,
    as_bytes,
    check,
    chosen,
    raw_of,
    read_outline,
    read_raw,
)

STREAM = "stream"
"""The verb of a message within a stream, whose answer is wrapped once more."""
ASKS_FOR_LAST, IS_LAST = "triton_enable_empty_final_response", "triton_final_response"
"""Parameters of a request and of a response, in streams."""
CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Data type to the field that has its values."""
_NARROW = ("INT8", "INT16", "UINT8", "UINT16")
"""Data types whose values travel as wider ones."""


class Asked(NamedTuple):
    """What the response must know of the request: the ``outputs`` wanted, None for all; whether data came raw; whether
    it is to say that no other response follows, which the client of a stream may ask for."""

    id: str
    outputs: list[str] | None
    is_raw: bool
    names_last: bool


class OipRpcCodec:
    """The worker half of the protocol over gRPC."""

    marks = ()

    def decode(self, call: Call, body: Any, spec: ModelSpec, model: Description) -> tuple[Payload, Any]:
        asked = SCHEMA.decode("ModelInferRequest", body)
        _check_name(asked, spec)
        faults: list[str] = []
        tensors = _read_inputs(asked, faults)
        outputs = _read_outputs(asked, faults)
        check(faults)
        names_last = call.verb == STREAM and _read_parameters(asked.get("parameters", {})).get(ASKS_FOR_LAST) is True
        is_raw = "raw_input_contents" in asked
        return Tensors(tensors), Asked(asked.get("id") or call.id, outputs, is_raw, names_last)

    def encode(
        self, call: Call, memory: Any, outcome: Outcome, spec: ModelSpec, model: Description, seconds: float
    ) -> Reply:
        wanted: Asked = memory
        tensors = chosen(answered(outcome), wanted.outputs)
        is_raw = wanted.is_raw or any(tensor.datatype in RAW_ONLY for tensor in tensors)
        answer: dict[str, Any] = {
            "model_name": spec.name,
            "model_version": spec.version,
            "id": wanted.id,
            "outputs": [_write_output(tensor, is_raw) for tensor in tensors],
        }
        if wanted.names_last:
            answer["parameters"] = {IS_LAST: {"bool_param": True}}
        if is_raw:
            answer["raw_output_contents"] = [raw_of(tensor) for tensor in tensors]
        if call.verb == STREAM:
            return Reply(200, [], SCHEMA.encode("ModelStreamInferResponse", {"infer_response": answer}))
        return Reply(200, [], SCHEMA.encode("ModelInferResponse", answer))

    def carry(self, call: Call, memory: Any, reply: Reply, spec: ModelSpec) -> Reply:
        """A reply that the model wrote itself: one output with its body, or the error that it is."""
        body = b"".join(reply.body) if isinstance(reply.body, Iterator) else bytes(reply.body)
        if reply.status >= 400:
            return Reply(reply.status, [(statuses.GRPC_STATUS, statuses.grpc_of(reply.status))], body, reply.code)
        said = next((value for name, value in reply.headers if name.lower() == "content-type"), "")
        media_type, charset = parsed(said)
        outcome = Outcome(payload=Blob(body, media_type or "application/octet-stream", charset))
        return self.encode(call, memory, outcome, spec, Description("tensors", ""), 0.0)

    def error(self, error: ModelportError, request_id: str) -> Reply:
        return errors.refusal(error, request_id)


codec = OipRpcCodec()


def _check_name(asked: dict[str, Any], spec: ModelSpec) -> None:
    name, version = asked.get("model_name", ""), asked.get("model_version", "")
    if name != spec.name and (spec.split is None or name != spec.split.name):
        raise NotFound(f"model {name[:100]!r} not found")
    if version and version != spec.version:
        raise NotFound(f"model {name[:100]!r} with version {version[:100]!r} not found")


# --- requests --------------------------------------------------------------------------------------------


def _read_inputs(asked: dict[str, Any], faults: list[str]) -> list[Tensor]:
    inputs, raw = asked.get("inputs", []), asked.get("raw_input_contents")
    if not inputs or len(inputs) > MAX_TENSORS:
        faults.append(f"there must be 1 to {MAX_TENSORS} inputs, not {len(inputs)}")
        return []
    if raw is not None and len(raw) != len(inputs):
        faults.append(f"there are {len(inputs)} inputs and {len(raw)} raw_input_contents: each input has one, or none")
        return []
    tensors = []
    names = set()
    for position, given in enumerate(inputs):
        where = f"inputs[{position}]"
        try:
            tensor = _read_input(given, None if raw is None else raw[position], where)
        except ValueError as fault:
            faults.extend(fault.args)
            continue
        if tensor.name in names:
            faults.append(f"{where}: there are two inputs named {tensor.name!r}")
        names.add(tensor.name)
        tensors.append(tensor)
    return tensors


def _read_input(given: dict[str, Any], raw: Any, where: str) -> Tensor:
    """One input. Raises ``ValueError`` with every fault."""
    outline = {
        "name": given.get("name", ""),
        "datatype": given.get("datatype", ""),
        "shape": given["shape"].tolist() if "shape" in given else [],
        "parameters": _read_parameters(given.get("parameters", {})),
    }
    tensor = read_outline(outline, where)
    contents = {name: values for name, values in given.get("contents", {}).items() if len(values)}
    if raw is None:
        tensor.data = _read_contents(contents, tensor, where)
    elif contents:
        raise ValueError(f"{where}.contents must be empty in a request with raw_input_contents")
    else:
        tensor.data = read_raw(raw, tensor, where)
    return tensor


def _read_contents(contents: dict[str, Any], tensor: Tensor, where: str) -> Any:
    datatype = tensor.datatype
    if datatype in RAW_ONLY:
        raise ValueError(f"{where}: {datatype} travels in raw_input_contents only")
    field = CONTENTS[datatype]
    strange = next((name for name in contents if name != field), None)
    if strange is not None:
        raise ValueError(f"{where}.contents: {datatype} takes {field}, not {strange}")
    found = contents.get(field, [])
    if len(found) != tensor.size:
        raise ValueError(
            f"{where}.contents has {len(found)} values, and shape {list(tensor.shape)} takes {tensor.size}"
        )
    if datatype == "BYTES":
        return found
    if datatype in _NARROW or not len(found):
        try:
            return typed_buffer(list(found), datatype)
        except ValueError as fault:
            raise ValueError(f"{where}.contents: {fault}") from None
    return raw_buffer(bytearray(found.cast("B")), datatype)


def _read_parameters(given: dict[str, Any]) -> dict[str, Any]:
    return {name: next(iter(choice.values()), None) for name, choice in given.items()}


def _read_outputs(asked: dict[str, Any], faults: list[str]) -> list[str] | None:
    """The wanted outputs; none given means all of them."""
    outputs = [output.get("name", "") for output in asked.get("outputs", [])]
    if len(outputs) > MAX_TENSORS:
        faults.append(f"there are {len(outputs)} outputs; at most {MAX_TENSORS} are taken")
    elif len(set(outputs)) < len(outputs):
        faults.append("an output is asked for twice")
    return outputs or None


# --- responses -------------------------------------------------------------------------------------------


def _write_output(tensor: Tensor, is_raw: bool) -> dict[str, Any]:
    output: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
    if tensor.parameters:
        output["parameters"] = {name: _write_parameter(value) for name, value in tensor.parameters.items()}
    if not is_raw:
        output["contents"] = {CONTENTS[tensor.datatype]: _values(tensor)}
    return output


def _values(tensor: Tensor) -> Any:
    if tensor.datatype == "BYTES":
        return [as_bytes(cell) for cell in tensor.data]
    return raw_buffer(memoryview(tensor.data), tensor.datatype)


def _write_parameter(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"bool_param": value}
    if isinstance(value, int):
        return {"int64_param" if value < 1 << 63 else "uint64_param": value}
    if isinstance(value, float):
        return {"double_param": value}
    return {"string_param": str(value)} if value is not None else {}

"""What a component says of itself, and what the platform allows it to say."""

from __future__ import annotations

from typing import Any

from modelport.contracts.seldon.arrays import FORMS

DATATYPES = (
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES",
)  # fmt: skip


def image_parts(image: str) -> tuple[str, str]:
    """The name and the tag of an image: what is before its last colon, and after it."""
    name, _, tag = image.rpartition(":")
    return name, tag


def complete(said: Any, image: str) -> dict[str, Any]:
    """The metadata with its defaults. Raises ``ValueError`` listing every fault."""
    name, tag = image_parts(image)
    metadata = {"name": name, "versions": [tag], "platform": "", "inputs": [], "outputs": [], "custom": {}}
    known = list(metadata)
    metadata.update(said)
    faults = [f"{key!r} is no part of it" for key in metadata if key not in known]
    faults += [f"{key} must be a string" for key in ("name", "platform") if not isinstance(metadata[key], str)]
    if not _are(metadata["versions"], str):
        faults.append("versions must be a list of strings")
    custom = metadata["custom"]
    if not isinstance(custom, dict) or not _are(list(custom.values()), str):
        faults.append("custom must be an object of strings")
    for side in ("inputs", "outputs"):
        items: Any = metadata[side]
        if not isinstance(items, list):
            faults.append(f"{side} must be a list")
            continue
        faults += [f"{side}[{at}] is of no known form" for at, item in enumerate(items) if not _is_known(item)]
    if faults:
        raise ValueError("; ".join(faults))
    return metadata


def _are(values: Any, kind: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) and not isinstance(value, bool) for value in values)


def _is_known(item: Any) -> bool:
    """One of the five forms of an input or output."""
    if not isinstance(item, dict):
        return False
    if "messagetype" not in item:
        return _is_tensor(item)
    kind, schema = item["messagetype"], item.get("schema", {})
    if not isinstance(kind, str) or not isinstance(schema, dict) or not set(item) <= {"messagetype", "schema"}:
        return False
    if kind in ("strData", "binData"):
        return "schema" not in item
    return kind not in FORMS or (
        set(schema) <= {"names", "shape"} and _are(schema.get("names", []), str) and _are(schema.get("shape", []), int)
    )


def _is_tensor(item: dict[str, Any]) -> bool:
    return (
        set(item) <= {"name", "datatype", "shape"}
        and isinstance(item.get("name", ""), str)
        and item.get("datatype", "BOOL") in DATATYPES
        and _are(item.get("shape", []), int)
    )

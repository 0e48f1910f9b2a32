"""The class labels that an ONNX file names, read from its protocol buffer: onnxruntime does not tell them."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

MODEL_GRAPH, GRAPH_NODE, NODE_ATTRIBUTE = 7, 1, 5
ATTRIBUTE_NAME, ATTRIBUTE_INTS, ATTRIBUTE_STRINGS = 1, 8, 9
"""Field numbers of onnx.proto."""


def class_labels(path: str) -> list[str] | None:
    """Those of its classifier, or of the node that zips them with the probabilities; the last such node counts."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = None
        try:
            for graph in _children(content, MODEL_GRAPH, 0, len(content)):
                for node in _children(content, GRAPH_NODE, *graph):
                    for attribute in _children(content, NODE_ATTRIBUTE, *node):
                        found = _labels(content, *attribute) or found
        except (IndexError, UnicodeDecodeError):
            return None
        return found


def _labels(content: Any, begin: int, end: int) -> list[str]:
    name, labels = "", []
    for field, value in _fields(content, begin, end):
        if field == ATTRIBUTE_NAME:
            name = content[value[0] : value[1]].decode()
        elif field == ATTRIBUTE_STRINGS:
            labels.append(content[value[0] : value[1]].decode())
        elif field == ATTRIBUTE_INTS:
            labels += map(str, _integers(content, value))
    return labels if name.startswith("classlabels_") else []


def _integers(content: Any, value: Any) -> Iterator[int]:
    """One number, or a packed run of them."""
    if isinstance(value, int):
        yield _signed(value)
        return
    at, end = value
    while at < end:
        number, at = _varint(content, at)
        yield _signed(number)


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _children(content: Any, wanted: int, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the messages of a field begin and end."""
    for field, value in _fields(content, begin, end):
        if field == wanted and isinstance(value, tuple):
            yield value


def _fields(content: Any, at: int, end: int) -> Iterator[tuple[int, Any]]:
    """The fields of a message: a number, or the beginning and end of what is longer."""
    while at < end:
        key, at = _varint(content, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(content, at)
            yield key >> 3, value
            continue
        length = 0
        if kind == 2:
            length, at = _varint(content, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise IndexError(f"no such wire type: {kind}")
        yield key >> 3, (at, at + length)
        at += length


def _varint(content: Any, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = content[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7

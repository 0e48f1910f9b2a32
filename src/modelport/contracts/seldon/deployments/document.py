"""The text of a file as plain data. A small file can claim to be a huge one, or to contain itself: it is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from modelport.contracts.seldon.detect import KIND
from modelport.errors import ConfigError

MAX_SIZE = 1 << 20
"""Bytes of a file; the platform's own store takes no larger objects."""
MAX_VALUES = 50_000
MAX_DEPTH = 60


def deployments(path: str) -> list[dict[str, Any]]:
    """Every deployment in the file, which may have several documents or a list of objects. Raises ``ConfigError``."""
    place = Path(path)
    try:
        with place.open("rb") as file:
            data = file.read(MAX_SIZE + 1)
        if len(data) > MAX_SIZE:
            raise ConfigError(f"{path} is larger than {MAX_SIZE >> 20} MiB")
        text = data.decode("utf-8-sig")
        documents = [json.loads(text)] if place.suffix == ".json" else _yaml(path, text)
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(f"{path}: {fault}") from None
    except ValueError as fault:
        raise ConfigError(f"{path} is not JSON: {fault}") from None
    except yaml.YAMLError as fault:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(fault).split())}") from None
    except RecursionError:
        raise ConfigError(f"{path} is nested too deeply") from None
    found = [item for document in documents for item in _objects(document) if item.get("kind") == KIND]
    if not found:
        raise ConfigError(f"{path} holds no {KIND}")
    return found


def _objects(document: Any) -> list[dict[str, Any]]:
    if not isinstance(document, dict):
        return []
    items = document.get("items")
    if str(document.get("kind", "")).endswith("List") and isinstance(items, list):
        return [item for item in items if isinstance(item, dict)]
    return [document]


def _yaml(path: str, text: str) -> list[Any]:
    """Each document; measured before anything is built of it."""
    loader = yaml.SafeLoader(text)
    documents = []
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is not None:
                if _size(node, {}, 0) > MAX_VALUES:
                    raise ConfigError(f"{path} holds more than {MAX_VALUES} values, counting each where it is used")
                documents.append(loader.construct_document(node))
    finally:
        loader.dispose()
    return documents


def _size(node: yaml.Node, known: dict[int, int | None], depth: int) -> int:
    """How many values a node stands for, with each alias written out. Raises ``ConfigError`` where that has no end."""
    if depth > MAX_DEPTH:
        raise ConfigError("the file is nested too deeply")
    if id(node) in known:
        size = known[id(node)]
        if size is None:
            raise ConfigError("the file contains a part of itself", hint="an alias refers to what it stands in")
        return size
    known[id(node)] = None
    size = 1
    if isinstance(node, yaml.SequenceNode):
        size += sum(_size(item, known, depth + 1) for item in node.value)
    elif isinstance(node, yaml.MappingNode):
        size += sum(_size(key, known, depth + 1) + _size(value, known, depth + 1) for key, value in node.value)
    known[id(node)] = size
    return size

"""``custom.py``: the user's hooks, looked up once."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Mapping
from typing import Any, Callable, Optional

from modelport.contracts.drum.detect import CODE, HOOKS
from modelport.errors import LoadError

Hook = Optional[Callable[..., Any]]


class Hooks:
    """The hooks of a code folder by name, each a callable or None."""

    init: Hook
    load_model: Hook
    read_input_data: Hook
    transform: Hook
    score: Hook
    post_process: Hook
    score_unstructured: Hook

    def __init__(self, folder: str, code: str | None) -> None:
        module = _imported(os.path.join(folder, code)) if code else None
        for name in HOOKS:
            hook = getattr(module, name, None)
            if hook is not None and not callable(hook):
                raise LoadError(f"{CODE}: {name} is {type(hook).__name__}; a function was expected")
            setattr(self, name, hook)


def _imported(path: str) -> Any:
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


RESERVED = ("DRUM_", "MLOPS_", "KUBERNETES_")
"""Names that no parameter takes in the plain environment."""


def deliver(parameters: Mapping[str, Mapping[str, Any]]) -> None:
    """Runtime parameters into the environment: plainly, and as the JSON of the older form.

    What the environment says already goes before the model's own values.
    """
    for name, parameter in parameters.items():
        value, old = parameter["value"], f"MLOPS_RUNTIME_PARAM_{name}"
        if old in os.environ:
            try:
                value = json.loads(os.environ[old])["payload"]
            except (ValueError, TypeError, KeyError):
                raise LoadError(f'{old} must be JSON such as {{"type": "string", "payload": "x"}}') from None
        elif name in os.environ:
            value = _typed(os.environ[name], parameter["type"])
        if value is None:
            continue
        os.environ[old] = json.dumps({"type": parameter["type"], "payload": value})
        if not name.startswith(RESERVED):
            os.environ[name] = _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value)


def _typed(text: str, kind: str) -> Any:
    if kind == "string":
        return text
    try:
        return json.loads(text.lower() if kind == "boolean" else text)
    except ValueError:
        return text

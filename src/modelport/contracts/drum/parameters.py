"""Runtime parameters as the environment has them: plainly, and in the older form."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from modelport.errors import LoadError

OLD = "MLOPS_RUNTIME_PARAM_"
"""What goes before the name of a parameter in the older form."""
RESERVED = ("DRUM_", "MLOPS_", "KUBERNETES_")
"""Names that no parameter takes in the plain environment."""


def payload(text: str) -> Any:
    """The value in a parameter's older form. Raises ``ValueError`` where there is none."""
    try:
        return json.loads(text)["payload"]
    except (TypeError, KeyError):
        raise ValueError("no payload") from None


def deliver(parameters: Mapping[str, Mapping[str, Any]]) -> None:
    """Runtime parameters into the environment: plainly, and as the JSON of the older form.

    What the environment says already goes before the model's own values.
    """
    for name, parameter in parameters.items():
        value, old = parameter["value"], OLD + name
        if old in os.environ:
            try:
                value = payload(os.environ[old])
            except ValueError:
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

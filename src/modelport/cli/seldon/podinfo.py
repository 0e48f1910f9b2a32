"""The annotations of the pod, which the platform mounts as a file of ``key="value"`` lines."""

from __future__ import annotations

import json
import logging
from pathlib import Path

_log = logging.getLogger("modelport.cli")


def read(file: str) -> dict[str, str]:
    """None, where there is no such file."""
    try:
        text = Path(file).read_text("utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as fault:
        _log.error("the annotations in %s are left out: %s", file, fault)
        return {}
    pairs = (line.partition("=") for line in text.splitlines())
    return {key.strip(): _unquoted(value.strip()) for key, found, value in pairs if found}


def _unquoted(value: str) -> str:
    try:
        text = json.loads(value)
    except ValueError:
        return value
    return text if isinstance(text, str) else value


def number(annotations: dict[str, str], name: str) -> int | None:
    """A positive whole number; None where there is none, which is logged if there is something else."""
    text = annotations.get(name)
    if text is None:
        return None
    if text.isascii() and text.isdecimal() and int(text) > 0:
        return int(text)
    _log.error("the annotation %s must be a number above 0; %r is left out", name, text[:100])
    return None

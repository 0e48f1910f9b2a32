"""The import path of a model, and what of its exceptions is worth showing."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import Any

from modelport.core.model import ModelSpec


def find(path: str) -> Any:
    """The object that ``module:attribute`` names."""
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)


def prepare(spec: ModelSpec, shims: list[str]) -> None:
    """Puts the model's own folders first on the import path, and stand-in modules last: a real package wins."""
    sys.path[:0] = [os.path.join(spec.root, folder) for folder in spec.options.get("path", [])]
    sys.path.extend(shims)
    sys.argv = [spec.root]


_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def user_traceback(fault: BaseException) -> str:
    """The traceback without the frames that lead from this package into the user's code."""
    trace = fault.__traceback__
    inner = trace
    while inner is not None and _is_ours(inner.tb_frame.f_code.co_filename):
        inner = inner.tb_next
    return "".join(traceback.format_exception(type(fault), fault, inner or trace))


def _is_ours(filename: str) -> bool:
    return filename.startswith((_OURS, "<frozen importlib"))

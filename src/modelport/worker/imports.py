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


_LEADING = (
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep,
    os.path.dirname(importlib.__file__) + os.sep,
    "<frozen importlib",
)
"""Where the code is that leads into the user's."""


def user_traceback(fault: BaseException) -> str:
    """The traceback without the frames that lead from this package into the user's code.

    Where none is left, as for code that cannot be compiled, the exception alone: it names the file and the line.
    """
    trace = fault.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_LEADING):
        trace = trace.tb_next
    if trace is None:
        return "".join(traceback.format_exception_only(type(fault), fault))
    return "".join(traceback.format_exception(type(fault), fault, trace))


def whole_traceback(fault: BaseException) -> str:
    """For what may be a defect of this package."""
    return "".join(traceback.format_exception(type(fault), fault, fault.__traceback__))

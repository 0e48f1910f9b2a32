"""``custom.py``: the user's hooks, looked up once."""

from __future__ import annotations

import importlib.util
import os
import sys
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
    forecast: Hook
    """For time series only: elsewhere the name is the user's."""

    def __init__(self, folder: str, code: str | None) -> None:
        module = _imported(os.path.join(folder, code)) if code else None
        for name in HOOKS:
            hook = getattr(module, name, None)
            if hook is not None and not callable(hook):
                raise LoadError(f"{CODE}: {name} is {type(hook).__name__}; a function was expected")
            setattr(self, name, hook)
        self.forecast = getattr(module, "forecast", None)


def _imported(path: str) -> Any:
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module

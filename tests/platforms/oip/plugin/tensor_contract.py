"""A contract from outside: a class whose ``predict`` takes tensors.

Its ``modelport.yaml`` names it as ``contract: tensors`` and the class as ``component: file.py:Class``. The class may
publish ``inputs`` and ``outputs`` as (name, datatype, shape).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from modelport.core.call import Call, Outcome
from modelport.core.contract import Model
from modelport.core.model import Description, Field, ModelSpec
from modelport.core.payload import Payload, Tensors
from modelport.errors import ConfigError, LoadError


class TensorContract:
    name = "tensors"

    def find(self, path: str) -> str | None:
        return None  # only where the manifest names it

    def adopt(self, path: str) -> str | None:
        return None

    def read(self, path: str, manifest: dict[str, Any]) -> list[ModelSpec]:
        if ":" not in manifest.get("component", ""):
            raise ConfigError(f"{path}: component must be file.py:Class")
        name = manifest.get("name") or Path(path).name
        return [ModelSpec(name, self.name, path, options={"component": manifest["component"]})]

    def shims(self) -> list[str]:
        return []

    def load(self, spec: ModelSpec) -> Model:
        file, _, name = spec.options["component"].partition(":")
        module_spec = importlib.util.spec_from_file_location("tensor_model", Path(spec.root, file))
        if module_spec is None or module_spec.loader is None:
            raise LoadError(f"{file} is no Python file")
        module = importlib.util.module_from_spec(module_spec)
        module_spec.loader.exec_module(module)
        return TensorModel(getattr(module, name)())


contract = TensorContract()


class TensorModel:
    """``predict`` answers an ``Outcome``, or a numpy array with one value a row."""

    def __init__(self, user: Any) -> None:
        self._user = user
        fields = [[Field(*item) for item in getattr(user, side, [])] for side in ("inputs", "outputs")]
        self.description = Description("tensors", "tensors", inputs=fields[0], outputs=fields[1])

    def call(self, payload: Payload, call: Call) -> Outcome:
        assert isinstance(payload, Tensors)
        answer = self._user.predict(payload)
        return answer if isinstance(answer, Outcome) else Outcome(predictions=answer)

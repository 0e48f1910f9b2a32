"""What every verb of ``modelport deepaas`` is told of where models are."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from modelport import config
from modelport.core.model import ModelSpec
from modelport.errors import ConfigError

MODEL = "DEEPAAS_V2_MODEL"


Folder = Annotated[str | None, Parameter(help="A package's folder. Default: what is installed.", show_default=False)]


@Parameter(name="*")
@dataclass(frozen=True)
class Models:
    """Where the models are, and which is meant. ``folder`` is a package's; without one, what is installed is meant."""

    env: Annotated[
        str | None,
        Parameter(
            name="--env", help="The environment of the models, or its Python. Default: this one.", show_default=False
        ),
    ] = None
    model_name: Annotated[
        str | None, Parameter(name="--model-name", help=f"The only model. [{MODEL}]", show_default=False)
    ] = None

    def find(
        self, folder: str | None, settings: config.Settings, options: dict[str, Any] | None = None
    ) -> list[ModelSpec]:
        """The models. Raises ``ConfigError``."""
        from modelport.packages.find import find

        chosen = self.model_name or os.environ.get(MODEL) or None
        given: dict[str, Any] = {"contract": "deepaas", "options": {**(options or {}), "modelName": chosen}}
        if folder is not None and self.env is not None:
            given["environment"] = str(Path(self.env).absolute())
        return find(folder or self.env or sys.prefix, settings, given)

    def find_one(self, folder: str | None, settings: config.Settings) -> ModelSpec:
        """The model that is meant. Raises ``ConfigError`` where that is not clear."""
        specs = self.find(folder, settings)
        if len(specs) > 1:
            names = ", ".join(spec.name for spec in specs)
            raise ConfigError("there are several models", hint=f"--model-name, or {MODEL}, with one of {names}")
        return specs[0]


HERE = Models()

"""``modelport.yaml``: what may be said beside a model of any platform. It is never required."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modelport.errors import ConfigError
from modelport.packages.card import Card

FILE = "modelport.yaml"
ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"


class Batching(BaseModel):
    """How many requests a worker may take at once."""

    model_config = ConfigDict(extra="forbid")
    maxRequests: Annotated[int, Field(ge=1, le=4096)]


class Manifest(BaseModel):
    """``pool`` holds floor, ceil, cruise, queue, timeout, runTimeout; ``environment`` a venv folder or a Python;
    ``components`` says where the models of a graph are, and like ``options`` is for the contract to read; ``package``
    is the card that a package of the folder gets.
    """

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str | None, Field(pattern=ID)] = None
    version: Annotated[str | None, Field(pattern=ID)] = None
    contract: str | None = None
    component: str | None = None
    target: str | None = None
    pool: dict[str, Any] = {}
    batching: Batching | None = None
    environment: str | None = None
    components: dict[str, Any] = {}
    options: dict[str, Any] = {}
    package: Card | None = None


def read(folder: Path, given: Mapping[str, Any] = MappingProxyType({})) -> Manifest:
    """The manifest in a folder, if there is one, with what is ``given`` beside it on top.

    Raises ``ConfigError`` with every fault.
    """
    file = folder / FILE
    try:
        text = file.read_text()
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(f"{file}: {fault}") from None
    try:
        content = yaml.safe_load(text) or {}
        if given and isinstance(content, dict):
            options = {**(content.get("options") or {}), **given.get("options", {})}
            content = {**content, **given, "options": options}
        return Manifest.model_validate(content)
    except yaml.YAMLError as fault:
        raise ConfigError(f"{file} is not YAML: {fault}") from None
    except ValidationError as fault:
        raise ConfigError(f"{file} has faults", faults=explain(fault)) from None


def explain(fault: ValidationError) -> list[str]:
    """Each fault as "where: what"."""
    return [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in fault.errors()]

"""What is known of a component before it is loaded: its class, its parameters, metadata of the environment.

Front only, and imported only when a component is read: the worker half of this contract needs no third-party code.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from modelport.contracts.seldon import detect
from modelport.contracts.seldon.ready import component_of
from modelport.core.model import ModelSpec, PoolSettings, as_name
from modelport.errors import ConfigError

PARAMETERS = "PREDICTIVE_UNIT_PARAMETERS"
METADATA = "MODEL_METADATA"
WORKERS, MAX_WORKERS = "GUNICORN_WORKERS", 64
WAITING, TIMEOUT = 64, 600_000
"""Requests that wait, and the milliseconds that one may wait and run."""

TRUE, FALSE = ("yes", "true", "t", "on", "1"), ("no", "false", "f", "off", "0")


class Parameter(BaseModel):
    """An argument of the component's constructor."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)
    name: str
    value: bool | str
    type: Literal["STRING", "INT", "FLOAT", "DOUBLE", "BOOL"]

    def typed(self) -> Any:
        """The value as what its type says. Raises ``ValueError``."""
        text = str(self.value)
        if self.type == "INT":
            return int(text)
        if self.type in ("FLOAT", "DOUBLE"):
            return float(text)
        if self.type == "BOOL":
            if text.lower() not in TRUE + FALSE:
                raise ValueError(f"{text!r} is neither true nor false")
            return text.lower() in TRUE
        return text


class Options(BaseModel):
    """``options`` of ``modelport.yaml``; parameters in the environment go before those."""

    model_config = ConfigDict(extra="forbid")
    parameters: list[Parameter] = []


def read(path: str, given: Mapping[str, Any]) -> list[ModelSpec]:
    """The one component of a file, or of a folder. Raises ``ConfigError`` with every fault."""
    place = Path(path)
    root = place if place.is_dir() else place.parent
    faults: list[str] = []
    component = _component(place, given.get("component"), faults)
    parameters = _parameters(given.get("options") or {}, faults)
    pool = default_pool(faults)
    if faults:
        raise ConfigError(f"{path} has faults", faults=faults)
    name = place.stem if place.is_file() else place.name
    code = _file(root, component.rpartition(".")[0])
    return [
        ModelSpec(
            name=given.get("name") or as_name(name),
            contract="seldon",
            root=str(root),
            version="1",
            pool=pool,
            all_headers=detect.imports(str(code), "flask"),
            options={
                "path": ["."],
                "component": component,
                "code": str(code.relative_to(root)) if code.is_file() else None,
                "parameters": parameters,
                "metadata": metadata_of(os.environ),
            },
        )
    ]


def _file(root: Path, module: str) -> Path:
    """The file of a module, if it is one of the folder's."""
    stem = root.joinpath(*module.split("."))
    return stem / "__init__.py" if stem.is_dir() else stem.with_name(f"{stem.name}.py")


def _component(place: Path, stated: str | None, faults: list[str]) -> str:
    """``module.Class``. ``Name`` alone is class ``Name`` of module ``Name``; a file with one class needs no name."""
    if place.is_file():
        classes = detect.classes(str(place))
        wanted = stated.rpartition(".")[2] if stated else detect.main_class(str(place)) or place.stem
        if wanted not in classes:
            near = difflib.get_close_matches(wanted, classes, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            told = ", ".join(classes[:20]) or "none"
            faults.append(f"{place.name} defines no class {wanted}; {meant}it has: {told}")
        return f"{place.stem}.{wanted}"
    stated = stated or detect.image_component(str(place))
    ready = component_of(stated or "")
    if ready:
        return ready
    if not stated:
        faults.append("component is missing: the class to serve, as module.Class")
        return ""
    if not all(part.isidentifier() for part in stated.split(".")):
        faults.append(f"component: {stated!r} is not module.Class")
        return ""
    module, _, name = stated.rpartition(".")
    return f"{module or name}.{name}"


def _parameters(options: Mapping[str, Any], faults: list[str]) -> dict[str, Any]:
    """Name to value: from the options, then from the environment."""
    found: dict[str, Any] = {}
    try:
        listed = Options.model_validate(options).parameters
    except ValidationError as fault:
        faults += [f"options: {text}" for text in explained(fault)]
        listed = []
    text = os.environ.get(PARAMETERS)
    if text:
        try:
            listed = [*listed, *TypeAdapter(list[Parameter]).validate_python(json.loads(text))]
        except ValidationError as fault:
            faults += [f"{PARAMETERS}: {told}" for told in explained(fault)]
        except ValueError as fault:
            faults.append(f"{PARAMETERS} is not JSON: {fault}")
    for parameter in listed:
        try:
            found[parameter.name] = parameter.typed()
        except ValueError as fault:
            faults.append(f"parameter {parameter.name} of type {parameter.type}: {fault}")
    return found


def explained(fault: ValidationError) -> list[str]:
    """Each fault as "where: what"."""
    return [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in fault.errors()]


def metadata_of(environment: Mapping[str, str]) -> dict[str, Any]:
    """What the environment says that the model is; nothing, if it is no YAML or no object."""
    try:
        said = yaml.safe_load(environment.get(METADATA, ""))
    except yaml.YAMLError:
        return {}
    return dict(json.loads(json.dumps(said, default=str))) if isinstance(said, dict) else {}


def default_pool(faults: list[str]) -> PoolSettings:
    """As many processes as the platform would run: one, for components may keep state; or what the environment says."""
    stated = os.environ.get(WORKERS) or "1"
    workers = int(stated) if stated.isdecimal() else 0
    if not 1 <= workers <= MAX_WORKERS:
        faults.append(f"{WORKERS} must be 1 to {MAX_WORKERS}, not {stated}")
        return PoolSettings()
    return PoolSettings(workers, workers, workers, WAITING, TIMEOUT, TIMEOUT)

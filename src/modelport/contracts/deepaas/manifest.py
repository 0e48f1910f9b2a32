"""The models of a package's source, or of the packages in an environment, before anything of them is loaded.

Front only, and imported only when a folder is read: the worker half of this contract needs no third-party code.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from modelport.contracts.deepaas import detect
from modelport.core.call import FUNCTION
from modelport.core.model import ModelSpec, PoolSettings
from modelport.errors import ConfigError

WAITING, TIMEOUT, RUN_TIMEOUT = 256, 600_000, 3_600_000
"""Requests that wait, and the milliseconds that one may wait and run: the platform has no bounds, and models that take
minutes."""
PROBE_TIMEOUT = 60.0

_NAME = re.compile(r"[^/?#\x00-\x1f]{1,200}")
_PROBE = """
import importlib.metadata, json
group = "deepaas.v2.model"
points = importlib.metadata.entry_points()
points = points.select(group=group) if hasattr(points, "select") else points.get(group, [])
print(json.dumps({point.name: point.value for point in points}))
"""


class Options(BaseModel):
    """``modelName`` is the only model that is wanted; ``testQueries`` are saved arguments by model; ``predict``,
    ``train``, ``docs`` and ``debug`` say what is offered."""

    model_config = ConfigDict(extra="forbid")
    modelName: str | None = None
    warm: bool = True
    predict: bool = True
    train: bool = True
    docs: bool = True
    debug: bool = False
    testQueries: dict[str, list[dict[str, Any]]] = {}


def read(path: str, given: dict[str, Any]) -> list[ModelSpec]:
    """The models declared by a folder, or installed in an environment. Raises ``ConfigError`` with every fault."""
    place = Path(path)
    try:
        options = Options.model_validate(given.get("options") or {})
    except ValidationError as fault:
        faults = [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in fault.errors()]
        raise ConfigError(f"{path}: the options have faults", faults=faults) from None
    points = detect.declared(path)
    is_source = bool(points)
    environment = None
    if not is_source:
        environment = None if place == Path(sys.prefix).resolve() or place.samefile(sys.prefix) else str(place)
        points = installed(environment)
    where = str(place)
    return [
        _spec(name, points[name], place if is_source else Path.cwd(), is_source, environment, options)
        for name in _chosen(points, options.modelName, where)
    ]


def _chosen(points: dict[str, str], wanted: str | None, where: str) -> list[str]:
    if not points:
        raise ConfigError(
            f"no model is installed in {where}",
            hint=f"a package's entry points of the group {detect.GROUP} are its models: install one, or name a folder",
        )
    if wanted is not None and wanted not in points:
        raise ConfigError(
            f"Model '{wanted}' not found in namespace '{detect.GROUP}'", hint=f"there are {', '.join(sorted(points))}"
        )
    names = [wanted] if wanted is not None else sorted(points)
    faults = [f"{name!r} cannot stand in a URL" for name in names if not _NAME.fullmatch(name)]
    if faults:
        raise ConfigError(f"models of {where} have names that they cannot have", faults=faults)
    return names


def _spec(name: str, value: str, root: Path, is_source: bool, environment: str | None, options: Options) -> ModelSpec:
    folders = [folder for folder in (".", "src") if (root / folder).is_dir()] if is_source else []
    module = value.partition(":")[0].strip().replace(".", "/")
    files = [f"{folder}/{module}{end}" for folder in folders for end in (".py", "/__init__.py")]
    return ModelSpec(
        name=name,
        contract="deepaas",
        root=str(root),
        version="1",
        operation=FUNCTION,
        environment=environment,
        all_headers=True,
        pool=PoolSettings(1, 1, 1, WAITING, TIMEOUT, RUN_TIMEOUT),
        options={
            "path": folders,
            "entry": value,
            "code": next((file for file in files if (root / file).is_file()), None),
            **options.model_dump(exclude={"modelName", "testQueries"}),
        },
        queries=options.testQueries.get(name, []),
    )


def installed(environment: str | None) -> dict[str, str]:
    """Name to value of the models that packages of an environment declare; None is the one this runs in.

    Asking another starts its interpreter, which runs nothing of a model. Raises ``ConfigError`` where it cannot.
    """
    if environment is None:
        return {point.name: point.value for point in importlib.metadata.entry_points(group=detect.GROUP)}
    python = os.path.join(environment, "bin", "python") if os.path.isdir(environment) else environment
    try:
        ran = subprocess.run([python, "-c", _PROBE], capture_output=True, text=True, timeout=PROBE_TIMEOUT, check=True)
        found = json.loads(ran.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as fault:
        words = getattr(fault, "strerror", None) or str(getattr(fault, "stderr", "") or fault).strip().splitlines()[-1]
        raise ConfigError(
            f"cannot ask {python} for its models: {words}", hint="is it an environment's Python?"
        ) from None
    return {str(name): str(value) for name, value in found.items()}

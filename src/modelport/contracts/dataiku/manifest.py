"""``service.json``: our documented layout of a service folder (the vendor's own is not public).

Front only, and imported only when a service is read: the worker half of this contract needs no third-party code.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modelport.contracts.dataiku.detect import SERVICE_FILE, predictor_classes
from modelport.core.call import FUNCTION, PREDICT
from modelport.core.model import ModelSpec, PoolSettings
from modelport.errors import ConfigError

_HASH = re.compile(r"sha256:[0-9A-Fa-f]{64}")
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class Batching(BaseModel):
    """How many requests a worker may take at once."""

    model_config = ConfigDict(extra="forbid")
    maxRequests: Annotated[int, Field(ge=1, le=4096)]


class Endpoint(BaseModel):
    """One endpoint; paths are relative to the service folder, ``pool`` is checked by ``PoolSettings``."""

    model_config = ConfigDict(extra="forbid")
    id: Id
    type: Literal["CUSTOM_PREDICTION", "PY_FUNCTION"]
    predictionType: Literal["REGRESSION", "CLASSIFICATION"] | None = None
    code: str
    folder: str | None = None
    function: str | None = None
    folders: list[str] = []
    environment: str | None = None
    pool: dict[str, Any] = {}
    batching: Batching | None = None
    testQueries: list[dict[str, Any]] = []
    requestMetadata: bool = False
    customResponse: bool = False


class Service(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid")
    serviceId: Id
    generation: Id = "v1"
    authMethod: Literal["PUBLIC", "API_KEYS"] = "PUBLIC"
    apiKeys: list[Annotated[str, Field(min_length=1)]] = []
    libPython: str | None = None
    endpoints: Annotated[list[Endpoint], Field(min_length=1)]


def read(path: str, given: dict[str, Any]) -> list[ModelSpec]:
    """The endpoints of a service folder, or the one predictor of a file. Raises ``ConfigError`` with every fault."""
    place = Path(path)
    return _read_service(place, given) if place.is_dir() else [_read_file(place, given)]


def _read_file(file: Path, given: dict[str, Any]) -> ModelSpec:
    classes = predictor_classes(str(file))
    component = given.get("component", "").rpartition(".")[2] or None
    kinds = set(classes.values()) if component is None else {classes.get(component, "")}
    return ModelSpec(
        name=given.get("name", file.stem),
        contract="dataiku",
        root=str(file.parent),
        version="v1",
        service=given.get("name", file.stem),
        options={
            "kind": "CUSTOM_PREDICTION",
            "prediction": kinds.pop() if len(kinds) == 1 else None,
            "code": file.name,
            "component": component,
            "path": ["."],
        },
    )


def _read_service(folder: Path, given: dict[str, Any]) -> list[ModelSpec]:
    file = folder / SERVICE_FILE
    try:
        service = Service.model_validate(json.loads(file.read_text()))
    except (OSError, ValueError) as fault:
        if isinstance(fault, ValidationError):
            faults = [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in fault.errors()]
            raise ConfigError(f"{file} has faults", faults=faults) from None
        raise ConfigError(f"{file}: {fault}") from None
    faults = _faults(folder, service)
    specs = []
    for endpoint in service.endpoints:
        try:
            specs.append(_spec(folder, service, endpoint, given))
        except ConfigError as error:
            faults += [f"{endpoint.id}: {fault}" for fault in error.faults]
    if faults:
        raise ConfigError(f"{file} has faults", faults=faults)
    return specs


def _faults(folder: Path, service: Service) -> list[str]:
    """What the outline of the file cannot tell: doubles, missing files, paths that leave the folder."""
    faults = []
    ids = [endpoint.id for endpoint in service.endpoints]
    faults += [f"endpoint {name!r} is there twice" for name in sorted({name for name in ids if ids.count(name) > 1})]
    if service.authMethod == "API_KEYS" and not service.apiKeys:
        faults.append("authMethod API_KEYS needs apiKeys")
    for at, key in enumerate(service.apiKeys):
        if key.startswith("sha256:") and not _HASH.fullmatch(key):
            faults.append(f"apiKeys.{at}: after sha256: come 64 hex digits")
    paths: list[tuple[str, str | None]] = [("libPython", service.libPython)]
    for endpoint in service.endpoints:
        paths += [(f"{endpoint.id}.code", endpoint.code), (f"{endpoint.id}.folder", endpoint.folder)]
        paths += [(f"{endpoint.id}.folders", path) for path in endpoint.folders]
        if endpoint.type == "PY_FUNCTION" and not endpoint.function:
            faults.append(f"{endpoint.id}: a PY_FUNCTION needs function, the name of the function")
        if endpoint.type == "CUSTOM_PREDICTION" and not endpoint.predictionType:
            faults.append(f"{endpoint.id}: a CUSTOM_PREDICTION needs predictionType REGRESSION or CLASSIFICATION")
        if endpoint.requestMetadata and endpoint.batching is not None:
            faults.append(f"{endpoint.id}: a batch has no one request that requestMetadata could be about")
    root = folder.resolve()
    for where, path in paths:
        if path is None:
            continue
        target = (root / path).resolve()
        if not target.is_relative_to(root):
            faults.append(f"{where}: {path!r} leads out of the service folder")
        elif not target.exists():
            faults.append(f"{where}: there is no {path!r}")
    return faults


def _spec(folder: Path, service: Service, endpoint: Endpoint, given: dict[str, Any]) -> ModelSpec:
    code = Path(endpoint.code)
    return ModelSpec(
        name=endpoint.id,
        contract="dataiku",
        root=str(folder),
        version=service.generation,
        service=given.get("name", service.serviceId),
        operation=PREDICT if endpoint.type == "CUSTOM_PREDICTION" else FUNCTION,
        options={
            "kind": endpoint.type,
            "prediction": endpoint.predictionType,
            "code": endpoint.code,
            "folder": endpoint.folder,
            "function": endpoint.function,
            "folders": endpoint.folders,
            "component": given.get("component", "").rpartition(".")[2] or None,
            "path": [path for path in (str(code.parent), service.libPython) if path],
            "request_metadata": endpoint.requestMetadata,
            "custom_response": endpoint.customResponse,
        },
        pool=PoolSettings.read(endpoint.pool, f"{endpoint.id}: pool"),
        max_batch=endpoint.batching.maxRequests if endpoint.batching is not None else 1,
        environment=endpoint.environment,
        all_headers=endpoint.requestMetadata,
        keys=list(service.apiKeys) if service.authMethod == "API_KEYS" else None,
        queries=endpoint.testQueries,
    )

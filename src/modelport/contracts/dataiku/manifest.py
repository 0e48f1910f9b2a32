"""``service.json``: our documented layout of a service folder (the vendor's own is not public).

Front only, and imported only when a service is read: the worker half of this contract needs no third-party code.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modelport.contracts.dataiku.detect import SERVICE_FILE, predictor_classes
from modelport.core.call import FUNCTION, PREDICT
from modelport.core.model import ModelSpec, PoolSettings
from modelport.errors import ConfigError

Outline = TypeVar("Outline", bound=BaseModel)
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
    """The whole file; without ``authMethod``, keys that are there are asked for."""

    model_config = ConfigDict(extra="forbid")
    serviceId: Id
    generation: Id = "v1"
    authMethod: Literal["PUBLIC", "API_KEYS"] | None = None
    apiKeys: list[Annotated[str, Field(min_length=1)]] = []
    libPython: str | None = None
    endpoints: Annotated[list[Any], Field(min_length=1)]


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
        content = json.loads(file.read_text())
    except (OSError, ValueError) as fault:
        raise ConfigError(f"{file}: {fault}") from None
    faults: list[str] = []
    service = _checked(Service, content, "", faults)
    entries = content.get("endpoints") if isinstance(content, dict) else None
    endpoints = [
        _checked(Endpoint, entry, f"endpoints.{at}.", faults)
        for at, entry in enumerate(entries if isinstance(entries, list) else [])
    ]
    faults += _faults(folder.resolve(), service, [endpoint for endpoint in endpoints if endpoint is not None])
    if faults or service is None:
        raise ConfigError(f"{file} has faults", faults=faults)
    return [_spec(folder, service, endpoint, given) for endpoint in endpoints if endpoint is not None]


def _checked(kind: type[Outline], content: Any, where: str, faults: list[str]) -> Outline | None:
    """The outline of ``content``, or None and its faults."""
    try:
        return kind.model_validate(content)
    except ValidationError as fault:
        faults += [
            f"{where}{'.'.join(map(str, error['loc']))}".strip(".") + f": {error['msg']}" for error in fault.errors()
        ]
        return None


def _faults(root: Path, service: Service | None, endpoints: list[Endpoint]) -> list[str]:
    """What the outline of the file cannot tell: doubles, missing files, paths that leave the folder."""
    faults = []
    ids = [endpoint.id for endpoint in endpoints]
    faults += [f"endpoint {name!r} is there twice" for name in sorted({name for name in ids if ids.count(name) > 1})]
    if service is not None:
        if service.authMethod == "API_KEYS" and not service.apiKeys:
            faults.append("authMethod API_KEYS needs apiKeys")
        for at, key in enumerate(service.apiKeys):
            if key.startswith("sha256:") and not _HASH.fullmatch(key):
                faults.append(f"apiKeys.{at}: after sha256: come 64 hex digits")
        faults += _path_faults(root, "libPython", service.libPython)
    for endpoint in endpoints:
        faults += _endpoint_faults(root, endpoint)
    return faults


def _endpoint_faults(root: Path, endpoint: Endpoint) -> list[str]:
    faults = []
    if endpoint.type == "PY_FUNCTION" and not endpoint.function:
        faults.append("a PY_FUNCTION needs function, the name of the function")
    if endpoint.type == "CUSTOM_PREDICTION" and not endpoint.predictionType:
        faults.append("a CUSTOM_PREDICTION needs predictionType REGRESSION or CLASSIFICATION")
    if endpoint.requestMetadata and endpoint.batching is not None:
        faults.append("a batch has no one request that requestMetadata could be about")
    try:
        PoolSettings.read(endpoint.pool, "pool")
    except ConfigError as error:
        faults += error.faults
    faults = [f"{endpoint.id}: {fault}" for fault in faults]
    faults += _path_faults(root, f"{endpoint.id}.code", endpoint.code)
    faults += _path_faults(root, f"{endpoint.id}.folder", endpoint.folder)
    for path in endpoint.folders:
        faults += _path_faults(root, f"{endpoint.id}.folders", path)
    return faults


def _path_faults(root: Path, where: str, path: str | None) -> list[str]:
    if path is None:
        return []
    target = (root / path).resolve()
    if not target.is_relative_to(root):
        return [f"{where}: {path!r} leads out of the service folder"]
    return [] if target.exists() else [f"{where}: there is no {path!r}"]


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
        keys=list(service.apiKeys) if service.apiKeys and service.authMethod != "PUBLIC" else None,
        queries=endpoint.testQueries,
    )

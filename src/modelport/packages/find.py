"""From a path to the models there: which contract they are of, and what is known before loading them."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from modelport import platforms
from modelport.config import Settings
from modelport.core.contract import Carded, Contract
from modelport.core.model import Limits, ModelSpec, PoolSettings, as_name
from modelport.errors import ConfigError
from modelport.packages import archive, graphs, manifest
from modelport.packages.card import Card
from modelport.packages.manifest import Manifest


def find(path: str, settings: Settings, given: Mapping[str, Any] = MappingProxyType({})) -> list[ModelSpec]:
    """The models at ``path``, a folder or a file; ``given`` goes before what its manifest says.

    Raises ``ConfigError`` listing every fault.
    """
    place = Path(path).resolve()
    if not place.exists():
        raise ConfigError(f"there is nothing at {path}", hint="modelport new PLATFORM DIR makes a working example")
    if place.suffix == archive.SUFFIX and place.is_file():
        return _packed(place, settings, given)
    stated = manifest.read(place if place.is_dir() else place.parent, given)
    contract = _contract(place, stated)
    said = stated.model_dump(exclude={"package"}, exclude_none=True)
    if stated.package is not None and isinstance(contract, Carded):
        said["options"] = {**contract.options(stated.package.plain()), **said["options"]}
    specs = contract.read(str(place), said)
    specs = [
        replace(_completed(spec, stated, settings, place), card=_card(spec, contract, stated, place)) for spec in specs
    ]
    return graphs.resolved(specs, lambda path, more: find(path, settings, more))


def _packed(place: Path, settings: Settings, given: Mapping[str, Any]) -> list[ModelSpec]:
    """The models in a package. One that is alone is named after the file."""
    opened = archive.unpack(place, cache_of(settings), settings.max_package)
    card = {"contract": opened.contents.runtime, "package": opened.contents.card}
    specs = find(str(opened.folder), settings, {**card, **given})
    specs = [replace(spec, path=str(place), version=opened.contents.modelId or spec.version) for spec in specs]
    if len(specs) == 1 and specs[0].name == opened.folder.name:
        return [replace(specs[0], name=as_name(place.stem))]
    return specs


def cache_of(settings: Settings) -> Path:
    """The folder that packages are unpacked into."""
    if settings.cache_dir:
        return Path(settings.cache_dir).resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelport" / "packages"


def find_all(paths: Iterable[str], settings: Settings) -> list[ModelSpec]:
    """The models at every path. Endpoints of one name in several services are served as "<service>.<endpoint>"."""
    specs = [spec for path in paths for spec in find(path, settings)]
    names = Counter(spec.name for spec in specs)
    return [
        replace(spec, name=f"{spec.service}.{spec.name}", endpoint=spec.name)
        if names[spec.name] > 1 and spec.service is not None
        else spec
        for spec in specs
    ]


def _contract(place: Path, given: Manifest) -> Contract:
    known: dict[str, Contract] = dict(platforms.loaded("modelport.contracts"))
    if given.contract is not None:
        if given.contract not in known:
            raise ConfigError(f"contract {given.contract!r} is not known", hint=f"known are {', '.join(sorted(known))}")
        return known[given.contract]
    reasons = {name: reason for name, contract in known.items() if (reason := contract.find(str(place)))}
    reasons = reasons or {name: reason for name, contract in known.items() if (reason := contract.adopt(str(place)))}
    if not reasons:
        raise ConfigError(
            f"{place} is no model of a known platform",
            hint=f"known are {', '.join(sorted(known))}; a modelport.yaml may name the contract",
        )
    if len(reasons) > 1:
        told = [f"{name}: {reason}" for name, reason in reasons.items()]
        raise ConfigError(f"{place} could be of several platforms: name one in modelport.yaml", faults=told)
    return known[next(iter(reasons))]


def _completed(spec: ModelSpec, given: Manifest, settings: Settings, place: Path) -> ModelSpec:
    """With what the manifest, the data folder and the server's settings say on top."""
    root = place if place.is_dir() else place.parent
    pool = spec.pool
    if given.pool:
        pool = PoolSettings.read(given.pool, f"{root / manifest.FILE}: pool")
    tuned = _tuning(spec, settings)
    if tuned is not None:
        pool = tuned
    environment = given.environment or spec.environment
    if environment is not None:
        environment = str(root / environment) if os.sep in environment or (root / environment).exists() else environment
    return replace(
        spec,
        path=str(place),
        version=given.version or spec.version,
        pool=pool,
        max_batch=given.batching.maxRequests if given.batching is not None else spec.max_batch,
        environment=environment,
        limits=Limits(
            settings.worker_threads,
            settings.worker_memory,
            settings.max_requests,
            settings.max_rss,
            settings.max_body,
        ),
    )


def _card(spec: ModelSpec, contract: Contract, given: Manifest, place: Path) -> dict[str, Any] | None:
    """What the manifest says of the target and, beneath that, what the contract knows; None where neither does."""
    known = contract.card(spec) if isinstance(contract, Carded) else {}
    if given.package is None and not known:
        return None
    try:
        return (given.package or Card()).over(known).plain()
    except ValidationError as fault:
        raise ConfigError(f"{place}: what is said of the target does not fit", faults=manifest.explain(fault)) from None


def _tuning(spec: ModelSpec, settings: Settings) -> PoolSettings | None:
    """``config/services/<SERVICE>/<ENDPOINT>.json`` in the data folder, where there is one."""
    if not settings.data_dir or spec.service is None:
        return None
    if not Path(settings.data_dir).is_dir():
        raise ConfigError(f"there is no data folder {settings.data_dir}")
    service, name = spec.place
    file = Path(settings.data_dir, "config", "services", service, f"{name}.json")
    try:
        content = json.loads(file.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as fault:
        raise ConfigError(f"{file}: {fault}") from None
    if not isinstance(content, dict) or not isinstance(content.get("pool"), dict):
        raise ConfigError(f'{file} must be an object with "pool"')
    return PoolSettings.read(content["pool"], f"{file}: pool")

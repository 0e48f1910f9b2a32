"""A served folder of packages: looked at now and then, changed by uploads, its models loaded when they are asked."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modelport import platforms
from modelport.config import Settings
from modelport.core.model import Limits, ModelSpec, PoolSettings
from modelport.dataplane import Dataplane, Endpoint
from modelport.errors import ModelportError, SetupError
from modelport.packages import archive, store
from modelport.packages.archive import BadPackage
from modelport.packages.find import cache_of, find
from modelport.packages.store import Deployment, Stamp
from modelport.routing.shelf import Shelf, Superseded

_log = logging.getLogger("modelport.repository")


@dataclass(frozen=True)
class Plan:
    """Which folder is served and how: ``ttl`` is the seconds for which what was seen of it counts, ``size`` how many
    models are loaded at a time, ``preload`` whether they are at the start; ``pool`` is each model's."""

    root: Path
    ttl: float = 60.0
    size: int = 4
    preload: bool = False
    pool: PoolSettings = field(default_factory=PoolSettings)


class Repository:
    """The folder's packages as endpoints. ``remount`` is called after each change of them."""

    def __init__(
        self, plan: Plan, plane: Dataplane, settings: Settings, keys: Callable[[ModelSpec], Sequence[str]]
    ) -> None:
        self._plan = plan
        self._plane = plane
        self._settings = settings
        self._keys = keys
        self._cache = cache_of(settings)
        self._contracts = platforms.registered("modelport.contracts")
        self._endpoints: dict[str, Endpoint] = {}
        self._stamps: dict[str, Stamp] = {}
        self._looked: dict[str, float] = {}
        self._listed_at = 0.0
        self._changing = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()
        self.remount: Callable[[], Awaitable[None]]
        plane.deployments = self
        plane.shelf = Shelf(plan.size, self._fetch, self._put_away, plan.pool.timeout / 1000)

    def open(self) -> None:
        """The first look: an endpoint for each package. Only what they say of themselves is read."""
        store.sweep(self._plan.root)
        archive.sweep(self._cache)
        for name in store.names(self._plan.root):
            self._take(name, store.stamp(self._plan.root, name), store.read(self._plan.root, name))
        self._listed_at = time.monotonic()

    async def preload(self) -> None:
        """Loads as many models as may be loaded, where that is wanted."""
        shelf = self._plane.shelf
        assert shelf is not None
        for endpoint in list(self._endpoints.values())[: self._plan.size] if self._plan.preload else ():
            try:
                async with shelf.lent(endpoint):
                    await endpoint.settled()
            except ModelportError as fault:
                _log.error("%s is not loaded: %s", endpoint.spec.name, fault.describe())

    # --- looking -----------------------------------------------------------------------------------------

    async def refresh(self, path: str, endpoint: Any) -> bool:
        """Looks at the packages that a request may mean, where the last look is too long ago; whether any changed."""
        named = [endpoint.spec.name] if endpoint is not None else path.split("/")[1:6]
        return await self._refresh(name for name in named if name in self._endpoints or store.ID.fullmatch(name))

    async def listed(self) -> Sequence[Endpoint]:
        if time.monotonic() - self._listed_at >= self._plan.ttl:
            self._listed_at = time.monotonic()
            found = await asyncio.to_thread(store.names, self._plan.root)
            await self._refresh([*found, *self._endpoints.keys() - found])
        return sorted(self._endpoints.values(), key=lambda endpoint: endpoint.spec.name)

    async def _refresh(self, names: Iterable[str]) -> bool:
        now = time.monotonic()
        old = [name for name in names if now - self._looked.get(name, -self._plan.ttl) >= self._plan.ttl]
        changed = [name for name in old if self._stamps.get(name, ()) != store.stamp(self._plan.root, name)]
        self._looked.update((name, now) for name in old if name in self._endpoints)
        if changed:
            async with self._changing:
                await self._read(changed)
        return bool(changed)

    async def _read(self, names: Iterable[str]) -> None:
        """Takes what is there now."""
        for name in names:
            stamp = store.stamp(self._plan.root, name)
            self._take(name, stamp, await asyncio.to_thread(store.read, self._plan.root, name))
        await self.remount()

    def _take(self, name: str, stamp: Stamp, found: Deployment | None) -> None:
        """One endpoint for another, or for none."""
        old = self._endpoints.pop(name, None)
        if old is not None:
            old.is_gone = True
            self._plane.endpoints.remove(old)
            task = asyncio.get_running_loop().create_task(self._retire(old))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
        if found is None:
            self._stamps.pop(name, None)
            self._looked.pop(name, None)
            return
        spec = self._spec(found)
        endpoint = self._plane.add(spec, self._keys(spec))
        endpoint.fault = found.fault
        if found.fault is None and spec.contract not in self._contracts:
            endpoint.fault = BadPackage(f"{name} is a model of {spec.contract}, which is not known here")
        self._endpoints[name] = endpoint
        self._stamps[name] = stamp
        self._looked[name] = time.monotonic()

    def _spec(self, found: Deployment) -> ModelSpec:
        """What is known before the package is unpacked."""
        contents, config = found.contents, found.config
        card = contents.card if contents is not None else {}
        return ModelSpec(
            name=found.name,
            contract=contents.runtime if contents is not None else "",
            root=str(found.file.parent),
            path=str(found.file),
            version=contents.modelId if contents is not None else None,
            pool=self._plan.pool,
            limits=Limits(body=self._settings.max_body),
            card={**card, "deployment": config.model_dump(mode="json")},
        )

    # --- changing ----------------------------------------------------------------------------------------

    async def put(self, name: str, body: Any, content_type: str) -> bool:
        store.check_id(name)
        async with self._changing:
            root, limit = self._plan.root, self._settings.max_package
            is_new = await asyncio.to_thread(store.put, root, name, body, content_type, self._cache, limit)
            await self._read([name])
        _log.info("%s was %s", name, "uploaded" if is_new else "replaced")
        return is_new

    async def remove(self, name: str) -> None:
        store.check_id(name)
        async with self._changing:
            await asyncio.to_thread(store.remove, self._plan.root, name)
            await self._read([name])
        _log.info("%s was deleted", name)

    # --- loading -----------------------------------------------------------------------------------------

    async def _fetch(self, endpoint: Endpoint) -> None:
        """Unpacks, verifies and starts a model."""
        if endpoint.is_gone:
            raise Superseded
        if endpoint.fault is not None:
            raise endpoint.fault.with_traceback(None)  # it is raised many times
        known = endpoint.spec
        try:
            specs = await asyncio.to_thread(find, known.path, self._settings)
        except BadPackage:
            raise
        except SetupError as fault:
            told = [text.replace(str(self._cache), "") for text in fault.faults or [fault.message]]
            raise BadPackage(f"{known.name} cannot be served", faults=told) from None
        if len(specs) > 1:
            names = ", ".join(spec.name for spec in specs)
            raise BadPackage(f"{known.name} holds several models ({names}); one was expected")
        card = {**(specs[0].card or {}), "deployment": (known.card or {}).get("deployment")}
        endpoint.become(replace(specs[0], name=known.name, pool=known.pool, card=card))
        self._plane.start(endpoint)

    async def _put_away(self, endpoint: Endpoint) -> None:
        await asyncio.gather(*(pool.stop(grace=endpoint.spec.pool.run_timeout / 1000) for pool in endpoint.processes))

    async def _retire(self, endpoint: Endpoint) -> None:
        assert self._plane.shelf is not None
        await self._plane.shelf.drop(endpoint)

"""The one road: a call goes to its endpoint's pool, and what happened is counted and noted."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelport.config import Settings
from modelport.core.call import Call, Reply
from modelport.core.model import Description, ModelSpec, PoolSettings
from modelport.core.protocol import Deployments
from modelport.core.timing import Timing
from modelport.errors import (
    Cancelled,
    LoadError,
    ModelportError,
    ModelUnloaded,
    NotFound,
    ServiceError,
    Unauthorized,
)
from modelport.monitoring.metrics import CONTENT_TYPE, Metrics
from modelport.monitoring.timed import Timed
from modelport.pool.body import Body, Spool
from modelport.pool.pool import Pool
from modelport.pool.process import resident
from modelport.pool.sizing import starts_at_once
from modelport.pool.stream import Stream
from modelport.pool.tasks import Tasks
from modelport.routing import graph as walk
from modelport.routing.shares import Copies, Shares
from modelport.routing.shelf import Shelf, Superseded


class Endpoint:
    """One served model: its pool, its keys, its counts; a graph's are also ``timed``, if its platform has metrics of
    that. One that ``is_gone`` has given its name to another, or to none;
    ``fault`` is why it cannot be loaded at all."""

    def __init__(self, spec: ModelSpec, plane: Dataplane, keys: Sequence[str]) -> None:
        self.spec = spec
        self._keys = [configured(key) for key in keys]
        self.pool: Pool | None = None
        self.beside: Pool | None = None
        self.stats = Statistics()
        self.times = plane.metrics.times(spec.name)
        self.fault: ModelportError | None = None
        self.is_gone = False
        self._plane = plane
        self.become(spec)

    def become(self, spec: ModelSpec) -> None:
        """Takes what is known of the model now; it must not be loaded."""
        self.spec = spec
        apart = spec.graph.apart if spec.graph is not None else {}
        self.parts = {unit: Endpoint(part, self._plane, ()) for unit, part in apart.items()}
        timing = self._plane.timings.get(spec.contract) if spec.graph is not None else None
        self.timed = Timed(spec, timing) if timing is not None else None

    @property
    def description(self) -> Description | None:
        return self.pool.description if self.pool is not None else None

    @property
    def state(self) -> str:
        """That of its pool and of its parts: the worst of them."""
        own = self.pool.state if self.pool is not None else "unloaded"
        return min([own, *(part.state for part in self.parts.values())], key=_WORST.index)

    @property
    def reason(self) -> str:
        if self.state == "ready":
            return ""
        for unit, part in self.parts.items():
            if part.state == self.state:
                return f"{unit}: {part.reason}"
        if self.pool is not None and self.pool.error is not None:
            return self.pool.reason
        return {"starting": "its first worker is still loading"}.get(self.state, "it is not loaded")

    @property
    def failure(self) -> str | None:
        """Why it cannot be loaded, as clients may know it; None while nobody has found that out."""
        for unit, part in self.parts.items():
            if part.failure is not None:
                return f"{unit}: {part.failure}"
        pool = self.pool
        return pool.reason if pool is not None and pool.state in ("starting", "failed") and pool.error else None

    @property
    def open_to_all(self) -> bool:
        return not self._keys

    def admit(self, key: str | None) -> None:
        """Raises ``Unauthorized`` unless the key is one of this endpoint's, or it has none."""
        if not self._keys:
            return
        if key is None:
            raise Unauthorized(f"{self.spec.name} needs an API key", hint="send it as Basic user name or as Bearer")
        given = hashed(key)
        matches = [hmac.compare_digest(given, known) for known in self._keys]
        if not any(matches):
            raise Unauthorized("the API key is not valid")

    def statistics(self) -> dict[str, Any]:
        counted = self.stats.as_dict()
        counted["batches"] = dict(self.pool.tally.batches) if self.pool is not None else {}
        return counted

    def memory(self) -> dict[int, int]:
        """Resident bytes of each worker, by process id."""
        workers = [worker for pool in self.pools for worker in pool.workers]
        return {worker.pid: worker.rss() for worker in workers if worker.pid}

    @property
    def pools(self) -> list[Pool]:
        """Its own, and those of its parts."""
        return [one.pool for one in (self, *self.parts.values()) if one.pool is not None]

    @property
    def processes(self) -> list[Pool]:
        """These and the pool of the process that accompanies them."""
        return self.pools if self.beside is None else [*self.pools, self.beside]

    @property
    def error(self) -> LoadError | None:
        """Why it does not load."""
        return next((pool.error for pool in self.pools if pool.error is not None), None)

    async def settled(self) -> None:
        """Until the first load of everything has come to an end."""
        for pool in self.pools:
            await pool.settled()


_WORST = ("failed", "unloaded", "starting", "ready")
"""States, from bad to good."""


class Shared(Endpoint):
    """One name for several endpoints, its members: each request goes to one of them, by their weights, and a copy of
    it to each mirror."""

    def __init__(self, name: str, members: list[Endpoint], plane: Dataplane, keys: Sequence[str]) -> None:
        answering = [(one, one.spec.split.weight) for one in members if one.spec.split and not one.spec.split.mirror]
        self.main = max(answering, key=lambda pair: pair[1])[0]
        super().__init__(replace(self.main.spec, name=name, split=None), plane, keys)
        self.parts = self.main.parts
        self.members = members
        self._shares = Shares(answering)
        self._mirrors = [
            (one, one.spec.split.weight / 100, Copies(MAX_COPIES))
            for one in members
            if one.spec.split and one.spec.split.mirror
        ]

    @property
    def description(self) -> Description | None:
        return self.main.description

    @property
    def state(self) -> str:
        """The worst of those that answer."""
        answering = [one.state for one in self.members if one.spec.split and not one.spec.split.mirror]
        return min(answering, key=_WORST.index)

    @property
    def reason(self) -> str:
        return next((f"{one.spec.name}: {one.reason}" for one in self.members if one.state == self.state), "")

    @property
    def failure(self) -> str | None:
        return self.main.failure

    @property
    def pools(self) -> list[Pool]:
        return []  # they are its members'

    def statistics(self) -> dict[str, Any]:
        """Those of whoever answers, added up."""
        counted = [one.statistics() for one in self.members if one.spec.split and not one.spec.split.mirror]
        batches: Counter[int] = sum((Counter(one.pop("batches")) for one in counted), Counter())
        last = max(one["last"] for one in counted)
        return {**{name: sum(one[name] for one in counted) for name in counted[0]}, "last": last, "batches": batches}

    def choose(self, call: Call) -> Endpoint:
        """Who answers this call; one about a unit is the main one's."""
        return self.main if call.unit else self._shares.choose()

    def copy(self, run: Callable[[Endpoint], Coroutine[Any, Any, None]]) -> None:
        """Has ``run`` done for each mirror, in the background and as often as its weight says."""
        for mirror, share, copies in self._mirrors:
            if random.random() < share:  # noqa: S311
                is_started = copies.start(lambda mirror=mirror: run(mirror))  # type: ignore[misc]
                if not is_started and mirror.pool is not None:
                    mirror.pool.tally.rejected += 1


MAX_COPIES = 16
"""Copies of requests to one mirror that may be under way; more are left out."""


class Statistics:
    """Counts and nanoseconds since the start."""

    __slots__ = ("decode", "encode", "fail", "failed", "infer", "last", "queue", "success")

    def __init__(self) -> None:
        self.success = self.fail = self.queue = self.last = 0
        self.decode = self.infer = self.encode = self.failed = 0

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


class Dataplane:
    """Every endpoint of this server, and the way to each.

    ``base`` is the server's own URL, for models that call it; ``draining`` says that it is about to stop;
    ``accompanies`` that models may do more than answer. ``timings`` are by platform. With a ``shelf`` models are loaded
    when they are asked.
    """

    def __init__(
        self,
        codecs: Mapping[str, str],
        contracts: Mapping[str, str],
        metrics: Metrics,
        settings: Settings,
        timings: Mapping[str, Timing] | None = None,
    ) -> None:
        self.endpoints: list[Endpoint] = []
        self.metrics = metrics
        self.timings = timings or {}
        self.draining = False
        self.base = ""
        self.is_single = False
        self.deployments: Deployments | None = None
        self.shelf: Shelf[Endpoint] | None = None
        self._codecs = dict(codecs)
        self._contracts = dict(contracts)
        self._settings = settings
        self.accompanies = False
        self._accompanying: set[asyncio.Task[None]] = set()
        self._leaving: set[Pool] = set()
        self._starts = asyncio.Semaphore(starts_at_once())
        self.tasks = Tasks(self._order, metrics.reported.of, self._starts, settings)
        metrics.watch(self.endpoints, self.tasks)

    @property
    def repository(self) -> bool:
        """Whether models may be listed, loaded and unloaded from outside."""
        return self._settings.repository

    @property
    def data_dir(self) -> str:
        """The node's data folder; empty when it has none."""
        return self._settings.data_dir

    @property
    def ready(self) -> bool:
        """Every endpoint that is meant to be loaded has a live worker; an empty or draining server is not ready."""
        if self.draining:
            return False
        wanted = [endpoint for endpoint in self.endpoints if endpoint.state != "unloaded" and not is_mirror(endpoint)]
        return bool(self.endpoints) and all(endpoint.state == "ready" for endpoint in wanted)

    @property
    def started(self) -> bool:
        """No endpoint is still waiting for the result of its first load."""
        return all(pool.is_settled for endpoint in self.endpoints for pool in endpoint.pools)

    def memory(self) -> int:
        """Resident bytes of this process; 0 where there is no /proc."""
        return resident("self")

    def measured(self) -> Reply:
        """The metrics, as Prometheus reads them."""
        return Reply(200, [("content-type", CONTENT_TYPE)], self.metrics.text())

    def add(self, spec: ModelSpec, keys: Sequence[str]) -> Endpoint:
        endpoint = Endpoint(spec, self, keys)
        self.endpoints.append(endpoint)
        return endpoint

    def share(self, keys: Callable[[ModelSpec], Sequence[str]]) -> None:
        """Gives each name that several endpoints share an endpoint of its own."""
        names = dict.fromkeys(one.spec.split.name for one in self.endpoints if one.spec.split is not None)
        for name in names:
            members = [one for one in self.endpoints if one.spec.split is not None and one.spec.split.name == name]
            shared = Shared(name, members, self, keys(members[0].spec))
            self.endpoints.insert(self.endpoints.index(members[0]), shared)

    def start(self, endpoint: Endpoint) -> None:
        """Gives the endpoint and its parts pools and starts their first workers, without waiting for them."""
        for one in () if isinstance(endpoint, Shared) else (endpoint, *endpoint.parts.values()):
            if one.pool is None or one.pool.state in ("unloaded", "failed"):
                self._start(one)

    def _start(self, endpoint: Endpoint) -> None:
        measures = self.metrics.reported.of(endpoint.spec.name)
        measures.asked = endpoint.timed.asked if endpoint.timed is not None else None
        order = self._order(endpoint.spec)
        endpoint.pool = Pool(endpoint.spec, order, self._starts, self._settings.shrink_after, measures)
        endpoint.pool.start()
        if self.accompanies:
            task = asyncio.create_task(self._accompany(endpoint, endpoint.pool, order))
            self._accompanying.add(task)
            task.add_done_callback(self._accompanying.discard)

    async def _accompany(self, endpoint: Endpoint, pool: Pool, order: dict[str, Any]) -> None:
        """Starts what a model wants done beside its answers, in a process of its own."""
        await pool.settled()
        if endpoint.pool is not pool or pool.description is None or not pool.description.details.get("beside"):
            return
        spec = replace(endpoint.spec, name=f"{endpoint.spec.name}, beside it", pool=PoolSettings(1, 1, 1))
        measures = self.metrics.reported.of(endpoint.spec.name)
        endpoint.beside = Pool(spec, {**order, "beside": True}, self._starts, self._settings.shrink_after, measures)
        endpoint.beside.start()

    def _order(self, spec: ModelSpec) -> dict[str, Any]:
        """What a worker is told at its start."""
        return {
            "spec": spec.to_dict(),
            "contract": self._contracts[spec.contract],
            "codecs": self._codecs,
            "detail": self._settings.error_detail,
            "base": self.base,
            "data": self._settings.data_dir and str(Path(self._settings.data_dir).resolve()),
        }

    async def load(self, name: str) -> None:
        """Loads an endpoint and waits for it. Raises ``NotFound``, or the ``LoadError``."""
        endpoint = self.find(name)
        if isinstance(endpoint, Shared):
            await asyncio.gather(*(self.load(one.spec.name) for one in endpoint.members))
            return
        if self.shelf is not None:
            async with self.shelf.lent(endpoint):
                await endpoint.settled()
        elif endpoint.state in ("unloaded", "failed"):
            self.start(endpoint)
        await endpoint.settled()
        if endpoint.state == "unloaded":
            raise ModelUnloaded(f"{name} was unloaded meanwhile")
        if endpoint.error is not None:
            raise endpoint.error

    async def unload(self, name: str) -> None:
        endpoint = self.find(name)
        if isinstance(endpoint, Shared):
            await asyncio.gather(*(self.unload(one.spec.name) for one in endpoint.members))
            return
        if self.shelf is not None:
            await self.shelf.drop(endpoint)
            return
        pools = set(endpoint.processes)
        self._leaving |= pools
        try:
            await asyncio.gather(*(pool.stop(grace=endpoint.spec.pool.run_timeout / 1000) for pool in pools))
        finally:
            self._leaving -= pools

    def find(self, name: str) -> Endpoint:
        for endpoint in self.endpoints:
            if endpoint.spec.name == name:
                return endpoint
        raise NotFound(f"model {name!r} not found")

    async def execute(self, endpoint: Endpoint, call: Call, body: Body, exchange: Any) -> Reply:
        """Runs one call. ``exchange`` is told whom to wake when the client goes away; cancelling does as well.

        Raises ``ServiceError`` for whatever keeps the call from being run to its end.
        """
        if self.shelf is None:
            return await self._execute(endpoint, call, body, exchange)
        while True:
            if endpoint.is_gone:
                endpoint = self.find(endpoint.spec.name)
            try:
                async with self.shelf.lent(endpoint):
                    return await self._execute(endpoint, call, body, exchange)
            except Superseded:
                pass

    async def _execute(self, endpoint: Endpoint, call: Call, body: Body, exchange: Any) -> Reply:
        if isinstance(endpoint, Shared):
            chosen = endpoint.choose(call)
            if not call.unit:
                endpoint.copy(lambda mirror: self._mirrored(mirror, call, duplicate(body)))
            return await self._execute(chosen, call, body, exchange)
        if endpoint.spec.graph is None:
            return await self._run(endpoint, call, body, exchange)
        answer = self._walk(endpoint, call, body, exchange)
        if endpoint.timed is None:
            return await answer
        if call.unit:
            answer = endpoint.timed.question(call, answer)
        return await endpoint.timed.request(call, answer)

    async def _walk(self, endpoint: Endpoint, call: Call, body: Body, exchange: Any) -> Reply:
        """Runs one call on a graph."""
        if endpoint.parts:
            return await walk.execute(endpoint, call, body, exchange, self._run)
        try:
            return await self._run(endpoint, call, body, exchange)
        except ServiceError as error:
            raise error.of("") from None

    async def _mirrored(self, mirror: Endpoint, call: Call, body: Body) -> None:
        """Runs the copy of a call, and drops its answer."""
        try:
            reply = await self.execute(mirror, call, body, None)
            if isinstance(reply.body, (Spool, Stream)):
                reply.body.close()
        finally:
            if isinstance(body, Spool):
                body.close()

    async def _run(self, endpoint: Endpoint, call: Call, body: Body, exchange: Any, is_counted: bool = True) -> Reply:
        """Runs one call on a worker of the endpoint's own pool."""
        pool = endpoint.pool
        if pool is None:
            raise ModelUnloaded(f"{endpoint.spec.name} is not loaded")
        stats = endpoint.stats if is_counted else Statistics()
        ticket = pool.submit(call, body)
        if exchange is not None:
            exchange.watch(lambda: pool.cancel(ticket))
        try:
            reply = await ticket.future
        except Cancelled:
            raise
        except asyncio.CancelledError:
            pool.cancel(ticket)
            raise
        except Exception:
            stats.fail += 1
            raise
        finally:
            if exchange is not None:
                exchange.watch(None)
        done = time.monotonic()
        waited, ran = ticket.started - ticket.queued, done - ticket.started
        stats.queue += int(waited * 1e9)
        stats.last = int(time.time() * 1000)
        if reply.code is None:
            stats.success += 1
            if len(ticket.nanoseconds) == 3:
                stats.decode += ticket.nanoseconds[0]
                stats.infer += ticket.nanoseconds[1]
                stats.encode += ticket.nanoseconds[2]
        else:
            stats.fail += 1
            stats.failed += int(ran * 1e9)
        if is_counted:
            endpoint.times.observe(waited, ran)
        return reply

    async def stop(self, grace: float) -> None:
        """Lets what runs finish, then ends every worker."""
        pools = {pool for endpoint in self.endpoints for pool in endpoint.processes} | self._leaving
        await asyncio.gather(self.tasks.stop(), *(pool.stop(grace) for pool in pools))


def is_mirror(endpoint: Any) -> bool:
    """Whether nobody gets its answers."""
    return endpoint.spec.split is not None and endpoint.spec.split.mirror


def duplicate(body: Body) -> Body:
    """The same body, to be closed by somebody else."""
    return Spool.adopt(os.dup(body.fileno()), body.size) if isinstance(body, Spool) else body


def configured(key: str) -> bytes:
    """The hash of a key from the settings or a manifest, where "sha256:<hex>" is a hash already."""
    return bytes.fromhex(key[7:]) if key.startswith("sha256:") else hashed(key)


def hashed(key: str) -> bytes:
    """The SHA-256 of a key that a client presents. Keys are random, so no salt is needed."""
    return hashlib.sha256(key.encode()).digest()

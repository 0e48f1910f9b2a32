"""The one road: a call goes to its endpoint's pool, and what happened is counted and noted."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from typing import Any

from modelport.config import Settings
from modelport.core.call import Call, Reply
from modelport.core.model import Description, ModelSpec
from modelport.errors import Cancelled, ModelUnloaded, NotFound, Unauthorized
from modelport.monitoring.metrics import Metrics
from modelport.pool.body import Body
from modelport.pool.pool import Pool
from modelport.pool.process import resident
from modelport.pool.sizing import starts_at_once


class Endpoint:
    """One served model: its pool, its keys, its counts."""

    def __init__(self, spec: ModelSpec, plane: Dataplane, keys: Sequence[str]) -> None:
        self.spec = spec
        self._keys = [configured(key) for key in keys]
        self.pool: Pool | None = None
        self.stats = Statistics()
        self.times = plane.metrics.times(spec.name)

    @property
    def description(self) -> Description | None:
        return self.pool.description if self.pool is not None else None

    @property
    def state(self) -> str:
        return self.pool.state if self.pool is not None else "unloaded"

    @property
    def reason(self) -> str:
        if self.state == "ready":
            return ""
        if self.pool is not None and self.pool.error is not None:
            return self.pool.reason
        return {"starting": "its first worker is still loading"}.get(self.state, "it is not loaded")

    @property
    def failure(self) -> str | None:
        """Why it cannot be loaded, as clients may know it; None while nobody has found that out."""
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
        workers = self.pool.workers if self.pool is not None else []
        return {worker.pid: worker.rss() for worker in workers if worker.pid}


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

    ``base`` is the server's own URL, for models that call it; ``draining`` says that it is about to stop.
    """

    def __init__(
        self, codecs: Mapping[str, str], contracts: Mapping[str, str], metrics: Metrics, settings: Settings
    ) -> None:
        self.endpoints: list[Endpoint] = []
        self.metrics = metrics
        self.draining = False
        self.base = ""
        self._codecs = dict(codecs)
        self._contracts = dict(contracts)
        self._settings = settings
        self._leaving: set[Pool] = set()
        self._starts = asyncio.Semaphore(starts_at_once())
        metrics.watch(self.endpoints)

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
        wanted = [endpoint for endpoint in self.endpoints if endpoint.state != "unloaded"]
        return bool(self.endpoints) and all(endpoint.state == "ready" for endpoint in wanted)

    @property
    def started(self) -> bool:
        """No endpoint is still waiting for the result of its first load."""
        return all(endpoint.pool is None or endpoint.pool.is_settled for endpoint in self.endpoints)

    def memory(self) -> int:
        """Resident bytes of this process; 0 where there is no /proc."""
        return resident("self")

    def add(self, spec: ModelSpec, keys: Sequence[str]) -> Endpoint:
        endpoint = Endpoint(spec, self, keys)
        self.endpoints.append(endpoint)
        return endpoint

    def start(self, endpoint: Endpoint) -> Pool:
        """Gives the endpoint a pool and starts its first workers, without waiting for them."""
        order = {
            "spec": endpoint.spec.to_dict(),
            "contract": self._contracts[endpoint.spec.contract],
            "codecs": self._codecs,
            "detail": self._settings.error_detail,
            "base": self.base,
        }
        measures = self.metrics.reported.of(endpoint.spec.name)
        endpoint.pool = pool = Pool(endpoint.spec, order, self._starts, self._settings.shrink_after, measures)
        pool.start()
        return pool

    async def load(self, name: str) -> None:
        """Loads an endpoint and waits for it. Raises ``NotFound``, or the ``LoadError``."""
        endpoint = self.find(name)
        pool = endpoint.pool
        if endpoint.state in ("unloaded", "failed") or pool is None:
            pool = self.start(endpoint)
        await pool.settled()
        if pool.state == "unloaded":
            raise ModelUnloaded(f"{name} was unloaded meanwhile")
        if pool.error is not None:
            raise pool.error

    async def unload(self, name: str) -> None:
        endpoint = self.find(name)
        pool = endpoint.pool
        if pool is None:
            return
        self._leaving.add(pool)
        try:
            await pool.stop(grace=endpoint.spec.pool.run_timeout / 1000)
        finally:
            self._leaving.discard(pool)

    def find(self, name: str) -> Endpoint:
        for endpoint in self.endpoints:
            if endpoint.spec.name == name:
                return endpoint
        raise NotFound(f"model {name!r} not found")

    async def execute(self, endpoint: Endpoint, call: Call, body: Body, exchange: Any) -> Reply:
        """Runs one call. ``exchange`` is told whom to wake when the client goes away; cancelling does as well.

        Raises ``ServiceError`` for whatever keeps the call from being run to its end.
        """
        pool = endpoint.pool
        if pool is None:
            raise ModelUnloaded(f"{endpoint.spec.name} is not loaded")
        stats = endpoint.stats
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
        endpoint.times.observe(waited, ran)
        return reply

    async def stop(self, grace: float) -> None:
        """Lets what runs finish, then ends every worker."""
        pools = {endpoint.pool for endpoint in self.endpoints if endpoint.pool is not None} | self._leaving
        await asyncio.gather(*(pool.stop(grace) for pool in pools))


def configured(key: str) -> bytes:
    """The hash of a key from the settings or a manifest, where "sha256:<hex>" is a hash already."""
    return bytes.fromhex(key[7:]) if key.startswith("sha256:") else hashed(key)


def hashed(key: str) -> bytes:
    """The SHA-256 of a key that a client presents. Keys are random, so no salt is needed."""
    return hashlib.sha256(key.encode()).digest()

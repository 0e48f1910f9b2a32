"""A model without a server: loaded in a worker as ``serve`` loads it, asked through its own protocol's codec."""

from __future__ import annotations

import contextlib
import difflib
import itertools
import logging
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from modelport import platforms
from modelport.cli.dialects import Dialect, Request, dialect_of
from modelport.config import Settings
from modelport.core.call import Call, Reply
from modelport.core.model import Description, ModelSpec
from modelport.core.protocol import WireProtocol
from modelport.dataplane import Dataplane, Endpoint
from modelport.errors import ConfigError, ModelportError
from modelport.monitoring.metrics import Metrics
from modelport.pool.stream import Stream


class LocalModel:
    """A loaded model with one worker. ``load_seconds`` is how long loading took."""

    def __init__(self, plane: Dataplane, endpoint: Endpoint, protocol: WireProtocol, dialect: Dialect) -> None:
        self.spec = endpoint.spec
        self.dialect = dialect
        self.load_seconds = 0.0
        self._plane = plane
        self._endpoint = endpoint
        self._protocol = protocol
        self._ids = itertools.count(1)

    @property
    def pid(self) -> int:
        """The worker's process; 0 while there is none."""
        pool = self._endpoint.pool
        return next((worker.pid for worker in pool.workers), 0) if pool is not None else 0

    @property
    def description(self) -> Description:
        assert self._endpoint.description is not None
        return self._endpoint.description

    async def load(self) -> None:
        begin = time.perf_counter()
        await self._plane.load(self.spec.name)
        self.load_seconds = time.perf_counter() - begin

    async def ask(self, request: Request) -> Reply:
        """The reply as a client would get it, also to a call that could not be run."""
        call = Call(str(next(self._ids)), self._protocol.name, request.verb, dict(request.headers), request.query, "")
        try:
            reply = await self._plane.execute(self._endpoint, call, request.body, None)
            body = await reply.body.spooled() if isinstance(reply.body, Stream) else reply.body
        except ModelportError as error:
            return self._protocol.error(error, call.id)
        return reply._replace(body=bytes(body))


@contextlib.asynccontextmanager
async def loaded(spec: ModelSpec, settings: Settings, dialect: Dialect | None = None) -> AsyncIterator[LocalModel]:
    """Loads a model in one worker, and ends that worker. Raises its ``LoadError``, and so need not log it.

    It is asked in its own platform's protocol, or in another ``dialect``.
    """
    logging.getLogger("modelport.pool").setLevel(logging.CRITICAL)
    dialect = dialect or dialect_of(spec)
    protocols: dict[str, WireProtocol] = dict(platforms.loaded("modelport.protocols"))
    codecs = {name: protocol.codec for name, protocol in protocols.items()}
    plane = Dataplane(codecs, platforms.registered("modelport.contracts"), Metrics(), settings)
    alone = replace(spec.pool, floor=1, cruise=1, ceil=1)
    model = LocalModel(plane, plane.add(replace(spec, pool=alone), []), protocols[dialect.name], dialect)
    try:
        await model.load()
        yield model
    finally:
        await plane.stop(grace=1.0)


def choose(specs: Sequence[ModelSpec], name: str | None) -> list[ModelSpec]:
    """The models of that name, or all. Raises ``ConfigError`` when there is none."""
    if name is None:
        return list(specs)
    chosen = [spec for spec in specs if spec.name == name]
    if not chosen:
        names = [spec.name for spec in specs]
        near = difflib.get_close_matches(name, names, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"there is no endpoint {name!r}", hint=f"{meant}there are {', '.join(names)}")
    return chosen


def choose_one(specs: Sequence[ModelSpec], name: str | None) -> ModelSpec:
    """The model of that name, or the only one. Raises ``ConfigError`` when it is not clear which."""
    chosen = choose(specs, name)
    if len(chosen) > 1:
        names = ", ".join(spec.name for spec in chosen)
        raise ConfigError("there are several endpoints", hint=f"--endpoint with one of {names}")
    return chosen[0]

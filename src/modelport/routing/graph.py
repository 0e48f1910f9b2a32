"""The walk of a request among units that have workers of their own: messages are bytes, which nobody here reads."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple

from modelport.core import graph
from modelport.core.call import Call, Reply
from modelport.core.graph import ALL, BRANCH, RECALL, RECORD, ROUTES, Step, Together, Unit, Walk
from modelport.core.protobuf.integers import varint
from modelport.core.statuses import GRPC_STATUS, UNIT
from modelport.errors import (
    Cancelled,
    InvalidOutput,
    ModelportError,
    ModelRejected,
    ModelUnavailable,
    ServiceError,
    Unconvertible,
)
from modelport.pool.body import Body, Spool
from modelport.pool.stream import Stream

LIST_ITEM = b"\x0a"
"""What goes before each message of a protobuf list whose first field they are, and before its length."""


class Message(NamedTuple):
    """A body, and the headers and the query that say how to read it. ``said`` holds the headers that an answer came
    with; None for the request's own message."""

    body: Body
    headers: Mapping[str, str]
    query: str = ""
    said: list[tuple[str, str]] | None = None


class Ended(Exception):
    """A unit's own answer ended the walk: it goes out as it is."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


Ask = Callable[[Unit, str, Message], Awaitable[Reply]]
"""Asks the unit's model what the verb says. Raises ``ModelportError``."""


class Walker:
    """Takes one walk. ``join`` makes one body of several; ``is_over`` tells an answer that ends the walk."""

    def __init__(self, ask: Ask, join: Callable[[Iterable[Body]], bytes], is_over: Callable[[Reply], bool]) -> None:
        self._ask = ask
        self._join = join
        self._is_over = is_over
        self._spools: list[Spool] = []

    async def take(self, walk: Walk) -> Reply:
        """The reply that the walk returns, or the one that ended it. Raises ``ModelportError``, of the unit."""
        answer: Any = None
        try:
            message: Message = await self._run(walk)
            if message.said is None:  # nobody was asked, and whoever sent it closes it
                about = ("content-type", "content-encoding")
                kept = [(name, value) for name, value in message.headers.items() if name in about]
                return Reply(200, kept, bytes(message.body))
            answer = message.body
            return Reply(200, message.said, answer)
        except Ended as ended:
            answer = ended.reply.body
            return ended.reply
        finally:
            for spool in self._spools:
                if spool is not answer:
                    spool.close()

    async def _run(self, walk: Walk) -> Any:
        result = None
        while True:
            try:
                asked = walk.send(result)
            except StopIteration as end:
                return end.value
            if isinstance(asked, Together):
                result = await self._run_all(asked.walks)
            else:
                result = await self._step(asked)

    async def _run_all(self, walks: list[Walk]) -> list[Any]:
        if len(walks) == 1:
            return [await self._run(walks[0])]
        results = await asyncio.gather(*map(self._run, walks), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results

    async def _step(self, step: Step) -> Any:
        """A message, or the branch that a unit chose."""
        unit, message = step.unit, step.message
        if isinstance(message, list):
            message = message[0]._replace(body=self._join(item.body for item in step.message))
        try:
            reply = await self._ask(unit, step.verb, message)
            if isinstance(reply.body, Stream):
                reply = reply._replace(body=await reply.body.spooled())
        except ModelportError as error:
            raise error.of(unit.name) from None
        if isinstance(reply.body, Spool):
            self._spools.append(reply.body)
        if self._is_over(reply):
            raise Ended(reply._replace(headers=[*reply.headers, (UNIT, unit.name)]))
        if step.verb == unit.route:
            return _number(dict(reply.headers).get(BRANCH, str(ALL)), unit)
        kept = {name: value for name, value in message.headers.items() if not name.startswith("content-")}
        types = {name: value for name, value in reply.headers if name == "content-type"}
        return Message(reply.body, {**kept, **types}, said=reply.headers)


def _number(branch: str, unit: Unit) -> int:
    try:
        return int(branch)
    except ValueError:
        raise InvalidOutput(f"{unit.name} chose no branch").of(unit.name) from None


def json_list(bodies: Iterable[Body]) -> bytes:
    """JSON values as one list of them."""
    return b"[" + b",".join(map(bytes, bodies)) + b"]"


def protobuf_list(bodies: Iterable[Body]) -> bytes:
    """Protobuf messages as one message, whose first field is the list of them."""
    parts = []
    for body in map(bytes, bodies):
        parts += [LIST_ITEM, varint(len(body)), body]
    return b"".join(parts)


Run = Callable[..., Awaitable[Reply]]
"""``run(endpoint, call, body, exchange, is_counted=)`` runs a call in the endpoint's own pool."""


async def execute(endpoint: Any, call: Call, body: Body, exchange: Any, run: Run) -> Reply:
    """Runs one call on a graph some of whose units have pools of their own: ``endpoint.parts``.

    ``exchange`` is told whom to wake when the client goes away. Raises ``ModelportError``.
    """
    if call.unit:
        try:
            return await run(endpoint.parts.get(call.unit, endpoint), call, body, exchange)
        except ServiceError as error:
            raise error.of(call.unit) from None
    task = asyncio.current_task()
    assert task is not None
    is_gone = False

    def leave() -> None:
        nonlocal is_gone
        is_gone = True
        task.cancel()

    if exchange is not None:
        exchange.watch(leave)
    try:
        if call.protocol.partition(".")[0] != endpoint.spec.contract:
            return await _translated(endpoint, call, body, run)
        if not call.verb.endswith((endpoint.spec.graph.answers, endpoint.spec.graph.learns)):
            headers = {**call.headers, graph.PARTS: json.dumps(_described(endpoint))}
            return await run(endpoint, call._replace(headers=headers), body, None, is_counted=False)
        return await _Request(endpoint, call, run).answer(body)
    except asyncio.CancelledError:
        if not is_gone:
            raise
        task.uncancel()
        raise Cancelled("the client went away") from None
    finally:
        if exchange is not None:
            exchange.watch(None)


def _described(endpoint: Any) -> dict[str, Any]:
    """What is known of each part that has loaded."""
    told = {}
    for unit, part in endpoint.parts.items():
        description = part.description
        if description is None:
            raise ModelUnavailable(f"{unit} is {part.state}: {part.reason}").of(unit)
        own = {"metadata": description.details["metadata"]} if "metadata" in description.details else {}
        spec = {"name": part.spec.name, "version": part.spec.version, "contract": part.spec.contract}
        told[unit] = {**spec, "columns": description.columns, **own}
    return told


async def _translated(endpoint: Any, call: Call, body: Body, run: Run) -> Reply:
    """A call of another protocol: the graph's workers make a message of it, and an answer of what the walk returns."""
    entered = await run(endpoint, call._replace(unit=graph.ENTER), body, None, is_counted=False)
    if entered.code is not None or entered.status != 200:
        return entered
    own = call._replace(
        protocol=endpoint.spec.contract, verb=endpoint.spec.graph.answers, headers=dict(entered.headers), query=""
    )
    walked = await _Request(endpoint, own, run).answer(entered.body)
    said = dict(walked.headers)
    if _is_over(walked):
        told = bytes(walked.body)[:MAX_TOLD].decode("utf-8", "replace").strip()
        text = f"{said.get(UNIT)} answered with status {walked.status}: {told}"
        raise ModelRejected("Stopped", text, walked.status).of(said.get(UNIT, ""))
    if len(walked.body) > MAX_ANSWER:
        raise Unconvertible(
            f"the answer of {endpoint.spec.name} has more than {MAX_ANSWER >> 20} MiB",
            hint=f"ask by the API of {endpoint.spec.contract}",
        )
    headers = {**call.headers, graph.ANSWER: bytes(walked.body).decode()}
    left = call._replace(unit=graph.LEAVE, headers=headers)
    return await run(endpoint, left, body, None, is_counted=False)


MAX_TOLD = 1000
"""Bytes of a unit's error that another protocol is told."""
MAX_ANSWER = 2 << 20
"""Bytes of an answer that another protocol can be told: it crosses to the worker beside the request."""


class _Request:
    """One call on its way through the graph. What its verb has before that of the graph, the units' have too."""

    def __init__(self, endpoint: Any, call: Call, run: Run) -> None:
        self._endpoint = endpoint
        self._graph = endpoint.spec.graph
        self._call = call
        self._run = run
        self._begin = time.monotonic()
        join = protobuf_list if call.protocol.endswith(".grpc") else json_list
        self._walker = Walker(self._ask, join, _is_over)
        self._learns = call.verb.endswith(self._graph.learns)
        self._mark = call.verb.removesuffix(self._graph.learns if self._learns else self._graph.answers)

    async def answer(self, body: Body) -> Reply:
        message = Message(body, self._call.headers, self._call.query)
        if self._learns:
            return await self._learn(message)
        routes: dict[str, int] = {}
        reply = await self._walker.take(graph.answer(self._graph.root, message, routes, random.random))
        self._count(reply)
        if not self._graph.records or _is_over(reply):
            return reply
        told = {**dict(reply.headers), ROUTES: json.dumps(routes)}
        try:
            return await self._home(RECORD, Message(reply.body, told))
        finally:
            if isinstance(reply.body, Spool):
                reply.body.close()

    async def _learn(self, message: Message) -> Reply:
        routes = {}
        if self._graph.root.children:
            told = await self._home(RECALL, message)
            if _is_over(told):
                return told
            routes = json.loads(dict(told.headers)[ROUTES])
        reply = await self._walker.take(graph.learn(self._graph.root, message, routes))
        self._count(reply)
        if self._mark and not self._graph.root.learn and not _is_over(reply):
            return reply._replace(body=b"")  # what was sent is of another type than answers are
        return reply

    def _count(self, reply: Reply) -> None:
        """Once for all that was asked."""
        self._endpoint.times.observe(0.0, time.monotonic() - self._begin)
        stats = self._endpoint.stats
        stats.last = int(time.time() * 1000)
        if reply.code is None:
            stats.success += 1
        else:
            stats.fail += 1

    async def _home(self, verb: str, message: Message) -> Reply:
        """What the graph's own workers are asked about a message."""
        call = self._call._replace(verb=self._mark + verb, headers=dict(message.headers), query=message.query)
        return await self._run(self._endpoint, call, message.body, None, is_counted=False)

    async def _ask(self, unit: Unit, verb: str, message: Message) -> Reply:
        part = self._endpoint.parts.get(unit.name)
        headers = dict(message.headers)
        call = self._call._replace(verb=self._mark + verb, headers=headers, query=message.query, unit=unit.name)
        if part is None:
            answer = self._run(self._endpoint, call, message.body, None, is_counted=False)
        else:
            answer = self._run(part, call, message.body, None)
        timed = self._endpoint.timed
        return await (answer if timed is None else timed.question(call, answer))


def _is_over(reply: Reply) -> bool:
    return reply.status != 200 or any(name == GRPC_STATUS for name, _ in reply.headers)

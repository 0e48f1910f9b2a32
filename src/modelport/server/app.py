"""The ASGI application: an exact-match route table over every mounted protocol.

The hot path, from ``__call__`` on, looks a path up, checks a key, takes the body's bytes as they come and passes
them on; it never looks into them.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote

from modelport.config import Settings
from modelport.core.call import Call, Reply
from modelport.core.frames import SPOOL_THRESHOLD
from modelport.core.graph import OURS
from modelport.core.protocol import Marked, Moving, Particular, Question, Served, WireProtocol
from modelport.dataplane import Dataplane, Endpoint
from modelport.errors import (
    Cancelled,
    MethodNotAllowed,
    ModelportError,
    NotFound,
)
from modelport.monitoring.logs import note
from modelport.pool.body import Spool
from modelport.pool.stream import Stream
from modelport.server.auth import AdminDoor, credential
from modelport.server.ids import RequestIds
from modelport.server.intake import Receive, discard, read_body
from modelport.server.table import ALWAYS, Bound, Table

Send = Callable[[dict[str, Any]], Awaitable[None]]

MAX_LOCAL_BODY = 1 << 20
"""Bytes that a request which the front answers itself may bring."""
MAX_CHOICES = 10
"""How many models are named when none was."""

_log = logging.getLogger("modelport.server")


@dataclass(frozen=True)
class ConnectionLimits:
    """What ``Connection`` enforces; sizes in bytes, times in seconds."""

    max_connections: int
    max_head: int
    max_headers: int
    max_url: int
    head_timeout: float
    body_timeout: float


class Request(NamedTuple):
    """A request on the hot path: its raw parts, and the few headers that matter."""

    id: str
    path: str
    scope: Any
    headers: dict[bytes, bytes]
    receive: Receive
    exchange: Any


class App:
    """Routes requests to endpoints and to what the front answers itself."""

    def __init__(
        self,
        plane: Dataplane,
        protocols: Iterable[WireProtocol],
        native: str,
        settings: Settings,
        limits: ConnectionLimits,
        alone: bool = False,
    ) -> None:
        """``native`` and ``alone`` are as for ``Table``."""
        self.limits = limits
        self._plane = plane
        self._protocols = list(protocols)
        self._native = next((p for p in self._protocols if p.name == native), self._protocols[0])
        self._native_name = native
        self._particular = {p.name: p for p in self._protocols if isinstance(p, Particular)}
        self._settings = settings
        self._alone = alone
        self._door = AdminDoor(settings)
        self._ids = RequestIds()
        self._table = self._routes_of(plane.endpoints)
        self.refresh: Callable[[str, Served | None], Awaitable[bool]] | None = None
        """Looks whether what a request means has changed on disk; True where the routes have."""

    async def remount(self) -> None:
        """Takes the routes of the endpoints as they are now, without keeping anybody waiting meanwhile."""
        self._table = await asyncio.to_thread(self._routes_of, tuple(self._plane.endpoints))

    def _routes_of(self, endpoints: Sequence[Endpoint]) -> Table:
        return Table(self._plane, endpoints, self._protocols, self._native_name, self._settings, self._alone)

    def routes(self) -> list[tuple[str, str, str, str]]:
        """(method, path, protocol, model) of every route, at its main place."""
        return self._table.routes()

    def mount(self, protocol: WireProtocol, endpoint: Served) -> str:
        """What goes before the paths of a protocol's routes to a model, where they are shortest."""
        return self._table.mount(protocol, endpoint)

    # --- the hot path ------------------------------------------------------------------------------------

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        begin = time.perf_counter()
        exchange = scope.pop("modelport.exchange", None)  # popped, or scope and exchange keep each other alive
        path, methods = self._table.find(scope["path"])
        if self.refresh is not None and await self.refresh(path, _endpoint_of(methods)):
            path, methods = self._table.find(path)
        bound = methods.get(scope["method"]) if methods is not None else None
        headers = _pick(scope["headers"], bound.wanted if bound is not None else _ALWAYS_BYTES)
        request = Request(self._ids.of(headers.get(b"x-request-id")), path, scope, headers, receive, exchange)
        try:
            if bound is None:
                raise self._no_route(path, scope, methods)
            reply = await self._serve(bound, request)
        except Cancelled:
            self._note(bound, request, 499, begin, "cancelled")
            return
        except ModelportError as error:
            reply = self._owner_of(path, methods).error(error, request.id)
        except Exception:
            _log.exception("request %s failed inside the server", request.id, extra={"request": request.id})
            reply = self._owner_of(path, methods).error(ModelportError("internal error"), request.id)
        self._note(bound, request, reply.status, begin, reply.code)
        particular = self._particular.get(bound.owner if bound is not None else self._owner_of(path, methods).name)
        if particular is not None:
            endpoint = bound.route.endpoint if bound is not None else None
            marks = particular.marks(Marked(scope["headers"], request.path, request.id, endpoint))
            reply = reply._replace(headers=[*reply.headers, *marks])
        await self._reply(reply, request, send)

    async def _serve(self, bound: Bound, request: Request) -> Reply:
        route, announced = bound.route, request.headers.get(b"content-length")
        headers = {name.decode(): value.decode("latin-1") for name, value in request.headers.items()}
        query = request.scope["query_string"].decode("latin-1")
        if route.answer is not None:
            if route.admin:
                is_web_page = any(name == b"origin" for name, _ in request.scope["headers"])
                self._door.check(request.headers.get(b"authorization"), is_web_page)
            if route.guarded:
                route.endpoint.admit(credential(request.headers.get(b"authorization")))  # type: ignore[union-attr]
            limit = self._settings.max_package if route.bulky else MAX_LOCAL_BODY
            body = await read_body(request.receive, announced, limit)
            try:
                whole: Any = body if route.bulky else bytes(body)
                answer = route.answer(Question(request.path, query, headers, whole))
                return await answer if inspect.isawaitable(answer) else answer
            finally:
                if isinstance(body, Spool):
                    body.close()
        endpoint: Endpoint = route.endpoint  # type: ignore[assignment]
        endpoint.admit(credential(request.headers.get(b"authorization")))
        if endpoint.pool is not None and announced is not None and int(announced) > SPOOL_THRESHOLD:
            endpoint.pool.check_room()
        body = await read_body(request.receive, announced, self._settings.max_body)
        try:
            call = Call(request.id, bound.protocol.name, route.verb, headers, query, request.path, route.unit)
            reply = await self._plane.execute(endpoint, call, body, request.exchange)
            if route.task is not None and reply.code is None:
                call = call._replace(verb=route.task.verb)
                task = self._plane.tasks.start(endpoint.spec, call, body, bytes(reply.body))
                body = b""  # it is the task's
                return route.task.answer(task)
            if isinstance(reply.body, Stream) and request.scope["http_version"] == "1.0":
                # which has no way to say that more follows
                reply = reply._replace(body=await reply.body.spooled())
            return reply
        finally:
            if isinstance(body, Spool):
                body.close()

    async def _reply(self, reply: Reply, request: Request, send: Send) -> None:
        headers = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in reply.headers]
        if reply.status != 204 and not isinstance(reply.body, Stream):
            headers.append((b"content-length", b"%d" % len(reply.body)))
        headers.append((b"x-request-id", request.id.encode()))
        is_plain = type(reply.body) is bytes and reply.status != 413 and not self._plane.draining
        exchange = request.exchange
        if not (is_plain and exchange is not None and exchange.respond(reply.status, headers, reply.body)):
            await self._send(reply, headers, request, send)

    async def _send(self, reply: Reply, headers: list[tuple[bytes, bytes]], request: Request, send: Send) -> None:
        """The answer piece by piece: large ones, refusals of large requests, and the last ones of a connection."""
        body = reply.body
        is_unread = reply.status == 413
        if self._plane.draining or is_unread:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        if isinstance(body, Spool):
            try:
                for chunk in body.chunks():
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            finally:
                body.close()
            body = b""
        elif isinstance(body, Stream):
            if not await self._pour(body, request, send):
                return
            body = b""
        if is_unread:
            await send({"type": "http.response.body", "body": body, "more_body": True})
            await discard(request.receive)
            body = b""
        await send({"type": "http.response.body", "body": body})

    async def _pour(self, stream: Stream, request: Request, send: Send) -> bool:
        """Passes the pieces on as they come; False when there is nothing left to end properly."""
        exchange = request.exchange
        exchange.watch(stream.close)
        try:
            async for piece in stream:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except Cancelled:
            return False
        except ModelportError as fault:
            _log.error("the answer to %s was cut off: %s", request.id, fault.message, extra={"request": request.id})
            exchange.cut()
            return False
        finally:
            exchange.watch(None)
            stream.close()
        return True

    # --- around it ---------------------------------------------------------------------------------------

    def _no_route(self, path: str, scope: Any, methods: dict[str, Bound] | None) -> ModelportError:
        method = scope["method"]
        choices = self._table.choices(path) if methods is None else []
        if choices:
            more = [f"and {len(choices) - MAX_CHOICES} more"] if len(choices) > MAX_CHOICES else []
            hint = ", ".join([*choices[:MAX_CHOICES], *more])
            return NotFound("several models are served here: name the one that is meant", hint=hint)
        owner = self._owner_of(path, methods)
        if methods is None and isinstance(owner, Moving):
            location = self._better(path, method)
            if location is not None:
                query = scope["query_string"].decode("latin-1")
                return owner.moved(quote(location) + (f"?{query}" if query else ""))
        if owner.name == self._native_name and owner.name in self._particular:
            return self._particular[owner.name].refuse(method, path)
        if methods is not None:
            allowed = sorted(methods)
            return MethodNotAllowed(f"{method} is not allowed here; {', '.join(allowed)} is", allowed)
        if self._root_owner(path) is not None:
            return owner.missing(path, self._plane)
        return NotFound(f"there is nothing at {path[:200]}")

    def _better(self, path: str, method: str) -> str | None:
        """The path as it should have been asked for: with its final slash, and no doubled one."""
        merged = re.sub("/{2,}", "/", path)
        for candidate in (merged, path + "/", merged + "/"):
            if candidate != path and self._table.has(candidate, method):
                return candidate
        return None

    def _root_owner(self, path: str) -> WireProtocol | None:
        for protocol in self._protocols:
            is_behind = self._alone and protocol is not self._native
            roots = (*(() if is_behind else protocol.roots), f"/{protocol.name}/")
            if path.startswith(tuple(roots)):
                return protocol
        return None

    def _owner_of(self, path: str, methods: dict[str, Bound] | None) -> WireProtocol:
        """Who words the error: the protocol that answers there, else whose paths these are, else the native one."""
        for bound in (methods or {}).values():
            return bound.protocol
        return self._root_owner(path) or self._native

    def _note(self, bound: Bound | None, request: Request, status: int, begin: float, code: str | None) -> None:
        scope = request.scope
        protocol = bound.owner if bound is not None else ""
        endpoint = bound.route.endpoint if bound is not None and bound.route.answer is None else None
        model = endpoint.spec.name if endpoint is not None else ""
        self._plane.metrics.requests[model, protocol, status] += 1
        if self._settings.access_log:
            about = {
                "request": request.id,
                "model": model,
                "protocol": protocol,
                "client": scope["client"][0] if scope["client"] else "",
                "code": code or "",
            }
            note(scope["method"], scope["path"], status, time.perf_counter() - begin, about)


_OURS = OURS.encode()
_ALWAYS_BYTES = frozenset(name.encode() for name in ALWAYS)


def _pick(headers: Iterable[tuple[bytes, bytes]], wanted: frozenset[bytes] | None) -> dict[bytes, bytes]:
    if wanted is None:
        return {name: value for name, value in headers if not name.startswith(_OURS)}
    return {name: value for name, value in headers if name in wanted}


def _endpoint_of(methods: dict[str, Bound] | None) -> Served | None:
    """The model that is meant at a path, if one is."""
    return next((bound.route.endpoint for bound in (methods or {}).values() if bound.route.endpoint is not None), None)

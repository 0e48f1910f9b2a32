"""The ASGI application: an exact-match route table over every mounted protocol.

The hot path, from ``__call__`` on, looks a path up, checks a key, takes the body's bytes as they come and passes
them on; it never looks into them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import inspect
import itertools
import logging
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from modelport.config import Settings
from modelport.core.call import Call, Reply
from modelport.core.frames import SPOOL_THRESHOLD
from modelport.core.protocol import Question, Route, WireProtocol
from modelport.dataplane import Dataplane, hashed
from modelport.errors import (
    BodyTooLarge,
    Cancelled,
    ConfigError,
    Forbidden,
    MethodNotAllowed,
    ModelportError,
    NotFound,
    Unauthorized,
)
from modelport.monitoring.logs import access
from modelport.pool.body import Body, Spool
from modelport.server.auth import credential
from modelport.server.health import health_routes

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

MAX_LOCAL_BODY = 1 << 20
"""Bytes that a request which the front answers itself may bring."""
DRAIN_BYTES = 64 << 20
"""How much of a refused body is still read, so that the client gets to see the refusal."""
DRAIN_SECONDS = 2.0

_REQUEST_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_log = logging.getLogger("modelport.server")


@dataclass(frozen=True)
class ConnectionLimits:
    max_connections: int
    max_head: int
    max_headers: int
    max_url: int
    head_timeout: float
    body_timeout: float


class Bound(NamedTuple):
    """A route with what the front must know to serve it."""

    route: Route
    protocol: WireProtocol
    wanted: frozenset[bytes]


class App:
    def __init__(
        self,
        plane: Dataplane,
        protocols: Iterable[WireProtocol],
        native: str,
        settings: Settings,
        limits: ConnectionLimits,
    ) -> None:
        self.limits = limits
        self.draining = False
        self._plane = plane
        self._protocols = list(protocols)
        self._native = next((p for p in self._protocols if p.name == native), self._protocols[0])
        self._settings = settings
        self._admin_key = hashed(settings.admin_key) if settings.admin_key else None
        self._ids = itertools.count(1)
        self._boot = os.urandom(5).hex()
        self._table: dict[str, dict[str, Bound]] = {}
        self._mount()

    # --- the route table ---------------------------------------------------------------------------------

    def _mount(self) -> None:
        """Every protocol at its own paths and under its prefix. Raises ``ConfigError`` for a path with two owners."""
        faults: list[str] = []
        for route in health_routes(self._plane, self):
            self._add(route, self._native, "", faults)
        for protocol in self._protocols:
            for route in protocol.routes(self._plane, self._plane.endpoints):
                for prefix in ("", f"/{protocol.name}"):
                    self._add(route, protocol, prefix, faults)
        if faults:
            raise ConfigError("two models would answer at the same path", faults=faults)

    def _add(self, route: Route, protocol: WireProtocol, prefix: str, faults: list[str]) -> None:
        wanted = frozenset(name.encode() for name in (*protocol.headers, *_ALWAYS))
        methods = self._table.setdefault(prefix + route.path, {})
        if route.method in methods:
            if prefix:
                return
            other, owner = methods[route.method], methods[route.method].protocol.name
            faults.append(
                f"{route.method} {route.path}: {_owner(other.route, owner)} and {_owner(route, protocol.name)}"
            )
        methods[route.method] = Bound(route, protocol, wanted)

    def routes(self) -> list[tuple[str, str, str, str]]:
        """(method, path, protocol, model) of every route, mount prefixes left out."""
        prefixes = tuple(f"/{protocol.name}/" for protocol in self._protocols)
        return [
            (
                method,
                path,
                bound.protocol.name,
                bound.route.endpoint.spec.name if bound.route.endpoint else "",
            )
            for path, methods in self._table.items()
            if not path.startswith(prefixes)
            for method, bound in methods.items()
        ]

    # --- the hot path ------------------------------------------------------------------------------------

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        begin = time.perf_counter()
        path, method = scope["path"], scope["method"]
        methods = self._table.get(path)
        if methods is None and path.startswith("//"):
            path = "/" + path.lstrip("/")
            methods = self._table.get(path)
        bound = methods.get(method) if methods is not None else None
        headers = _pick(scope["headers"], bound.wanted if bound is not None else _ALWAYS_BYTES)
        request_id = self._request_id(headers.get(b"x-request-id"))
        connection = scope.get("modelport.connection")
        unread = True
        body: Body = b""
        try:
            if bound is None:
                raise self._no_route(path, method, methods)
            endpoint = bound.route.endpoint
            if endpoint is not None:
                endpoint.admit(credential(headers.get(b"authorization")))  # type: ignore[attr-defined]
                body = await self._read(receive, headers, self._settings.max_body)
                unread = False
                call = Call(
                    request_id,
                    bound.protocol.name,
                    bound.route.verb,
                    {name.decode(): value.decode("latin-1") for name, value in headers.items()},
                    scope["query_string"].decode("latin-1"),
                    path,
                )
                reply = await self._plane.execute(endpoint, call, body, connection)  # type: ignore[arg-type]
            else:
                self._check_admin(bound.route, headers)
                body = await self._read(receive, headers, MAX_LOCAL_BODY)
                unread = False
                reply = await self._answer(bound.route, path, scope, headers, body)
        except Cancelled:
            self._note(bound, scope, 499, begin, request_id, "cancelled")
            return
        except ModelportError as error:
            reply = self._owner_of(path, bound).error(error, request_id)
        except Exception:
            _log.exception("request %s failed inside the server", request_id, extra={"request": request_id})
            reply = self._owner_of(path, bound).error(ModelportError("internal error"), request_id)
        finally:
            if isinstance(body, Spool):
                body.close()
        self._note(bound, scope, reply.status, begin, request_id, reply.code)
        await self._send(reply, request_id, send, receive if unread and reply.status == 413 else None)

    def _request_id(self, given: bytes | None) -> str:
        if given is not None and _REQUEST_ID.fullmatch(given):
            return given.decode()
        return f"{self._boot}-{next(self._ids):x}"

    async def _read(self, receive: Receive, headers: dict[bytes, bytes], limit: int) -> Body:
        """The body's bytes, in memory when small and in a spool when large. Raises ``BodyTooLarge``."""
        announced = headers.get(b"content-length")
        if announced is not None and int(announced) > limit:
            raise _too_large(limit)
        message = await receive()
        if message["type"] != "http.request":
            raise Cancelled("the client went away")
        data: bytes = message["body"]
        if not message["more_body"]:
            if len(data) > limit:
                raise _too_large(limit)
            return data
        parts, size = [data], len(data)
        spool = Spool() if announced is not None and int(announced) > SPOOL_THRESHOLD else None
        try:
            while True:
                if spool is None and size > SPOOL_THRESHOLD:
                    spool = Spool()
                if spool is not None and parts:
                    for part in parts:
                        spool.write(part)
                    parts.clear()
                if not message["more_body"]:
                    return spool if spool is not None else b"".join(parts)
                message = await receive()
                if message["type"] != "http.request":
                    raise Cancelled("the client went away")
                size += len(message["body"])
                if size > limit:
                    raise _too_large(limit)
                parts.append(message["body"])
        except BaseException:
            if spool is not None:
                spool.close()
            raise

    async def _answer(self, route: Route, path: str, scope: Any, headers: dict[bytes, bytes], body: Body) -> Reply:
        """What the front answers by itself."""
        assert route.answer is not None
        data = body if isinstance(body, bytes) else b"".join(body.chunks())
        named = {name.decode(): value.decode("latin-1") for name, value in headers.items()}
        answer = route.answer(Question(path, scope["query_string"].decode("latin-1"), named, data))
        return await answer if inspect.isawaitable(answer) else answer  # type: ignore[return-value]

    async def _send(self, reply: Reply, request_id: str, send: Send, refused: Receive | None) -> None:
        body = reply.body
        headers = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in reply.headers]
        headers.append((b"content-length", b"%d" % len(body)))
        headers.append((b"x-request-id", request_id.encode()))
        if self.draining or refused is not None:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        if isinstance(body, Spool):
            try:
                for chunk in body.chunks():
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            finally:
                body.close()
            body = b""
        if refused is not None:
            await send({"type": "http.response.body", "body": body, "more_body": True})
            await _discard(refused)
            body = b""
        await send({"type": "http.response.body", "body": body})

    # --- around it ---------------------------------------------------------------------------------------

    def _no_route(self, path: str, method: str, methods: dict[str, Bound] | None) -> ModelportError:
        if methods is not None:
            allowed = sorted(methods)
            return MethodNotAllowed(f"{method} is not allowed here; {', '.join(allowed)} is", allowed)
        owner = self._root_owner(path)
        return owner.missing(path, self._plane) if owner is not None else NotFound(f"there is nothing at {path[:200]}")

    def _root_owner(self, path: str) -> WireProtocol | None:
        for protocol in self._protocols:
            roots = (*protocol.roots, f"/{protocol.name}/")
            if path.startswith(tuple(roots)):
                return protocol
        return None

    def _owner_of(self, path: str, bound: Bound | None) -> WireProtocol:
        """Who words the error: the route's protocol, else the one whose paths these are, else the native one."""
        return bound.protocol if bound is not None else self._root_owner(path) or self._native

    def _check_admin(self, route: Route, headers: dict[bytes, bytes]) -> None:
        if not route.admin:
            return
        if not self._settings.repository:
            raise Forbidden("the repository routes are switched off", hint="--repository switches them on")
        if self._admin_key is None:
            return
        key = credential(headers.get(b"authorization"))
        if key is None:
            raise Unauthorized("this needs the admin key")
        if not hmac.compare_digest(hashed(key), self._admin_key):
            raise Forbidden("this is not the admin key")

    def _note(
        self, bound: Bound | None, scope: Any, status: int, begin: float, request_id: str, code: str | None
    ) -> None:
        protocol = bound.protocol.name if bound is not None else ""
        model = bound.route.endpoint.spec.name if bound is not None and bound.route.endpoint is not None else ""
        self._plane.metrics.requests[model, protocol, status] += 1
        if self._settings.access_log:
            seconds = time.perf_counter() - begin
            access.info(
                "%s %s %d %.1f ms",
                scope["method"],
                scope["path"][:200],
                status,
                seconds * 1000,
                extra={
                    "request": request_id,
                    "model": model,
                    "protocol": protocol,
                    "status": status,
                    "seconds": round(seconds, 6),
                    "client": scope["client"][0] if scope["client"] else "",
                    "code": code or "",
                },
            )


_ALWAYS = ("authorization", "content-length", "content-encoding", "x-request-id")
_ALWAYS_BYTES = frozenset(name.encode() for name in _ALWAYS)


def _pick(headers: Iterable[tuple[bytes, bytes]], wanted: frozenset[bytes]) -> dict[bytes, bytes]:
    return {name: value for name, value in headers if name in wanted}


def _owner(route: Route, protocol: str) -> str:
    spec = route.endpoint.spec if route.endpoint is not None else None
    return f"{protocol} ({spec.service or spec.root}: {spec.name})" if spec is not None else protocol


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is over {limit} bytes", hint="the limit is --max-body")


async def _discard(receive: Receive) -> None:
    """Reads on, without keeping anything, so that closing does not cut off an answer still on its way."""
    left = DRAIN_BYTES
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] != "http.request" or not message["more_body"]:
                    return

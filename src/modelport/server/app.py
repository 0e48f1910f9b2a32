"""The ASGI application: an exact-match route table over every mounted protocol.

The hot path, from ``__call__`` on, looks a path up, checks a key, takes the body's bytes as they come and passes
them on; it never looks into them.
"""

from __future__ import annotations

import inspect
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote

from modelport.config import Settings
from modelport.core.call import Call, Reply
from modelport.core.frames import SPOOL_THRESHOLD
from modelport.core.protocol import Marked, Moving, Particular, Question, Route, Served, WireProtocol, the_only
from modelport.dataplane import Dataplane, Endpoint
from modelport.errors import (
    Cancelled,
    ConfigError,
    MethodNotAllowed,
    ModelportError,
    NotFound,
)
from modelport.monitoring.logs import note
from modelport.pool.body import Spool
from modelport.pool.stream import Stream
from modelport.server.auth import AdminDoor, credential
from modelport.server.health import health_routes
from modelport.server.ids import RequestIds
from modelport.server.intake import Receive, discard, read_body

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


class Bound(NamedTuple):
    """A route with what the front must know to serve it; ``wanted`` headers are passed on, or all with None.

    ``mount`` is what goes before the route's own path, ``is_main`` says that this is the place to show people.
    """

    route: Route
    protocol: WireProtocol
    owner: str
    wanted: frozenset[bytes] | None
    mount: str
    is_main: bool


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
        """With ``alone`` the native protocol has all paths, and the others only theirs behind their names."""
        self.limits = limits
        self._plane = plane
        self._protocols = list(protocols)
        self._native = next((p for p in self._protocols if p.name == native), self._protocols[0])
        self._native_name = native
        self._particular = {p.name: p for p in self._protocols if isinstance(p, Particular)}
        self._settings = settings
        self._alone = alone
        self._prefix = "/".join(["", *filter(None, settings.url_prefix.split("/"))])
        self._door = AdminDoor(settings)
        self._ids = RequestIds()
        self._table: dict[str, dict[str, Bound]] = {}
        self._starred: dict[tuple[str, str], dict[str, Bound]] = {}
        self._choices: dict[str, list[str]] = {}
        self._mount()

    # --- the route table ---------------------------------------------------------------------------------

    def _mount(self) -> None:
        """Every protocol at its own paths and under its prefix. Raises ``ConfigError`` for a path with two owners."""
        clashes: dict[str, list[str]] = {}
        for route in health_routes(self._plane):
            self._add(Bound(route, self._native, "server", _wanted(route, self._native), "", True), clashes)
        for protocol in self._protocols:
            only = the_only(protocol.name, self._plane.endpoints)
            for route in protocol.routes(self._plane, self._plane.endpoints):
                wanted = _wanted(route, protocol)
                is_main = self._is_shown(protocol, route)
                for mount in self._mounts(protocol, route, only):
                    self._add(Bound(route, protocol, protocol.name, wanted, mount, is_main), clashes)
                    is_main = False
        if clashes:
            faults = [
                f"{owners} at {paths[0]}" + (f" and {len(paths) - 1} more" if paths[1:] else "")
                for owners, paths in clashes.items()
            ]
            raise ConfigError("two models would answer at the same path", faults=faults)

    def _mounts(self, protocol: WireProtocol, route: Route, only: Served | None) -> list[str]:
        """What may go before the route's path, the most natural first."""
        behind = f"/{protocol.name}"
        if not route.nameless:
            if self._alone:
                return [self._prefix, behind] if protocol is self._native else [behind]
            return ["", behind]
        roots = [self._prefix, behind] if protocol.name == self._native_name else [behind]
        if route.endpoint is None:
            return roots
        named = f"{behind}/{route.endpoint.spec.name}"
        if route.endpoint is only:
            return [*roots, named]
        for root in roots:
            self._choices.setdefault(root + route.path, []).append(named + route.path)
        return [named]

    def _is_shown(self, protocol: WireProtocol, route: Route) -> bool:
        """Paths without names are many: they are shown where they are those of the model's own platform."""
        contract = route.endpoint.spec.contract if route.endpoint is not None else self._native_name
        return not route.nameless or protocol.name == contract

    def _add(self, bound: Bound, clashes: dict[str, list[str]]) -> None:
        route, path = bound.route, bound.mount + bound.route.path
        if not path:  # the root has no path without its slash
            return
        head, star, tail = path.partition("/*")
        methods = self._starred.setdefault((head, tail), {}) if star else self._table.setdefault(path, {})
        other = methods.setdefault(route.method, bound)
        if other is bound or (route.nameless and other.protocol is bound.protocol):
            return
        if not bound.mount or bound.mount == self._prefix:
            owners = f"{_told(other.route, other.owner)} and {_told(route, bound.owner)}"
            clashes.setdefault(owners, []).append(f"{route.method} {path}")

    def routes(self) -> list[tuple[str, str, str, str]]:
        """(method, path, protocol, model) of every route, at its main place."""
        return [
            (
                method,
                path,
                bound.owner,
                bound.route.endpoint.spec.name if bound.route.endpoint else "",
            )
            for path, methods in self._table.items()
            for method, bound in methods.items()
            if bound.is_main and not bound.route.unit
        ]

    def mount(self, protocol: WireProtocol, endpoint: Served) -> str:
        """What goes before the paths of a protocol's routes to a model, where they are shortest."""
        mounts = (
            bound.mount
            for methods in self._table.values()
            for bound in methods.values()
            if bound.protocol is protocol and bound.route.endpoint is endpoint
        )
        return min(mounts, key=len, default="")

    # --- the hot path ------------------------------------------------------------------------------------

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        begin = time.perf_counter()
        exchange = scope.pop("modelport.exchange", None)  # popped, or scope and exchange keep each other alive
        path = scope["path"]
        methods = self._table.get(path)
        if methods is None and path.startswith("//"):
            path = "/" + path.lstrip("/")
            methods = self._table.get(path)
        if methods is None:
            methods = self._find_starred(path)
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

    def _find_starred(self, path: str) -> dict[str, Bound] | None:
        head, _, last = path.rpartition("/")
        if (head, "") in self._starred and last:
            return self._starred[head, ""]
        head, _, star = head.rpartition("/")
        return self._starred.get((head, f"/{last}")) if star else None

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
            body = await read_body(request.receive, announced, MAX_LOCAL_BODY)
            answer = route.answer(Question(request.path, query, headers, bytes(body)))
            return await answer if inspect.isawaitable(answer) else answer
        endpoint: Endpoint = route.endpoint  # type: ignore[assignment]
        endpoint.admit(credential(request.headers.get(b"authorization")))
        if endpoint.pool is not None and announced is not None and int(announced) > SPOOL_THRESHOLD:
            endpoint.pool.check_room()
        body = await read_body(request.receive, announced, self._settings.max_body)
        try:
            call = Call(request.id, bound.protocol.name, route.verb, headers, query, request.path, route.unit)
            reply = await self._plane.execute(endpoint, call, body, request.exchange)
            if route.task is not None and reply.code is None:
                kept, body = body, b""
                call = call._replace(verb=route.task.verb)
                return route.task.answer(self._plane.tasks.start(endpoint.spec, call, kept, bytes(reply.body)))
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
        if methods is None and path in self._choices:
            choices = list(dict.fromkeys(self._choices[path]))  # one a method
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
            if candidate != path and method in self._table.get(candidate, {}):
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


_ALWAYS = ("authorization", "content-length", "content-encoding", "x-request-id")
_ALWAYS_BYTES = frozenset(name.encode() for name in _ALWAYS)


def _wanted(route: Route, protocol: WireProtocol) -> frozenset[bytes] | None:
    """The headers that a route's codec reads; None for all of them."""
    if route.endpoint is not None and route.endpoint.spec.all_headers:
        return None
    return frozenset(name.encode() for name in (*protocol.headers, *_ALWAYS))


def _pick(headers: Iterable[tuple[bytes, bytes]], wanted: frozenset[bytes] | None) -> dict[bytes, bytes]:
    return dict(headers) if wanted is None else {name: value for name, value in headers if name in wanted}


def _told(route: Route, owner: str) -> str:
    spec = route.endpoint.spec if route.endpoint is not None else None
    return f"{owner} ({spec.root}: {spec.place[1]})" if spec is not None else owner

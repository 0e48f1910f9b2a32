"""The table of routes: every mounted protocol at every place where it answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from modelport.config import Settings
from modelport.core.protocol import Route, Served, WireProtocol, the_only
from modelport.dataplane import Dataplane, Endpoint
from modelport.errors import ConfigError
from modelport.server.health import health_routes

ALWAYS = ("authorization", "content-length", "content-encoding", "x-request-id")
"""Headers that the server itself reads."""


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


class Table:
    """The routes of these endpoints; it never changes. With ``alone`` the native protocol has all paths, and the others
    only theirs behind their names.

    Raises ``ConfigError`` for a path with two owners.
    """

    def __init__(
        self,
        plane: Dataplane,
        endpoints: Sequence[Endpoint],
        protocols: Sequence[WireProtocol],
        native: str,
        settings: Settings,
        alone: bool,
    ) -> None:
        self._native = next((p for p in protocols if p.name == native), protocols[0])
        self._native_name = native
        self._alone = alone
        self._prefix = "/".join(["", *filter(None, settings.url_prefix.split("/"))])
        self._exact: dict[str, dict[str, Bound]] = {}
        self._starred: dict[tuple[str, str], dict[str, Bound]] = {}
        self._choices: dict[str, list[str]] = {}
        self._mount(plane, endpoints, protocols)

    def _mount(self, plane: Dataplane, endpoints: Sequence[Endpoint], protocols: Sequence[WireProtocol]) -> None:
        clashes: dict[str, list[str]] = {}
        for route in health_routes(plane):
            self._add(Bound(route, self._native, "server", _read_by(self._native), "", True), clashes)
        for protocol in protocols:
            only, read = the_only(protocol.name, endpoints), _read_by(protocol)
            for route in protocol.routes(plane, endpoints):
                wanted = None if _takes_all(route) else read
                is_main = self._is_shown(protocol, route, only)
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

    def _is_shown(self, protocol: WireProtocol, route: Route, only: Served | None) -> bool:
        """Paths without names are many: those of the model's own platform are shown, and those of the only model."""
        contract = route.endpoint.spec.contract if route.endpoint is not None else self._native_name
        is_native = protocol.name == self._native_name and route.endpoint is only
        return not route.nameless or protocol.name == contract or is_native

    def _add(self, bound: Bound, clashes: dict[str, list[str]]) -> None:
        route, path = bound.route, bound.mount + bound.route.path
        if not path:  # the root has no path without its slash
            return
        head, star, tail = path.partition("/*")
        methods = self._starred.setdefault((head, tail), {}) if star else self._exact.setdefault(path, {})
        other = methods.setdefault(route.method, bound)
        if other is bound or (route.nameless and other.protocol is bound.protocol):
            return
        if not bound.mount or bound.mount == self._prefix:
            owners = f"{_told(other.route, other.owner)} and {_told(route, bound.owner)}"
            clashes.setdefault(owners, []).append(f"{route.method} {path}")

    def find(self, path: str) -> tuple[str, dict[str, Bound] | None]:
        """The routes by method, and the path by which they were found; None where there are none."""
        methods = self._exact.get(path)
        if methods is None and path.startswith("//"):
            path = "/" + path.lstrip("/")
            methods = self._exact.get(path)
        return path, methods if methods is not None else self._find_starred(path)

    def _find_starred(self, path: str) -> dict[str, Bound] | None:
        head, _, last = path.rpartition("/")
        if (head, "") in self._starred and last:
            return self._starred[head, ""]
        head, _, star = head.rpartition("/")
        return self._starred.get((head, f"/{last}")) if star else None

    def has(self, path: str, method: str) -> bool:
        """Whether there is a route at exactly this path."""
        return method in self._exact.get(path, {})

    def choices(self, path: str) -> list[str]:
        """The paths that name a model, where this one could mean several."""
        return list(dict.fromkeys(self._choices.get(path, ())))  # one a method

    def routes(self) -> list[tuple[str, str, str, str]]:
        """(method, path, protocol, model) of every route, at its main place."""
        return [
            (
                method,
                path,
                bound.owner,
                bound.route.endpoint.spec.name if bound.route.endpoint else "",
            )
            for path, methods in self._exact.items()
            for method, bound in methods.items()
            if bound.is_main and not bound.route.unit
        ]

    def mount(self, protocol: WireProtocol, endpoint: Served) -> str:
        """What goes before the paths of a protocol's routes to a model, where they are shortest."""
        mounts = (
            bound.mount
            for methods in self._exact.values()
            for bound in methods.values()
            if bound.protocol is protocol and bound.route.endpoint is endpoint
        )
        return min(mounts, key=len, default="")


def _read_by(protocol: WireProtocol) -> frozenset[bytes]:
    """The headers that a protocol's codec reads, and those that the server does."""
    return frozenset(name.encode() for name in (*protocol.headers, *ALWAYS))


def _takes_all(route: Route) -> bool:
    return route.endpoint is not None and route.endpoint.spec.all_headers


def _told(route: Route, owner: str) -> str:
    spec = route.endpoint.spec if route.endpoint is not None else None
    return f"{owner} ({spec.root}: {spec.place[1]})" if spec is not None else owner

"""A server's life: find the models, take the port, serve, drain, end."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import ipaddress
import logging
import resource
import signal
import socket
import ssl
import struct
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import uvicorn
import uvloop

from modelport import platforms
from modelport.config import Settings
from modelport.core.model import ModelSpec
from modelport.core.protocol import Remote, Timekeeping, WireProtocol, rpc_name
from modelport.dataplane import Dataplane
from modelport.errors import ConfigError, LoadError, SetupError
from modelport.monitoring.metrics import Metrics
from modelport.pool.process import KEPT_MEMORY
from modelport.server.app import App, ConnectionLimits
from modelport.server.connection import Connection
from modelport.server.repository import Plan, Repository
from modelport.server.side import Side, SideApp

if TYPE_CHECKING:
    from modelport.server.rpc import RpcServer

BACKLOG = 2048
SO_ATTACH_FILTER = 26
UNWILLING = 5
"""Seconds after the grace for clients to take their answers."""
RESERVED_FDS = 64
"""Descriptors kept for workers, files and listeners when connections are counted."""

_log = logging.getLogger("modelport.server")


@dataclass(frozen=True)
class Manner:
    """How a platform's own command wants its server: with ``sides`` as further listeners; ``alone`` as for ``Table``;
    ``single`` where no path is to name the one model; with a folder of packages by ``plan``; with TLS."""

    sides: Sequence[Side] = ()
    alone: bool = False
    single: bool = False
    plan: Plan | None = None
    tls: ssl.SSLContext | None = None
    renew: Callable[[], None] | None = None
    """Called on SIGHUP."""


class Server:
    """One server over ``specs``. ``announce`` is called once the first loads have come to an end."""

    def __init__(
        self,
        specs: Sequence[ModelSpec],
        native: str,
        settings: Settings,
        announce: Callable[[Server], None] = lambda server: None,
        manner: Manner = Manner(),
    ) -> None:
        self.settings = settings
        self.plane: Dataplane
        self.app: App
        self.protocols: list[WireProtocol] = []
        self._specs = specs
        self.native = native
        self._announce = announce
        self._manner = manner
        self._sides = manner.sides
        self._repository: Repository | None = None
        self._stops = 0
        self.rpc: RpcServer | None = None
        self._ending: list[asyncio.Task[None]] = []
        self._load_error: LoadError | None = None

    def run(self) -> int:
        """Serves until told to stop; the exit code.

        Raises ``SetupError`` before anything is started, and ``LoadError`` where a load that fails is to end it.
        """
        check_exposure(self._specs, self.settings, self._manner.plan)
        self._socket = bind(self.settings.host, self.settings.port)
        self._side_sockets = [bind(self.settings.host, side.port, side.option) for side in self._sides]
        self._descriptors = raise_descriptor_limit()
        keep_freed_memory()
        return uvloop.run(self._serve())

    @property
    def base(self) -> str:
        """The URL of this server."""
        return url_of(self._socket, "http" if self._manner.tls is None else "https")

    @property
    def side_urls(self) -> dict[str, str]:
        """The further listeners, by name."""
        return {side.name: url_of(found) for side, found in zip(self._sides, self._side_sockets, strict=True)}

    @property
    def rpc_address(self) -> str | None:
        """Where clients of gRPC find it; None where there is no gRPC."""
        if self.rpc is None:
            return None
        host = self._socket.getsockname()[0]
        return f"[{host}]:{self.rpc.port}" if ":" in host else f"{host}:{self.rpc.port}"

    def _assemble(self) -> None:
        """The endpoints, and the routes to them. Nothing is started."""
        settings = self.settings
        self.protocols = [protocol for _, protocol in platforms.loaded("modelport.protocols")]
        codecs = {protocol.name: protocol.codec for protocol in self.protocols}
        if settings.grpc_port is not None:
            codecs |= {rpc_name(p.name): p.rpc_codec for p in self.protocols if isinstance(p, Remote)}
        self.plane = Dataplane(
            codecs,
            platforms.registered("modelport.contracts"),
            Metrics(),
            settings,
            {protocol.name: protocol.timing for protocol in self.protocols if isinstance(protocol, Timekeeping)},
        )
        self.plane.base = self.base
        self.plane.accompanies = True
        self.plane.is_single = self._manner.single
        for spec in self._specs:
            self.plane.add(spec, self._keys(spec))
        self.plane.share(self._keys)
        if self._manner.plan is not None:
            self._repository = Repository(self._manner.plan, self.plane, settings, self._keys)
            self._repository.open()
        limits = self._limits()
        self.app = App(self.plane, self.protocols, self.native, settings, limits, self._manner.alone)
        if settings.grpc_port is not None:
            if self._manner.tls is not None:
                raise ConfigError("gRPC would be served without TLS", hint="leave out --grpc-port, or TLS")
            from modelport.server.rpc import RpcServer

            self.rpc = RpcServer(self.plane, self.protocols, settings, limits.max_connections)
            self.rpc.bind(settings.host, settings.grpc_port)
        if self._repository is not None:
            self._repository.remount = self._remount
            self.app.refresh = self._repository.refresh
            if self.rpc is not None:
                self.rpc.refresh = self._repository.refresh

    async def _remount(self) -> None:
        await self.app.remount()
        if self.rpc is not None:
            await self.rpc.remount()

    async def _load(self) -> None:
        """Starts the models that are to be there from the start, and announces the server once they are."""
        if self._repository is not None:
            await self._repository.preload()
        await self._announce_when_settled()

    async def _serve(self) -> int:
        settings = self.settings
        gc.disable()  # all that is made now stays
        self._assemble()
        self._server = QuietServer(self._config(self.app, self._manner.tls))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop, loop)
        if self._manner.renew is not None:
            loop.add_signal_handler(signal.SIGHUP, self._manner.renew)
        for endpoint in self.plane.endpoints if self._repository is None else ():
            self.plane.start(endpoint)
        gc.collect()
        gc.freeze()  # what is here now stays: no collection need look at it again
        gc.enable()
        loading = loop.create_task(self._load())
        if self.rpc is not None:
            await self.rpc.start()
        async with self._beside():
            await self._server.serve(sockets=[self._socket])
        loading.cancel()
        if self.rpc is not None:
            await self.rpc.stop(settings.grace if self._stops == 1 else 0.0)
        await self.plane.stop(0.0)
        _log.info("stopped")
        if self._load_error is not None:
            raise self._load_error
        return 1 if self._stops > 1 else 0

    def _config(self, app: Callable[..., Any], tls: ssl.SSLContext | None = None) -> uvicorn.Config:
        settings = self.settings
        config = uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            loop="uvloop",
            interface="asgi3",
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_config=None,
            log_level="warning",
            backlog=BACKLOG,
            timeout_keep_alive=int(settings.keep_alive),
            timeout_graceful_shutdown=int(settings.grace) + UNWILLING,
        )
        config.load()
        config.ssl = tls
        return config

    @contextlib.asynccontextmanager
    async def _beside(self) -> AsyncIterator[None]:
        """The further listeners, which end after the server's own."""
        apps = [SideApp(side, self.plane.metrics, self._limits()) for side in self._sides]
        servers = [QuietServer(self._config(app)) for app in apps]
        pairs = zip(servers, self._side_sockets, strict=True)
        tasks = [asyncio.create_task(server.serve(sockets=[listener])) for server, listener in pairs]
        try:
            yield
        finally:
            for server in servers:
                server.force_exit = self._server.force_exit
                server.should_exit = True
            await asyncio.gather(*tasks)

    def _keys(self, spec: ModelSpec) -> Sequence[str]:
        return spec.keys if spec.keys is not None else [self.settings.api_key] if self.settings.api_key else []

    def _limits(self) -> ConnectionLimits:
        s = self.settings
        most = s.max_connections or max(8, self._descriptors - RESERVED_FDS)
        return ConnectionLimits(most, s.max_head, s.max_headers, s.max_url, s.head_timeout, s.body_timeout)

    async def _announce_when_settled(self) -> None:
        for endpoint in self.plane.endpoints:
            await endpoint.settled()
            error = endpoint.error
            if error is not None and self.settings.exit_on_load_error:
                what = f"{endpoint.spec.name} does not load: {error.message}"
                self._load_error = LoadError(what, error.hint)  # the log has shown the traceback
                self._server.should_exit = True
                return
        self._announce(self)

    def _told_to_stop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Not ready at once; keep answering for ``linger`` seconds, each time closing; then finish what runs."""
        self._stops += 1
        if self._stops > 1:
            _log.warning("told to stop again: ending at once")
            self._server.force_exit = self._server.should_exit = True
            self._end_rpc(loop, 0.0)
            return
        _log.info("stopping: finishing what runs, for %g s at most", self.settings.grace)
        self.plane.draining = True
        loop.call_later(self.settings.linger, setattr, self._server, "should_exit", True)
        loop.call_later(self.settings.linger, self._end_rpc, loop, self.settings.grace + UNWILLING)
        loop.call_later(self.settings.linger + self.settings.grace, self._out_of_grace, loop)

    def _out_of_grace(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ends the workers under what still runs, so that each client is told in its platform's way."""
        _log.warning("the grace is over: ending what still runs")
        self._ending.append(loop.create_task(self.plane.stop(0.0)))

    def _end_rpc(self, loop: asyncio.AbstractEventLoop, grace: float) -> None:
        if self.rpc is not None:
            self._ending.append(loop.create_task(self.rpc.stop(grace)))


class QuietServer(uvicorn.Server):
    """Signals are handled by whoever runs it; whoever has connected before the end is answered."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Takes what the kernel has accepted before the port closes: clients already send their requests there."""
        loop = asyncio.get_running_loop()
        kept: list[socket.socket] = []
        with contextlib.suppress(OSError):  # out of descriptors
            kept += [listener.dup() for listener in sockets or []]
        for server in self.servers:
            server.close()
        for listener in kept:
            for connected in accept_last(listener):
                await loop.connect_accepted_socket(self._protocol, connected, ssl=self.config.ssl)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def url_of(listener: socket.socket, scheme: str = "http") -> str:
    """Where a listening socket is reached."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def bind(host: str, port: int, option: str = "--port") -> socket.socket:
    """A listening socket. Raises ``SetupError`` naming the port when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as fault:
        listener.close()
        raise SetupError(
            f"cannot listen on {host} port {port}: {getattr(fault, 'strerror', None) or fault}",
            hint=f"choose another with {option}, or 0 for any",
        ) from None
    listener.setblocking(False)
    return listener


def accept_last(listener: socket.socket) -> list[socket.socket]:
    """Closes the listener and returns who had connected to it; closing alone would reset them.

    On Linux a filter first drops new handshakes, so that nobody connects in between: they find the port closed a
    second later.
    """
    if sys.platform == "linux":
        drop_all = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF: return 0 bytes
        program = struct.pack("HP", 1, ctypes.addressof(drop_all))
        with contextlib.suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
    listener.setblocking(False)
    connected = []
    with contextlib.suppress(OSError):
        while True:
            connected.append(listener.accept()[0])
    listener.close()
    return connected


def check_exposure(specs: Sequence[ModelSpec], settings: Settings, plan: Plan | None = None) -> None:
    """Raises ``ConfigError`` for listening beyond this machine with a model, or admin routes, that anyone may use."""
    if is_loopback(settings.host):
        return
    faults, hints = [], []
    unkeyed = [spec.name for spec in specs if not spec.keys and not (spec.keys is None and settings.api_key)]
    if plan is not None and not settings.api_key:
        unkeyed.append(f"what is in {plan.root}")
    if unkeyed and not settings.insecure:
        faults.append(f"no API key protects {', '.join(unkeyed)}")
        hints.append("set --api-key (or the service's apiKeys), or say --insecure")
    if settings.repository and not settings.admin_key:
        faults.append("no admin key protects the repository routes")
        hints.append("set --admin-key, or leave out --repository")
    if faults:
        raise ConfigError(
            f"{settings.host} is reachable from other machines",
            hint="; ".join(hints),
            faults=faults,
        )
    _log.warning("listening on %s: other machines can reach this server", settings.host)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def keep_freed_memory() -> None:
    """Tells glibc for this process what workers are told by their environment; elsewhere nothing."""
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-1, int(KEPT_MEMORY["MALLOC_TRIM_THRESHOLD_"]))
        mallopt(-3, int(KEPT_MEMORY["MALLOC_MMAP_THRESHOLD_"]))


def raise_descriptor_limit() -> int:
    """Raises the soft limit of open files to the hard one; the limit now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else 1 << 20
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return soft

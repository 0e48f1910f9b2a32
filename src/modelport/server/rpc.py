"""gRPC beside HTTP: messages pass through as bytes, along the same road to the same workers.

``modelport serve --grpc-port`` starts it; the package ``grpc`` is imported only then.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple

from modelport.config import Settings
from modelport.core import statuses
from modelport.core.call import Call, Reply
from modelport.core.descriptors import ProtoFile
from modelport.core.frames import SPOOL_THRESHOLD
from modelport.core.graph import OURS
from modelport.core.protocol import Procedure, Question, Remote, Served, WireProtocol, rpc_name
from modelport.dataplane import Dataplane, Endpoint
from modelport.errors import BodyTooLarge, ConfigError, ModelportError, NotFound, SetupError, Unauthorized
from modelport.monitoring.logs import note
from modelport.pool.body import Spool
from modelport.pool.stream import Stream
from modelport.server.auth import AdminDoor, credential
from modelport.server.flight import Flight, Stopping
from modelport.server.ids import RequestIds
from modelport.server.reflection import reflection
from modelport.server.rpc_health import health

MAX_PORT = 65535
MAX_TOLD = 3000
"""Letters of an error's text: it travels in a header, and clients take few bytes of those."""
MAX_IN_FLIGHT = 16
"""Messages of one stream that may be on their way at once, where the model's workers can do with so many."""

_METADATA = re.compile(r"(?!grpc-)[0-9a-z_.-]+(?<!-bin)")
"""A name that is neither the transport's own nor means bytes."""
_UNPRINTABLE = re.compile("[^ -~]")
_log = logging.getLogger("modelport.server")


class Bound(NamedTuple):
    """A method with what is needed to answer it; ``wanted`` metadata is passed on to workers."""

    procedure: Procedure
    owner: str
    wire_name: str
    wanted: frozenset[str]
    refusal: Callable[[ModelportError, str], Reply]


class Arrived(NamedTuple):
    """A call that has come in, or one message of a stream."""

    id: str
    metadata: dict[str, str]
    client: str
    begin: float


class RpcServer:
    """The listener for gRPC; ``most`` calls may be under way at once. Made and used inside the running loop."""

    def __init__(self, plane: Dataplane, protocols: Iterable[WireProtocol], settings: Settings, most: int) -> None:
        self.port = 0
        self.services: list[str] = []
        """Full names of what is served."""
        self._grpc = imported()
        self._plane = plane
        self._settings = settings
        self._door = AdminDoor(settings)
        self._ids = RequestIds()
        self._stopping = asyncio.Event()
        self._protocols = [protocol for protocol in protocols if isinstance(protocol, Remote)]
        self._table: dict[str, Bound] = {}
        self.refresh: Callable[[str, Served | None], Awaitable[bool]] | None = None
        """As the application's."""
        self._mount(plane.endpoints)
        options = [
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", settings.max_body),
            ("grpc.max_send_message_length", settings.max_body),
            ("grpc.max_metadata_size", settings.max_head),
            ("grpc.absolute_max_metadata_size", settings.max_head),
            ("grpc.server_handshake_timeout_ms", int(settings.head_timeout * 1000)),
            ("grpc.max_allowed_incoming_connections", most),
        ]
        self._server = self._grpc.aio.server(options=options, maximum_concurrent_rpcs=most)
        self._server.add_generic_rpc_handlers((_handlers(self._grpc, self._handler),))

    def bind(self, host: str, port: int) -> None:
        """Takes the port. Raises ``SetupError`` naming it when that is not possible."""
        place = f"[{host}]" if ":" in host else host
        try:
            if port <= MAX_PORT:  # gRPC would take the rest of a division for one
                self.port = self._server.add_insecure_port(f"{place}:{port}")
        except RuntimeError:
            pass
        if not self.port:
            raise SetupError(
                f"cannot listen on {host} port {port} for gRPC",
                hint="is it taken? choose another with --grpc-port, or 0 for any",
            )

    async def start(self) -> None:
        await self._server.start()

    async def stop(self, grace: float) -> None:
        """Takes no more calls, waits at most ``grace`` seconds for those under way, then cuts them off."""
        self._stopping.set()
        await self._server.stop(grace)

    # --- the table of methods ----------------------------------------------------------------------------

    async def remount(self) -> None:
        """Takes the methods of the endpoints as they are now."""
        self._mount(tuple(self._plane.endpoints))

    def _mount(self, endpoints: Sequence[Endpoint]) -> None:
        files, table = list[ProtoFile](), dict[str, Bound]()

        def add(bound: Bound) -> None:
            other = table.setdefault(f"/{bound.procedure.name}", bound)
            if other.owner != bound.owner:
                raise ConfigError(f"both {other.owner} and {bound.owner} have the gRPC method {bound.procedure.name}")

        for protocol in self._protocols:
            wanted = frozenset(protocol.headers)
            files += protocol.files
            for procedure in protocol.procedures(self._plane, endpoints):
                add(Bound(procedure, protocol.name, rpc_name(protocol.name), wanted, protocol.refusal))
        names = [name for file in files for name in file.service_names]
        for own, procedures in (health(self._plane, names), reflection(files)):
            files += own
            for procedure in procedures:
                add(Bound(procedure, "server", "", frozenset(), statuses.refused))
        self._table = table
        self.services = [name for file in files for name in file.service_names]

    def _handler(self, details: Any) -> Any:
        """What answers a call, before its first message is read: who has no key at all need not send one."""
        bound = self._table.get(details.method)
        if bound is None:
            return None
        if bound.procedure.find is not None and not self._is_known(details.invocation_metadata):
            return self._grpc.stream_stream_rpc_method_handler(_for(self._refuse, bound))
        if bound.procedure.is_stream:
            return self._grpc.stream_stream_rpc_method_handler(_for(self._stream, bound))
        return self._grpc.unary_unary_rpc_method_handler(_for(self._unary, bound))

    async def _refuse(self, bound: Bound, _: AsyncIterator[bytes], context: Any) -> None:
        arrived = self._arrived(context)
        error = Unauthorized("this needs a valid API key", hint="send it as Bearer, in the metadata authorization")
        await self._end(bound, bound.refusal(error, arrived.id), arrived, context)

    def _is_known(self, metadata: Iterable[tuple[str, Any]]) -> bool:
        """Whether there is a model that this client may use."""
        endpoints = self._plane.endpoints
        if any(endpoint.open_to_all for endpoint in endpoints) or not endpoints:
            return True
        given = next((value for name, value in metadata if name == "authorization"), None)
        key = credential(_raw(given))
        for endpoint in endpoints:
            try:
                endpoint.admit(key)
            except Unauthorized:
                continue
            return True
        return False

    # --- calls -------------------------------------------------------------------------------------------

    def _arrived(self, context: Any) -> Arrived:
        metadata = {name: value for name, value in context.invocation_metadata() or () if isinstance(value, str)}
        identity = self._ids.of(_raw(metadata.get("x-request-id")))
        return Arrived(identity, metadata, _address(context.peer()), time.perf_counter())

    async def _unary(self, bound: Bound, message: bytes, context: Any) -> bytes | None:
        arrived = self._arrived(context)
        endpoint, reply = await self._answer(bound, message, arrived)
        if _is_error(reply):
            await self._end(bound, reply, arrived, context, endpoint)
        self._note(bound, arrived, "OK", endpoint, reply.code)
        context.set_trailing_metadata(_trailing(reply, arrived.id))
        return bytes(reply.body)

    async def _answer(self, bound: Bound, message: bytes, arrived: Arrived) -> tuple[Endpoint | None, Reply]:
        """Who answers, and what: every error as a reply. Cancelling it tells the pool that nobody waits."""
        endpoint: Endpoint | None = None
        try:
            if bound.procedure.find is None:
                return None, await self._answer_here(bound.procedure, message, arrived)
            endpoint = await self._find(bound, message, arrived.metadata)
            reply = await self._execute(bound, endpoint, message, arrived)
            body = await _whole(reply.body)
            if len(body) > self._settings.max_body:
                raise BodyTooLarge(
                    f"the answer is over {self._settings.max_body} bytes", hint="the limit is --max-body"
                )
            return endpoint, reply._replace(body=body)
        except asyncio.CancelledError:
            self._note(bound, arrived, "CANCELLED", endpoint, "cancelled")
            raise
        except ModelportError as error:
            return endpoint, bound.refusal(error, arrived.id)
        except Exception:
            _log.exception("request %s failed inside the server", arrived.id, extra={"request": arrived.id})
            return endpoint, bound.refusal(ModelportError("internal error"), arrived.id)

    async def _find(self, bound: Bound, message: bytes, metadata: dict[str, str]) -> Endpoint:
        """Who is meant. Where models come and go, after a look whether that one has."""
        find: Any = bound.procedure.find
        if self.refresh is None:
            return find(message, metadata)  # type: ignore[no-any-return]
        try:
            has_changed = await self.refresh("", find(message, metadata))
        except NotFound:
            has_changed = self._plane.deployments is not None and bool(await self._plane.deployments.listed())
        now: Any = self._table[f"/{bound.procedure.name}"].procedure.find if has_changed else find
        return now(message, metadata)  # type: ignore[no-any-return]

    async def _answer_here(self, procedure: Procedure, message: bytes, arrived: Arrived) -> Reply:
        assert procedure.answer is not None
        if procedure.admin:
            self._door.check(_raw(arrived.metadata.get("authorization")), "origin" in arrived.metadata)
        answer = procedure.answer(Question(f"/{procedure.name}", "", arrived.metadata, message))
        return await answer if inspect.isawaitable(answer) else answer

    async def _execute(self, bound: Bound, endpoint: Endpoint, message: bytes, arrived: Arrived) -> Reply:
        endpoint.admit(credential(_raw(arrived.metadata.get("authorization"))))
        procedure, given = bound.procedure, arrived.metadata
        all_of_them = (name for name in given if not name.startswith(OURS))
        wanted = all_of_them if endpoint.spec.all_headers else bound.wanted & given.keys()
        headers = {name: given[name] for name in wanted if name != "content-encoding"}
        call = Call(arrived.id, bound.wire_name, procedure.verb, headers, "", f"/{procedure.name}")
        if len(message) <= SPOOL_THRESHOLD:
            return await self._plane.execute(endpoint, call, message, None)
        if endpoint.pool is not None:
            endpoint.pool.check_room()
        spool = Spool()
        try:
            spool.write(message)
            del message
            return await self._plane.execute(endpoint, call, spool, None)
        finally:
            spool.close()

    async def _end(
        self, bound: Bound, reply: Reply, arrived: Arrived, context: Any, endpoint: Endpoint | None = None
    ) -> None:
        """Ends the call with the status of a reply that is an error."""
        status, text = self._refusal(reply)
        self._note(bound, arrived, status, endpoint, reply.code)
        metadata = _trailing(reply, arrived.id)
        await context.abort(self._grpc.StatusCode[status], text, trailing_metadata=metadata)

    def _refusal(self, reply: Reply) -> tuple[str, str]:
        """The status and the text of a reply that is an error; a model's own code may have written any."""
        status = dict(reply.headers).get(statuses.GRPC_STATUS) or statuses.grpc_of(reply.status)
        if status == "OK" or status not in self._grpc.StatusCode.__members__:
            status = "UNKNOWN"
        text = bytes(reply.body).decode("utf-8", "replace")
        return status, text if len(text) <= MAX_TOLD else f"{text[:MAX_TOLD]}..."

    def _note(self, bound: Bound, arrived: Arrived, status: str, endpoint: Endpoint | None, code: str | None) -> None:
        model = endpoint.spec.name if endpoint is not None else ""
        owner = bound.wire_name or bound.owner
        self._plane.metrics.requests[model, owner, status] += 1
        if self._settings.access_log:
            seconds = time.perf_counter() - arrived.begin
            about = {"request": arrived.id, "model": model, "protocol": owner, "client": arrived.client, "code": code}
            note("gRPC", bound.procedure.name, status, seconds, about)

    # --- streams -----------------------------------------------------------------------------------------

    async def _stream(self, bound: Bound, messages: AsyncIterator[bytes], context: Any) -> None:
        """Answers in the order of the messages; a client that does not take them gets no more run."""
        arrived = self._arrived(context)
        flight = Flight()
        reading = asyncio.ensure_future(self._read(bound, messages, arrived, flight))
        fault: tuple[Reply, Arrived, Endpoint | None] | None = None
        is_cut = False
        try:
            while fault is None and (task := await flight.next()) is not None:
                one, endpoint, reply = await task
                if not _is_error(reply):
                    await self._write(reply, context)
                    self._note(bound, one, "OK", endpoint, reply.code)
                elif bound.procedure.telling is not None:
                    status, text = self._refusal(reply)
                    self._note(bound, one, status, endpoint, reply.code)
                    await context.write(bound.procedure.telling(text))
                else:
                    fault = reply, one, endpoint
                flight.done()
            is_cut = flight.is_cut
        except Stopping:
            is_cut = True
        finally:
            flight.cancel()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        if fault is not None:
            await self._end(bound, fault[0], fault[1], context, fault[2])
        if is_cut:
            await context.abort(self._grpc.StatusCode.UNAVAILABLE, "the server is about to stop")
        context.set_trailing_metadata((("x-request-id", arrived.id),))

    async def _read(self, bound: Bound, messages: AsyncIterator[bytes], arrived: Arrived, flight: Flight) -> None:
        """Starts a call for each message, as far as there is room, until the client or the server has had enough."""
        count = 0
        try:
            async for message in self._until_stopping(messages):
                count += 1
                one = arrived._replace(id=f"{arrived.id}.{count}", begin=time.perf_counter())
                await flight.room(self._room(bound, message, one))
                flight.add(asyncio.ensure_future(self._one(bound, message, one)))
        except Stopping:
            flight.is_cut = True
        finally:
            flight.close()

    def _room(self, bound: Bound, message: bytes, arrived: Arrived) -> int:
        """How many messages of one stream its model can take at once, without one being in another's way."""
        try:
            endpoint = bound.procedure.find(message, arrived.metadata) if bound.procedure.find is not None else None
        except ModelportError:
            return 1
        if endpoint is None:
            return 1
        spec = endpoint.spec
        most = spec.pool.ceil if spec.max_batch == 1 else min(spec.max_batch, spec.pool.ceil + spec.pool.queue)
        return min(MAX_IN_FLIGHT, most)

    async def _one(self, bound: Bound, message: bytes, one: Arrived) -> tuple[Arrived, Endpoint | None, Reply]:
        endpoint, reply = await self._answer(bound, message, one)
        return one, endpoint, reply

    async def _write(self, reply: Reply, context: Any) -> None:
        if not isinstance(reply.body, AsyncIterator):
            await context.write(bytes(reply.body))
            return
        async for message in self._until_stopping(reply.body):
            await context.write(message)

    async def _until_stopping(self, messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The messages as they come. Raises ``Stopping`` when the server is about to stop before there are no more."""
        stopping = asyncio.ensure_future(self._stopping.wait())
        coming: asyncio.Future[bytes | None] = stopping  # type: ignore[assignment]
        try:
            while True:
                coming = asyncio.ensure_future(anext(messages, None))
                await asyncio.wait({coming, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    raise Stopping
                message = coming.result()
                if message is None:
                    return
                yield message
        finally:
            stopping.cancel()
            coming.cancel()


def imported() -> Any:
    """The package. Raises ``ConfigError`` where it is not installed."""
    try:
        import grpc
        import grpc.aio
    except ImportError as fault:
        raise ConfigError(
            f"--grpc-port needs the package grpcio ({fault})", hint="pip install 'modelport[grpc]'"
        ) from None
    return grpc


def _handlers(grpc: Any, find: Callable[[Any], Any]) -> Any:
    class Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
        """All methods by one table."""

        def service(self, handler_call_details: Any) -> Any:
            return find(handler_call_details)

    return Handlers()


def _for(answer: Callable[[Bound, Any, Any], Awaitable[Any]], bound: Bound) -> Callable[[Any, Any], Awaitable[Any]]:
    """What gRPC takes for a coroutine function, which it does not a partial one of a method."""

    async def handle(messages: Any, context: Any) -> Any:
        return await answer(bound, messages, context)

    return handle


async def _whole(body: Any) -> bytes:
    """An answer's bytes, wherever they are."""
    if isinstance(body, Stream):
        try:
            whole = await body.spooled()
        finally:
            body.close()
        body = whole
    if isinstance(body, Spool):
        try:
            return bytes(body)
        finally:
            body.close()
    return bytes(body)


def _is_error(reply: Reply) -> bool:
    return reply.status >= 400 or statuses.GRPC_STATUS in dict(reply.headers)


def _trailing(reply: Reply, request_id: str) -> tuple[tuple[str, str], ...]:
    """What goes with an answer: the headers of the reply that are not about its body, as metadata may be."""
    named = ((name.lower(), _UNPRINTABLE.sub("?", value)) for name, value in reply.headers)
    more = ((name, value) for name, value in named if _METADATA.fullmatch(name) and name != "content-type")
    return (("x-request-id", request_id), *more)


def _raw(text: str | None) -> bytes | None:
    return text.encode("latin-1", "replace") if text is not None else None


def _address(peer: str) -> str:
    """The address in "ipv4:127.0.0.1:5000"."""
    return peer.partition(":")[2].rpartition(":")[0].strip("[]")

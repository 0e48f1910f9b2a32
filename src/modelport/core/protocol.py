"""What a protocol implements: routes (front half), codec (worker half), one error table for both."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import (
    Any,
    Callable,
    NamedTuple,
    Protocol,
    Union,
    runtime_checkable,
)

from modelport.core.call import Call, Outcome, Reply
from modelport.core.descriptors import ProtoFile
from modelport.core.model import Description, ModelSpec
from modelport.core.payload import Payload
from modelport.core.task import Begins, Tasks
from modelport.core.timing import Timing
from modelport.errors import ModelportError, ModelUnavailable, NotFound


class Codec(Protocol):
    """The worker half: the only place that reads and writes this protocol's bodies."""

    marks: Sequence[tuple[str, str]]
    """Headers that each of its answers carries; answers that a model wrote itself are given them."""

    def decode(self, call: Call, body: Any, spec: ModelSpec, model: Description) -> tuple[Payload, Any]:
        """The request's payload, and whatever ``encode`` needs to remember of the request."""
        ...

    def encode(
        self, call: Call, memory: Any, outcome: Outcome, spec: ModelSpec, model: Description, seconds: float
    ) -> Reply:
        """The answer; ``seconds`` is the time spent in the user's code."""
        ...

    def error(self, error: ModelportError, request_id: str) -> Reply:
        """The error in this protocol's own form."""
        ...


class Served(Protocol):
    """An endpoint as a protocol's front half may see it."""

    spec: ModelSpec

    @property
    def description(self) -> Description | None:
        """None until the first worker has loaded the model."""
        ...

    @property
    def state(self) -> str:
        """ "starting", "ready", "failed" or "unloaded"."""
        ...

    @property
    def reason(self) -> str:
        """Why it is not ready, in one line."""
        ...

    @property
    def failure(self) -> str | None:
        """Why it cannot be loaded, as clients may know it; None while nobody has found that out."""
        ...

    @property
    def fault(self) -> ModelportError | None:
        """Why what is on disk cannot be served; None where it can, as far as anybody knows."""
        ...

    @property
    def parts(self) -> Mapping[str, Served]:
        """Of a graph: the models that have workers of their own, by the unit's name."""
        ...

    def memory(self) -> dict[int, int]:
        """Resident bytes of each worker, by process id."""
        ...

    def statistics(self) -> dict[str, Any]:
        """Counts and nanoseconds since start: success, fail, queue, run, rows, calls, batches, last (ms epoch)."""
        ...


class Deployments(Protocol):
    """A folder of packages, each served under the name of its subfolder."""

    async def listed(self) -> Sequence[Served]:
        """As they are now; the folder is looked at again where the last look was too long ago."""
        ...

    async def put(self, name: str, body: Any, content_type: str) -> bool:
        """Takes a package in; True where there was none of that name. Raises ``RequestError``, ``StorageFull``."""
        ...

    async def remove(self, name: str) -> None:
        """Raises ``NotFound``."""
        ...


class Node(Protocol):
    """The server as a protocol's front half may see it."""

    @property
    def endpoints(self) -> Sequence[Served]: ...

    @property
    def draining(self) -> bool: ...

    @property
    def data_dir(self) -> str: ...

    @property
    def repository(self) -> bool: ...

    @property
    def ready(self) -> bool: ...

    @property
    def is_single(self) -> bool:
        """Whether one model is all that is ever served, so that no path need name it."""
        ...

    @property
    def deployments(self) -> Deployments | None:
        """The folder of packages that is served, if it is one."""
        ...

    @property
    def tasks(self) -> Tasks: ...

    def memory(self) -> int:
        """Resident bytes of the front."""
        ...

    def measured(self) -> Reply:
        """The metrics, as Prometheus reads them."""
        ...

    async def load(self, name: str) -> None: ...

    async def unload(self, name: str) -> None: ...


class Question(NamedTuple):
    """A request that the front answers by itself. Header names are in lower case; the body is small or empty, unless
    its route is bulky."""

    path: str
    query: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Question], Union[Reply, Awaitable[Reply]]]


class Route(NamedTuple):
    """One method and exact path. Either a worker of ``endpoint`` answers (``verb`` tells it what is asked), or
    the front does, by ``answer``.

    A path that is ``nameless`` does not say which model is meant. It is mounted at the root, behind the server's URL
    prefix, only where the protocol is native to what is served; behind the protocol's name; and behind that and the
    name of the endpoint's model. The first two reach the only model, and where there are several, none. ``unit`` is the
    part of a graph that is asked, where it is not all of it.

    A ``*`` stands for any one part of the path, the last or the last but one. With ``task`` a request that the worker
    has found good begins one. Where the front answers, it asks for the key of ``endpoint`` if the route is ``guarded``;
    the body of a ``bulky`` one may be as large as a package, and is a file (``fileno``, ``size``, ``chunks``) then.
    """

    method: str
    path: str
    verb: str = ""
    endpoint: Served | None = None
    answer: Answer | None = None
    admin: bool = False
    nameless: bool = False
    unit: str = ""
    guarded: bool = False
    task: Begins | None = None
    bulky: bool = False


class WireProtocol(Protocol):
    """The front half of a protocol."""

    name: str
    codec: str
    """Module that holds the worker half as ``codec``."""
    headers: Sequence[str]
    """Request headers that the codec reads, in lower case."""
    roots: Sequence[str]
    """Path prefixes that belong to this protocol, for errors on paths that no route has."""

    def routes(self, node: Node, endpoints: Iterable[Served]) -> list[Route]:
        """Every route for these endpoints, without any mount prefix."""
        ...

    def error(self, error: ModelportError, request_id: str) -> Reply: ...

    def missing(self, path: str, node: Node) -> ModelportError:
        """The error for a path under ``roots`` that no route has: which part of it is unknown."""
        ...

    def example(self, endpoint: Served, base: str) -> str | None:
        """A ready-to-paste shell command that asks this endpoint something, or None.

        ``base`` is the server's URL with what goes before the paths of ``routes``.
        """
        ...


Find = Callable[[Any, Mapping[str, str]], Served]
"""From a message's bytes and the call's metadata to who is meant. Raises ``NotFound``."""


class Procedure(NamedTuple):
    """One gRPC method, by its full name: ``package.Service/Method``. Either a worker of the endpoint that ``find``
    names answers (``verb`` tells it what is asked), or the front does, by ``answer``.

    With ``is_stream`` any number of messages come in, each a call of its own, and their answers go out in the same
    order; one that the front answers may have an async iterator of messages for its body. An error ends the stream,
    unless ``telling`` makes a message of its text.
    """

    name: str
    verb: str = ""
    find: Find | None = None
    answer: Answer | None = None
    admin: bool = False
    is_stream: bool = False
    telling: Callable[[str], bytes] | None = None


@runtime_checkable
class Remote(Protocol):
    """A protocol that is spoken over gRPC too has this beside what ``WireProtocol`` asks for.

    The front passes messages on as bytes. Calls reach the worker under ``rpc_name(name)`` as their protocol, with the
    method's path, and with the metadata that ``headers`` names (or all, as with HTTP) for headers. Its codec reads the
    message and answers with a ``Reply`` that has the answer's message for its body; an error is the reply that
    ``statuses.refused`` makes. A reply that a model wrote itself passes through the codec's
    ``carry(call, memory, reply, spec)``, which makes a message of it, if the codec has that.
    """

    rpc_codec: str
    """Module that holds the worker half for messages as ``codec``."""
    files: Sequence[ProtoFile]
    """The messages and services, for whoever asks the server what it has."""

    def procedures(self, node: Node, endpoints: Sequence[Served]) -> list[Procedure]: ...

    def refusal(self, error: ModelportError, request_id: str) -> Reply:
        """The error by ``statuses.refused``, with this protocol's status codes."""
        ...


def rpc_name(protocol: str) -> str:
    """What a protocol is called where messages of gRPC are meant."""
    return f"{protocol}.grpc"


def the_only(protocol: str, endpoints: Sequence[Any]) -> Any:
    """The model that is meant where nothing names one: the only one of the protocol's own platform, or of all; or
    None. Those that share a name with others do not count: the name does."""
    endpoints = [endpoint for endpoint in endpoints if endpoint.spec.split is None]
    own = [endpoint for endpoint in endpoints if endpoint.spec.contract == protocol] or endpoints
    return own[0] if len(own) == 1 else None


Headers = Iterable[tuple[bytes, bytes]]
"""A request's headers as they came; names are in lower case."""


class Marked(NamedTuple):
    """A request whose answer is to be marked; ``endpoint`` is None where the path is nobody's."""

    headers: Headers
    path: str = ""
    id: str = ""
    endpoint: Served | None = None


@runtime_checkable
class Particular(Protocol):
    """Habits that few platforms have: a protocol may have them beside what ``WireProtocol`` asks for."""

    def marks(self, asked: Marked) -> list[tuple[str, str]]:
        """Headers of every answer to such a request, whoever made it; errors too."""
        ...

    def refuse(self, method: str, path: str) -> ModelportError:
        """The error for a request that no route has, where the protocol is native to what is served."""
        ...


@runtime_checkable
class Moving(Protocol):
    """For a protocol that sends clients on who left out a path's final slash, or doubled one in between."""

    def moved(self, location: str) -> ModelportError:
        """The error that sends them there."""
        ...


@runtime_checkable
class Timekeeping(Protocol):
    """For a protocol whose platform has metrics of requests to graphs, and of the questions to their units."""

    timing: Timing


def not_loaded(endpoint: Served) -> ModelUnavailable:
    """The error for a model of which it is known that it cannot be loaded."""
    return ModelUnavailable(f"{endpoint.spec.name} could not be loaded: {endpoint.failure}")


def nothing_at(path: str, protocol: str, node: Node) -> NotFound:
    """The error for a path that no route has, under a protocol whose own paths name no model (see ``Route``)."""
    name, _, rest = path.removeprefix(f"/{protocol}/").partition("/")
    if rest and all(endpoint.spec.name != name for endpoint in node.endpoints):
        return NotFound(f"model {name[:100]!r} not found")
    return NotFound(f"there is nothing at {path[:200]}")

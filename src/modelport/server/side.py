"""A listener beside the server's own: the front answers whatever is asked there, from what it knows at that moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from modelport.core.call import Reply
from modelport.core.protocol import Headers
from modelport.monitoring.metrics import Metrics
from modelport.server.app import ConnectionLimits, Send
from modelport.server.intake import Receive, discard


class Side(NamedTuple):
    """``answer`` gets the method, the path, the headers and the server's metrics; ``option`` is what chose the port."""

    name: str
    port: int
    option: str
    answer: Callable[[str, str, Headers, Metrics], Reply]


class SideApp:
    """The ASGI application of such a listener."""

    def __init__(self, side: Side, metrics: Metrics, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._side = side
        self._metrics = metrics

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        await discard(receive)
        reply = self._side.answer(scope["method"], scope["path"], scope["headers"], self._metrics)
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers]
        headers.append((b"content-length", b"%d" % len(reply.body)))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

"""Takes a request's body as it comes, within its limit: in memory when small, in a spool when large."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from modelport.core.frames import SPOOL_THRESHOLD
from modelport.errors import BodyTooLarge, Cancelled, StorageFull
from modelport.pool.body import Body, Spool

Receive = Callable[[], Awaitable[dict[str, Any]]]

DRAIN_BYTES = 64 << 20
"""How much of a refused body is still read, so that the client gets to see the refusal."""
DRAIN_SECONDS = 2.0


async def read_body(receive: Receive, announced: bytes | None, limit: int) -> Body:
    """The body's bytes; ``announced`` is the Content-Length.

    Raises ``BodyTooLarge``, ``StorageFull``, or ``Cancelled``.
    """
    expected = int(announced) if announced is not None else 0
    if expected > limit:
        raise too_large(limit)
    data, more = await _next(receive)
    if not more:
        if len(data) > limit:
            raise too_large(limit)
        return data
    return await _read_on(receive, data, limit, spool_now=expected > SPOOL_THRESHOLD)


async def _read_on(receive: Receive, data: bytes, limit: int, spool_now: bool) -> Body:
    parts, size, more = [data], len(data), True
    while more and not spool_now:
        data, more = await _next(receive)
        parts.append(data)
        size += len(data)
        if size > limit:
            raise too_large(limit)
        spool_now = size > SPOOL_THRESHOLD
    if not spool_now:
        return b"".join(parts)
    spool = Spool()
    try:
        spool.write(b"".join(parts))
        while more:
            data, more = await _next(receive)
            spool.write(data)
            if spool.size > limit:
                raise too_large(limit)
    except OSError as fault:
        spool.close()
        raise StorageFull(f"the body cannot be stored: {fault.strerror}") from None
    except BaseException:
        spool.close()
        raise
    return spool


async def _next(receive: Receive) -> tuple[bytes, bool]:
    """The next piece, and whether there will be more."""
    message = await receive()
    if message["type"] != "http.request":
        raise Cancelled("the client went away")
    return message["body"], message["more_body"]


def too_large(limit: int) -> BodyTooLarge:
    """The refusal, naming the setting."""
    return BodyTooLarge(f"the body is over {limit} bytes", hint="the limit is --max-body", limit=limit)


async def discard(receive: Receive) -> None:
    """Reads on, without keeping anything, so that closing does not cut off an answer still on its way."""
    left = DRAIN_BYTES
    more = True
    with contextlib.suppress(TimeoutError, Cancelled):
        async with asyncio.timeout(DRAIN_SECONDS):
            while more and left > 0:
                data, more = await _next(receive)
                left -= len(data)

"""``grpc.health.v1.Health``: what probes ask over gRPC. Nothing here waits for a worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from modelport.core.call import Reply
from modelport.core.descriptors import Method, ProtoFile
from modelport.core.protobuf import Schema
from modelport.core.protocol import Procedure, Question
from modelport.dataplane import Dataplane
from modelport.errors import NotFound

WATCH_SECONDS = 0.25
"""Between two looks at what somebody watches."""

_SCHEMA = Schema(
    "grpc.health.v1",
    {
        "HealthCheckRequest": {1: "string service"},
        "HealthCheckResponse": {1: "ServingStatus status"},
        "HealthListRequest": {},
        "HealthListResponse": {1: "map<string, HealthCheckResponse> statuses"},
    },
    {"ServingStatus": {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}},
)
FILE = ProtoFile(
    "grpc/health/v1/health.proto",
    _SCHEMA,
    {
        "Health": {
            "Check": Method("HealthCheckRequest", "HealthCheckResponse"),
            "List": Method("HealthListRequest", "HealthListResponse"),
            "Watch": Method("HealthCheckRequest", "HealthCheckResponse", is_stream=True),
        }
    },
)


def health(plane: Dataplane, services: Sequence[str]) -> tuple[Sequence[ProtoFile], list[Procedure]]:
    """The server as a whole is the service "". Each of the others serves when every model has a worker."""
    names = ["", *dict.fromkeys(services)]

    def status(name: str) -> str:
        if name not in names:
            return "SERVICE_UNKNOWN"
        return "SERVING" if plane.ready else "NOT_SERVING"

    def asked(question: Question) -> str:
        return str(_SCHEMA.decode("HealthCheckRequest", question.body).get("service", ""))

    def said(name: str) -> bytes:
        return _SCHEMA.encode("HealthCheckResponse", {"status": status(name)})

    def check(question: Question) -> Reply:
        name = asked(question)
        if name not in names:
            raise NotFound(f"there is no service {name[:200]!r}")
        return Reply(200, [], said(name))

    def every(_: Question) -> Reply:
        found = {name: {"status": status(name)} for name in names}
        return Reply(200, [], _SCHEMA.encode("HealthListResponse", {"statuses": found}))

    async def watched(name: str) -> AsyncIterator[bytes]:
        last = b""
        while True:
            now = said(name)
            if now != last:
                yield now
            last = now
            await asyncio.sleep(WATCH_SECONDS)

    def watch(question: Question) -> Reply:
        return Reply(200, [], watched(asked(question)))

    base = "grpc.health.v1.Health"
    return [FILE], [
        Procedure(f"{base}/Check", answer=check),
        Procedure(f"{base}/List", answer=every),
        Procedure(f"{base}/Watch", answer=watch, is_stream=True),
    ]

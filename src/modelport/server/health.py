"""Three answers for probes, and the metrics. None of them waits for a worker."""

from __future__ import annotations

from typing import Any

from modelport.core import jsontext
from modelport.core.call import Reply
from modelport.core.protocol import Question, Route
from modelport.dataplane import Dataplane, is_mirror


def health_routes(plane: Dataplane) -> list[Route]:
    """``startup``: first loads are over. ``live``: the front answers. ``ready``: every model has a worker."""

    def live(_: Question) -> Reply:
        return _json(200, {"live": True})

    def startup(_: Question) -> Reply:
        return _json(200 if plane.started else 503, {"started": plane.started})

    def ready(_: Question) -> Reply:
        waiting = {
            e.spec.name: f"{e.state}: {e.reason}"
            for e in plane.endpoints
            if not is_mirror(e) and e.state not in ("ready", "unloaded")
        }
        return _json(
            200 if plane.ready else 503, {"ready": plane.ready, "draining": plane.draining, "not_ready": waiting}
        )

    answers = {
        "/healthz/live": live,
        "/healthz/startup": startup,
        "/healthz/ready": ready,
        "/metrics": lambda _: plane.measured(),
    }
    return [Route(method, path, answer=answer) for path, answer in answers.items() for method in ("GET", "HEAD")]


def _json(status: int, value: Any) -> Reply:
    return Reply(status, [("content-type", "application/json")], jsontext.dumps(value))

"""Routes of the API: ``/v2/models/<name>/`` and what is below, each with its final slash."""

from __future__ import annotations

import collections
import datetime
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from modelport.core import jsontext
from modelport.core.call import Reply
from modelport.core.protocol import Node, Question, Route, Served
from modelport.core.task import CANCELLED, DONE, FAILED, QUEUED, RUNNING, Begins, Task
from modelport.errors import ModelError, ModelportError, ModelUnavailable, NotFound
from modelport.monitoring.logs import HumanFormatter
from modelport.protocols.deepaas import errors
from modelport.protocols.deepaas.codec import CHECK, JSON, PLATFORM, PREDICT, TRAIN, written
from modelport.protocols.deepaas.openapi import document

MODELS = "/v2/models"
HTML = "text/html; charset=utf-8"
POLICY = (
    "default-src 'none'; connect-src 'self'; img-src blob:; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""The page loads nothing from elsewhere."""
KEPT_LINES = 10_000
"""Of the log, for the debugging route."""


class DeepaasProtocol:
    """The front half of the API."""

    name = PLATFORM
    codec = "modelport.protocols.deepaas.codec"
    headers = ("content-type", "cookie")
    roots = ()

    def routes(self, node: Node, endpoints: Iterable[Served]) -> list[Route]:
        endpoints = list(endpoints)
        has_docs = all(endpoint.spec.options.get("docs", True) for endpoint in endpoints)
        answers: dict[str, Callable[[Question], Reply]] = {
            "": lambda question: _json(_versions(question.path.rstrip("/"), has_docs)),
            "/": lambda question: _json(_versions(question.path.rstrip("/"), has_docs)),
            "/v2/": lambda question: _json(_version(_base(question, "/v2/"))),
            f"{MODELS}/": lambda question: _json(
                {"models": [_listed(endpoint, _base(question, f"{MODELS}/")) for endpoint in endpoints]}
            ),
            "/v2/debug/": _debugging(endpoints),
            "/swagger.json": lambda question: _json(document(endpoints, _base(question, "/swagger.json"))),
        }
        if has_docs:
            answers["/api"] = lambda _: Reply(200, [("content-type", HTML), ("content-security-policy", POLICY)], PAGE)
        routes = [Route("GET", path, answer=answer, nameless=True) for path, answer in answers.items()]
        if has_docs:
            routes += [Route(method, "/ui", answer=_to_docs, nameless=True) for method in ("GET", "HEAD")]
        for endpoint in endpoints:
            routes += self._model_routes(node, endpoint)
        return routes

    def _model_routes(self, node: Node, endpoint: Served) -> list[Route]:
        base = f"{MODELS}/{endpoint.spec.name}/"

        def metadata(question: Question) -> Reply:
            return _json(_metadata(endpoint, _base(question, base)))

        routes = [Route("GET", base, answer=metadata)]
        if endpoint.spec.options.get("predict", True):
            routes.append(Route("POST", f"{base}predict/", PREDICT, endpoint))
        else:
            routes.append(Route("POST", f"{base}predict/", answer=_switched_off))
        if endpoint.spec.contract == PLATFORM:
            routes += _train_routes(node, endpoint, f"{base}train/")
        return routes

    def error(self, error: ModelportError, request_id: str) -> Reply:
        return errors.error(error, request_id)

    def missing(self, path: str, node: Node) -> ModelportError:
        return NotFound(f"there is nothing at {path[:200]}")

    def moved(self, location: str) -> ModelportError:
        return errors.Moved(location)

    def example(self, endpoint: Served, base: str) -> str | None:
        url = f"{base}{MODELS}/{quote(endpoint.spec.name)}/predict/"
        description = endpoint.description
        parameters = description.details.get("predict", []) if description is not None else []
        words = [_word(parameter) for parameter in parameters if parameter["required"]]
        return " ".join(["curl -s -X POST", url, *words])


protocol = DeepaasProtocol()
PAGE = Path(__file__).with_name("page.html").read_bytes()


def _word(parameter: dict[str, Any]) -> str:
    """An argument as curl takes it; the value is for the reader to fill in."""
    if parameter["in"] == "header":
        return f"-H '{parameter['name']}: VALUE'"
    value = "@FILE" if parameter.get("type") == "file" else "VALUE"
    return f"-F {parameter['name']}={value}"


def _base(question: Question, path: str) -> str:
    """What goes before a route's own path."""
    return question.path.removesuffix(path)


def _json(value: Any) -> Reply:
    return Reply(200, JSON, written(value))


def _versions(base: str, has_docs: bool) -> dict[str, Any]:
    links = [_link("help", f"{base}/api", "text/html")] if has_docs else []
    return {"versions": [_version(base)], "links": [*links, _link("describedby", f"{base}/swagger.json")]}


def _version(base: str) -> dict[str, Any]:
    return {"version": "stable", "id": "v2", "links": [_link("self", f"{base}/v2/")]}


def _link(relation: str, href: str, media_type: str = "application/json") -> dict[str, str]:
    return {"rel": relation, "type": media_type, "href": href}


def _listed(endpoint: Served, base: str) -> dict[str, Any]:
    """The same among others, where a model that is not well must not hide them."""
    try:
        return _metadata(endpoint, base)
    except ModelportError as error:
        return {**_known(endpoint, base), "description": error.message}


def _metadata(endpoint: Served, base: str) -> dict[str, Any]:
    """What the model says of itself, over what is known anyway. Raises ``ModelError`` where it failed to say it."""
    name, description = endpoint.spec.name, endpoint.description
    if description is None:
        raise ModelUnavailable(f"{name} is {endpoint.state}: {endpoint.reason}")
    if description.platform != PLATFORM:
        return {**_known(endpoint, base), "description": f"A model of the platform {endpoint.spec.contract}"}
    metadata = description.details["metadata"]
    if metadata is None:
        raise ModelError(f"{name} could not tell its metadata; the server's log says more")
    return {**_known(endpoint, base), **metadata}


def _known(endpoint: Served, base: str) -> dict[str, Any]:
    name = endpoint.spec.name
    return {"id": name, "name": name, "links": [{"rel": "self", "href": f"{base}{MODELS}/{quote(name)}"}]}


def _train_routes(node: Node, endpoint: Served, base: str) -> list[Route]:
    """A training is a task. Its output has a route of its own, which the platform does not know."""
    spec = endpoint.spec

    def listed(_: Question) -> Reply:
        return Reply(200, JSON, b"[%b]" % b",".join(map(training, node.tasks.all(spec))))

    def one(question: Question) -> Reply:
        return Reply(200, JSON, training(node.tasks.find(spec, _last(question.path))))

    def remove(question: Question) -> Reply:
        return Reply(200, JSON, training(node.tasks.remove(spec, _last(question.path))))

    def output(question: Question) -> Reply:
        text = node.tasks.output(spec, _last(question.path.removesuffix("/output")))
        return Reply(200, [("content-type", errors.TEXT)], text)

    answers = {
        ("GET", base): listed,
        ("GET", f"{base}*"): one,
        ("DELETE", f"{base}*"): remove,
        ("GET", f"{base}*/output"): output,
    }
    if not spec.options.get("train", True):
        answers = dict.fromkeys([*answers, ("POST", base)], _switched_off)
        return [Route(method, path, answer=answer) for (method, path), answer in answers.items()]
    begins = Begins(TRAIN, lambda task: Reply(200, JSON, training(task)))
    routes = [Route("POST", base, CHECK, endpoint, task=begins)]
    for (method, path), answer in answers.items():
        routes.append(Route(method, path, endpoint=endpoint, answer=answer, guarded=True))
    return routes


def _last(path: str) -> str:
    return path.rpartition("/")[2]


STATES = {QUEUED: "running", RUNNING: "running", DONE: "done", FAILED: "error", CANCELLED: "cancelled"}


def training(task: Task) -> bytes:
    """A task in the platform's words, as JSON; one that waits is called running there. What a worker has written as
    JSON stays as it is."""
    head = {"date": _moment(task.created), "uuid": task.id, "status": STATES[task.state]}
    more: dict[str, bytes] = {"args": task.arguments}
    if task.state == FAILED:
        more["message"] = jsontext.dumps(task.message)
    elif task.state == DONE and task.ended is not None and task.result is not None:
        duration = datetime.timedelta(seconds=max(0.0, task.ended - task.created))
        times = {"finish_date": _moment(task.ended), "duration": str(duration)}
        more["result"] = _extended(times, {"output": task.result})
    return _extended(head, more)


def _extended(plain: dict[str, str], more: dict[str, bytes]) -> bytes:
    """An object with values that are JSON already."""
    return b"".join(
        [jsontext.dumps(plain)[:-1], *(b',"%b":%b' % (key.encode(), text) for key, text in more.items()), b"}"]
    )


def _moment(seconds: float) -> str:
    """Local time, as the platform has it."""
    return datetime.datetime.fromtimestamp(seconds).isoformat(" ", "microseconds")  # noqa: DTZ006


def _switched_off(_: Question) -> Reply:
    raise errors.SwitchedOff("this server does not offer that")


def _to_docs(question: Question) -> Reply:
    location = ("location", f"{question.path.removesuffix('/ui')}/api")
    return Reply(302, [("content-type", errors.TEXT), location], b"302: Found")


def _debugging(endpoints: list[Served]) -> Callable[[Question], Reply]:
    """The last lines of the log, where that was asked for."""
    if not any(endpoint.spec.options.get("debug") for endpoint in endpoints):
        return lambda _: Reply(204, [], b"")
    kept = KeptLog()
    log = logging.getLogger("modelport")
    log.addHandler(kept)

    def debug(_: Question) -> Reply:
        log.info("--- DEBUG MARKER %s ---", datetime.datetime.now())  # noqa: DTZ005 - the platform's is local
        return Reply(200, [("content-type", errors.TEXT)], "\n".join([*kept.lines, ""]).encode())

    return debug


class KeptLog(logging.Handler):
    """The last lines that were logged, what models print among them."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(HumanFormatter())
        self.lines: collections.deque[str] = collections.deque(maxlen=KEPT_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

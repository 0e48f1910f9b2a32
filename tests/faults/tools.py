"""What the fault tests share: a model that waits to be let go, and clients that put a server under load."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self, TypeVar

from tests.harness import Answer, Running, function, until, write_service

FN = "/public/api/v1/svc/fn/run"
OTHER = "/public/api/v1/svc/other/run"

ECHO = "def run(**data):\n    return data\n"

T = TypeVar("T")

_GATED = '''
import os
import select

HERE = os.path.dirname(os.path.abspath(__file__))


def run(id=""):
    """Notes the call, then waits until it is let go."""
    with open(os.path.join(HERE, "began"), "a") as file:
        file.write(f"{id} {os.getpid()}\\n")
    doors = [os.path.join(HERE, name) for name in ("open", f"open-{id}")]
    while not any(map(os.path.exists, doors)):
        select.select([], [], [], 0.005)  # a sleep to a moment fails under a faked clock
    return {"id": id, "pid": os.getpid()}
'''


class Gated:
    """A service whose function "fn" holds each call until ``open``; "other" beside it answers at once."""

    def __init__(self, folder: Path, **pool: int) -> None:
        self.folder = write_service(
            folder / "service",
            function(code="gated.py", pool=pool),
            function("other"),
            code={"gated.py": _GATED, "functions.py": ECHO},
        )

    def _lines(self) -> list[list[str]]:
        file = self.folder / "began"
        return [line.split(" ") for line in file.read_text().splitlines()] if file.exists() else []

    def began(self) -> list[str]:
        """The calls that have reached the model, in order."""
        return [name for name, _ in self._lines()]

    def pid(self, name: str) -> int:
        """The process that a call has reached last."""
        return [int(pid) for call, pid in self._lines() if call == name][-1]

    def open(self, name: str | None = None) -> None:
        """Lets one call go, or all of them from now on."""
        (self.folder / (f"open-{name}" if name is not None else "open")).touch()

    def ask(self, server: Running, name: str) -> Future[Answer]:
        """Sends the call and returns once the server has it: running, or waiting in its queue."""
        before = in_hand(server)
        answer = later(lambda: server.post(FN, {"id": name}, timeout=60))
        until(lambda: answer.done() or in_hand(server) > before, what=f"call {name} to arrive")
        return answer


def later(function: Callable[[], T]) -> Future[T]:
    """Runs it in a thread of its own."""
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(function())
        except Exception as fault:
            future.set_exception(fault)

    threading.Thread(target=work, daemon=True).start()
    return future


def waiting(server: Running, endpoint: str = "fn") -> float:
    """How many requests wait for a worker."""
    return server.metric("modelport_queue_length", endpoint=endpoint)


def busy(server: Running, endpoint: str = "fn") -> float:
    """How many workers run a request."""
    return server.metric("modelport_workers", endpoint=endpoint, state="busy")


def in_hand(server: Running, endpoint: str = "fn") -> float:
    """How many requests run or wait. One reading: a call that begins to run between two would count twice."""
    samples = server.metrics("modelport_queue_length|modelport_workers", endpoint=endpoint)
    return sum(value for labels, value in samples if labels.get("state", "busy") == "busy")


def idle(server: Running, endpoint: str = "fn") -> float:
    """How many workers are loaded and free."""
    return server.metric("modelport_workers", endpoint=endpoint, state="idle")


def allocated(server: Running, endpoint: str = "fn") -> float:
    """How many workers there are, loading ones included."""
    samples = server.metrics("modelport_workers", endpoint=endpoint)
    return sum(value for labels, value in samples if labels["state"] in {"starting", "idle", "busy"})


def restarts(server: Running, cause: str, endpoint: str = "fn") -> float:
    """How many workers have ended for this cause."""
    return server.metric("modelport_worker_restarts_total", endpoint=endpoint, cause=cause)


def not_run(server: Running, reason: str, endpoint: str = "fn") -> float:
    """How many requests were "rejected", "timed_out" or "cancelled"."""
    return server.metric("modelport_not_run_total", endpoint=endpoint, reason=reason)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def until_live(server: Running, port: int) -> None:
    """Waits until the server answers on ``port``, loaded or not."""
    server.port = port

    def live() -> bool:
        with contextlib.suppress(OSError):
            return server.get("/healthz/live").status == 200
        return False

    until(live, 60, "the server to listen")


def head(path: str, size: int, *more: str) -> bytes:
    """The head of a POST request with a body of ``size`` bytes."""
    lines = [f"POST {path} HTTP/1.1", "Host: test", f"Content-Length: {size}", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def send_only(server: Running, path: str, body: Any) -> socket.socket:
    """Sends a request without reading the answer."""
    data = json.dumps(body).encode()
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    connection.sendall(head(path, len(data)) + data)
    return connection


class Load:
    """Clients that each send one request after another, until the block ends or the server stops listening.

    ``codes`` counts statuses, "refused" connections, and whatever else went wrong by its name.
    """

    def __init__(
        self,
        server: Running,
        clients: int = 8,
        path: str = FN,
        body: Any = None,
        keep_alive: bool = False,
        each: Callable[[Answer], None] | None = None,
    ) -> None:
        self.codes: Counter[int | str] = Counter()
        self.seconds: list[float] = []
        self._server = server
        self._path = path
        self._body = json.dumps(body if body is not None else {}).encode()
        self._keep_alive = keep_alive
        self._each = each
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._client, daemon=True) for _ in range(clients)]

    @property
    def failed(self) -> dict[int | str, int]:
        """What was counted beside 200 and refused connections."""
        return {code: count for code, count in self.codes.items() if code not in (200, "refused")}

    def _client(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=60)
        while not self._over.is_set():
            begin = time.monotonic()
            try:
                connection.request("POST", self._path, self._body)
                response = connection.getresponse()
                answer = Answer(response.status, dict(response.getheaders()), response.read())
            except ConnectionRefusedError:
                self.codes["refused"] += 1
                return
            except (OSError, http.client.HTTPException) as fault:
                self.codes[type(fault).__name__] += 1
                connection.close()
                continue
            self.seconds.append(time.monotonic() - begin)
            self.codes[answer.status] += 1
            if self._each is not None:
                self._each(answer)
            if not self._keep_alive:
                connection.close()
        connection.close()

    def answered(self, count: int) -> None:
        """Waits for so many more good answers."""
        goal = self.codes[200] + count
        until(lambda: self.codes[200] >= goal, 60, f"{goal} answers; so far {dict(self.codes)}")

    def finish(self, timeout: float = 60.0) -> None:
        """Waits for every client to have stopped by itself."""
        end = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
            assert not thread.is_alive(), "a client is still waiting"

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.finish()

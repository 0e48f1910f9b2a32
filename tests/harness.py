"""The real server as a process, models written to disk for it, and a small client."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import queue
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil

START_TIMEOUT = 60.0


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Running:
    """A started ``modelport serve``; ``logs`` grows with each JSON line that it logs, ``said`` is its stdout."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.logs: list[dict[str, Any]] = []
        self.raw_logs: list[str] = []
        self.said: list[str] = []
        self.port = 0
        self._lines: queue.Queue[None] = queue.Queue()
        self._threads = [
            threading.Thread(target=self._read, args=(stream, keep), daemon=True)
            for stream, keep in ((process.stdout, self._keep_said), (process.stderr, self._keep_log))
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, stream: Any, keep: Callable[[str], None]) -> None:
        with stream:
            for line in stream:
                keep(line.decode("utf-8", "replace").rstrip("\n"))
                self._lines.put(None)

    def _keep_said(self, line: str) -> None:
        self.said.append(line)
        found = re.search(r"https?://[^/\s]*:(\d+)", line)
        if found and not self.port:
            self.port = int(found.group(1))

    def _keep_log(self, line: str) -> None:
        self.raw_logs.append(line)
        with contextlib.suppress(ValueError):
            value = json.loads(line)
            if isinstance(value, dict):
                self.logs.append(value)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def rpc(self) -> str:
        """Where it speaks gRPC; the server must have been started with ``--grpc-port 0``."""
        return next(found.group(1) for line in self.said if (found := re.search(r"by gRPC, at (\S+)", line)))

    @property
    def pid(self) -> int:
        return self.process.pid

    def workers(self) -> list[psutil.Process]:
        """The worker processes, as they are now."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return [child for child in psutil.Process(self.pid).children() if child.status() != psutil.STATUS_ZOMBIE]
        return []

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        timeout: float = 30.0,
        port: int | None = None,
    ) -> Answer:
        """One request on a connection of its own; a body that is no bytes goes as JSON."""
        if body is not None and not isinstance(body, (bytes, bytearray)):
            body = json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            connection.close()

    def get(self, path: str, **more: Any) -> Answer:
        return self.request("GET", path, **more)

    def post(self, path: str, body: Any = b"", **more: Any) -> Answer:
        return self.request("POST", path, body, **more)

    def metrics(self, name: str, **labels: str) -> list[tuple[dict[str, str], float]]:
        """The samples of that name with these labels, out of one answer of /metrics: what it tells is of one moment."""
        samples: list[tuple[dict[str, str], float]] = []
        for line in self.get("/metrics").body.decode().splitlines():
            found = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            if found and re.fullmatch(name, found.group(1)):
                have = dict(re.findall(r'(\w+)="([^"]*)"', found.group(2) or ""))
                if all(have.get(key) == value for key, value in labels.items()):
                    samples.append((have, float(found.group(3))))
        return samples

    def metric(self, name: str, **labels: str) -> float:
        """The value of one sample of /metrics, 0 where there is none."""
        return next((value for _, value in self.metrics(name, **labels)), 0.0)

    def stop(self, timeout: float = 40.0) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout)
        for thread in self._threads:
            thread.join(5)
        return code

    def kill(self) -> None:
        """Ends it and whatever it started, at once."""
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(self.pid).children(recursive=True)
            self.process.kill()
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self.process.wait(10)
        for thread in self._threads:
            thread.join(5)


def until(condition: Callable[[], Any], timeout: float = 20.0, what: str = "the condition") -> Any:
    """Waits for ``condition`` to become true and returns its value; fails after ``timeout`` seconds."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited {timeout} s for {what}"
        time.sleep(0.02)


def launch(
    *arguments: Any,
    env: dict[str, str] | None = None,
    wrapper: tuple[str, ...] = (),
    preexec: Callable[[], None] | None = None,
    verb: tuple[str, ...] = ("serve",),
    cwd: Path | None = None,
) -> Running:
    """Starts ``modelport serve`` with these arguments on a free port, or another verb, without waiting for it."""
    command = [*wrapper, sys.executable, "-m", "modelport", *verb, *map(str, arguments)]
    if verb == ("serve",) and "--port" not in command:
        command += ["--port", "0"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "MODELPORT_LOG_FORMAT": "json", **(env or {})},
        cwd=cwd,
        preexec_fn=preexec,  # noqa: PLW1509
    )
    return Running(process)


@contextlib.contextmanager
def serving(*arguments: Any, **more: Any) -> Iterator[Running]:
    """A server whose first loads have come to an end; killed afterwards, whatever happens."""
    server = launch(*arguments, **more)
    try:
        until(
            lambda: server.port or server.process.poll() is not None,
            START_TIMEOUT,
            f"the server to start: {server.raw_logs[-5:]}",
        )
        assert server.process.poll() is None, "\n".join(server.raw_logs)
        yield server
    finally:
        server.kill()


def write_service(folder: Path, *endpoints: dict[str, Any], code: dict[str, str], **service: Any) -> Path:
    """A Dataiku service folder; ``code`` maps file names to (indented) source."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in code.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(source))
    content = {"serviceId": "svc", "generation": "v1", "endpoints": list(endpoints), **service}
    (folder / "service.json").write_text(json.dumps(content))
    return folder


def predictor(source: str) -> str:
    """A regression predictor whose ``predict(self, features_df)`` has this body."""
    body = textwrap.indent(textwrap.dedent(source).strip(), " " * 8)
    return (
        "import os, sys, time\n"
        "import numpy as np\n"
        "import pandas as pd\n"
        "from dataiku.apinode.predict.predictor import RegressionPredictor\n\n"
        "class Predictor(RegressionPredictor):\n"
        "    def predict(self, features_df):\n"
        f"{body}\n"
    )


def regression(name: str = "ep", code: str = "predictor.py", **more: Any) -> dict[str, Any]:
    """The ``service.json`` entry of a regression endpoint."""
    return {"id": name, "type": "CUSTOM_PREDICTION", "predictionType": "REGRESSION", "code": code, **more}


def function(name: str = "fn", code: str = "functions.py", function: str = "run", **more: Any) -> dict[str, Any]:
    """The ``service.json`` entry of a function endpoint. A function endpoint needs no pandas, so it loads quickly."""
    return {"id": name, "type": "PY_FUNCTION", "code": code, "function": function, **more}

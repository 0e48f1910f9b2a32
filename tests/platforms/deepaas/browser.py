"""A headless Chromium, driven over its debugging pipe."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "chromium-headless-shell")

PIPED = """
import fcntl, os, sys
given = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
os.dup2(given[0], 3)
os.dup2(given[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Starts it with the pipes where it wants them."""


def found() -> str | None:
    """The browser that CHROMIUM names, else the first on PATH."""
    return next(filter(None, [os.environ.get("CHROMIUM"), *map(shutil.which, NAMES)]), None)


class Page:
    """One page of a browser of its own."""

    def __init__(self, browser: str, profile: Path, url: str) -> None:
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", PIPED, str(theirs_in), str(theirs_out), browser, *flags],
            pass_fds=(theirs_in, theirs_out),
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._session: str | None = None
        self._number = 0
        self._read = b""
        target = self._do("Target.createTarget", url=url)["targetId"]
        self._session = self._do("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def run(self, script: str) -> Any:
        """What an expression comes to, or the promise that it is."""
        answer = self._do("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def _do(self, method: str, **params: Any) -> Any:
        self._number += 1
        order = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            order["sessionId"] = self._session
        os.write(self._out, json.dumps(order).encode() + b"\0")
        end = time.monotonic() + 30
        while True:
            message, mark, rest = self._read.partition(b"\0")
            if not mark:
                assert select.select([self._in], [], [], max(0.0, end - time.monotonic()))[0], f"no answer to {method}"
                piece = os.read(self._in, 1 << 16)
                assert piece, "the browser has ended"
                self._read += piece
                continue
            self._read = rest
            told = json.loads(message)
            if told.get("id") == self._number:
                assert "error" not in told, told
                return told["result"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)
        os.close(self._in)
        os.close(self._out)

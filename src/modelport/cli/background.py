"""A server beside this process, for as long as it is needed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from modelport.errors import SetupError

STOP_SECONDS = 20.0


@contextlib.contextmanager
def serving(path: str) -> Iterator[str]:
    """Serves ``path`` on a free port of this machine; its URL. Raises ``SetupError`` with what the server said."""
    command = [sys.executable, "-m", "modelport", "serve", path, "--host", "127.0.0.1", "--port", "0"]
    command += ["--no-access-log", "--log-format", "human", "--log-level", "warning"]
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - no other thread runs
        )
        try:
            yield _address(server, log.fileno())
        finally:
            server.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(STOP_SECONDS)
            server.kill()
            server.wait()
            assert server.stdout is not None
            server.stdout.close()


def _end_with_parent() -> None:
    """Has this process told to stop when its parent is gone, however that ended."""
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def _address(server: subprocess.Popen[bytes], log: int) -> str:
    """Its URL, once its models have loaded or failed to."""
    assert server.stdout is not None
    url = ""
    for line in server.stdout:
        found = re.search(rb"http://[^\s]+", line)
        if found and not url:
            url = found[0].decode()
        if url and line.startswith(b"server "):
            return url
    text = os.pread(log, 64 << 10, 0).decode("utf-8", "replace").strip()
    raise SetupError("the server did not start", faults=text.splitlines()[-5:])

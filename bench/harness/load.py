"""Loads: one request and its answer, or wrk for some seconds."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness.peers import BENCH, clean_environment

LOCAL = "127.0.0.1"


def require_wrk() -> str:
    """Give wrk's version, or say how to get it."""
    if not shutil.which("wrk"):
        sys.exit("wrk is missing: apt-get install wrk")
    said = subprocess.run(["wrk", "-v"], check=False, capture_output=True, text=True, timeout=10).stdout
    return " ".join(said.split()[:2])


def ask(
    port: int, path: str, body: bytes, content_type: str, *, times: int = 1, timeout: float = 10
) -> tuple[int, bytes]:
    """Send the same request some times over one connection; give the last answer."""
    connection = http.client.HTTPConnection(LOCAL, port, timeout=timeout)
    status, answer = 0, b""
    try:
        for _ in range(times):
            connection.request("POST", path, body, {"Content-Type": content_type})
            response = connection.getresponse()
            status, answer = response.status, response.read()
        return status, answer
    finally:
        connection.close()


def wrk(port: int, path: str, body: Path, content_type: str, connections: int, seconds: int) -> dict[str, Any]:
    """Load a server. Latencies in milliseconds; `failed` says why the figures must not be used."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
    command += ["-s", str(BENCH / "post.lua"), f"http://{LOCAL}:{port}{path}"]
    ran = subprocess.run(
        command,
        check=False,
        env=clean_environment({"BODY": str(body), "CONTENT_TYPE": content_type}),
        capture_output=True,
        text=True,
        timeout=seconds + 30,
    )
    found = re.search(r"^RESULT (.*)$", ran.stdout, re.MULTILINE)
    if not found:
        return {"failed": f"wrk: {(ran.stderr or ran.stdout)[-300:]}"}
    result = json.loads(found[1])
    measured: dict[str, Any] = {
        "requests": result["requests"],
        "rps": result["requests"] / result["microseconds"] * 1e6,
        "p50_ms": result["p50"] / 1000,
        "p99_ms": result["p99"] / 1000,
    }
    if result["status"] or result["socket"] or not result["requests"]:
        errors = f"{result['status']} bad statuses, {result['socket']} connection errors"
        measured["failed"] = f"{errors} in {result['requests']} requests"
    return measured

"""Loads: one request and its answer, or many for some seconds, over HTTP by wrk, over gRPC by a client in Python."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

import grpc
import grpc.aio

from harness.peers import BENCH, clean_environment
from harness.wire import GRPC, Wire

LOCAL = "127.0.0.1"


def require_wrk() -> str:
    """Give wrk's version, or say how to get it."""
    if not shutil.which("wrk"):
        sys.exit("wrk is missing: apt-get install wrk")
    said = subprocess.run(["wrk", "-v"], check=False, capture_output=True, text=True, timeout=10).stdout
    return " ".join(said.split()[:2])


def ask(port: int, wire: Wire, path: str, body: bytes, *, times: int = 1, timeout: float = 10) -> tuple[int, bytes]:
    """Send the same request some times over one connection; give the last answer, with 200 for gRPC's OK."""
    if wire.content_type == GRPC:
        return call(port + wire.port, path, body, times, timeout)
    connection = http.client.HTTPConnection(LOCAL, port + wire.port, timeout=timeout)
    status, answer = 0, b""
    try:
        for _ in range(times):
            connection.request("POST", path, body, {"Content-Type": wire.content_type})
            response = connection.getresponse()
            status, answer = response.status, response.read()
        return status, answer
    finally:
        connection.close()


def call(port: int, method: str, body: bytes, times: int, timeout: float) -> tuple[int, bytes]:
    """The same over gRPC."""
    with grpc.insecure_channel(f"{LOCAL}:{port}") as channel:
        ask_once = channel.unary_unary(method)
        try:
            answers = [ask_once(body, timeout=timeout) for _ in range(times)]
        except grpc.RpcError as error:
            return 0, str(error).encode()
        return 200, answers[-1]


@dataclass(frozen=True)
class Load:
    """One request, over and over; `body` is a file."""

    port: int
    wire: Wire
    path: str
    body: Path


def load(work: Sequence[Load], connections: int, seconds: int) -> dict[str, Any]:
    """Load a server, or the servers of all steps at once: so many of the steps' sequences could be had at most.

    Latencies in milliseconds; `failed` says why the figures must not be used.
    """
    if work[0].wire.content_type == GRPC:
        return asyncio.run(calls(work[0], connections, seconds))
    with ThreadPoolExecutor(len(work)) as pool:
        loads = [pool.submit(wrk, one, -(-connections // len(work)), seconds) for one in work]
    steps = [done.result() for done in loads]
    if failed := [step for step in steps if "failed" in step]:
        return failed[0]
    slowest = min(steps, key=lambda step: step["rps"])
    return {**slowest, **{key: sum(step[key] for step in steps) for key in ("p50_ms", "p99_ms")}}


async def calls(work: Load, connections: int, seconds: int) -> dict[str, Any]:
    """Load a gRPC server over as many channels, one call at a time on each."""
    body, end, times = work.body.read_bytes(), time.perf_counter() + seconds, list[float]()

    async def repeat() -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(f"{LOCAL}:{work.port + work.wire.port}", options) as channel:
            ask_once = channel.unary_unary(work.path)
            while (begin := time.perf_counter()) < end:
                await ask_once(body, timeout=10)
                times.append(time.perf_counter() - begin)

    begin = time.perf_counter()
    try:
        await asyncio.gather(*(repeat() for _ in range(connections)))
    except grpc.RpcError as error:
        return {"failed": f"gRPC: {error}"}
    spent = time.perf_counter() - begin
    parts = quantiles(times, n=100)
    return {
        "requests": len(times),
        "rps": len(times) / spent,
        "p50_ms": parts[49] * 1000,
        "p99_ms": parts[98] * 1000,
    }


def wrk(work: Load, connections: int, seconds: int) -> dict[str, Any]:
    """Load an HTTP server."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
    command += ["-s", str(BENCH / "post.lua"), f"http://{LOCAL}:{work.port + work.wire.port}{work.path}"]
    ran = subprocess.run(
        command,
        check=False,
        env=clean_environment({"BODY": str(work.body), "CONTENT_TYPE": work.wire.content_type}),
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

"""Every process the benchmark starts: each in its own session, all ended by pid whatever happens."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from harness.peers import PORTS_EACH, clean_environment

MIB = 2**20


class ServerError(Exception):
    """A server did not start, died, or answered wrongly."""


@dataclass
class Started:
    """One process and what descends from it."""

    process: subprocess.Popen[str]
    log: Path
    known: dict[int, psutil.Process] = field(default_factory=dict)

    def family(self) -> list[psutil.Process]:
        """The process, its descendants and its session, and whoever was ever seen there and still runs."""
        try:
            root = psutil.Process(self.process.pid)
            found = [root, *root.children(recursive=True)]
        except psutil.Error:
            found = []
        found += [other for other in psutil.process_iter() if session(other.pid) == self.process.pid]
        self.known.update({other.pid: other for other in found})
        return [other for other in self.known.values() if other.is_running()]

    def send(self, number: int) -> None:
        """Send a signal to the whole family."""
        for other in self.family():
            with contextlib.suppress(psutil.Error):  # ended meanwhile
                other.send_signal(number)

    def last_words(self) -> str:
        """The end of the log."""
        return self.log.read_text(errors="replace")[-1500:]


def session(pid: int) -> int | None:
    """A process's session, or None when it is gone."""
    try:
        return os.getsid(pid)
    except OSError:
        return None


class Processes:
    """Starts processes, and ends all that are left when the block is left."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.running: list[Started] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self.running:
            self.stop(self.running[-1])

    def start(self, name: str, command: Sequence[str], extra: Mapping[str, str], *, piped: bool = False) -> Started:
        """Start a process in its own session; piped ones talk over standard input and output."""
        log = self.logs / f"{name}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                command,
                env=clean_environment(dict(extra)),
                cwd=self.logs,
                stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else output,
                stderr=output,
                text=True,
                start_new_session=True,
            )
        started = Started(process, log)
        self.running.append(started)
        return started

    def stop(self, started: Started) -> None:
        """Ask the process to end; end by force what is left of its family."""
        family = started.family()
        started.send(signal.SIGCONT)  # it may be paused
        if started.process.poll() is None:
            started.process.terminate()
        _, alive = psutil.wait_procs(family, timeout=5)
        for other in {*alive, *started.family()}:
            if other.is_running() and other.status() != psutil.STATUS_ZOMBIE:
                other.kill()
        started.process.wait(timeout=10)
        for pipe in (started.process.stdin, started.process.stdout):
            if pipe:
                pipe.close()
        self.running.remove(started)


def require_free(port: int) -> None:
    """Refuse a port that something listens on: its answers would be counted as a server's."""
    for number in range(port, port + PORTS_EACH):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", number)) == 0:
                raise ServerError(f"port {number} is taken (left from an earlier run? choose another --port)")


def require_loopback(started: Started) -> None:
    """Refuse a server that listens to the world."""
    for process in started.family():
        for connection in process.net_connections("inet"):
            if connection.status != psutil.CONN_LISTEN or not connection.laddr:
                continue
            address = ipaddress.ip_address(connection.laddr.ip.removeprefix("::ffff:"))
            if not address.is_loopback:
                raise ServerError(f"listens on {address}:{connection.laddr.port}, not on loopback only")


def memory(started: Started) -> dict[str, float]:
    """MiB of the first process alone and of the whole tree. PSS counts shared pages once."""
    sizes = []
    for process in started.family():
        try:
            sizes.append((process.pid, process.memory_full_info()))
        except psutil.Error:  # ended meanwhile
            continue
    front = [size for pid, size in sizes if pid == started.process.pid]
    return {
        "front_pss_mib": sum(size.pss for size in front) / MIB,
        "front_rss_mib": sum(size.rss for size in front) / MIB,
        "tree_pss_mib": sum(size.pss for _, size in sizes) / MIB,
        "tree_rss_mib": sum(size.rss for _, size in sizes) / MIB,
        "processes": len(sizes),
    }


def cpu_seconds(started: Started) -> float:
    """Processor time the whole tree has used so far."""
    total = 0.0
    for process in started.family():
        try:
            times = process.cpu_times()
            total += times.user + times.system
        except psutil.Error:
            continue
    return total

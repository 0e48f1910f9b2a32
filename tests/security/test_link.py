"""The link between the server and its workers: in reach of nobody else, and of no use to a worker that misbehaves."""

from __future__ import annotations

import http.client
import json
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.harness import Running, function, serving, until, write_service

HEAD = struct.Struct("<BBHIQ")
CODE = """
import os, threading

def echo(**data):
    return data

def sockets():
    found = []
    for fd in sorted(map(int, os.listdir("/proc/self/fd"))):
        try:
            if os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
                found.append(fd)
        except OSError:
            pass
    return found

def descriptors():
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            found[fd] = os.readlink(f"/proc/self/fd/{fd}").partition(":")[0]
        except OSError:
            pass
    return found, sockets()

def write(junk, which):
    fd = sockets()[which]
    os.set_blocking(fd, True)
    data = bytes.fromhex(junk)
    while data:
        data = data[os.write(fd, data):]
    threading.Event().wait()

def shut(which):
    os.close(sockets()[which])
    threading.Event().wait(0.5)
"""
CHILD = """
import subprocess

def run():
    return subprocess.run(["ls", "-l", "/proc/self/fd"], capture_output=True, close_fds=False, text=True).stdout
"""
SLOW = """
import os, time

def wait(path):
    open(path + ".started", "w").close()
    while not os.path.exists(path):
        time.sleep(0.01)
    return "waited"
"""


def frame(kind: int, meta: Any, body: bytes = b"", flags: int = 0, size: int | None = None) -> bytes:
    raw = meta if isinstance(meta, bytes) else json.dumps(meta).encode()
    return HEAD.pack(kind, flags, 0, len(raw), len(body) if size is None else size) + raw + body


LOAD, READY, FAILED, CALL, REPLY, LOG, CHUNK = range(1, 8)
SPOOLED, MORE = 1, 2
JUNK = {
    "text": b"garbage " * 100,
    "zeros": bytes(64),
    "ones": b"\xff" * 64,
    "random": bytes(range(256)) * 4,
    "http": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "a pickle": b"\x80\x04\x95\x10" * 10,
    "an unknown kind": frame(77, {}),
    "a frame for workers": frame(CALL, ["id"], b"{}"),
    "ready once more": frame(READY, {"description": {}, "python": "3"}),
    "failed after all": frame(FAILED, {"type": "X", "message": "y"}),
    "unreadable meta": frame(REPLY, b"{"),
    "meta that is no text": frame(REPLY, b"\xff\xfe"),
    "deep meta": frame(REPLY, b"[" * 100_000),
    "a reply without parts": frame(REPLY, []),
    "a reply that is text": frame(REPLY, "reply"),
    "a status that is none": frame(REPLY, ["200", [], None, []], b"x"),
    "a status out of range": frame(REPLY, [99999, [], None, []], b"x"),
    "headers that are none": frame(REPLY, [200, [["a"]], None, []], b"x"),
    "headers that are numbers": frame(REPLY, [200, 7, None, []], b"x"),
    "measurements that are none": frame(REPLY, [200, [], None, [], 7]),
    "a measurement without a value": frame(REPLY, [200, [], None, [], [["counter", "a"]]]),
    "a measurement of no kind": frame(REPLY, [200, [], None, [], [["size", "a", 1, []]]]),
    "a measurement whose name is a line more": frame(REPLY, [200, [], None, [], [["counter", "a 1\nb", 1, []]]]),
    "a measurement that is no number": frame(REPLY, [200, [], None, [], [["counter", "a", "x", []]]]),
    "labels that are numbers": frame(REPLY, [200, [], None, [], [["counter", "a", 1, [["b", 2]]]]]),
    "labels that are lines": frame(REPLY, [200, [], None, [], [["counter", "a", 1, [["b\nc", "2"]]]]]),
    "a reply with a part too many": frame(REPLY, [200, [], None, [], [], []]),
    "a log that is a list": frame(LOG, []),
    "a log without text": frame(LOG, {"level": "info"}),
    "more meta than allowed": HEAD.pack(REPLY, 0, 0, 1 << 31, 0),
    "more body than allowed": HEAD.pack(REPLY, 0, 0, 2, 1 << 60) + b"[]",
    "a descriptor that never came": frame(REPLY, [200, [], None, []], b"", SPOOLED, 1 << 40),
    "a piece of no answer": frame(CHUNK, None, b"x", MORE),
    "the end of no answer": frame(CHUNK, None),
}
BEGUN = frame(REPLY, [200, [], None, []], b"", MORE)
JUNK_ONCE_BEGUN = {
    "a reply within a reply": BEGUN,
    "a piece that is a descriptor": frame(CHUNK, None, b"", SPOOLED, 9),
}


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    one = {"floor": 1, "ceil": 1, "cruise": 1}
    folder = write_service(
        tmp_path_factory.mktemp("link") / "svc",
        function(function="echo"),
        function("wait", "slow.py", "wait"),
        function("descriptors", function="descriptors"),
        function("write", function="write", pool=one),
        function("shut", function="shut", pool=one),
        code={"functions.py": CODE, "slow.py": SLOW},
    )
    with serving(folder) as server:
        yield server


def run(server: Running, endpoint: str, **arguments: Any) -> Any:
    return server.post(f"/public/api/v1/svc/{endpoint}/run", arguments)


def sockets_of(process: psutil.Process) -> set[str]:
    """The inode numbers of its sockets."""
    found: set[str] = set()
    try:
        fds = list(Path(f"/proc/{process.pid}/fd").iterdir())
    except OSError:
        return found
    for fd in fds:
        try:
            target = str(fd.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found


def unix_sockets() -> dict[str, list[str]]:
    """Inode to its line in /proc/net/unix: flags at 3, then type, state, inode and, for a named one, the path."""
    lines = Path("/proc/net/unix").read_text().splitlines()[1:]
    return {line.split()[6]: line.split() for line in lines}


def test_the_link_has_no_name_and_nobody_can_connect_to_it(link: Running) -> None:
    sockets = [sockets_of(process) for process in link.workers()]
    assert any(len(mine) == 2 for mine in sockets)
    assert all(len(mine) <= 2 for mine in sockets)  # a model may have closed one of its own
    known = unix_sockets()
    for mine in sockets:
        for inode in mine:
            words = known[inode]
            assert len(words) == 7, f"a socket with a name: {words}"
            assert int(words[3], 16) & 0x10000 == 0, "a listening socket"
    named = [known[inode] for inode in sockets_of(psutil.Process(link.pid)) if len(known.get(inode, [])) > 7]
    assert named == []


def test_only_the_server_listens_and_only_for_http(link: Running) -> None:
    listening = [
        (process.pid, connection.laddr.port)
        for process in [psutil.Process(link.pid), *link.workers()]
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening == [(link.pid, link.port)]


def test_a_worker_holds_its_own_ends_and_nothing_else(link: Running) -> None:
    """Neither the listener, nor clients' connections, nor other workers' links."""
    found, sockets = run(link, "descriptors").json()["response"]
    assert len(sockets) == 2
    others = [target for target in found.values() if target not in ("socket", "pipe", "/dev/null")]
    assert len(others) == 1, "the word of memory that it shares with the front alone, in a file without a name"
    assert others[0].endswith("(deleted)")
    all_sockets = [sockets_of(worker) for worker in link.workers()]
    assert len(set().union(*all_sockets)) == sum(map(len, all_sockets)), "two workers share a socket"


def test_what_a_model_starts_does_not_inherit_the_link(link: Running, tmp_path: Path) -> None:
    with serving(write_service(tmp_path / "svc", function(), code={"functions.py": CHILD})) as server:
        assert "socket:" not in run(server, "fn").json()["response"]


@pytest.mark.parametrize("name", JUNK)
def test_a_worker_that_writes_junk_ends_alone(link: Running, tmp_path: Path, name: str) -> None:
    before = {process.pid for process in link.workers()}
    with ThreadPoolExecutor(1) as threads:
        neighbour = threads.submit(run, link, "wait", path=str(tmp_path / "go"))
        until((tmp_path / "go.started").exists, what="the neighbour to run")
        answer = run(link, "write", junk=JUNK[name].hex(), which=0)
        assert (answer.status, answer.json()["errorType"]) == (502, "WorkerDied")
        assert answer.headers["x-request-id"] in answer.json()["detailedMessage"]
        (tmp_path / "go").touch()
        assert neighbour.result().json()["response"] == "waited"
    until(lambda: len(link.workers()) == len(before), what="a new worker")
    assert len(before - {process.pid for process in link.workers()}) == 1
    assert run(link, "fn", a=1).json()["response"] == {"a": 1}


@pytest.mark.parametrize("junk", JUNK_ONCE_BEGUN.values(), ids=JUNK_ONCE_BEGUN)
def test_what_a_worker_begins_and_spoils_is_cut_off(link: Running, junk: bytes) -> None:
    before = len(link.workers())
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        run(link, "write", junk=(BEGUN + junk).hex(), which=0)
    until(lambda: len(link.workers()) == before, what="a new worker")
    assert run(link, "fn", a=1).json()["response"] == {"a": 1}


def test_a_worker_that_shuts_its_link_ends_alone(link: Running) -> None:
    for which in (0, 1):
        answer = run(link, "shut", which=which)
        assert answer.status in (200, 502)
        assert run(link, "fn", a=1).status == 200


def test_after_all_that_the_endpoint_still_serves(link: Running) -> None:
    answer = run(link, "write", junk="", which=5)
    assert (answer.status, answer.json()["errorType"]) == (500, "IndexError")
    assert link.get("/healthz/ready").status == 200
    assert not any("Traceback" in line.get("error", "") for line in link.logs)

"""An answer in pieces: each goes out as it is made, no faster than its client reads, half a one never looks whole."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import socket
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults.tools import head, idle, later, restarts
from tests.harness import Running, serving, until
from tests.platforms.oip.models import ENVIRONMENT

INFER = "/v2/models/stream/infer"
PIECE = 1 << 20

MODEL = """
    import os
    import select
    import time

    from modelport.core.call import Outcome, Reply


    def note(line):
        with open("notes", "a") as file:
            file.write(f"{line}\\n")


    def pieces(count, how):
        note("begun")
        try:
            if how == "first":
                raise KeyError("at once")
            for number in range(count):
                if how == "gate" and number:
                    while not os.path.exists("open"):
                        select.select([], [], [], 0.005)
                if how == "raise" and number:
                    raise ValueError("midway")
                if how == "exit" and number:
                    os._exit(3)
                if how == "hang" and number:
                    time.sleep(3600)
                if how == "text" and number:
                    yield "text"
                yield bytes([number % 251]) * (3 if how == "gate" else 1 << 20)
                note("made")
        finally:
            note("closed")


    class Model:
        def predict(self, tensors):
            how, count = tensors.items[0].nested()
            headers = [("content-type", "application/x-pieces"), ("content-length", "7")]
            return Outcome(reply=Reply(200, headers, pieces(int(count), how)))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "stream"
    place.mkdir()
    (place / "model.py").write_text(textwrap.dedent(MODEL))
    manifest = "contract: tensors\ncomponent: model.py:Model\npool: {floor: 1, cruise: 1, ceil: 1, runTimeout: 8000}\n"
    (place / "modelport.yaml").write_text(manifest)
    return place


@pytest.fixture
def server(folder: Path) -> Iterator[Running]:
    with serving(folder, env=ENVIRONMENT) as running:
        yield running


def notes(folder: Path, what: str) -> int:
    file = folder / "notes"
    return file.read_text().split().count(what) if file.exists() else 0


def question(how: str, count: int) -> bytes:
    return json.dumps(
        {"inputs": [{"name": "x", "datatype": "BYTES", "shape": [2], "data": [how, str(count)]}]}
    ).encode()


@contextlib.contextmanager
def asked(server: Running, how: str = "", count: int = 2) -> Iterator[http.client.HTTPResponse]:
    """The answer with its head read and its body still to come."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request("POST", INFER, question(how, count))
        yield connection.getresponse()
    finally:
        connection.close()


def goes_on(server: Running) -> bool:
    """Whether the next answer is whole."""
    with asked(server, count=3) as answer:
        return hashlib.sha256(answer.read()).hexdigest() == content(3)


def is_cut_off(server: Running, how: str) -> bool:
    """Whether a client sees that the answer is not whole; it must have got the first piece."""
    with asked(server, how, 9) as answer, pytest.raises(http.client.IncompleteRead) as cut:
        answer.read()
    return len(cut.value.partial) == PIECE


def unread(server: Running, count: int) -> socket.socket:
    """A client that asks, and reads nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", server.port))
    body = question("", count)
    client.sendall(head(INFER, len(body)) + body)
    return client


def content(count: int) -> str:
    digest = hashlib.sha256()
    for number in range(count):
        digest.update(bytes([number % 251]) * PIECE)
    return digest.hexdigest()


def test_it_arrives_whole_and_its_length_is_not_promised(server: Running) -> None:
    with asked(server, count=40) as answer:
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/x-pieces"
        assert answer.headers["transfer-encoding"] == "chunked"
        assert "content-length" not in answer.headers
        assert hashlib.sha256(answer.read()).hexdigest() == content(40)
    assert server.metric("modelport_requests_total", endpoint="stream", code="200") == 1


def test_the_first_piece_is_there_before_the_next_is_made(server: Running, folder: Path) -> None:
    with asked(server, "gate", 3) as answer:
        assert answer.read(3) == b"\0\0\0"
        assert notes(folder, "closed") == 0
        (folder / "open").touch()
        assert answer.read() == b"\1\1\1\2\2\2"


def test_the_model_waits_for_a_client_that_reads_slowly_and_nothing_piles_up(server: Running, folder: Path) -> None:
    front = psutil.Process(server.pid)
    memory = front.memory_info().rss
    made = -1

    def rests() -> bool:
        nonlocal made
        before, made = made, notes(folder, "made")
        return 0 < made == before

    with unread(server, 100) as client:
        for _ in range(10):
            until(rests)
        assert made < 20
        assert front.memory_info().rss - memory < 20 << 20
        digest = hashlib.sha256()
        with http.client.HTTPResponse(client) as response:
            response.begin()
            while data := response.read(PIECE):
                digest.update(data)
        assert digest.hexdigest() == content(100)


def test_the_answer_that_one_client_leaves_unread_does_not_keep_others_waiting(server: Running, folder: Path) -> None:
    with unread(server, 2):
        until(lambda: notes(folder, "closed") == 1)
        assert goes_on(server)


def test_a_model_stops_making_pieces_for_a_client_that_left(server: Running, folder: Path) -> None:
    worker = server.workers()[0].pid
    with unread(server, 10_000):
        until(lambda: notes(folder, "made") > 2)
    until(lambda: notes(folder, "closed") == 1)
    assert notes(folder, "made") < 100
    assert goes_on(server)
    assert server.workers()[0].pid == worker


def test_a_model_that_fails_before_its_first_piece_has_failed_like_any_other(server: Running) -> None:
    answer = server.post(INFER, question("first", 1))
    assert answer.status == 500
    assert answer.json()["error"].startswith("KeyError: 'at once'")
    assert goes_on(server)


@pytest.mark.parametrize(("how", "logged"), [("raise", "ValueError: midway"), ("text", "TypeError")])
def test_what_fails_later_is_cut_off_and_the_worker_goes_on(server: Running, how: str, logged: str) -> None:
    worker = server.workers()[0].pid
    assert is_cut_off(server, how)
    until(lambda: any(logged in line for line in server.raw_logs))
    until(lambda: any("was cut off" in line for line in server.raw_logs))
    assert not any("ASGI" in line for line in server.raw_logs)
    assert goes_on(server)
    assert server.workers()[0].pid == worker


def test_a_worker_that_ends_midway_cuts_the_answer_off(server: Running) -> None:
    assert is_cut_off(server, "exit")
    until(lambda: restarts(server, "exit 3", "stream") == 1)
    assert goes_on(server)


def test_an_answer_may_take_no_longer_than_a_run_may(server: Running) -> None:
    assert is_cut_off(server, "hang")
    assert goes_on(server)
    assert restarts(server, "run_timeout", "stream") == 1


def test_an_old_client_gets_it_with_its_length(server: Running) -> None:
    body = question("", 3)
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(head(INFER, len(body)).replace(b"HTTP/1.1", b"HTTP/1.0") + body)
        with http.client.HTTPResponse(client) as response:
            response.begin()
            assert response.headers["content-length"] == str(3 * PIECE)
            assert hashlib.sha256(response.read()).hexdigest() == content(3)


def test_a_server_that_stops_sends_the_rest_first(server: Running, folder: Path) -> None:
    with asked(server, "gate", 3) as answer:
        assert answer.read(3) == b"\0\0\0"
        stopped = later(server.stop)
        until(lambda: server.get("/healthz/ready").status == 503)
        (folder / "open").touch()
        assert answer.read() == b"\1\1\1\2\2\2"
    assert stopped.result(30) == 0


def test_an_empty_one_is_an_answer_too(server: Running) -> None:
    with asked(server, count=0) as answer:
        assert (answer.status, answer.read()) == (200, b"")
    until(lambda: idle(server, "stream") == 1)

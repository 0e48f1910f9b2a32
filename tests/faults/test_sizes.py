"""Requests and answers of every size: what is too large is refused before it costs anything."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import io
import random
import socket
import string
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults.tools import FN, head
from tests.harness import Running, function, serving, until, write_service

MEGABYTE = 1 << 20
LIMIT = 4 * MEGABYTE
SIZES = """
    import hashlib


    def run(text="", repeat=1):
        return {"digest": hashlib.sha256(text.encode()).hexdigest(), "text": text * repeat}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = write_service(
        Path(tmp_path_factory.mktemp("sizes")) / "service",
        function(pool={"floor": 1, "ceil": 1, "cruise": 1}),
        code={"functions.py": SIZES},
    )
    with serving(folder, "--max-body", LIMIT) as running:
        for _ in range(3):
            running.post(FN, {"text": "x" * 3 * MEGABYTE})
        yield running


def rss(server: Running) -> int:
    return psutil.Process(server.pid).memory_info().rss


def exchange(server: Running, data: bytes) -> bytes:
    """Sends as much as the server takes, then reads to the end."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data)
        answer = b""
        try:
            while chunk := connection.recv(65536):
                answer += chunk
        except ConnectionResetError:
            pass
        return answer


def test_an_announced_body_ten_times_over_the_limit_is_refused(server: Running) -> None:
    before = rss(server)
    answer = server.post(FN, b"x" * (10 * LIMIT))
    assert answer.status == 413
    assert answer.json()["errorType"] == "BodyTooLarge"
    assert f"over {LIMIT} bytes" in answer.json()["message"]
    assert "--max-body" in answer.json()["detailedMessage"]
    assert answer.headers["connection"] == "close"
    assert rss(server) - before < LIMIT + 16 * MEGABYTE
    assert server.post(FN, {"text": "a"}).status == 200


def test_an_announced_body_over_the_limit_is_refused_before_any_of_it_is_sent(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(head(FN, LIMIT + 1))
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_chunked_body_ten_times_over_the_limit_is_refused(server: Running) -> None:
    before = rss(server)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    chunks = (b"x" * 65536 for _ in range(10 * LIMIT // 65536))
    connection.request("POST", FN, chunks, {"Transfer-Encoding": "chunked"}, encode_chunked=True)
    response = connection.getresponse()
    assert response.status == 413
    assert b"BodyTooLarge" in response.read()
    connection.close()
    assert rss(server) - before < LIMIT + 16 * MEGABYTE
    assert server.post(FN, {"text": "a"}).status == 200


def test_a_body_of_just_the_limit_is_served_and_one_byte_more_is_not(server: Running) -> None:
    frame = len(b'{"text":""}')
    body = b'{"text":"' + b"x" * (LIMIT - frame) + b'"}'
    assert len(body) == LIMIT
    assert server.post(FN, body).status == 200
    assert server.post(FN, body + b" ").status == 413


def test_a_megabyte_of_headers_is_refused(server: Running) -> None:
    before = rss(server)
    one = exchange(server, b"GET /healthz/live HTTP/1.1\r\nX: " + b"x" * MEGABYTE + b"\r\n\r\n")
    assert one.startswith(b"HTTP/1.1 431 "), one[:200]
    url = exchange(server, b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n")
    assert url.startswith(b"HTTP/1.1 414 "), url[:200]
    assert rss(server) - before < 16 * MEGABYTE
    assert server.get("/healthz/live").status == 200


def test_ten_thousand_headers_are_refused(server: Running) -> None:
    answer = exchange(server, b"GET /healthz/live HTTP/1.1\r\n" + b"a:1\r\n" * 10_000 + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 431 "), answer[:200]
    assert server.get("/healthz/live").status == 200


def bomb(size: int) -> bytes:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=6) as file:
        block = bytes(4 * MEGABYTE)
        for _ in range(size // len(block)):
            file.write(block)
    return packed.getvalue()


def test_a_gzip_bomb_is_refused_before_it_unfolds(server: Running) -> None:
    worker = server.workers()[0]
    before = worker.memory_info().rss
    packed = bomb(512 * MEGABYTE)
    assert len(packed) < MEGABYTE
    answer = server.post(FN, packed, headers={"Content-Encoding": "gzip"}, timeout=20)
    assert answer.status == 413
    assert answer.json()["errorType"] == "BodyTooLarge"
    assert worker.memory_info().rss - before < 8 * LIMIT
    assert [process.pid for process in server.workers()] == [worker.pid]


def test_nested_and_damaged_compression_is_refused(server: Running) -> None:
    good = gzip.compress(b'{"text": "a"}')
    assert server.post(FN, good, headers={"Content-Encoding": "gzip"}).json()["response"]["text"] == "a"
    for body, encoding in (
        (gzip.compress(good), "gzip, gzip"),
        (gzip.compress(good), "gzip"),
        (good[:-10], "gzip"),
        (good[:10] + b"\xff" + good[11:], "gzip"),
        (b"not gzip at all", "gzip"),
        (b"", "gzip"),
        (good, "br"),
    ):
        answer = server.post(FN, body, headers={"Content-Encoding": encoding})
        assert answer.status == 400, (body, encoding, answer.body)
        assert answer.json()["errorType"] == ("InvalidBody" if encoding == "gzip" else "UnsupportedType")
    assert server.post(FN, good, headers={"Content-Encoding": "gzip"}).status == 200


@pytest.mark.parametrize("size", [MEGABYTE - 200, MEGABYTE, MEGABYTE + 200, 3 * MEGABYTE])
def test_large_requests_and_answers_arrive_whole(server: Running, size: int) -> None:
    letters = random.Random(size).choices(string.ascii_letters, k=1000)
    text = "".join(letters) * (size // 1000) + "x" * (size % 1000)
    answer = server.post(FN, {"text": text})
    assert answer.status == 200
    assert answer.json()["response"]["text"] == text
    assert int(answer.headers["content-length"]) == len(answer.body)


def test_answers_far_over_a_megabyte_cost_the_front_no_memory(server: Running) -> None:
    before = rss(server)
    answer = server.post(FN, {"text": "0123456789" * 1000, "repeat": 6000})
    assert answer.status == 200
    assert answer.json()["response"]["text"] == "0123456789" * 6_000_000
    assert rss(server) - before < 16 * MEGABYTE


def test_large_requests_on_one_connection_and_at_once_are_not_mixed_up(server: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    for letter, size in (("a", 2 * MEGABYTE), ("b", 10), ("c", 3 * MEGABYTE), ("d", 1)):
        connection.request("POST", FN, b'{"text": "%s"}' % (letter.encode() * size))
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200
        assert body.count(letter.encode()) >= size
        assert f'"text":"{letter * 5}'[: 8 + min(5, size)].encode() in body
    connection.close()
    before = psutil.Process(server.pid).num_fds()
    until(lambda: psutil.Process(server.pid).num_fds() <= before)

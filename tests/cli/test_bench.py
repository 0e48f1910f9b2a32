"""``modelport bench``"""

from __future__ import annotations

import json
import socket
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelport.cli import load
from modelport.cli.address import parse
from modelport.cli.bench_page import page
from modelport.cli.chart import nice
from modelport.cli.load import Load, Measured, Question
from tests.cli.conftest import modelport
from tests.harness import Running

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def slow_server() -> Iterator[Callable[[Callable[[int], bytes]], str]]:
    """Starts a server that answers the n-th request with what the function gives (empty closes); its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    numbers = iter(range(1_000_000))

    def talk(connection: socket.socket, answer: Callable[[int], bytes]) -> None:
        with connection:
            while connection.recv(65536):
                data = answer(next(numbers))
                if not data:
                    return
                connection.sendall(data)

    def accept(answer: Callable[[int], bytes]) -> None:
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=talk, args=(connection, answer), daemon=True).start()

    def start(answer: Callable[[int], bytes]) -> str:
        threading.Thread(target=accept, args=(answer,), daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"

    yield start
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def loaded(url: str, rate: float, seconds: float, connections: int = 4) -> Measured:
    async def run() -> Measured:
        return await Load(Question(parse(url), b"{}"), rate, seconds, connections).run()

    measured: Measured = load.run(run())
    return measured


def test_a_stall_counts_for_all_that_should_have_left_meanwhile(slow_server: Callable[..., str]) -> None:
    """With a closed loop's measure only one request would have been slow, and p90 would not have shown it."""

    def stall_once(number: int) -> bytes:
        time.sleep(0.5 if number == 20 else 0)
        return OK

    measured = loaded(slow_server(stall_once), rate=100, seconds=1.0, connections=1)
    assert measured.good == 100
    assert measured.percentiles()["p90"] > 300


def test_errors_are_counted_apart(slow_server: Callable[..., str]) -> None:
    busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    measured = loaded(slow_server(lambda number: busy if number % 2 else OK), rate=100, seconds=0.4)
    assert (measured.good, dict(measured.errors)) == (20, {"503": 20})
    assert len(measured.latencies) == 20


def test_lost_connections_are_counted_and_replaced(slow_server: Callable[..., str]) -> None:
    measured = loaded(slow_server(lambda number: b"" if number % 4 == 3 else OK), rate=100, seconds=0.4)
    assert measured.errors["connection lost"] == 10
    assert measured.good == 30


def test_a_server_that_never_answers_ends_in_bounded_time(
    slow_server: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "DRAIN", 0.3)

    def never(number: int) -> bytes:
        time.sleep(30)
        return b""

    begin = time.monotonic()
    measured = loaded(slow_server(never), rate=50, seconds=0.2)
    assert time.monotonic() - begin < 5
    assert (measured.good, measured.unfinished) == (0, 10)
    assert measured.percentiles()["max"] > 300


def test_a_url_gives_json_and_a_page(plain: Running, tmp_path: Path) -> None:
    html = tmp_path / "curve.html"
    url = f"{plain.base}/public/api/v1/svc/fn/run"
    done = modelport(
        "bench", url, "--data", '{"a": 1}', "--ramp", "20:40:2", "--seconds", "0.5", "--json", "--html", html
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [step["rate"] for step in report["steps"]] == [20, 40]
    assert [step["good"] for step in report["steps"]] == [10, 20]
    assert list(report["steps"][0]["latency_ms"]) == ["p50", "p90", "p99", "p99.9", "max"]
    text = html.read_text()
    assert text.count("<polyline") == 3
    assert url in text
    assert "src=" not in text
    assert "<link" not in text


def test_a_path_is_served_and_measured(example: Path) -> None:
    done = modelport("bench", example, "--endpoint", "bmi", "--seconds", "0.2", "--connections", "2")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split()[:2] == ["rate/s", "good/s"]
    assert len(lines) == 7  # head, five rates, remark


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["http://192.0.2.1/x"], "--remote"),
        (["http://example.invalid/x"], "--remote"),
        (["http://127.0.0.1:1/x"], "Connection refused"),
        (["http://127.0.0.1:1/x", "--rate", "0"], "rates must be above 0"),
        (["http://127.0.0.1:1/x", "--rate", "nan"], "rates must be above 0"),
        (["http://127.0.0.1:1/x", "--seconds", "1e9"], "--seconds"),
        (["http://127.0.0.1:1/x", "--connections", "0"], "--connections"),
        (["http://127.0.0.1:1/x", "--ramp", "1:2"], "FIRST:LAST:STEPS"),
        (["http://127.0.0.1:1/x", "--ramp", "1:2:1"], "FIRST:LAST:STEPS"),
        (["http://127.0.0.1:1/x", "--ramp", "1:2:3", "--rate", "1"], "exclude each other"),
        (["http://127.0.0.1:1/x", "--html", "/nowhere/x.html"], "there is no folder /nowhere"),
        (["http://127.0.0.1:1/x", "--endpoint", "e"], "are for paths"),
    ],
)
def test_a_load_that_cannot_or_may_not_be_made_is_refused(arguments: list[str], said: str) -> None:
    done = modelport("bench", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_errors_are_not_measured(plain: Running) -> None:
    done = modelport("bench", f"{plain.base}/nothing", "--rate", "10")
    assert done.returncode == 2
    assert "the first request was answered 404" in done.stderr


def test_the_page_is_well_formed_whatever_was_measured() -> None:
    empty = Measured(10, 1).to_dict()
    full = Measured(20, 1, good=2)
    full.latencies.extend([0.001, 0.1])
    for steps in ([empty], [full.to_dict()], [empty, full.to_dict()]):
        text = page({"target": "<&>", "url": "http://x/", "connections": 1, "seconds": 1.0, "steps": steps})
        assert "<&>" not in text
        for part in ("svg", "table"):
            if f"<{part}" in text:
                ET.fromstring(text[text.index(f"<{part}") : text.index(f"</{part}>")] + f"</{part}>")


@pytest.mark.parametrize(("value", "next_one"), [(0.9, 1), (1, 1), (101, 120), (850, 1000), (5.5, 6)])
def test_nice_numbers(value: float, next_one: float) -> None:
    assert nice(value) == pytest.approx(next_one)

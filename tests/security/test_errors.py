"""What clients learn from errors: what went wrong, and nothing of where and how the server runs."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Answer, Running, function, regression, serving, until, write_service

CODE = """
import os

class Own(Exception):
    pass

def fail(kind, text=""):
    if kind == "file":
        open("/secret/folder/weights.bin")
    if kind == "own":
        raise Own(text)
    if kind == "traceback":
        import traceback
        try:
            open("/secret/folder/weights.bin")
        except OSError:
            raise RuntimeError("it failed: " + traceback.format_exc())
    if kind == "environment":
        raise RuntimeError(f"could not: {os.path.abspath(__file__)} {os.getcwd()} {os.__file__}")
    if kind == "module":
        import a_module_that_nobody_has
    if kind == "chained":
        try:
            open("/secret/folder/weights.bin")
        except OSError as fault:
            raise Own("wrapped") from fault
    if kind == "silent":
        raise Own
    if kind == "long":
        raise Own("x" * 10**6)
    if kind == "exit":
        raise SystemExit("/secret/folder/weights.bin")
    if kind == "strange":
        class Strange(Exception):
            def __str__(self):
                raise RuntimeError
        raise Strange
    return {"value": object()}

def echo(**data):
    return data
"""
LOADING = "open('/secret/folder/weights.bin')\n"
INSIDE = re.compile(
    r"Traceback|File \"|\.py\b|/secret|/work|/tmp|/root|/usr|/home|/opt|/proc|/dev|site-packages|shm|socket"
    r"|MODELPORT_|PATH=|0x[0-9a-f]{6,}|modelport\.(?:core|worker|pool|server|protocols|contracts)"
)
"""What is of no use to a client and of some to an attacker."""
KINDS = ["file", "own", "traceback", "environment", "module", "chained", "silent", "long", "exit", "strange", "object"]


def served(folder: Path, *more: str) -> Any:
    made = write_service(
        folder,
        function("fail", function="fail"),
        function(function="echo"),
        code={"functions.py": CODE},
    )
    return serving(made, "--max-body", 1 << 20, *more)


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with served(tmp_path_factory.mktemp("failing") / "svc") as server:
        yield server


def fail(server: Running, kind: str, **more: str) -> list[Answer]:
    """The same failure through both protocols."""
    arguments = {"kind": kind, **more}
    inputs = [{"name": key, "datatype": "BYTES", "shape": [1], "data": [value]} for key, value in arguments.items()]
    return [
        server.post("/public/api/v1/svc/fail/run", arguments),
        server.post("/v2/models/fail/infer", {"inputs": inputs}),
    ]


def texts(value: Any) -> list[str]:
    """Every string in a JSON value."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [value] if isinstance(value, str) else []


def check_quiet(answer: Answer) -> None:
    assert answer.headers["content-type"] == "application/json"
    for text in [*texts(answer.json()), *answer.headers.values()]:
        assert not INSIDE.search(text), text


@pytest.mark.parametrize("kind", KINDS)
def test_a_failing_model_tells_nothing_of_the_machine(failing: Running, kind: str) -> None:
    for answer in fail(failing, kind):
        if kind == "object" and answer.status == 200:
            continue  # OIP has a form for it
        assert answer.status == 500
        check_quiet(answer)
        assert len(answer.body) < 10_000
        assert "[request " in answer.body.decode()
        assert answer.headers["x-request-id"] in answer.body.decode()


def test_paths_are_left_out_of_messages_and_the_rest_stays(failing: Running) -> None:
    for text, told in {
        "cannot read '/srv/models/a b/w.bin' now": "cannot read '<path>' now",
        "cannot read /weights": "cannot read <path>",
        "bad value 'x/y' in column 3": "bad value 'x/y' in column 3",
        "1/2 is not 0.5": "1/2 is not 0.5",
        "line 3 of model.py": "line 3 of <path>",
        r"C:\Users\me\model.bin": "<path>",
        "plain words": "plain words",
    }.items():
        answer, _ = fail(failing, "own", text=text)
        assert answer.json()["message"] == told


def test_the_log_has_what_the_client_is_not_told(failing: Running) -> None:
    answer, _ = fail(failing, "file")
    request = answer.headers["x-request-id"]
    told = [line["message"] for line in failing.logs if line.get("request") == request]
    assert any("/secret/folder/weights.bin" in line and "Traceback" in line for line in told)


@pytest.mark.parametrize(
    ("level", "kind", "message"),
    [
        ("none", "ModelError", "the model failed; the server's log says more under this request's id"),
        ("type", "Own", "the model failed; the server's log says more under this request's id"),
        ("message", "Own", "no card 4929"),
    ],
)
def test_how_much_of_an_exception_is_told(tmp_path: Path, level: str, kind: str, message: str) -> None:
    with served(tmp_path / "svc", "--error-detail", level) as server:
        dataiku, oip = fail(server, "own", text="no card 4929")
        assert (dataiku.json()["errorType"], dataiku.json()["message"]) == (kind, message)
        assert oip.json()["error"].startswith(f"{kind}: {message}")
        assert ("4929" in dataiku.body.decode()) == (level == "message")
        until(lambda: any("no card 4929" in line["message"] for line in server.logs), what="the log to say it all")


def test_a_model_that_does_not_load_tells_nothing_of_the_machine(tmp_path: Path) -> None:
    folder = write_service(tmp_path / "svc", regression(), code={"predictor.py": LOADING})
    with serving(folder, "--error-detail", "none") as server:
        for path in ("/public/api/v1/svc/ep/predict", "/v2/models/ep/infer"):
            answer = server.post(path, {"features": {}})
            assert answer.status == 503
            check_quiet(answer)
        for path in ("/healthz/ready", "/v2/models/ep", "/v2/health/ready", "/v2/models/ep/ready"):
            check_quiet(server.get(path))


BAD_REQUESTS: list[tuple[str, str, bytes, dict[str, str]]] = [
    ("POST", "/public/api/v1/svc/fn/run", b"{", {}),
    ("POST", "/public/api/v1/svc/fn/run", b"[]", {}),
    ("POST", "/public/api/v1/svc/fn/run", b"\xff", {}),
    ("POST", "/public/api/v1/svc/fn/run", b"[" * 100_000, {}),
    ("POST", "/public/api/v1/svc/fn/run", b"x" * (2 << 20), {}),
    ("POST", "/public/api/v1/svc/fn/run", b"{}", {"Content-Encoding": "br"}),
    ("POST", "/public/api/v1/svc/fn/run", b"{}", {"Content-Encoding": "gzip"}),
    ("POST", "/public/api/v1/svc/fail/run", b'{"nope": 1}', {}),
    ("POST", "/public/api/v1/nope/fn/run", b"{}", {}),
    ("GET", "/public/api/v1/svc/fn/run", b"", {}),
    ("POST", "/v2/models/fn/infer", b"{", {}),
    ("POST", "/v2/models/fn/infer", b"{}", {}),
    ("POST", "/v2/models/fn/infer", b'{"inputs": [{}, 7, {"name": "a", "datatype": "X", "shape": "y"}]}', {}),
    ("POST", "/v2/models/fn/infer", b"{}", {"Inference-Header-Content-Length": "-1"}),
    ("POST", "/v2/models/nope/infer", b"{}", {}),
    ("POST", "/v2/repository/index", b"", {}),
    ("PUT", "/metrics", b"", {}),
    ("GET", "/nowhere", b"", {}),
]


@pytest.mark.parametrize("case", range(len(BAD_REQUESTS)))
def test_bad_requests_tell_nothing_of_the_machine(failing: Running, case: int) -> None:
    method, path, body, headers = BAD_REQUESTS[case]
    answer = failing.request(method, path, body, headers=headers)
    assert 400 <= answer.status < 500, answer
    check_quiet(answer)
    assert "server" not in answer.headers
    assert "x-powered-by" not in answer.headers


def test_what_is_no_http_tells_nothing_either(failing: Running) -> None:
    for broken in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nHost x\r\n\r\n", b"\0" * 100):
        with socket.create_connection(("127.0.0.1", failing.port), timeout=20) as connection:
            connection.sendall(broken)
            received = connection.recv(1 << 16)
        assert received.startswith(b"HTTP/1.1 400 ")
        head, _, body = received.partition(b"\r\n\r\n")
        assert json.loads(body)["error"]
        assert not INSIDE.search(received.decode("latin-1"))
        assert b"uvicorn" not in head


HUGE: list[tuple[str, bytes, int]] = [
    ("deep lists", b'{"inputs": ' + b"[" * 100_000, 400),
    ("deep objects", b'{"a":' * 100_000, 400),
    ("a huge shape", b'{"inputs":[{"name":"a","datatype":"FP64","shape":[1099511627776],"data":[1]}]}', 400),
    (
        "shapes that overflow",
        b'{"inputs":[{"name":"a","datatype":"FP64","shape":[4294967296,4294967296],"data":[]}]}',
        400,
    ),
    ("a negative shape", b'{"inputs":[{"name":"a","datatype":"FP64","shape":[-1],"data":[1]}]}', 400),
    ("a shape that is none", b'{"inputs":[{"name":"a","datatype":"FP64","shape":[1.5],"data":[1]}]}', 400),
    (
        "very many sizes",
        b'{"inputs":[{"name":"a","datatype":"FP64","shape":[' + b"1," * 9999 + b'1],"data":[1]}]}',
        400,
    ),
    ("a huge number", b'{"inputs":[{"name":"a","datatype":"INT64","shape":[1],"data":[1' + b"0" * 5000 + b"]}]}", 400),
    ("very many inputs", b'{"inputs":[' + b"{}," * 50_000 + b"{}]}", 400),
    (
        "very many outputs",
        b'{"inputs":[{"name":"a","datatype":"INT64","shape":[1],"data":[1]}],"outputs":['
        + b'{"name":"a"},' * 50_000
        + b'{"name":"a"}]}',
        400,
    ),
    ("a long name", b'{"inputs":[{"name":"' + b"a" * 10_000 + b'","datatype":"FP64","shape":[1],"data":[1]}]}', 400),
]


@pytest.mark.parametrize("case", range(len(HUGE)), ids=[name for name, _, _ in HUGE])
def test_what_is_huge_on_paper_is_refused_before_it_takes_anything(failing: Running, case: int) -> None:
    _, body, status = HUGE[case]
    begin = time.monotonic()
    answer = failing.post("/v2/models/fn/infer", body)
    assert answer.status == status, answer
    assert time.monotonic() - begin < 2
    assert len(answer.body) < 10_000
    assert max(w.memory_info().rss for w in failing.workers()) < 300 << 20
    check_quiet(answer)


def test_announced_bodies_over_the_limit_are_refused_unread(failing: Running) -> None:
    for path in ("/public/api/v1/svc/fn/run", "/v2/models/fn/infer"):
        with socket.create_connection(("127.0.0.1", failing.port), timeout=20) as connection:
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {1 << 40}\r\n\r\n"
            connection.sendall(head.encode())
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 413 ")


def test_the_server_is_well_after_all_this(failing: Running) -> None:
    assert failing.post("/public/api/v1/svc/fn/run", {"a": 1}).status == 200
    assert failing.metric("modelport_worker_restarts_total", endpoint="fn") == 0

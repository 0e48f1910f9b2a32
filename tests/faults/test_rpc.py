"""gRPC when things go wrong: clients that leave, workers that die, queues that are full, a server that stops."""

from __future__ import annotations

import asyncio
import base64
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import service_pb2

from modelport.core.call import Reply
from modelport.pool.stream import Stream
from modelport.server import rpc
from tests.faults.test_stopping import is_refused
from tests.faults.tools import ECHO, FN, Gated, busy, idle, in_hand, later, not_run, waiting
from tests.harness import Running, function, launch, serving, until, write_service

METHOD = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
RPC = ("--grpc-port", 0)
ONE = {"floor": 1, "ceil": 1, "cruise": 1}


def message(name: str, model: str = "fn") -> bytes:
    tensor = service_pb2.ModelInferRequest.InferInputTensor(name="id", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(name.encode())
    body: bytes = service_pb2.ModelInferRequest(model_name=model, inputs=[tensor]).SerializeToString()
    return body


@pytest.fixture
def channel() -> Iterator[Any]:
    """A function that connects to a server."""
    opened = []

    def connect(server: Running, **options: Any) -> Any:
        opened.append(grpc.insecure_channel(server.rpc, options=list(options.items())))
        return opened[-1]

    yield connect
    for one in opened:
        one.close()


def ask(server: Running, connected: Any, name: str, timeout: float = 60.0) -> Any:
    """Sends a call and returns once the server has it."""
    before = in_hand(server)
    call = connected.unary_unary(METHOD).future(message(name), timeout=timeout)
    until(lambda: call.done() or in_hand(server) > before, what=f"call {name} to arrive")
    return call


def code(call: Any) -> str:
    name: str = call.code().name
    return name


def test_a_client_that_leaves_gives_up_its_place(tmp_path: Path, channel: Any) -> None:
    gated = Gated(tmp_path, **ONE)
    with serving(gated.folder, *RPC) as server:
        connected = channel(server)
        running, queued, last = (ask(server, connected, name) for name in "abc")
        until(lambda: gated.began() == ["a"])
        queued.cancel()
        until(lambda: waiting(server) == 1)
        running.cancel()
        until(lambda: not_run(server, "cancelled") == 2)
        gated.open()
        assert b"id" in last.result(30)
        assert gated.began() == ["a", "c"]
        assert server.metric("modelport_requests_total", protocol="oip.grpc", code="CANCELLED") == 2


def test_a_deadline_that_passes_takes_the_call_back(tmp_path: Path, channel: Any) -> None:
    gated = Gated(tmp_path, **ONE)
    with serving(gated.folder, *RPC) as server:
        connected = channel(server)
        running = ask(server, connected, "a")
        hurried = ask(server, connected, "b", timeout=0.5)
        assert hurried.exception(30) is not None
        assert code(hurried) == "DEADLINE_EXCEEDED"
        until(lambda: waiting(server) == 0)
        gated.open()
        assert b"id" in running.result(30)
        assert gated.began() == ["a"]


def test_a_worker_that_dies_fails_its_call_and_no_other(tmp_path: Path, channel: Any) -> None:
    gated = Gated(tmp_path, **ONE)
    with serving(gated.folder, *RPC) as server:
        connected = channel(server)
        running, queued = (ask(server, connected, name) for name in "ab")
        until(lambda: gated.began() == ["a"])
        os.kill(gated.pid("a"), signal.SIGKILL)
        assert running.exception(30) is not None
        assert code(running) == "UNAVAILABLE"
        assert "ended while it ran this request" in running.details()
        gated.open()
        assert b"id" in queued.result(30)


def test_a_full_queue_answers_at_once(tmp_path: Path, channel: Any) -> None:
    gated = Gated(tmp_path, queue=1, **ONE)
    with serving(gated.folder, *RPC) as server:
        connected = channel(server)
        taken = [ask(server, connected, name) for name in "ab"]
        refused = ask(server, connected, "c")
        assert refused.exception(5) is not None
        assert code(refused) == "RESOURCE_EXHAUSTED"
        assert "1 busy workers and 1 requests waiting" in refused.details()
        gated.open()
        assert all(b"id" in call.result(30) for call in taken)


def test_waiting_and_running_have_their_limits(tmp_path: Path, channel: Any) -> None:
    gated = Gated(tmp_path, timeout=500, runTimeout=1500, **ONE)
    with serving(gated.folder, *RPC) as server:
        connected = channel(server)
        running, queued = (ask(server, connected, name) for name in "ab")
        for call, words in ((queued, "waited"), (running, "")):
            assert call.exception(30) is not None
            assert code(call) == "DEADLINE_EXCEEDED"
            assert words in call.details()


def test_stopping_answers_what_runs_and_refuses_what_comes(tmp_path: Path, channel: Any) -> None:
    gated = Gated(tmp_path, **ONE)
    with serving(gated.folder, *RPC) as server:
        connected = channel(server)
        calls = [ask(server, connected, name) for name in "ab"]
        by_http = gated.ask(server, "c")
        idle_stream = channel(server).stream_stream(STREAM)(iter_never())
        watched = health_pb2_grpc.HealthStub(connected).Watch(health_pb2.HealthCheckRequest())
        serving_, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
        assert next(watched).status == serving_
        server.process.send_signal(signal.SIGTERM)
        assert next(watched).status == not_serving
        with pytest.raises(grpc.RpcError) as caught:
            next(idle_stream)
        assert code(caught.value) == "UNAVAILABLE"
        with pytest.raises(grpc.RpcError) as caught:
            channel(server).unary_unary(METHOD)(message("d"), timeout=10)
        assert code(caught.value) == "UNAVAILABLE"
        assert not by_http.done()
        gated.open()
        assert all(b"id" in call.result(30) for call in calls)
        assert by_http.result(30).status == 200
        assert server.process.wait(30) == 0
        assert gated.began() == ["a", "b", "c"]
        assert not any("Traceback" in line for line in server.raw_logs)


def test_a_stream_that_has_been_sent_whole_is_answered_whole(tmp_path: Path, channel: Any) -> None:
    gated = Gated(tmp_path, **ONE)
    with serving(gated.folder, "--linger", 0, *RPC) as server:
        answers = channel(server).stream_stream(STREAM)(iter([message("a")]))
        until(lambda: gated.began() == ["a"])
        server.process.send_signal(signal.SIGTERM)
        until(lambda: is_refused(server.port), what="the port to be closed")
        gated.open()
        assert len(list(answers)) == 1
        assert code(answers) == "OK"
        assert server.process.wait(30) == 0


def iter_never() -> Iterator[bytes]:
    """A stream on which nothing is ever sent."""
    threading.Event().wait(60)
    yield b""


def test_what_hangs_does_not_hold_up_the_stop_beyond_the_grace(tmp_path: Path, channel: Any) -> None:
    gated = Gated(tmp_path, **ONE)
    with serving(gated.folder, "--grace", 2, "--linger", 0, *RPC) as server:
        call = ask(server, channel(server), "a")
        until(lambda: gated.began() == ["a"])
        begin = time.monotonic()
        server.stop()
        assert 1.5 < time.monotonic() - begin < 8
        assert call.exception(30) is not None
        assert code(call) == "UNAVAILABLE"


def test_told_twice_it_ends_at_once(tmp_path: Path, channel: Any) -> None:
    gated = Gated(tmp_path, **ONE)
    with serving(gated.folder, "--grace", 600, *RPC) as server:
        call = ask(server, channel(server), "a")
        until(lambda: gated.began() == ["a"])
        server.process.send_signal(signal.SIGTERM)
        until(lambda: any("finishing what runs" in line["message"] for line in list(server.logs)))
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(15) == 1
        assert call.exception(30) is not None


def test_a_stream_runs_no_further_ahead_than_its_model_takes(tmp_path: Path, channel: Any) -> None:
    gated = Gated(tmp_path, queue=4, **ONE)
    with serving(gated.folder, *RPC) as server:
        sent: queue.Queue[bytes | None] = queue.Queue()
        for number in range(50):
            sent.put(message(str(number)))
        answers = channel(server).stream_stream(STREAM)(iter(sent.get, None))
        until(lambda: gated.began() == ["0"])
        assert in_hand(server) == 1
        other = ask(server, channel(server), "other")  # there is room for others beside it
        gated.open()
        got = [service_pb2.ModelStreamInferResponse.FromString(next(answers)) for _ in range(50)]
        sent.put(None)
        assert not any(answer.error_message for answer in got)
        assert b"id" in other.result(30)
        began = gated.began()
        assert [name for name in began if name != "other"] == list(map(str, range(50)))


def test_a_stream_that_is_cancelled_runs_no_more(tmp_path: Path, channel: Any) -> None:
    gated = Gated(tmp_path, **ONE)
    with serving(gated.folder, *RPC) as server:
        answers = channel(server).stream_stream(STREAM)(iter([message("a"), message("b"), message("c")]))
        until(lambda: gated.began() == ["a"])
        answers.cancel()
        until(lambda: not_run(server, "cancelled") == 1)
        gated.open()
        until(lambda: idle(server) == 1 and busy(server) == 0)
        assert gated.began() == ["a"]


def test_a_client_that_takes_no_answers_gets_no_more_run(tmp_path: Path, channel: Any) -> None:
    source = "def run(id=''):\n    return {'id': id, 'much': 'x' * 200_000}\n"
    folder = write_service(tmp_path / "service", function(pool=ONE), code={"functions.py": source})
    with serving(folder, *RPC) as server:
        answers = channel(server).stream_stream(STREAM)(message(str(n)) for n in range(500))
        next(answers)

        def ran() -> float:
            return server.metric("modelport_run_seconds_count", endpoint="fn")

        assert still(ran) < 200
        assert sum(1 for _ in answers) == 499


def still(read: Callable[[], float]) -> float:
    """What is read once it has not changed for a while."""
    readings: list[float] = []

    def is_still() -> bool:
        readings.append(read())
        return len(readings) > 30 and len(set(readings[-30:])) == 1

    until(is_still)
    return readings[-1]


def test_messages_have_a_size_limit_both_ways(tmp_path: Path, channel: Any) -> None:
    source = "def run(id=''):\n    return {'id': 'x' * int(id) if id.isdigit() else str(len(id))}\n"
    folder = write_service(tmp_path / "service", function(pool=ONE), code={"functions.py": source})
    size = 5 << 20
    limits = {"grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1}
    with serving(folder, "--max-body", size, *RPC) as server:
        stub = channel(server, **limits).unary_unary(METHOD)
        assert str(size - 1000).encode() in stub(message("x" * (size - 1000)), timeout=30)
        assert len(stub(message(str(size - 1000)), timeout=30)) > size - 1000
        for name in ("x" * size, str(size)):
            with pytest.raises(grpc.RpcError) as caught:
                stub(message(name), timeout=30)
            assert code(caught.value) == "RESOURCE_EXHAUSTED"
        assert b"id" in stub(message("again"), timeout=30)


def test_a_small_message_that_unpacks_to_a_large_one(tmp_path: Path, channel: Any) -> None:
    folder = write_service(tmp_path / "service", function(pool=ONE), code={"functions.py": ECHO})
    with serving(folder, "--max-body", 1 << 20, *RPC) as server:
        unlimited = {"grpc.max_send_message_length": -1}
        stub = channel(server, **unlimited).unary_unary(METHOD)
        with pytest.raises(grpc.RpcError) as caught:
            stub(message("x" * (64 << 20)), timeout=60, compression=grpc.Compression.Gzip)
        assert code(caught.value) == "RESOURCE_EXHAUSTED"
        assert b"id" in stub(message("again"), timeout=30)


def test_keys(tmp_path: Path, channel: Any) -> None:
    folder = write_service(tmp_path / "service", function(), code={"functions.py": ECHO})
    with serving(folder, "--api-key", "secret", *RPC) as server:
        stub = channel(server).unary_unary(METHOD)

        def told(authorization: str | None) -> str:
            metadata = () if authorization is None else (("authorization", authorization),)
            call = stub.future(message("a"), metadata=metadata, timeout=20)
            assert "secret" not in (call.details() or "")
            return code(call)

        basic = base64.b64encode(b"secret:").decode()
        assert told("Bearer secret") == told(f"Basic {basic}") == "OK"
        for wrong in (None, "Bearer wrong", "Basic !!", "Bearer", ""):
            assert told(wrong) == "UNAUTHENTICATED"
        # nobody reads what comes without a key, and anybody may ask whether the server lives
        with pytest.raises(grpc.RpcError) as caught:
            next(channel(server).stream_stream(STREAM)(iter_never()))
        assert code(caught.value) == "UNAUTHENTICATED"
        assert health_pb2_grpc.HealthStub(channel(server)).Check(health_pb2.HealthCheckRequest(), timeout=20)


def test_keys_of_single_models(tmp_path: Path, channel: Any) -> None:
    first = write_service(tmp_path / "one", function("one"), code={"functions.py": ECHO}, apiKeys=["first"])
    second = write_service(tmp_path / "two", function("two"), code={"functions.py": ECHO}, serviceId="other")
    with serving(first, second, *RPC) as server:
        stub = channel(server).unary_unary(METHOD)
        assert b"id" in stub(message("a", "two"), timeout=20)
        assert b"id" in stub(message("a", "one"), metadata=(("authorization", "Bearer first"),), timeout=20)
        with pytest.raises(grpc.RpcError) as caught:
            stub(message("a", "one"), timeout=20)
        assert code(caught.value) == "UNAUTHENTICATED"


def test_what_is_logged_and_counted(tmp_path: Path, channel: Any) -> None:
    folder = write_service(tmp_path / "service", function(), code={"functions.py": ECHO})
    with serving(folder, *RPC) as server:
        stub = channel(server).unary_unary(METHOD)
        stub(message("a"), metadata=(("x-request-id", "one"),), timeout=20)
        with pytest.raises(grpc.RpcError):
            stub(message("a", "none"), metadata=(("x-request-id", "two words"),), timeout=20)
        stub(message("a"), metadata=(("x-request-id", "last"),), timeout=20)
        lines = until(
            lambda: [line for line in server.logs if line.get("protocol") == "oip.grpc"][2:] and [*server.logs]
        )
        noted = {line.get("request"): line for line in lines if line.get("protocol") == "oip.grpc"}
        assert noted["one"]["status"] == "OK"
        assert noted["one"]["model"] == "fn"
        assert noted["one"]["client"] == "127.0.0.1"
        assert "inference.GRPCInferenceService/ModelInfer" in noted["one"]["message"]
        assert sorted(line["status"] for line in noted.values()) == ["NOT_FOUND", "OK", "OK"]
        assert "two words" not in noted
        assert server.metric("modelport_requests_total", protocol="oip.grpc", code="OK", endpoint="fn") == 2
        assert server.post(FN, {"a": 1}).status == 200


def test_metadata_reaches_a_model_that_asks_for_it(tmp_path: Path, channel: Any) -> None:
    told = "str(dku_http_request_metadata.headers.items())"
    source = f"def run(id=''):\n    return {{'told': {told}}}\n"
    folder = write_service(tmp_path / "service", function(requestMetadata=True), code={"functions.py": source})
    with serving(folder, *RPC) as server:
        metadata = (("x-from", "here"), ("content-encoding", "gzip"))  # HTTP's word for a body, not for a message
        answer = channel(server).unary_unary(METHOD)(message("a"), metadata=metadata, timeout=20)
        assert b"x-from" in answer
        assert b"gzip" not in answer


def test_a_port_that_is_taken_or_is_none(tmp_path: Path) -> None:
    folder = write_service(tmp_path / "service", function(), code={"functions.py": ECHO})
    with serving(folder, *RPC) as server:
        taken = server.rpc.rpartition(":")[2]
        others = {port: launch(folder, "--grpc-port", port) for port in (taken, "99999")}
        try:
            for port, other in others.items():
                assert other.process.wait(30) == 2
                until(lambda other=other: any("hint" in line for line in other.raw_logs))
                text = "\n".join(other.raw_logs)
                assert f"cannot listen on 127.0.0.1 port {port} for gRPC" in text
                assert "--grpc-port" in text
                assert "Traceback" not in text
        finally:
            for other in others.values():
                other.kill()


def test_an_environment_without_any_package(tmp_path: Path, channel: Any) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    source = "import sys\n\n\ndef run(**data):\n    return {**data, 'google': 'google' in sys.modules}\n"
    folder = write_service(tmp_path / "service", function(pool=ONE), code={"functions.py": source})
    (folder / "modelport.yaml").write_text(f"environment: {tmp_path / 'bare'}\n")
    numbers = [0, -1, 1 << 40] * 50
    tensor = service_pb2.ModelInferRequest.InferInputTensor(name="n", datatype="INT64", shape=[len(numbers)])
    tensor.contents.int64_contents.extend(numbers)
    request = service_pb2.ModelInferRequest(model_name="fn", inputs=[tensor])
    with serving(folder, *RPC) as server:
        body = channel(server).unary_unary(METHOD)(request.SerializeToString(), timeout=20)
        answer = {output.name: output.contents for output in service_pb2.ModelInferResponse.FromString(body).outputs}
        assert list(answer["n"].int64_contents) == numbers
        assert list(answer["google"].bool_contents) == [False]


def test_without_the_package(tmp_path: Path) -> None:
    folder = write_service(tmp_path / "service", function(), code={"functions.py": ECHO})
    (tmp_path / "lib" / "grpc").mkdir(parents=True)
    (tmp_path / "lib" / "grpc" / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'grpc'\")\n")
    env = {"PYTHONPATH": str(tmp_path / "lib")}
    other = launch(folder, *RPC, env=env)
    try:
        assert other.process.wait(30) == 2
        text = "\n".join(other.raw_logs)
        assert "pip install 'modelport[grpc]'" in text
        assert "Traceback" not in text
    finally:
        other.kill()
    with serving(folder, env=env) as server:  # nobody who does without gRPC misses it
        assert server.post(FN, {"a": 1}).status == 200


def test_connections_have_a_bound(tmp_path: Path, channel: Any) -> None:
    folder = write_service(tmp_path / "service", function(pool=ONE), code={"functions.py": ECHO})
    with serving(folder, "--max-connections", 4, *RPC) as server:
        apart = {"grpc.use_local_subchannel_pool": 1}
        stubs = [channel(server, **apart).unary_unary(METHOD) for _ in range(8)]
        answered = [stub.future(message("a"), timeout=5).code().name for stub in stubs]
        assert answered[:4] == ["OK"] * 4
        assert "OK" not in answered[4:]
        assert server.get("/healthz/live").status == 200


def test_a_model_of_two_by_name(tmp_path: Path, channel: Any) -> None:
    gated = Gated(tmp_path, **ONE)
    with serving(gated.folder, *RPC) as server:
        stub = channel(server).unary_unary(METHOD)
        held = later(lambda: stub(message("a"), timeout=30))
        assert b"id" in stub(message("a", "other"), timeout=20)
        with pytest.raises(grpc.RpcError) as caught:
            stub(message("a", "third"), timeout=20)
        assert code(caught.value) == "NOT_FOUND"
        gated.open()
        assert b"id" in held.result(30)


def test_headers_that_no_metadata_can_be_are_left_out() -> None:
    headers = [("X-Node", "né\t"), ("grpc-status", "OK"), ("a-bin", "x"), ("two words", "x"), ("content-type", "x")]
    assert rpc._trailing(Reply(200, headers, b""), "one") == (("x-request-id", "one"), ("x-node", "n??"))


def test_an_answer_in_pieces_that_nobody_waits_for_is_ended() -> None:
    ended: list[str] = []

    async def leave() -> None:
        stream = Stream(lambda held: None, lambda: ended.append("closed"))
        stream.feed(b"a piece")
        reading = asyncio.ensure_future(rpc._whole(stream))
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

    asyncio.run(leave())
    assert ended == ["closed"]

"""``modelport seldon microservice``: options, environment, exit codes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from modelport.cli.seldon import podinfo
from modelport.cli.seldon.microservice import _parsed, _pidfile, _settings
from tests.harness import until
from tests.platforms.seldon.conftest import COMPONENTS, MICROSERVICE, PORTS, metrics_port, microservice

SLEEPER = """
import os
import time

from . import helper


class Sleeper:
    def __init__(self, seconds=0.0, **more):
        self.seconds = seconds
        self.more = more

    def predict(self, X, names=None, meta=None):
        time.sleep(self.seconds)
        return {"pid": os.getpid(), "seconds": self.seconds, "more": self.more, "helper": helper.NAME}
"""
ASKED = {"strData": "x"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A working directory with the component ``pack.inner.mod.Sleeper``."""
    inner = tmp_path / "pack" / "inner"
    inner.mkdir(parents=True)
    for name, text in {"mod.py": textwrap.dedent(SLEEPER), "helper.py": "NAME = 'h'\n", "__init__.py": ""}.items():
        (inner / name).write_text(text)
    (tmp_path / "Broken.py").write_text("class Broken:\n    def __init__(self):\n        raise OSError('no weights')\n")
    (tmp_path / "Lost.py").write_text("import no_such_library\n\nclass Lost:\n    pass\n")
    return tmp_path


def ended(*arguments: str, cwd: Path = COMPONENTS, **env: str) -> subprocess.CompletedProcess[str]:
    """What the command says that does not come to serve."""
    return subprocess.run(
        [sys.executable, "-m", "modelport", *MICROSERVICE, *arguments],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "env", "reason"),
    [
        (["EchoModel", "--foo", "1"], {}, "unknown arguments: --foo 1"),
        (["EchoModel", "REST"], {}, "hint: leave it out: REST and gRPC are both served"),
        ([], {}, "INTERFACE"),
        (["EchoModel", "--workers", "0"], {}, "'0' is no number of 1 or more"),
        (["EchoModel"], {"GUNICORN_WORKERS": "many"}, "'many' is no number of 1 or more"),
        (["EchoModel", "--http-port", "ninethousand"], {}, "argument --http-port: invalid int value"),
        (["EchoModel", "--service-type", "MODLE"], {}, "invalid choice: 'MODLE'"),
        (["EchoModel", "--parameters", "{"], {}, "is not JSON"),
        (["EchoModel", "--parameters", '[{"name": "a", "value": "1", "type": "LIST"}]'], {}, "0.type"),
        (["EchoModel", "--parameters", '[{"name": "a", "value": "x", "type": "BOOL"}]'], {}, "neither true nor false"),
        (["EchoModel"], {"PREDICTIVE_UNIT_PARAMETERS": "[1]"}, "PREDICTIVE_UNIT_PARAMETERS"),
        (["Echo Model"], {}, "'Echo Model' is not module.Class"),
        (["EchoModul", *PORTS], {}, "hint: did you mean EchoModel?"),
        (["EchoModel.Ecko", *PORTS], {}, "module EchoModel has no class Ecko"),
        (["EchoModel", *PORTS, "--parameters", '[{"name": "a", "value": "1", "type": "INT"}]'], {}, "TypeError"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_keeps_it_from_starting(arguments: list[str], env: dict[str, str], reason: str) -> None:
    done = ended(*arguments, **env)
    assert done.returncode == 1
    assert reason in done.stderr
    assert "modelport/" not in done.stderr  # no traceback of ours


@pytest.mark.parametrize(
    ("interface", "reason"), [("Broken", "OSError: no weights"), ("Lost", "hint: install 'no_such_library' into")]
)
def test_a_component_that_does_not_load_ends_it(package: Path, interface: str, reason: str) -> None:
    done = ended(interface, *PORTS, cwd=package)
    assert done.returncode == 1
    assert reason in done.stderr


def test_a_port_that_is_taken_names_its_option() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = ended("EchoModel", *PORTS, "--metrics-port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "hint: choose another with --metrics-port" in done.stderr


def test_help_names_every_option_and_variable() -> None:
    done = ended("--help")
    assert done.returncode == 0
    for name in (
        "--service-type",
        "--grpc-workers",
        "GUNICORN_THREADS",
        "PREDICTIVE_UNIT_METRICS_SERVICE_PORT",
        "--host",
    ):
        assert name in done.stdout


def test_a_class_of_a_package_with_parameters(package: Path) -> None:
    given = '[{"name": "seconds", "value": "0.5", "type": "DOUBLE"}, {"name": "on", "value": "f", "type": "BOOL"}]'
    env = {"PREDICTIVE_UNIT_PARAMETERS": '[{"name": "unseen", "value": "x", "type": "INT"}]'}
    with microservice("pack.inner.mod.Sleeper", "--parameters", given, cwd=package, env=env) as server:
        answer = server.post("/predict", ASKED, headers=JSON).json()["jsonData"]
        assert answer == {"pid": server.workers()[0].pid, "seconds": 0.5, "more": {"on": False}, "helper": "h"}


def test_parameters_of_the_environment(package: Path) -> None:
    env = {"PREDICTIVE_UNIT_PARAMETERS": '[{"name": "label", "value": 7, "type": "STRING"}]'}
    with microservice("pack.inner.mod.Sleeper", cwd=package, env=env) as server:
        assert server.post("/predict", ASKED, headers=JSON).json()["jsonData"]["more"] == {"label": "7"}


def test_workers_and_requests_after_which_they_are_replaced(package: Path) -> None:
    env = {"GUNICORN_WORKERS": "2", "GUNICORN_MAX_REQUESTS": "3"}
    with microservice("pack.inner.mod.Sleeper", cwd=package, env=env) as server:
        until(lambda: server.metric("modelport_workers", state="idle") == 2)
        until(
            lambda: (
                server.post("/predict", ASKED, headers=JSON)
                and server.metric("modelport_worker_restarts_total", cause="max_requests") > 0
            )
        )


def test_an_option_goes_before_its_variable() -> None:
    os_env = {"GUNICORN_WORKERS": "2"}
    with microservice("EchoModel", "--workers", "1", env=os_env) as server:
        assert server.metric("modelport_workers", state="idle") == 1
        assert len(server.workers()) == 1


def test_the_annotation_bounds_how_long_a_request_runs(package: Path) -> None:
    (package / "annotations").write_text('a="b"\nseldon.io/rest-timeout="300"\n')
    slow = '[{"name": "seconds", "value": "30", "type": "FLOAT"}]'
    arguments = ("--annotations", str(package / "annotations"), "--parameters", slow)
    with microservice("pack.inner.mod.Sleeper", *arguments, cwd=package) as server:
        answer = server.post("/predict", ASKED, headers=JSON)
    assert answer.status == 504
    assert "ran over 300 ms" in answer.json()["status"]["info"]


def test_the_process_id_file_is_there_while_it_runs(package: Path) -> None:
    file = package / "pid"
    file.write_text("999999999")  # left by somebody who is gone
    with microservice("pack.inner.mod.Sleeper", "--pidfile", str(file), cwd=package) as server:
        assert int(file.read_text()) == server.pid
        other = ended("pack.inner.mod.Sleeper", *PORTS, "--pidfile", str(file), cwd=package)
        assert other.returncode == 1
        assert "names a process that runs" in other.stderr
        assert server.stop() == 0
    assert not file.exists()


@pytest.mark.parametrize("text", ["0", "-1", "1 2", "", "9" * 30, "pid"])
def test_a_file_that_names_no_process_is_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / "pid").write_text(text)
    with _pidfile(str(tmp_path / "pid")):
        assert int((tmp_path / "pid").read_text()) == os.getpid()
    assert not (tmp_path / "pid").exists()


def test_options_without_a_meaning_say_so_once() -> None:
    given = ("--threads", "4", "--tracing", "--debug", "1", "--persistence", "0", "--single-threaded")
    with microservice("EchoModel", *given, env={"GRPC_THREADS": "3"}) as server:
        told = [line["message"].split(": ")[1] for line in server.logs if "no meaning here" in line["message"]]
    assert sorted(told) == ["--debug", "--grpc-threads", "--single-threaded", "--threads", "--tracing"]


def test_requests_are_logged_only_when_asked_for() -> None:
    for arguments, expected in (((), 0), (("--access-log",), 1)):
        with microservice("EchoModel", *arguments) as server:
            server.post("/predict", ASKED, headers=JSON)
            server.stop()
            assert sum(line["logger"] == "modelport.access" for line in server.logs) == expected


def test_the_log_level_of_the_environment_goes_first() -> None:
    with microservice("EchoModel", "--log-level", "DEBUG", env={"SELDON_LOG_LEVEL": "ERROR"}) as server:
        server.stop()
        assert {line["level"] for line in server.logs} <= {"error"}


def test_the_ports_of_the_platform_on_every_address(monkeypatch: pytest.MonkeyPatch) -> None:
    given = _parsed(("EchoModel",))
    assert (given.http_port, given.grpc_port, given.metrics_port) == (9000, 5000, 6000)
    settings = _settings(given, 0)
    assert (settings.host, settings.port, settings.insecure, settings.keep_alive) == ("0.0.0.0", 9000, True, 2)
    assert _settings(_parsed(("EchoModel", "--keepalive", "7")), 0).keep_alive == 7
    monkeypatch.setenv("MODELPORT_HOST", "127.0.0.2")
    assert _settings(given, 0).host == "127.0.0.2"
    assert _settings(_parsed(("EchoModel", "--host", "127.0.0.3")), 0).host == "127.0.0.3"


def test_the_metrics_port_shows_nothing_else() -> None:
    with microservice("EchoModel") as server:
        port = metrics_port(server)
        for path in ("/predict", "/", "/metrics/", "/v2/models", "/healthz/live"):
            assert server.get(path, port=port).status == 404
        assert server.post("/metrics", b"x" * 100_000, port=port).status == 405
        assert server.get("/metrics?a=b", port=port).status == 200
        assert server.request("HEAD", "/metrics", port=port).body == b""
        assert server.request("OPTIONS", "/metrics", port=port).headers["allow"] == "GET, HEAD, OPTIONS"
        origin = server.get("/metrics", port=port, headers={"Origin": "http://a"}).headers
        assert origin["access-control-allow-origin"] == "http://a"


@pytest.mark.parametrize(
    ("variables", "reply", "error"),
    [
        ({}, b'{"jsonData":{"a":[1,null],"b":"\\u00e9"},"meta":{}}\n', b'{"status":{"code":-1,"info":"Invalid'),
        (
            {"JSON_SORT_KEYS": "false", "JSON_AS_ASCII": "0"},
            '{"jsonData":{"b":"é","a":[1,null]},"meta":{}}\n'.encode(),
            b'{"status":{"code":-1,"info":"Invalid',
        ),
        (
            {"JSONIFY_PRETTYPRINT_REGULAR": "True"},
            json.dumps({"jsonData": {"a": [1, None], "b": "é"}, "meta": {}}, indent=2).encode() + b"\n",
            b'{\n  "status": {\n    "code": -1,\n    "info": "Invalid',
        ),
    ],
    ids=["usual", "as-it-comes", "pretty"],
)
def test_how_flask_would_write_json(variables: dict[str, str], reply: bytes, error: bytes) -> None:
    env = {f"FLASK_{name}": value for name, value in variables.items()}
    with microservice("EchoModel", env=env) as server:
        assert server.post("/predict", {"jsonData": {"b": "é", "a": [1, None]}}, headers=JSON).body == reply
        plain = server.post("/predict", {"jsonData": {"b": 1, "a": 2}}, headers=JSON).body
        assert (plain.index(b'"b"') < plain.index(b'"a"')) == ("JSON_SORT_KEYS" in variables)
        assert server.post("/predict", {}, headers=JSON).body.startswith(error)


def test_grpc_beside_rest_unless_it_is_switched_off() -> None:
    for arguments, expected in ((), True), (("--grpc-workers", "0"), False):
        with microservice("EchoModel", *arguments) as server:
            assert any("by gRPC, at 127.0.0.1:" in line for line in server.said) == expected


def test_the_annotation_of_message_sizes_raises_the_limit_of_bodies() -> None:
    given = _parsed(("EchoModel",))
    assert _settings(given, 200 << 20).max_body == 200 << 20
    assert _settings(given, 1000).max_body == 64 << 20


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('seldon.io/rest-timeout="250"', 250),
        ("seldon.io/rest-timeout=250", 250),
        ('other="1"\n\nseldon.io/rest-timeout = "250"\n', 250),
        ('seldon.io/rest-timeout="soon"', None),
        ('seldon.io/rest-timeout="0"', None),
        ('seldon.io/rest-timeout="-5"', None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_annotations(tmp_path: Path, text: str, found: Any) -> None:
    (tmp_path / "annotations").write_text(text)
    assert podinfo.number(podinfo.read(str(tmp_path / "annotations")), "seldon.io/rest-timeout") == found


def test_annotations_that_cannot_be_read(tmp_path: Path) -> None:
    assert podinfo.read(str(tmp_path / "none")) == {}
    assert podinfo.read(str(tmp_path)) == {}
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    assert podinfo.read(str(tmp_path / "bytes")) == {}

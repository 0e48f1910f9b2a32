"""Where the server listens, and that it does not start open to the world by accident."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.harness import Running, function, serving, write_service

CODE = {"functions.py": "def run():\n    return 1\n"}


@pytest.fixture
def open_service(tmp_path: Path) -> Path:
    return write_service(tmp_path / "svc", function(), code=CODE)


@pytest.fixture
def keyed_service(tmp_path: Path) -> Path:
    keys = {"authMethod": "API_KEYS", "apiKeys": ["k"]}
    return write_service(tmp_path / "keyed", function("kfn"), code=CODE, serviceId="keyed", **keys)


def listening(server: Running) -> set[str]:
    """The addresses on which the server or a worker of it takes TCP connections."""
    processes = [psutil.Process(server.pid), *server.workers()]
    return {
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


def refusal(*arguments: Any) -> str:
    command = [sys.executable, "-m", "modelport", "serve", *map(str, arguments), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def test_only_this_machine_reaches_it_by_default(guarded: Running, plain: Running) -> None:
    assert listening(guarded) == listening(plain) == {"127.0.0.1"}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.invalid"])
def test_an_open_model_is_not_offered_to_other_machines(open_service: Path, host: str) -> None:
    told = refusal(open_service, "--host", host)
    assert f"{host} is reachable from other machines" in told
    assert "no API key protects fn" in told
    assert "--api-key" in told
    assert "--insecure" in told


def test_one_open_model_among_keyed_ones_is_enough(open_service: Path, keyed_service: Path) -> None:
    told = refusal(keyed_service, open_service, "--host", "0.0.0.0")
    assert "no API key protects fn\n" in told


def test_open_repository_routes_are_not_offered_either(keyed_service: Path) -> None:
    told = refusal(keyed_service, "--host", "0.0.0.0", "--repository")
    assert "no admin key protects the repository routes" in told
    told = refusal(keyed_service, "--host", "0.0.0.0", "--repository", "--insecure")
    assert "no admin key protects the repository routes" in told


def test_it_may_be_said_that_it_is_meant(open_service: Path) -> None:
    with serving(open_service, "--host", "0.0.0.0", "--insecure") as server:
        assert listening(server) == {"0.0.0.0"}
        assert server.post("/public/api/v1/svc/fn/run").status == 200
        assert any("other machines can reach this server" in line["message"] for line in server.logs)


def test_a_key_for_all_is_enough(open_service: Path) -> None:
    with serving(open_service, "--host", "0.0.0.0", env={"MODELPORT_API_KEY": "k1"}) as server:
        path = "/public/api/v1/svc/fn/run"
        assert server.post(path).status == 401
        assert server.post(path, headers={"Authorization": "Bearer k1"}).status == 200


def test_a_services_own_keys_are_enough(keyed_service: Path) -> None:
    with serving(keyed_service, "--host", "0.0.0.0") as server:
        path = "/public/api/v1/keyed/kfn/run"
        assert server.post(path).status == 401
        assert server.post(path, headers={"Authorization": "Bearer k"}).status == 200


def test_loopback_by_another_name_is_loopback(open_service: Path) -> None:
    with serving(open_service, "--host", "localhost") as server:
        assert listening(server) == {"127.0.0.1"}
    with serving(open_service, "--host", "127.0.0.2") as server:
        assert listening(server) == {"127.0.0.2"}

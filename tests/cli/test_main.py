"""What all verbs have in common."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from modelport.cli.main import VERBS
from tests.cli.conftest import modelport
from tests.harness import function, until, write_service

HEAVY = {
    "asyncio", "httptools", "numpy", "pandas", "prometheus_client", "psutil", "pydantic", "rich.markdown", "uvicorn",
    "uvloop", "yaml",
}  # fmt: skip

EXAMPLE = "EXAMPLE"


def test_help_names_each_verb() -> None:
    done = modelport("--help")
    assert done.returncode == 0
    assert [verb for verb in VERBS if verb not in done.stdout] == []


def test_help_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "modelport", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "cyclopts" in imported
    assert imported & HEAVY == set()
    assert not any(name.startswith("modelport.server") for name in imported)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_has_an_example(verb: str) -> None:
    done = modelport(verb, "--help")
    assert done.returncode == 0
    assert f"modelport {verb}" in done.stdout.partition("Examples:")[2]


def test_version() -> None:
    done = modelport("--version")
    assert done.returncode == 0
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", done.stdout)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serv"], 'Did you mean "serve"?'),
        (["serve", "--prot", "1"], "Did you mean --port?"),
        (["serve", "--port", "many"], "--port"),
        (["serve"], "there is nothing to serve"),
        (["serve", "nowhere"], "there is nothing at nowhere"),
        (["check", "nowhere"], "there is nothing at nowhere"),
        (["call", "nowhere"], "there is nothing at nowhere"),
        (["bench", "nowhere"], "there is nothing at nowhere"),
        (["serve", "--port", "99999", EXAMPLE], "cannot listen on 127.0.0.1 port 99999"),
        (["check"], "PATH"),
    ],
)
def test_misuse_is_told_with_a_hint_and_exit_code_2(arguments: list[str], said: str, example: Path) -> None:
    done = modelport(*(example if argument == EXAMPLE else argument for argument in arguments))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert "hint: " in done.stderr


@pytest.mark.parametrize("verb", ["check", "call", "bench"])
def test_interrupting_is_quiet_and_exits_130(verb: str, tmp_path: Path) -> None:
    mark = tmp_path / "loading"
    slow = f"import time\nopen({str(mark)!r}, 'w').close()\ntime.sleep(60)\ndef run(): pass\n"
    folder = write_service(tmp_path / "s", function(testQueries=[{"q": {}}]), code={"functions.py": slow})
    process = subprocess.Popen(
        [sys.executable, "-m", "modelport", verb, folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - the tests may run in a background
    )
    try:
        until(mark.exists, 30, "the model to load")
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "Traceback" not in stdout + stderr


def test_a_server_that_a_verb_started_does_not_outlive_it(tmp_path: Path) -> None:
    mark = tmp_path / "server"
    code = f"import os\nopen({str(mark)!r}, 'w').write(str(os.getppid()))\ndef run(): pass\n"
    folder = write_service(tmp_path / "s", function(testQueries=[{"q": {}}]), code={"functions.py": code})
    verb = subprocess.Popen([sys.executable, "-m", "modelport", "bench", folder], stdout=subprocess.DEVNULL)
    try:
        until(lambda: mark.exists() and mark.read_text(), 30, "the model to load")
        server = psutil.Process(int(mark.read_text()))
        assert server.ppid() == verb.pid
    finally:
        verb.kill()
        verb.wait()
    until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE, 30, "the server to end")

"""``custom_service``: what a component does beside its answers, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.harness import serving, until
from tests.platforms.seldon.conftest import microservice

SOURCE = """
import atexit
import os
import threading
import time

import seldon_core


class Busy:
    def __init__(self, how="stay"):
        self.how = how
        self.loaded = False

    def load(self):
        self.loaded = True

    def predict(self, X, names=None, meta=None):
        return {"pid": os.getpid()}

    def custom_service(self):
        main = threading.current_thread() is threading.main_thread()
        with open("runs", "a") as file:
            file.write(f"{os.getpid()} {self.loaded} {main}\\n")
        atexit.register(lambda: open("left", "w").close())
        print("beside the answers")
        if self.how == "fail":
            raise OSError("no port")
        while self.how == "stay":
            time.sleep(0.05)
"""
JSON = {"Content-Type": "application/json"}
ASKED = {"strData": "x"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Busy.py").write_text(SOURCE)
    return tmp_path


def runs(folder: Path) -> list[list[str]]:
    file = folder / "runs"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def given(how: str) -> tuple[str, str]:
    return "--parameters", f'[{{"name": "how", "value": "{how}", "type": "STRING"}}]'


def test_one_process_for_all_workers_which_ends_with_the_server(folder: Path) -> None:
    with microservice("Busy", "--workers", "2", cwd=folder) as server:
        until(lambda: server.metric("modelport_workers", state="idle") == 2)
        ((pid, loaded, main),) = until(lambda: runs(folder))
        assert (loaded, main) == ("False", "True")
        answered = {server.post("/predict", ASKED, headers=JSON).json()["jsonData"]["pid"] for _ in range(6)}
        assert int(pid) not in answered
        until(lambda: any(line["message"] == "beside the answers" for line in server.logs))
        assert server.stop() == 0
    assert not psutil.pid_exists(int(pid))
    assert len(runs(folder)) == 1


def test_it_is_started_again_when_it_is_killed(folder: Path) -> None:
    with serving(folder / "Busy.py") as server:
        ((pid, *_),) = until(lambda: runs(folder))
        os.kill(int(pid), 9)
        until(lambda: len(runs(folder)) == 2)
        assert server.post("/predict", ASKED, headers=JSON).status == 200


@pytest.mark.parametrize("how", ["fail", "end"])
def test_what_becomes_of_it_does_not_touch_the_answers(folder: Path, how: str) -> None:
    with microservice("Busy", *given(how), cwd=folder) as server:
        until(lambda: runs(folder))
        if how == "fail":
            until(lambda: any("OSError: no port" in line["message"] for line in server.logs))
            until(lambda: len(runs(folder)) > 1)
        assert server.post("/predict", ASKED, headers=JSON).status == 200
        assert server.get("/healthz/ready").status == 200
        assert server.stop() == 0
        assert not any("broke the link" in line["message"] for line in server.logs)
    assert (folder / "left").exists() == (how == "fail")


def test_trying_a_component_does_not_start_it(folder: Path) -> None:
    command = [sys.executable, "-m", "modelport", "call", str(folder / "Busy.py"), "--data", '{"strData": "x"}']
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    assert runs(folder) == []

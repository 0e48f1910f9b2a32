"""``python -m modelport.cli.demo``"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from modelport.cli import demo
from tests.harness import until

DEMO = [sys.executable, "-m", "modelport.cli.demo"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


def once(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*DEMO, "--once"], cwd=folder, capture_output=True, text=True, timeout=90, check=False)


def test_once_asks_one_question_and_stops(folder: Path) -> None:
    done = once(folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    question, answer = done.stdout.splitlines()[-2:]
    assert question.startswith("question  curl -s http://127.0.0.1:")
    assert answer.startswith("answer    200 ")
    assert json.loads(answer.partition("200 ")[2])["result"]["prediction"] == "setosa"


def test_the_example_is_kept_and_made_again_when_it_is_of_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = demo.example()
    assert "Making" in capsys.readouterr().out
    assert demo.example() == folder
    assert capsys.readouterr().out == ""
    (folder / ".made").write_text("older")
    demo.example()
    assert "Making" in capsys.readouterr().out


def test_it_serves_until_interrupted(folder: Path) -> None:
    process = subprocess.Popen(
        [*DEMO, "--port", "0"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    said: list[str] = []
    assert process.stdout is not None
    try:
        until(lambda: said.append(process.stdout.readline()) or "Ctrl-C stops" in said[-1], 60)  # type: ignore[union-attr, func-returns-value]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert "call demo/example --endpoint iris" in "".join(said)


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "demo" / "example" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    done = once(tmp_path)
    assert done.returncode == 2
    assert "error: demo/example is not empty" in done.stderr
    assert mine.read_text() == "mine"

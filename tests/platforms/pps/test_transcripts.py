"""What the public documents say that a Portable Prediction Server answers, replayed against packages of the models."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Running, serving
from tests.platforms.pps import packs

HERE = Path(__file__).parent / "transcripts"
MODELS = ("fraud", "revenue", "sales", "species")
CASES = {path.stem: json.loads(path.read_text())["server"]["mode"] for path in sorted(HERE.glob("*.json"))}


def replay(server: Running, name: str) -> None:
    command = [sys.executable, HERE / "replay.py", "--url", server.base, HERE / f"{name}.json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "1 passed, 0 failed\n", done.stdout + done.stderr


def test_every_case_is_there() -> None:
    assert (len(CASES), list(CASES.values()).count("sm")) == (15, 2)


@pytest.mark.parametrize("name", [name for name, mode in CASES.items() if mode == "sm"])
def test_single_model(packages: Path, cache: dict[str, str], name: str) -> None:
    with serving(packages / "fraud.mlpkg", env=cache) as server:
        replay(server, name)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, cache: dict[str, str]) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("repository")
    for name in MODELS:
        (folder / name).mkdir()
        packs.write_transcript_model(name, folder / name / "model_5fae9a023ba73530157ebdae.mlpkg")
    with serving(folder, "--port", "0", verb=("pps",), env=cache) as server:
        yield server


@pytest.mark.parametrize("name", [name for name, mode in CASES.items() if mode == "mm"])
def test_many_models(many: Running, name: str) -> None:
    replay(many, name)

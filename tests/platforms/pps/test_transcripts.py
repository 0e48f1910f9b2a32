"""What the public documents say that a Portable Prediction Server answers, replayed against packages of the models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import Running, serving

HERE = Path(__file__).parent / "transcripts"
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

"""The command line as a process, and one example service for every test here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def modelport(*arguments: object, input: str | None = None) -> subprocess.CompletedProcess[str]:  # noqa: A002
    """Runs ``modelport ARGUMENTS`` to its end; whatever happens, no traceback of ours may be seen."""
    done = subprocess.run(
        [sys.executable, "-m", "modelport", *map(str, arguments)],
        input=input,
        capture_output=True,
        text=True,
        timeout=90,
        env={**os.environ, "COLUMNS": "200"},
        check=False,
    )
    assert "modelport/cli" not in done.stderr, done.stderr
    return done


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that ``modelport new dataiku`` makes; tests must not change it."""
    folder = tmp_path_factory.mktemp("example") / "my service"
    done = modelport("new", "dataiku", folder)
    assert done.returncode == 0, done.stderr
    return folder

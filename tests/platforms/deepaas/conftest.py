"""The recorded models in an environment of their own, with the webargs that the platform asks for, and servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Running, serving

RUN = ("deepaas", "run", "--listen-port", "0")


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment variable that keeps histories apart from those of whoever runs the tests."""
    return {"MODELPORT_STATE_DIR": str(tmp_path_factory.mktemp("state"))}


@pytest.fixture(scope="session")
def recorded(old: Path, state: dict[str, str]) -> Iterator[Running]:
    """All recorded models, as the platform's own command serves them."""
    with serving("--env", old, verb=RUN, env=state) as server:
        yield server

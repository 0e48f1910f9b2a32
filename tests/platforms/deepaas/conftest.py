"""The recorded models in an environment of their own, with the webargs that the platform asks for, and servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import environments
from tests.harness import Running, serving

HERE = Path(__file__).parent
PACKAGES = sorted(HERE.glob("packages/mp_*"))
RUN = ("deepaas", "run", "--listen-port", "0")


@pytest.fixture(scope="session")
def old() -> Path:
    """The environment with the ten packages."""
    return environments.made("deepaas", *PACKAGES)


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment variable that keeps histories apart from those of whoever runs the tests."""
    return {"MODELPORT_STATE_DIR": str(tmp_path_factory.mktemp("state"))}


@pytest.fixture(scope="session")
def recorded(old: Path, state: dict[str, str]) -> Iterator[Running]:
    """All recorded models, as the platform's own command serves them."""
    with serving("--env", old, verb=RUN, env=state) as server:
        yield server


@pytest.fixture
def package(tmp_path: Path) -> Callable[..., Path]:
    """Writes a package with one model, "m", from the source of its module."""

    def write(source: str, name: str = "m", value: str = "model") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.py").write_text(source)
        head = f'[project]\nname = "{name}"\nversion = "1"\n'
        (folder / "pyproject.toml").write_text(f'{head}[project.entry-points."deepaas.v2.model"]\n{name} = "{value}"\n')
        return folder

    return write

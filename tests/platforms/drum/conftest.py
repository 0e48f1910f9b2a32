"""Servers with DRUM code folders."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import Running, serving
from tests.platforms.drum import zoo


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Every model of the zoo, at ``/drum/<name>/``; tests must leave them as they are."""
    with serving(*zoo.write_all(tmp_path_factory.mktemp("zoo"))) as server:
        yield server


@pytest.fixture(scope="session")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The unstructured model "echo" alone, so that no path need name it; tests must leave it as it is."""
    with serving(zoo.write(tmp_path_factory.mktemp("echo"), "echo")) as server:
        yield server

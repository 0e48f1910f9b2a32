"""Fixtures that many tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import environments
from tests.harness import Running, function, predictor, regression, serving, write_service


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with a regression endpoint "ep" (sums a row) and a function "fn" (echoes); tests must not harm it."""
    folder = write_service(
        Path(tmp_path_factory.mktemp("plain")) / "service",
        regression(testQueries=[{"q": {"features": {"a": 1.0, "b": 2.0}}}]),
        function(),
        code={
            "predictor.py": predictor("return features_df.sum(axis=1, numeric_only=True)"),
            "functions.py": "def run(**data):\n    return data\n",
        },
    )
    with serving(folder) as server:
        yield server


@pytest.fixture(scope="session")
def old() -> Path:
    """An environment in which the ten recorded DEEPaaS packages are installed, with the webargs of their time."""
    return environments.made("deepaas", *sorted(Path(__file__).parent.glob("platforms/deepaas/packages/mp_*")))

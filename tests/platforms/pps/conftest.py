"""One server of several packages, for all that the mode does not matter to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Running, serving
from tests.platforms.pps import packs

ODD = """
import pandas as pd

def load_model(code_dir):
    return "odd"

def score(data, model, **kwargs):
    if (data["x"] == "boom").any():
        raise RuntimeError("secret of the model")
    x = pd.to_numeric(data["x"], errors="coerce")
    return pd.DataFrame({"Predictions": x / 3})
"""


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of every server here: packages are unpacked into a folder of these tests."""
    return {"MODELPORT_CACHE_DIR": str(tmp_path_factory.mktemp("cache"))}


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The transcripts' models but for the time series, and an odd one, as packages; tests must not change them."""
    folder = tmp_path_factory.mktemp("packages")
    for name in ("fraud", "revenue", "species"):
        packs.write_transcript_model(name, folder / f"{name}.mlpkg")
    packs.write_package(folder / "odd.mlpkg", ODD, target={"name": "odd, one", "type": "regression"})
    return folder


@pytest.fixture(scope="session")
def models(packages: Path, cache: dict[str, str]) -> Iterator[Running]:
    """Each of them behind its own name."""
    with serving(*sorted(packages.glob("*.mlpkg")), env=cache) as server:
        yield server

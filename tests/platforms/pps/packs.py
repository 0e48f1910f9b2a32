"""Packages on disk: those of the transcripts' models, and small ones made on the spot."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from modelport.packages import archive
from modelport.packages.card import Card

TRANSCRIPTS = Path(__file__).parent / "transcripts"


def write_package(
    place: Path, code: str, runtime: str = "drum", files: dict[str, str] | None = None, **card: Any
) -> Path:
    """A package of a code folder with this ``custom.py``, and what the card says."""
    folder = place.parent / f".{place.stem}.folder"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "custom.py").write_text(textwrap.dedent(code))
    for name, text in (files or {}).items():
        (folder / name).write_text(text)
    archive.write(folder, runtime, Card.model_validate(card), place)
    return place


def card_of(name: str) -> dict[str, Any]:
    """The card of one of the transcripts' models."""
    told = json.loads((TRANSCRIPTS / "models" / name / "model.json").read_text())
    target = {_camel(key): value for key, value in told["target"].items()}
    card = {"target": target, "features": [{"name": feature} for feature in told["features"]]}
    if "explanations" in told:
        card["explanations"] = told["explanations"]
    if "time_series" in told:
        card["timeSeries"] = {_camel(key): value for key, value in told["time_series"].items()}
    return card


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def write_transcript_model(name: str, place: Path) -> Path:
    """One of the transcripts' models as a package."""
    code = (TRANSCRIPTS / "models" / name / "custom.py").read_text()
    return write_package(place, code, **card_of(name))

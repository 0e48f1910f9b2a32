"""The platforms this build knows, and the door by which more come in."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Iterator
from typing import Any, NamedTuple


class Platform(NamedTuple):
    """``contract`` and ``protocol`` are entry-point names; either may be missing."""

    title: str
    contract: str | None
    protocol: str | None
    docs: str


PLATFORMS = {
    "dataiku": Platform("Dataiku API node", "dataiku", "dataiku", "platforms/dataiku.md"),
    "deepaas": Platform("DEEPaaS V2", "deepaas", "deepaas", "platforms/deepaas.md"),
    "drum": Platform("DataRobot DRUM", "drum", "drum", "platforms/drum.md"),
    "pps": Platform("Portable Prediction Server", None, "pps", "platforms/pps.md"),
    "seldon": Platform("Seldon Core v1", "seldon", "seldon", "platforms/seldon.md"),
    "oip": Platform("Open Inference Protocol", None, "oip", "protocols/oip.md"),
}

BUILT_IN = {
    "modelport.contracts": {
        "dataiku": "modelport.contracts.dataiku.adapter:contract",
        "deepaas": "modelport.contracts.deepaas.adapter:contract",
        "drum": "modelport.contracts.drum.adapter:contract",
        "seldon": "modelport.contracts.seldon.adapter:contract",
    },
    "modelport.protocols": {
        "dataiku": "modelport.protocols.dataiku.routes:protocol",
        "deepaas": "modelport.protocols.deepaas.routes:protocol",
        "drum": "modelport.protocols.drum.routes:protocol",
        "oip": "modelport.protocols.oip.routes:protocol",
        "pps": "modelport.protocols.pps.routes:protocol",
        "seldon": "modelport.protocols.seldon.routes:protocol",
    },
}


def registered(group: str) -> dict[str, str]:
    """Name to ``module:attribute``, for "modelport.contracts" or "modelport.protocols": ours and installed ones."""
    found = {entry.name: entry.value for entry in importlib.metadata.entry_points(group=group)}
    return {**BUILT_IN[group], **found}


def loaded(group: str) -> Iterator[tuple[str, Any]]:
    """Each registered object, by name."""
    for name, path in registered(group).items():
        module, _, attribute = path.partition(":")
        yield name, getattr(importlib.import_module(module), attribute)

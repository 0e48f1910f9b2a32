"""The query arguments of a prediction: each of them read, or refused by name."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from modelport.protocols.pps.errors import Unprocessable

ALL = -1
"""As ``max_explanations``: every feature."""
MAX_SHOWN = 80
"""Characters of an argument that an error repeats."""

REPEATED = ("passthroughColumns", "explanationClassNames")
SERIES = ("forecastPoint", "predictionsStartDate", "predictionsEndDate", "relaxKnownInAdvanceFeaturesCheck")
KNOWN = (
    *REPEATED,
    "passthroughColumnsSet",
    "decimalsNumber",
    "maxExplanations",
    "maxCodes",
    "thresholdLow",
    "thresholdHigh",
    "excludeAdjustedPredictions",
    "explanationNumTopClasses",
    "explanationAlgorithm",
)
_INTEGER = re.compile(r"\+?[0-9]{1,9}", re.ASCII)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class Explaining(NamedTuple):
    """Which rows are explained, by how many features; of a multiclass target also which classes."""

    most: int
    low: float | None
    high: float | None
    top_classes: int
    class_names: Sequence[str]


class Wanted(NamedTuple):
    """What a client asks for. ``passthrough`` names columns, None stands for all of them."""

    passthrough: Sequence[str] | None = ()
    decimals: int | None = None
    explaining: Explaining | None = None
    series: Mapping[str, str] = MappingProxyType({})


class About(NamedTuple):
    """What arguments must fit: the kind of target, its classes, how it is explained ("xemp", "shap", or None), whether
    it is a time series."""

    kind: str
    labels: Sequence[str]
    algorithm: str | None
    is_series: bool


NOTHING = Wanted()


def read(query: str, about: About) -> Wanted:
    """What the query string asks for. Raises ``Unprocessable`` with every fault."""
    if not query:
        return NOTHING
    return _Reading(query, about).wanted()


class _Reading:
    """One query string, and the faults found so far."""

    def __init__(self, query: str, about: About) -> None:
        self._about = about
        self._faults: list[str] = []
        self._given: dict[str, list[str]] = {}
        try:
            pairs = parse_qsl(query, keep_blank_values=True, errors="strict")
        except UnicodeDecodeError:
            raise Unprocessable("the query string is not percent-encoded UTF-8") from None
        for name, value in pairs:
            self._given.setdefault(name, []).append(value)

    def wanted(self) -> Wanted:
        about, given = self._about, self._given
        known = (*KNOWN, *SERIES) if about.is_series else KNOWN
        for name, values in given.items():
            if name not in known:
                self._refuse(name, "is not allowed here")
            elif len(values) > 1 and name not in REPEATED:
                self._refuse(name, "may be given once")
        wanted = Wanted(self._passthrough(), self._decimals(), self._explaining(), self._series())
        if self._faults:
            raise Unprocessable("; ".join(self._faults))
        return wanted

    def _refuse(self, name: str, reason: str) -> None:
        self._faults.append(f"'{name[:MAX_SHOWN]}': {reason}")

    def _one(self, name: str) -> str | None:
        return self._given[name][0] if name in self._given else None

    def _passthrough(self) -> Sequence[str] | None:
        names, chosen = self._given.get("passthroughColumns", []), self._one("passthroughColumnsSet")
        if any(not name.strip() for name in names):
            self._refuse("passthroughColumns", "is blank: it must name a column")
        if chosen is None:
            return list(dict.fromkeys(names))
        if names:
            self._refuse("passthroughColumnsSet", "cannot be used together with passthroughColumns")
        if chosen != "all":
            self._refuse("passthroughColumnsSet", "must be all")
        return None

    def _decimals(self) -> int | None:
        return self._integer("decimalsNumber", 0)

    def _explaining(self) -> Explaining | None:
        about = self._about
        if "maxCodes" in self._given and "maxExplanations" in self._given:
            self._refuse("maxCodes", "is the old name of maxExplanations: give one of them")
        name = "maxCodes" if "maxCodes" in self._given else "maxExplanations"
        if self._one(name) == "all":
            most = ALL
            if about.algorithm != "shap":
                self._refuse(name, "may be all for models with SHAP explanations only")
        else:
            most = self._integer(name, 0) or 0
        if most and about.algorithm is None:
            self._refuse(name, "this model has no explanations: its package holds no baseline")
        low, high = self._number("thresholdLow"), self._number("thresholdHigh")
        self._boolean("excludeAdjustedPredictions")
        algorithm = self._one("explanationAlgorithm")
        if algorithm is not None and algorithm.lower() != about.algorithm:
            self._refuse("explanationAlgorithm", f"this model has {about.algorithm or 'no'} explanations")
        top = self._integer("explanationNumTopClasses", 1)
        names = list(dict.fromkeys(self._given.get("explanationClassNames", [])))
        self._check_classes(top, names)
        return Explaining(most, low, high, top or 1, names) if most else None

    def _check_classes(self, top: int | None, names: Sequence[str]) -> None:
        about = self._about
        if about.kind != "multiclass":
            for name in ("explanationNumTopClasses", "explanationClassNames"):
                if name in self._given:
                    self._refuse(name, "is for multiclass models only")
            return
        if top is not None and names:
            self._refuse("explanationClassNames", "cannot be used together with explanationNumTopClasses")
        unknown = [name for name in names if name not in about.labels]
        if unknown:
            self._refuse("explanationClassNames", f"{unknown[0][:MAX_SHOWN]!r} is no class of this model")

    def _series(self) -> dict[str, str]:
        return {name: self._given[name][0] for name in SERIES if name in self._given and self._about.is_series}

    def _integer(self, name: str, least: int) -> int | None:
        text = self._one(name)
        if text is None:
            return None
        if not _INTEGER.fullmatch(text) or int(text) < least:
            self._refuse(name, f"must be a whole number of {least} or more")
            return None
        return int(text)

    def _number(self, name: str) -> float | None:
        text = self._one(name)
        if text is None:
            return None
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            self._refuse(name, "must be a number")
            return None
        return number

    def _boolean(self, name: str) -> Any:
        text = self._one(name)
        if text is not None and text.lower() not in _BOOLEANS:
            self._refuse(name, "must be true or false")
        return None if text is None else _BOOLEANS.get(text.lower())

"""What training data tells of a model's features: their types, and values to compare a row's with."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from modelport.core import calendar
from modelport.errors import ConfigError
from modelport.packages.card import Card, Explanations, Feature

MAX_ROWS = 100_000
"""So many rows of a file are looked at."""
VALUES = 10
"""Baseline values of a feature, for averages."""
MAX_CATEGORIES = 100

Kind = Literal["numeric", "categorical", "text", "boolean", "date"]


def completed(card: Card, file: Path) -> Card:
    """The card with features and baseline from a CSV file, where it has none. Raises ``ConfigError``."""
    columns = _columns(file)
    series = card.timeSeries
    known = {card.target.name, *((series.dateColumn, series.seriesColumn) if series is not None else ())}
    absent = [feature.name for feature in card.features if feature.name not in columns]
    if absent:
        raise ConfigError(f"{file} lacks the columns {', '.join(absent)}, which the card names as features")
    names = [feature.name for feature in card.features] or [name for name in columns if name not in known]
    found = {name: _kind([cell for cell in columns[name] if cell.strip()]) for name in names}
    stated = {feature.name: feature.type for feature in card.features}
    features = [Feature(name=name, type=stated.get(name) or kind) for name, kind in found.items()]
    explanations = card.explanations or (Explanations() if series is None else None)
    if explanations is not None and not explanations.baseline:
        most = VALUES if explanations.algorithm == "xemp" else 1
        compared = {one.name: _values(columns[one.name], one.type, most) for one in features}
        baseline = {name: values for name, values in compared.items() if values}
        explanations = explanations.model_copy(update={"baseline": baseline})
    return card.model_copy(update={"features": features, "explanations": explanations})


def _columns(file: Path) -> dict[str, list[str]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.DictReader(opened, restval="")
            rows = list(islice(reader, MAX_ROWS))
            names = list(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise ConfigError(f"{file} cannot be read as CSV: {fault}") from None
    if not rows:
        raise ConfigError(f"{file} has no rows")
    return {name: [row[name] or "" for row in rows] for name in names}


def _kind(cells: Sequence[str]) -> Kind:
    if cells and all(_number(cell) is not None for cell in cells):
        return "numeric"
    if cells and all(cell.lower() in ("true", "false") for cell in cells):
        return "boolean"
    if cells and all(calendar.parsed(cell) is not None for cell in cells):
        return "date"
    return "categorical" if len(set(cells)) <= min(MAX_CATEGORIES, max(2, len(cells) // 2)) else "text"


def _number(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if number - number == 0 else None  # neither nan nor infinite


def _values(cells: Iterable[str], kind: str | None, most: int) -> list[Any]:
    """Evenly spread quantiles of numbers, the most common values of what has few; none of the rest."""
    given = [cell for cell in cells if cell.strip()]
    if kind == "numeric":
        numbers = sorted(number for number in map(_number, given) if number is not None)
        picked = [numbers[int(len(numbers) * (at + 0.5) / most)] for at in range(most)] if numbers else []
        return list(dict.fromkeys(int(number) if number.is_integer() else number for number in picked))
    common = [cell for cell, _ in Counter(given).most_common(most)]
    if kind == "boolean":
        return [cell.lower() == "true" for cell in common]
    return common if kind == "categorical" else []

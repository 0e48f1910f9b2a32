"""Prediction explanations by comparison: the model is asked again with some of a row's values put back to a baseline.

All of these questions go to the model as further rows of the same table, so that it is called once. "xemp": how far a
row's prediction is from the average of those with one feature at its baseline values. "shap": Shapley values against a
baseline row, whose sum is exactly the difference to that row's prediction; of more than ``EXACT`` features they are
averaged over ``ORDERS`` orders of the features and their reverses.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from modelport.core.payload import Column, Table, values
from modelport.protocols.pps.answer import Predicted, rounded
from modelport.protocols.pps.errors import Unprocessable
from modelport.protocols.pps.query import ALL, Explaining, Wanted
from modelport.protocols.pps.target import Target

XEMP, SHAP = "xemp", "shap"
MAX_FEATURES = 50
"""Those of the highest impact are compared."""
MAX_CELLS = 10_000_000
"""Cells that a request's rows may unfold to."""
EXACT, ORDERS = 7, 8
TRIVIAL = 0.001
MAIN = 10
"""So many strengths of a row make up the whole that each is a share of."""


class Part(NamedTuple):
    """Each row once more, with some ``features`` at a baseline value: (name, value) each."""

    features: Sequence[tuple[str, Any]]


class Unfolded(NamedTuple):
    """``parts`` say how the rows behind the first ``rows`` differ from these; ``features`` are explained."""

    algorithm: str
    features: Sequence[str]
    table: Table
    rows: int
    parts: Sequence[Part]


def algorithm_of(explanations: dict[str, Any] | None) -> str | None:
    """How a card's model can be explained; None where it holds no baseline."""
    return explanations["algorithm"] if explanations and explanations["baseline"] else None


def unfold(table: Table, explanations: dict[str, Any]) -> Unfolded:
    """The rows, and behind them those that they are compared with. Raises ``Unprocessable`` for too many rows."""
    baseline, impact = explanations["baseline"], explanations["featureImpact"]
    names = [str(name) for name in table.names if str(name) in baseline and impact.get(str(name), 1.0) != 0]
    names = sorted(names, key=lambda name: -abs(impact.get(name, 0.0)))[:MAX_FEATURES]
    parts = _single(names, baseline) if explanations["algorithm"] == XEMP else _coalitions(names, baseline)
    most = max(1, MAX_CELLS // (len(table.names) * (len(parts) + 1)))
    if len(table) > most:
        raise Unprocessable(f"at most {most} rows of this model are explained at once, and the data has {len(table)}")
    return Unfolded(explanations["algorithm"], names, table, len(table), parts)


def payload(unfolded: Unfolded) -> Table:
    """All the rows that the model is asked."""
    columns: list[Column] = []
    rows = unfolded.rows
    for name, column in zip(map(str, unfolded.table.names), unfolded.table.columns):
        own = values(column)
        pieces = [own]
        for part in unfolded.parts:
            other = [value for feature, value in part.features if feature == name]
            pieces.append(other * rows if other else own)
        columns.append(list(chain.from_iterable(pieces)))
    return Table(unfolded.table.names, columns)


def _listed(baseline: Any) -> list[Any]:
    return baseline if isinstance(baseline, list) else [baseline]


def _single(names: Sequence[str], baseline: dict[str, Any]) -> list[Part]:
    return [Part([(name, value)]) for name in names for value in _listed(baseline[name])]


def _coalitions(names: Sequence[str], baseline: dict[str, Any]) -> list[Part]:
    """For each set of features but the full one, its complement at the baseline."""
    whole = (1 << len(names)) - 1
    return [
        Part([(name, _listed(baseline[name])[0]) for at, name in enumerate(names) if not mask >> at & 1])
        for mask in _masks(len(names))
        if mask != whole
    ]


def _masks(count: int) -> list[int]:
    """Sets of features as bits, the empty one first."""
    if count <= EXACT:
        return list(range(1 << count))
    return list(dict.fromkeys(chain([0], *(_prefixes(order) for order in _orders(count)))))


def _orders(count: int) -> list[list[int]]:
    """The same ones each time."""
    chance = random.Random(0)  # noqa: S311
    orders = [chance.sample(range(count), count) for _ in range(ORDERS)]
    return orders + [order[::-1] for order in orders]


def _prefixes(order: Sequence[int]) -> list[int]:
    masks = [0]
    for feature in order:
        masks.append(masks[-1] | 1 << feature)
    return masks


# --- strengths -------------------------------------------------------------------------------------------


class Strengths(NamedTuple):
    """Of one label: for each feature the effect on each row, and for SHAP the base value of each row."""

    label: str
    by_feature: Sequence[Sequence[float]]
    base: Sequence[float]


def strengths(unfolded: Unfolded, label: str, scores: Sequence[Any]) -> Strengths:
    """From the scores of all rows that the model was asked; nan where a row has none."""
    rows = unfolded.rows
    numbers = [math.nan if score is None else float(score) for score in scores]
    blocks = [numbers[at : at + rows] for at in range(0, len(numbers), rows)] if rows else []
    if not blocks:
        return Strengths(label, [[] for _ in unfolded.features], [])
    if unfolded.algorithm == XEMP:
        return Strengths(label, _differences(unfolded, blocks), [])
    count = len(unfolded.features)
    whole = (1 << count) - 1
    masks = [mask for mask in _masks(count) if mask != whole]
    of = dict(zip([whole, *masks], blocks))
    shapley = _exact(count, of, rows) if count <= EXACT else _averaged(count, of, rows)
    return Strengths(label, shapley, of[0])


def _differences(unfolded: Unfolded, blocks: Sequence[Sequence[float]]) -> list[list[float]]:
    own = blocks[0]
    found = []
    for name in unfolded.features:
        others = [block for part, block in zip(unfolded.parts, blocks[1:]) if part.features[0][0] == name]
        found.append([value - sum(cells) / len(others) for value, *cells in zip(own, *others)])
    return found


def _exact(count: int, of: Mapping[int, Sequence[float]], rows: int) -> list[list[float]]:
    found = [[0.0] * rows for _ in range(count)]
    for mask, block in of.items():
        size = mask.bit_count() if hasattr(mask, "bit_count") else bin(mask).count("1")
        for feature in range(count):
            if mask >> feature & 1:
                continue
            weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            more = of[mask | 1 << feature]
            found[feature] = [
                sum_ + weight * (with_ - without) for sum_, with_, without in zip(found[feature], more, block)
            ]
    return found


def _averaged(count: int, of: Mapping[int, Sequence[float]], rows: int) -> list[list[float]]:
    found = [[0.0] * rows for _ in range(count)]
    orders = _orders(count)
    for order in orders:
        masks = _prefixes(order)
        for feature, before, after in zip(order, masks, masks[1:]):
            pairs = zip(found[feature], of[after], of[before])
            found[feature] = [sum_ + (with_ - without) / len(orders) for sum_, with_, without in pairs]
    return found


def symbol(strength: float, all_strengths: Sequence[float]) -> str:
    """The strength as a share of the row's strongest effects, in one to three signs."""
    count = len(all_strengths)
    whole = sum(sorted(map(abs, all_strengths), reverse=True)[:MAIN])
    share = strength / whole if whole else 0.0
    size = abs(share)
    few = {1: (0.0, 0.0), 2: (0.75, 0.25)}
    upper, lower = few.get(count) or ((2 / count, 1 / count) if count < MAIN else (0.2, 0.1))
    signs = 3 if size > upper or size < TRIVIAL else 2 if size > lower else 1
    return ("+" if share > 0 else "-") * signs


# --- explanations ----------------------------------------------------------------------------------------


class Explained(NamedTuple):
    """Of each row its explanations, the strongest first, as JSON has them; for SHAP also what they leave over."""

    items: list[list[dict[str, Any]]]
    metadata: list[Any] | None
    most: int


def explained(
    unfolded: Unfolded, scores: Sequence[Column], result: Predicted, target: Target, asked: Wanted
) -> Explained:
    """``scores`` are those of all rows that the model was asked, ``result`` is of the request's own."""
    wanted, decimals = asked.explaining, asked.decimals
    assert wanted is not None
    labels = target.labels if target.is_classes else [target.name]
    chosen = _chosen(result, target, wanted)
    used = sorted(set(chain.from_iterable(chosen)))
    by_label = {at: strengths(unfolded, labels[at], values(scores[at])) for at in used}
    columns = {str(name): values(column) for name, column in zip(unfolded.table.names, unfolded.table.columns)}
    count = len(unfolded.features) if wanted.most == ALL else min(wanted.most, len(unfolded.features))
    items: list[list[dict[str, Any]]] = []
    metadata: list[Any] = []
    for row, ats in enumerate(chosen):
        own: list[dict[str, Any]] = []
        left: list[dict[str, Any]] = []
        for at in ats:
            told, rest = _of_row(unfolded, by_label[at], row, columns, count)
            own += [_rounded(item, decimals) for item in told]
            left.append(rest)
        items.append(own)
        metadata.append(left[0] if len(left) == 1 else left or None)
    classes = max(map(len, chosen), default=1) or 1
    return Explained(items, metadata if unfolded.algorithm == SHAP else None, count * classes)


def _chosen(result: Predicted, target: Target, wanted: Explaining) -> list[list[int]]:
    """For each row the labels that are explained; none where it lies between the thresholds."""
    rows = len(result.decided)
    columns = [values(column) for column in result.scores]
    chosen = []
    for row in range(rows):
        scores = [column[row] for column in columns]
        known = [at for at, score in enumerate(scores) if score is not None and score == score]  # noqa: PLR0124
        if target.kind == "multiclass":
            ranked = sorted(known, key=lambda at: -scores[at])
            named = [at for at in ranked if target.labels[at] in wanted.class_names]
            ats = named if wanted.class_names else ranked[: wanted.top_classes]
            decisive = scores[ranked[0]] if ranked else None
        else:
            ats = known[:1] if 0 in known else []
            decisive = scores[0] if ats else None
        chosen.append(ats if decisive is not None and _is_beyond(decisive, wanted) else [])
    return chosen


def _is_beyond(score: float, wanted: Explaining) -> bool:
    if wanted.low is None and wanted.high is None:
        return True
    return (wanted.low is not None and score < wanted.low) or (wanted.high is not None and score > wanted.high)


def _of_row(
    unfolded: Unfolded, of_label: Strengths, row: int, columns: dict[str, Any], count: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    effects = [column[row] for column in of_label.by_feature]
    if any(map(math.isnan, effects)):  # a row that it was compared with has no prediction
        return [], {}
    order = sorted(range(len(effects)), key=lambda at: -abs(effects[at]))
    told = []
    for at in order[:count]:
        name = unfolded.features[at]
        item = {"feature": name, "featureValue": columns[name][row], "strength": effects[at], "label": of_label.label}
        if unfolded.algorithm == XEMP:
            item["qualitativeStrength"] = symbol(effects[at], effects)
        told.append(item)
    if unfolded.algorithm == XEMP:
        return told, {}
    return told, {"shapBaseValue": of_label.base[row], "shapRemainingTotal": sum(effects[at] for at in order[count:])}


def _rounded(item: dict[str, Any], decimals: int | None) -> dict[str, Any]:
    return {**item, "strength": rounded(item["strength"], decimals)}


def csv_columns(explained: Explained, target: Target) -> list[tuple[str, Column]]:
    """The same as columns: for each place the feature, its strength and its value."""
    parts = [("FEATURE_NAME", "feature"), ("STRENGTH", "strength"), ("ACTUAL_VALUE", "featureValue")]
    if explained.metadata is None:
        parts.insert(2, ("QUALITATIVE_STRENGTH", "qualitativeStrength"))
    if target.kind == "multiclass":
        parts.append(("LABEL", "label"))
    columns: list[tuple[str, Column]] = []
    for place in range(explained.most):
        for name, key in parts:
            cells = [items[place][key] if place < len(items) else None for items in explained.items]
            columns.append((f"EXPLANATION_{place + 1}_{name}", cells))
    if explained.metadata is not None and target.kind != "multiclass":
        for name, key in (("SHAP_BASE_VALUE", "shapBaseValue"), ("SHAP_REMAINING_TOTAL", "shapRemainingTotal")):
            columns.append((name, [(one or {}).get(key) for one in explained.metadata]))
    return columns

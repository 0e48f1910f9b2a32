"""Predictions as the platform writes them: JSON or CSV, the same rows in both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from modelport.core import jsontext, rowtext
from modelport.core.call import Outcome
from modelport.core.conversion import convert
from modelport.core.payload import Column, Table, values
from modelport.errors import InvalidOutput
from modelport.protocols.pps.target import Target

MAX_DECIMALS = 20
"""More digits change no float."""


class Predicted(NamedTuple):
    """``decided`` is the prediction of each row, ``scores`` the values of each label, in their order."""

    decided: Column
    scores: list[Column]

    def first(self, rows: int) -> Predicted:
        """Those of the first rows."""
        return Predicted(self.decided[:rows], [column[:rows] for column in self.scores])

    def rounded(self, decimals: int | None) -> Predicted:
        """With so many digits behind the point at most."""
        if decimals is None or decimals > MAX_DECIMALS:
            return self
        return Predicted(_rounded(self.decided, decimals), [_rounded(column, decimals) for column in self.scores])


def predicted(outcome: Outcome, target: Target) -> Predicted:
    """What the model answered, label by label. Raises ``InvalidOutput`` for what its target cannot be."""
    if not target.is_classes:
        column = _only(outcome)
        return Predicted(column, [column])
    columns = _columns(outcome)
    scores: list[Column]
    if columns:
        absent = [label for label in target.labels if label not in columns]
        if absent:
            raise InvalidOutput(f"the model answered no probability of {absent[0]!r}")
        scores = [columns[label] for label in target.labels]
        return Predicted(_decided(list(map(values, scores)), target), scores)
    decided = values([] if outcome.predictions is None else outcome.predictions)
    named = [None if value is None else str(value) for value in decided]
    return Predicted(named, [[None] * len(named) for _ in target.labels])


def _only(outcome: Outcome) -> Column:
    if outcome.predictions is not None:
        return outcome.predictions
    table = _table(outcome)
    if len(table.columns) != 1:
        raise InvalidOutput(f"the model answered {len(table.columns)} columns; one was expected")
    return table.columns[0]


def _columns(outcome: Outcome) -> dict[str, Column]:
    if outcome.probabilities:
        return {str(label): column for label, column in outcome.probabilities.items()}
    if outcome.payload is None:
        return {}
    table = _table(outcome)
    return dict(zip(map(str, table.names), table.columns))


def _table(outcome: Outcome) -> Table:
    if outcome.payload is None:
        raise InvalidOutput("the model answered no predictions")
    table = convert(outcome.payload, "table")
    assert isinstance(table, Table)
    return table


def _decided(scores: Sequence[Sequence[Any]], target: Target) -> Column:
    """The label of each row; None where a score is missing."""
    if target.kind == "binary":
        positive, negative = target.labels
        threshold = target.threshold
        # nan is not equal to itself
        return [
            None if one is None or one != one else positive if one > threshold else negative  # noqa: PLR0124
            for one in scores[0]
        ]
    return [
        None if any(one is None or one != one for one in row) else target.labels[row.index(max(row))]  # noqa: PLR0124
        for row in zip(*scores)
    ]


def _rounded(column: Column, decimals: int) -> Column:
    return [rounded(value, decimals) for value in values(column)]


def rounded(value: Any, decimals: int | None) -> Any:
    """A finite float with so many digits behind the point at most; whatever else as it is."""
    if decimals is None or decimals > MAX_DECIMALS or not isinstance(value, float) or not math.isfinite(value):
        return value
    return round(value, decimals)


# --- JSON ------------------------------------------------------------------------------------------------


class Member(NamedTuple):
    """A key of every row's object, with each row's value as JSON."""

    name: str
    cells: list[bytes]


def as_json(result: Predicted, target: Target, row_ids: Sequence[int], more: Sequence[Member]) -> bytes:
    """{"data": [an object a row]}. Raises ``TypeError`` for what has no JSON form."""
    if not len(result.decided):
        return b'{"data":[]}'
    labels = target.labels if target.is_classes else [target.name]
    before = [b'"rowId":', b',"prediction":']
    columns = [[b"%d" % row for row in row_ids], rowtext.json_cells(result.decided)]
    opening = b',"predictionValues":[{"label":'
    for label, scores in zip(labels, result.scores):
        before.append(b'%b%b,"value":' % (opening, jsontext.dumps(label)))
        columns.append(rowtext.json_cells(scores))
        opening = b'},{"label":'
    end = b"}]"
    if target.kind == "binary":
        end += b',"predictionThreshold":%b' % jsontext.dumps(target.threshold)
    for member in more:
        before.append(b"%b,%b:" % (end, jsontext.dumps(member.name)))
        columns.append(member.cells)
        end = b""
    before[0] = end + b"},{" + before[0]
    body = rowtext.woven(before, columns)
    return b'{"data":[%b%b}]}' % (body[len(end) + 2 :], end)


# --- CSV -------------------------------------------------------------------------------------------------


def as_csv(result: Predicted, target: Target, more: Sequence[tuple[str, Column]]) -> bytes:
    """The platform's columns, and ``more`` behind them."""
    names, columns = [f"{target.name}_PREDICTION"], [result.decided]
    same = b""  # in every row
    if target.is_classes:
        names = [*(f"{target.name}_{label}_PREDICTION" for label in target.labels), *names]
        columns = [*result.scores, *columns]
    before = [b"\n", *(b"," for _ in columns[1:])]
    if target.kind == "binary":
        names += ["THRESHOLD", "POSITIVE_CLASS"]
        same = b",%b,%b" % (rowtext.quoted(target.threshold), rowtext.quoted(target.positive))
    head = b",".join(map(rowtext.quoted, [*names, *(name for name, _ in more)]))
    if not len(result.decided):
        return head + b"\n"
    for _, column in more:
        before.append(same + b",")
        columns.append(column)
        same = b""
    before[0] = same + before[0]
    empty = b'""' if len(names) + len(more) == 1 else b""  # an empty line would be no row
    body = rowtext.woven(before, [rowtext.csv_cells(column, empty) for column in columns])
    return b"%b%b%b\n" % (head, body[len(same) :], same)

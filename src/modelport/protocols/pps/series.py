"""Time series: which rows of a request are history, which are to be forecast, from which points."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from modelport.core import calendar, jsontext
from modelport.core.calendar import Frequency
from modelport.core.payload import Args, Column, Table, values
from modelport.protocols.pps.answer import Member
from modelport.protocols.pps.errors import Unprocessable
from modelport.protocols.pps.rows import Rows

POINT, START, END = "forecastPoint", "predictionsStartDate", "predictionsEndDate"
RELAX = "relaxKnownInAdvanceFeaturesCheck"
TRUE, FALSE = ("true", "1"), ("false", "0")
MAX_ROWS = 5_000_000
"""Rows that all windows of a request may have together."""
FORM = "%Y-%m-%dT%H:%M:%S.%fZ"


class Asked(NamedTuple):
    """A ``point``, or all from ``start`` up to ``end``; where neither is given the newest known value decides."""

    point: datetime | None
    start: datetime | None
    end: datetime | None
    relaxed: bool


class Forecast(NamedTuple):
    """One row to be forecast: its number in the request, its series, the point that it is seen from."""

    row: int
    series: Any
    point: datetime
    when: datetime
    distance: int
    date: Any


class Plan(NamedTuple):
    """The forecasts in the order of their windows; the request has so many ``rows``."""

    rows: int
    forecasts: Sequence[Forecast]
    series_column: str | None
    date_column: str


def read(given: Mapping[str, str]) -> Asked:
    """The arguments of time series. Raises ``Unprocessable`` with every fault."""
    faults: list[str] = []
    dates: dict[str, datetime | None] = {}
    for name in (POINT, START, END):
        dates[name] = None
        if name in given:
            dates[name] = calendar.parsed(given[name])
            if dates[name] is None:
                faults.append(f"'{name}': must be a date of ISO 8601 from 1900 on")
    if POINT in given and (START in given or END in given):
        faults.append(f"'{POINT}': cannot be used together with {START} and {END}")
    elif (START in given) != (END in given):
        faults.append(f"'{START if START in given else END}': {START} and {END} belong together")
    start, end = dates[START], dates[END]
    if start is not None and end is not None and end <= start:
        faults.append(f"'{END}': must be after {START}")
    relax = given.get(RELAX, FALSE[0]).lower()
    if relax not in (*TRUE, *FALSE):
        faults.append(f"'{RELAX}': must be true or false")
    if faults:
        raise Unprocessable("; ".join(faults))
    return Asked(dates[POINT], start, end, relax in TRUE)


class _Series(NamedTuple):
    """Row numbers in the order of their dates, the dates, and whether each row's target is known."""

    name: Any
    rows: list[int]
    dates: list[datetime]
    known: list[bool]


class _Windows(NamedTuple):
    frequency: Frequency
    back: int
    now: int
    first: int
    last: int

    def past(self, series: _Series, point: datetime) -> list[int]:
        """Places in the series of the history."""
        end = bisect_right(series.dates, point)
        steps = self.frequency.steps
        at = end
        while at > 0 and self.back < steps(point, series.dates[at - 1]):
            at -= 1
        return [place for place in range(at, end) if steps(point, series.dates[place]) <= self.now]

    def ahead(self, series: _Series, point: datetime) -> list[tuple[int, int]]:
        """Places in the series of the rows to be forecast, and their distances."""
        found = []
        for place in range(bisect_left(series.dates, point), len(series.dates)):
            steps = self.frequency.steps(point, series.dates[place])
            if steps > self.last:
                break
            if steps >= self.first and steps == int(steps):
                found.append((place, int(steps)))
        return found


def plan(table: Table, given: Rows, told: Mapping[str, Any], target: str, asked: Asked) -> tuple[Plan, Args]:
    """What is forecast, and what the model is told of it; ``told`` is the card's ``timeSeries``.

    Raises ``Unprocessable`` saying what is missing.
    """
    date_column, series_column = told["dateColumn"], told["seriesColumn"]
    names = list(map(str, table.names))
    wanted = [date_column, *([series_column] if series_column else []), target]
    absent = [name for name in wanted if name not in names]
    if absent:
        raise Unprocessable(f"the data lacks the column {absent[0]!r}, which a time series needs")
    cells = given.cells([date_column, *([series_column] if series_column else [])], len(table))
    dates = _dates(cells[0], date_column)
    windows = _Windows(calendar.frequency(told["frequency"]), *told["featureDerivationWindow"], *told["forecastWindow"])
    known = [value is not None and value == value for value in values(table.columns[names.index(target)])]  # noqa: PLR0124
    series = _split(dates, cells[1] if series_column else [None] * len(table), known)
    chosen = _chosen(series, windows, asked)
    forecasts: list[Forecast] = []
    pairs: list[tuple[list[int], list[int]]] = []
    total = 0
    for one, point, past, ahead in chosen:
        pairs.append(([one.rows[at] for at in past], [one.rows[at] for at, _ in ahead]))
        total += len(past) + len(ahead)
        if total > MAX_ROWS:
            raise Unprocessable(f"the forecast points take more than {MAX_ROWS} rows in all; ask for fewer")
        forecasts += [
            Forecast(one.rows[at], one.name, point, one.dates[at], distance, cells[0][one.rows[at]])
            for at, distance in ahead
        ]
    if not asked.relaxed:
        _check_known(table, names, told["knownInAdvance"], forecasts)
    columns = [dates if name == date_column else column for name, column in zip(names, table.columns)]
    args = {"table": Table(table.names, columns), "windows": pairs, "target": target}
    return Plan(len(table), forecasts, series_column, date_column), Args(args)


def _dates(cells: Column, name: str) -> list[datetime]:
    found = [calendar.parsed(str(cell)) for cell in values(cells)]
    for row, date in enumerate(found):
        if date is None:
            told = str(cells[row])[:80]
            raise Unprocessable(f"{name!r} of row {row} is no date of ISO 8601 from 1900 on: {told!r}")
    return found  # type: ignore[return-value]


def _split(dates: Sequence[datetime], names: Column, known: Sequence[bool]) -> list[_Series]:
    """The series in the order of their first rows, each by date."""
    rows: dict[Any, list[int]] = {}
    for row, name in enumerate(values(names)):
        rows.setdefault(name, []).append(row)
    found = []
    for name, own in rows.items():
        own.sort(key=dates.__getitem__)
        ordered = [dates[row] for row in own]
        twice = next((date for date, after in zip(ordered, ordered[1:]) if date == after), None)
        if twice is not None:
            raise Unprocessable(f"{_called(name)} has two rows of {twice.isoformat()}")
        found.append(_Series(name, own, ordered, [known[row] for row in own]))
    return found


Chosen = list[tuple[_Series, datetime, list[int], list[tuple[int, int]]]]


def _chosen(series: Sequence[_Series], windows: _Windows, asked: Asked) -> Chosen:
    """Each series with each of its points: the history, and what is ahead."""
    chosen: Chosen = []
    is_bulk = asked.start is not None and asked.end is not None
    point = None if is_bulk else _point(series, asked)
    needed = windows.now - windows.back
    for one in series:
        points = [point] if point is not None else [d for d in one.dates if asked.start <= d < asked.end]  # type: ignore[operator]
        for moment in points:
            ahead = windows.ahead(one, moment)
            past = windows.past(one, moment)
            if not ahead or (is_bulk and len(past) < needed):
                continue
            if len(past) < needed:
                at = moment.isoformat()
                raise Unprocessable(f"{_called(one.name)} has {len(past)} rows of history at {at}; {needed} are needed")
            chosen.append((one, moment, past, ahead))
    if not chosen:
        window = f"{windows.first} to {windows.last}"
        raise Unprocessable(f"no row lies {window} steps after a forecast point that has enough history")
    return chosen


def _point(series: Sequence[_Series], asked: Asked) -> datetime:
    if asked.point is not None:
        if not any(asked.point in one.dates for one in series):
            raise Unprocessable(f"'{POINT}': the data has no row of {asked.point.isoformat()}")
        return asked.point
    newest = [date for one in series for date, is_known in zip(one.dates, one.known) if is_known]
    if not newest:
        raise Unprocessable(f"no row has a known target: name a {POINT}")
    return max(newest)


def _check_known(table: Table, names: Sequence[str], wanted: Sequence[str], forecasts: Sequence[Forecast]) -> None:
    """Raises ``Unprocessable`` for values that must be known in advance and are not."""
    missing = []
    for name in wanted:
        cells = values(table.columns[names.index(name)]) if name in names else None
        if cells is None or any(cells[one.row] is None or cells[one.row] != cells[one.row] for one in forecasts):
            missing.append(name)
    if missing:
        raise Unprocessable(
            f"values of {', '.join(missing)} are missing in the forecast window", hint=f"{RELAX}=true does without"
        )


def _called(name: Any) -> str:
    return "the series" if name is None else f"series {str(name)[:80]!r}"


def members(plan: Plan) -> list[Member]:
    """What the object of a forecast has beside its prediction."""
    forecasts = plan.forecasts
    columns: dict[str, list[Any]] = {
        "seriesId": [one.series for one in forecasts],
        "forecastPoint": [one.point.strftime(FORM) for one in forecasts],
        "timestamp": [one.when.strftime(FORM) for one in forecasts],
        "forecastDistance": [one.distance for one in forecasts],
        "originalFormatTimestamp": [one.date for one in forecasts],
    }
    return [Member(name, list(map(jsontext.dumps, cells))) for name, cells in columns.items()]


def csv_columns(plan: Plan) -> list[tuple[str, Column]]:
    """The series and the date under their own names, as they were sent."""
    forecasts = plan.forecasts
    columns: list[tuple[str, Column]] = []
    if plan.series_column is not None:
        columns.append((plan.series_column, [one.series for one in forecasts]))
    return [
        *columns,
        (plan.date_column, [one.date for one in forecasts]),
        ("FORECAST_POINT", [one.point.strftime(FORM) for one in forecasts]),
        ("FORECAST_DISTANCE", [one.distance for one in forecasts]),
    ]

"""Dates as data has them, and steps from one to another: by seconds, or by months."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import NamedTuple

_DATE = re.compile(
    r"\s*(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?\s*(?:Z|[+-]\d{2}:?\d{2})?\s*",
    re.ASCII,
)
_FREQUENCY = re.compile(r"([1-9]\d{0,4})?\s*([A-Za-z]+)", re.ASCII)
_SECONDS = {
    "s": 1,
    "sec": 1,
    "min": 60,
    "t": 60,
    "h": 3600,
    "hour": 3600,
    "d": 86400,
    "day": 86400,
    "w": 604800,
    "week": 604800,
}
_MONTHS = {
    "m": 1,
    "ms": 1,
    "me": 1,
    "month": 1,
    "q": 3,
    "qs": 3,
    "qe": 3,
    "quarter": 3,
    "y": 12,
    "ys": 12,
    "ye": 12,
    "year": 12,
}
FIRST_YEAR = 1900


def parsed(text: str) -> datetime | None:
    """The date in ISO 8601, without its zone; None for anything else, and for years before 1900."""
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    micros = int((found[7] or "0")[:6].ljust(6, "0"))
    try:
        return datetime(year, month, day, hour, minute, second, micros) if year >= FIRST_YEAR else None  # noqa: DTZ001
    except ValueError:
        return None


class Frequency(NamedTuple):
    """How far one row of a series is from the next: either number is 0."""

    seconds: int
    months: int

    def steps(self, start: datetime, end: datetime) -> float:
        """How many of them lie between; whole months are counted, and between equal days only."""
        if self.months:
            between = (end.year - start.year) * 12 + end.month - start.month
            return between / self.months
        return (end - start) / timedelta(seconds=self.seconds)


def frequency(text: str) -> Frequency:
    """ "D", "15min", "H", "W", "M", "Q" and the like. Raises ``ValueError``."""
    found = _FREQUENCY.fullmatch(text)
    if found is None:
        raise ValueError(f"frequency {text[:40]!r} is none")
    count = int(found[1] or 1)
    unit = found[2].lower()
    if unit in _SECONDS:
        return Frequency(count * _SECONDS[unit], 0)
    if unit in _MONTHS:
        return Frequency(0, count * _MONTHS[unit])
    raise ValueError(f"frequency {text[:40]!r} is none of D, H, min, S, W, M, Q, Y, perhaps with a number before")

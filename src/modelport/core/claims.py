"""How large a table a body may claim: few bytes must not take gigabytes of memory."""

from __future__ import annotations

from modelport.errors import BodyTooLarge

FEW = 1 << 22
"""So many cells any body may claim; a larger one some for each of its bytes."""
A_BYTE = 8
"""Cells a byte, at most: Arrow writes truth values as bits."""
MAX_COLUMNS = 100_000
"""pandas takes seconds for so many names."""


def most(size: int, a_byte: int = A_BYTE) -> int:
    """The cells that a body of ``size`` bytes may claim."""
    return max(FEW, a_byte * size)


def check(rows: int, columns: int, limit: int) -> None:
    """Raises ``BodyTooLarge`` for more columns than any table may have, and for more cells than ``limit``."""
    if columns > MAX_COLUMNS:
        raise BodyTooLarge(f"the table has {columns} columns; at most {MAX_COLUMNS} are taken")
    if rows * columns > limit:
        raise too_many(columns, limit)


def too_many(columns: int, limit: int) -> BodyTooLarge:
    """The error for more than ``limit`` cells."""
    return BodyTooLarge(
        f"the table's {columns} columns have over {limit} cells in all, which is too many for so small a body",
        hint="most of its cells are empty: leave out the columns that are not needed, or send fewer rows at a time",
    )

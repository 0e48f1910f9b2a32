"""From the columns that came to those a model was fitted on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from modelport.errors import InvalidInput

UNNAMED = re.compile(r"Column_\d+")
"""What LightGBM calls columns that had no names."""


class Features:
    """The columns ``names`` in that order, else any ``count`` columns; None is what nobody knows."""

    def __init__(self, names: Sequence[Any] | None = None, count: int | None = None) -> None:
        told = None if names is None else [str(name) for name in names]
        self.names = None if not told or all(map(UNNAMED.fullmatch, told)) else told
        self.count = len(told) if told else (count or None)

    def frame(self, frame: Any) -> Any:
        """The columns of a DataFrame that the model takes. Raises ``InvalidInput`` naming all that are missing."""
        came = list(frame.columns)
        if self.names is None:
            if self.count is not None and len(came) != self.count:
                raise InvalidInput(f"the model takes {_columns(self.count)}, and {len(came)} came")
            return frame
        return frame if came == self.names else self._picked(frame, came)

    def _picked(self, frame: Any, came: list[Any]) -> Any:
        assert self.names is not None
        places = {str(name): at for at, name in reversed(list(enumerate(came)))}
        missing = [name for name in self.names if name not in places]
        if missing:
            places.update(_respelled(missing, [name for name in places if name not in self.names], places))
            missing = [f"no {name!r}" for name in missing if name not in places]
        if missing:
            raise InvalidInput(
                f"{len(missing)} of the model's {_columns(len(self.names))} did not come",
                faults=missing,
            )
        picked = frame.iloc[:, [places[name] for name in self.names]]
        return picked.set_axis(self.names, axis=1)

    def matrix(self, frame: Any) -> Any:
        """The values alone, of whatever type they have; sparse where the columns are."""
        import pandas

        picked = self.frame(frame)
        if len(picked.columns) and all(isinstance(kind, pandas.SparseDtype) for kind in picked.dtypes):
            return picked.sparse.to_coo().tocsr()
        return picked.to_numpy()

    def numbers(self, frame: Any, dtype: str) -> Any:
        """The values as an array of numbers. Raises ``InvalidInput`` naming all columns that hold something else."""
        picked = self.frame(frame)
        try:
            return _numbers(picked, dtype)
        except (TypeError, ValueError):
            faults = [
                fault
                for at, name in enumerate(picked.columns)
                if (fault := _fault(picked.iloc[:, at], name, dtype)) is not None
            ]
            raise InvalidInput("the model takes numbers only", faults=faults) from None


def _respelled(missing: list[str], spare: list[str], places: dict[str, int]) -> dict[str, int]:
    """Where missing columns came under a name that LightGBM or a maker of ONNX files would have written like theirs.

    Both write underscores for what is no letter; what could be two columns stays missing.
    """
    came = Counter(map(_spelled, spare))
    meant = {_spelled(name): places[name] for name in spare if came[_spelled(name)] == 1}
    wanted = Counter(map(_spelled, missing))
    return {name: meant[_spelled(name)] for name in missing if wanted[_spelled(name)] == 1 and _spelled(name) in meant}


def _spelled(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _numbers(data: Any, dtype: str) -> Any:
    has_gaps = dtype.startswith("float")
    return data.to_numpy(dtype=dtype, na_value=float("nan")) if has_gaps else data.to_numpy(dtype=dtype)


def _fault(column: Any, name: Any, dtype: str) -> str | None:
    try:
        _numbers(column, dtype)
    except (TypeError, ValueError) as fault:
        return f"column {name!r}: {fault}"
    return None


def _columns(count: int) -> str:
    return "one column" if count == 1 else f"{count} columns"

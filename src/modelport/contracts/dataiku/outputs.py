"""What a predictor may return, and a precise word for everything that it may not."""

from __future__ import annotations

from typing import Any

from modelport.core.call import Outcome
from modelport.core.payload import Column
from modelport.errors import InvalidOutput


def read(answer: Any, rows: int, is_regression: bool) -> Outcome:
    """The outcome of ``predict``. Raises ``InvalidOutput``.

    Regression: a series, or (series, custom keys). Classification: a series, (series, probabilities), or (series,
    probabilities, custom keys). All but the series may be None.
    """
    probabilities = extras = None
    if isinstance(answer, tuple):
        most = 2 if is_regression else 3
        if not 2 <= len(answer) <= most:
            forms = "(series, custom_keys)" if is_regression else "(series, probas) or (series, probas, custom_keys)"
            kind = "regression" if is_regression else "classification"
            raise InvalidOutput(f"predict returned a tuple of {len(answer)}; a {kind} may return a series or {forms}")
        rest = list(answer[1:])
        answer = answer[0]
        if not is_regression and rest:
            probabilities = rest.pop(0)
        if rest:
            extras = rest[0]
    return Outcome(
        predictions=_series(answer, rows),
        probabilities=None if probabilities is None else _probabilities(probabilities, rows),
        row_extras=None if extras is None else _custom_keys(extras, rows),
    )


def _series(answer: Any, rows: int) -> Column:
    import numpy
    import pandas

    if isinstance(answer, pandas.Series):
        column: Any = answer.to_numpy() if isinstance(answer.dtype, numpy.dtype) else _extension(answer)
    elif (isinstance(answer, numpy.ndarray) and answer.ndim == 1) or isinstance(answer, list):
        column = answer
    else:
        shape = f" of shape {answer.shape}" if hasattr(answer, "shape") else ""
        raise InvalidOutput(f"predict returned {type(answer).__name__}{shape} where a pandas Series was expected")
    if len(column) != rows:
        raise InvalidOutput(f"predict returned {len(column)} predictions for {rows} rows")
    if isinstance(column, list):
        return [None if _missing(value) else value for value in column]
    kind = column.dtype.kind
    if kind in "mM":
        make = pandas.Timestamp if kind == "M" else pandas.Timedelta
        return [None if pandas.isna(value) else make(value) for value in column]
    return column if kind in "fiub" else [None if _missing(value) else value for value in column.tolist()]


def _extension(series: Any) -> Any:
    """Values of a pandas-only type (nullable integers, categories, strings) as plain ones."""
    dtype = getattr(series.dtype, "numpy_dtype", None)
    if dtype is not None and dtype.kind in "fiub" and not series.isna().any():
        return series.to_numpy(dtype=dtype)
    return [None if _missing(value) else value for value in series.astype(object).tolist()]


def _missing(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    try:
        return bool(value != value)  # noqa: PLR0124 - nan is not equal to itself
    except (ArithmeticError, TypeError, ValueError):  # arrays compare value by value
        return False


def _probabilities(frame: Any, rows: int) -> dict[Any, Column]:
    import pandas

    if not isinstance(frame, pandas.DataFrame):
        raise InvalidOutput(
            f"predict returned {type(frame).__name__} as probabilities; a pandas DataFrame was expected"
        )
    if len(frame) != rows:
        raise InvalidOutput(f"predict returned probabilities of {len(frame)} rows for {rows} rows")
    if not frame.columns.is_unique:
        raise InvalidOutput("predict returned probabilities in which a class has two columns")
    columns: dict[Any, Column] = {}
    for position, label in enumerate(frame.columns):
        try:
            columns[label] = frame.iloc[:, position].to_numpy(dtype=float, na_value=float("nan"))
        except (TypeError, ValueError):
            raise InvalidOutput(f"the probabilities of class {label!r} are not numbers") from None
    return columns


def _custom_keys(extras: Any, rows: int) -> list[dict[str, Any] | None]:
    if not isinstance(extras, list):
        raise InvalidOutput(f"predict returned {type(extras).__name__} as custom keys; a list of dicts was expected")
    if len(extras) != rows:
        raise InvalidOutput(f"predict returned {len(extras)} custom keys for {rows} rows")
    for position, item in enumerate(extras):
        if item is not None and not isinstance(item, dict):
            raise InvalidOutput(f"custom keys of row {position} are {type(item).__name__}; a dict was expected")
    return extras

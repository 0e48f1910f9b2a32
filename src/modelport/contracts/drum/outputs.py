"""What a structured model may answer, and a precise word for everything that it may not."""

from __future__ import annotations

from typing import Any

from modelport.contracts.drum.labels import aligned, label
from modelport.core.call import Outcome
from modelport.core.payload import Column
from modelport.errors import InvalidOutput, LoadError

NUMERIC = ("regression", "anomaly")
CLASSES = ("binary", "multiclass")
PREDICTIONS = "Predictions"
"""The column of a regression, and of an anomaly score."""
TOLERANCE = 1e-3
"""By how much the probabilities of a row may miss 1."""
SHOWN = 10


def framed(answer: Any, target: Target) -> Any:
    """What a built-in predictor answered, as the DataFrame that a ``score`` hook would have returned."""
    import numpy
    import pandas

    array = numpy.asarray(answer)
    if array.ndim == 1:
        array = array.reshape(-1, 1)
    if array.ndim != 2:
        raise InvalidOutput(f"the model answered an array of shape {array.shape}; one or two dimensions were expected")
    width = array.shape[1]
    if target.kind in CLASSES:
        labels = target.labels
        if target.kind == "binary" and width == 1:
            positive = _numbers(array[:, 0], "the probability of the positive class")
            return pandas.DataFrame({labels[0]: 1.0 - positive, labels[1]: positive})
        if width != len(labels):
            raise InvalidOutput(f"the model answered {width} columns for {len(labels)} classes: {_list(labels)}")
        return pandas.DataFrame(array, columns=target.order())
    return pandas.DataFrame({target.column: _flat(array)})


class Target:
    """What is predicted. ``labels`` are those of a classification, for a binary one the negative first.

    ``classes`` are the artifact's own, in the order of its columns, where it names them.
    """

    def __init__(
        self,
        kind: str,
        labels: list[str] | None = None,
        name: str | None = None,
        threshold: float = 0.5,
        positive_first: bool = False,
        classes: list[str] | None = None,
    ) -> None:
        self.kind = kind
        self.labels = labels or []
        self.name = name
        self.threshold = threshold
        self.positive_first = positive_first
        self.classes = classes

    @property
    def column(self) -> str:
        """The one column of a target that has one."""
        return self.name if self.kind == "textgeneration" and self.name else PREDICTIONS

    def order(self) -> list[str]:
        """The labels in the order of a built-in predictor's columns.

        By name where the artifact names its classes. By place where it does not, or only counts them. Raises
        ``LoadError`` where its names are others.
        """
        if self.classes is not None:
            named = aligned(self.classes, self.labels)
            if named is not None:
                return named
            if self.classes != list(map(str, range(len(self.labels)))):
                raise LoadError(
                    f"the model's classes are {_list(self.classes)}, and the stated labels {_list(self.labels)}",
                    hint="state the labels as the model has them, or leave them out",
                )
        return self.labels[::-1] if self.kind == "binary" and self.positive_first else self.labels

    def read(self, answer: Any, rows: int | None, hook: str) -> Outcome:
        """The outcome of a DataFrame with one row for each of ``rows``. Raises ``InvalidOutput``."""
        import pandas

        if not isinstance(answer, pandas.DataFrame):
            raise InvalidOutput(f"{hook} returned {type(answer).__name__}; a pandas DataFrame was expected")
        if rows is not None and len(answer) != rows:
            raise InvalidOutput(f"{hook} returned {len(answer)} rows for {rows}")
        if self.kind in CLASSES:
            return self._classes(answer, hook)
        if self.kind in NUMERIC:
            return Outcome(predictions=_finite(_numbers(self._only(answer, hook), f"column {self.column!r} of {hook}")))
        column = self._only(answer, hook).astype(object)
        return Outcome(predictions=column.where(column.notna(), None).tolist())

    def read_numbers(self, answer: Any, rows: int | None) -> Outcome:
        """The outcome of a built-in predictor's numbers, the same as by way of a DataFrame, and quicker."""
        array = _flat(answer)
        if rows is not None and len(array) != rows:
            raise InvalidOutput(f"the model returned {len(array)} rows for {rows}")
        return Outcome(predictions=_finite(_numbers(array, f"column {self.column!r} of the model")))

    def _only(self, answer: Any, hook: str) -> Any:
        names = list(map(str, answer.columns))
        if names != [self.column]:
            hint = None if self.name or self.kind != "textgeneration" else "the column has the name of the target"
            raise InvalidOutput(f"{hook} returned the columns {_list(names)}; {self.column!r} was expected", hint)
        return answer.iloc[:, 0]

    def _classes(self, answer: Any, hook: str) -> Outcome:
        import numpy

        names = aligned(list(answer.columns), self.labels)
        if names is None:
            came = _list(list(map(label, answer.columns)))
            raise InvalidOutput(
                f"{hook} returned the columns {came}; one for each class was expected: {_list(self.labels)}"
            )
        columns: dict[Any, Column] = {}
        for name in self.labels:
            column = answer.iloc[:, names.index(name)]
            columns[name] = _numbers(column, f"the probabilities of class {name!r}")
        block = numpy.stack(list(columns.values()), axis=1)
        if not len(block):
            return Outcome(predictions=[], probabilities=columns)
        self._check(block, hook)
        best = (block[:, 1] >= self.threshold).astype(int) if self.kind == "binary" else block.argmax(axis=1)
        labels = self.labels
        return Outcome(predictions=[labels[at] for at in best.tolist()], probabilities=columns)

    def _check(self, block: Any, hook: str) -> None:
        import numpy

        with numpy.errstate(invalid="ignore"):  # opposite infinities
            sums = block.sum(axis=1)
        wrong = ~(numpy.isfinite(block).all(axis=1) & (abs(sums - 1) <= TOLERANCE))
        wrong |= (block < -TOLERANCE).any(axis=1)
        if wrong.any():
            row = int(wrong.argmax())
            told = ", ".join(f"{value:g}" for value in block[row][:SHOWN])
            more = int(wrong.sum()) - 1
            rest = f", as {more} more rows" if more else ""
            raise InvalidOutput(
                f"{hook} returned probabilities that do not sum to 1 within {TOLERANCE:g}: row {row} has {told}{rest}"
            )


def _flat(answer: Any) -> Any:
    """An array with one value a row."""
    import numpy

    array = numpy.asarray(answer)
    if array.ndim == 2 and array.shape[1] == 1:
        return array[:, 0]
    if array.ndim != 1:
        raise InvalidOutput(
            f"the model answered an array of shape {array.shape} where one number a row was expected",
            hint="of a classification the target type, or its labels, must be known",
        )
    return array


def _numbers(column: Any, what: str) -> Any:
    """A column of numbers, some perhaps missing, as numpy floats."""
    import numpy

    if getattr(getattr(column, "dtype", None), "kind", "") == "O" and any(isinstance(value, str) for value in column):
        raise _no_numbers(column, what)
    try:
        to_numpy = getattr(column, "to_numpy", None)
        return numpy.asarray(column, dtype=float) if to_numpy is None else to_numpy(dtype=float, na_value=float("nan"))
    except (TypeError, ValueError):
        raise _no_numbers(column, what) from None


def _no_numbers(column: Any, what: str) -> InvalidOutput:
    first = next((value for value in column if not isinstance(value, (int, float))), None)
    told = repr(first[:80]) if isinstance(first, str) else type(first).__name__
    return InvalidOutput(
        f"{what} must be numbers; {told} is none", hint="a classifier needs its target type or its class labels"
    )


def _finite(numbers: Any) -> Any:
    """The same; JSON has no infinity."""
    import numpy

    endless = numpy.isinf(numbers)
    if endless.any():
        row = int(endless.argmax())
        raise InvalidOutput(f"the prediction of row {row} is {numbers[row]}; a finite number, or none, was expected")
    return numbers


def _list(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(repr, names[:SHOWN])) + more

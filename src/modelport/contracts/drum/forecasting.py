"""Code folders of time series, which are no part of the platform's own contract: ``forecast(history, future)``."""

from __future__ import annotations

from typing import Any

from modelport.contracts.drum.hooks import Hooks
from modelport.core import tabular
from modelport.core.call import Call, Outcome
from modelport.core.dataframe import Frames
from modelport.core.model import Description, ModelSpec
from modelport.core.payload import Args, Payload
from modelport.errors import InvalidInput, InvalidOutput


class Forecasting:
    """A model that continues series.

    Its arguments are ``table``, with all rows; ``windows``, a pair of row numbers for each forecast: of its history and
    of the rows to forecast; and ``target``, the column that it gets no future values of.
    """

    def __init__(self, spec: ModelSpec, hooks: Hooks, model: Any) -> None:
        self._forecast: Any = hooks.forecast
        self._model = model
        self._frames = Frames()
        target = (spec.card or {}).get("target") or {}
        details = {"targetType": "regression", "targetName": target.get("name")}
        self.description = Description("args", "drum", details=details)

    def call(self, payload: Payload, call: Call) -> Outcome:
        assert isinstance(payload, Args)
        given = payload.values
        if given.keys() != {"table", "windows", "target"}:
            raise InvalidInput("this model forecasts series", hint="POST their rows to /predictions")
        frame = tabular.frame_of(given["table"], self._frames)
        predictions: list[Any] = []
        for past, ahead in given["windows"]:
            history = frame.iloc[past].reset_index(drop=True)
            future = frame.iloc[ahead].reset_index(drop=True)
            if given["target"] in future.columns:
                future[given["target"]] = float("nan")
            predictions += _numbers(self._forecast(history, future, model=self._model), len(ahead))
        return Outcome(predictions=predictions)


def _numbers(answer: Any, wanted: int) -> list[Any]:
    import numpy

    try:
        array = numpy.asarray(answer, dtype=float)
    except (TypeError, ValueError):
        raise InvalidOutput(f"forecast returned {type(answer).__name__}; one number a row was expected") from None
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (wanted,):
        raise InvalidOutput(f"forecast returned an array of shape {list(array.shape)} for {wanted} rows")
    numbers: list[Any] = array.tolist()
    return numbers

"""What a model does not take, told as the client's fault: text for numbers, and missing values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from modelport.contracts.drum.predictors.features import Features
from modelport.errors import InvalidInput, ModelportError

if TYPE_CHECKING:
    from modelport.contracts.drum.predictors import Predictor

TEXT = re.compile(r"could not convert string to float: .*?(['\"])(.*)\1", re.DOTALL)
"""How numpy says it, with the text."""
GAP = re.compile(r"contains NaN")
"""How scikit-learn says it."""


def answer(predictor: Predictor, frame: Any, is_classification: bool) -> Any:
    """What it predicts. Raises ``InvalidInput`` naming the columns, where the error is theirs."""
    try:
        return predictor.predict(frame, is_classification)
    except ModelportError:
        raise
    except Exception as fault:  # each library has its own
        refusal = _refusal(predictor, frame, str(fault))
        if refusal is None:
            raise
        raise refusal from fault


def _refusal(predictor: Predictor, frame: Any, told: str) -> InvalidInput | None:
    """None where the columns that the model takes show no reason."""
    picked = Features(predictor.columns).frame(frame)
    if predictor.is_numeric:
        try:
            Features().numbers(picked.select_dtypes(exclude="number"), "float64")
        except InvalidInput as fault:
            return fault
    text = TEXT.search(told)
    if text is not None:
        found = text.group(2)
        faults = [f"column {name!r} holds {found!r}" for name, column in picked.items() if (column == found).any()]
        return InvalidInput("the model takes a number, and text came", faults=faults) if faults else None
    if GAP.search(told):
        faults = [f"column {name!r}" for name, column in picked.items() if column.isna().any()]
        return InvalidInput("the model takes no missing values, and some are", faults=faults) if faults else None
    return None

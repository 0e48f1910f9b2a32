"""What goes over the wire: how rows become a request body, and how an answer is read back."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

COLUMNS = "abcdefghij"
Rows = list[list[float]]
JSON, CSV = "application/json", "text/csv"


@dataclass(frozen=True)
class Wire:
    """One request format: a value for JSON, or text. `path` may hold {endpoint}: the plain or the batching one."""

    name: str
    path: str
    body: Callable[[Rows], Any]
    predictions: Callable[[Any], list[float]]
    content_type: str = JSON

    def encode(self, rows: Rows) -> bytes:
        """Make the request body, compact."""
        body = self.body(rows)
        return (body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))).encode()

    def error(self, answer: bytes, expected: list[float]) -> str | None:
        """Say what is wrong with an answer, or None when every prediction is right."""
        try:
            got = self.predictions(json.loads(answer))
        except (ValueError, KeyError, IndexError, TypeError) as error:
            return f"unreadable answer ({error!r}): {answer[:200]!r}"
        if len(got) != len(expected):
            return f"{len(got)} predictions instead of {len(expected)}"
        pairs = zip(got, expected, strict=True)
        wrong = sum(not math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9) for a, b in pairs)
        return f"{wrong} of {len(expected)} predictions are wrong" if wrong else None


def features(row: list[float]) -> dict[str, Any]:
    """Name a row's values, as Dataiku clients do."""
    return {"features": dict(zip(COLUMNS, row, strict=True))}


def flat(rows: Rows) -> dict[str, Any]:
    """Lay the rows out as one tensor with flat data."""
    data = [value for row in rows for value in row]
    shape = [len(rows), len(COLUMNS)]
    return {"inputs": [{"name": "x", "shape": shape, "datatype": "FP64", "data": data}]}


def table(rows: Rows) -> str:
    """Write the rows as CSV under the columns' names."""
    return "\n".join(",".join(map(str, line)) for line in [COLUMNS, *rows]) + "\n"


OIP = Wire("oip", "/v2/models/{endpoint}/infer", flat, lambda answer: answer["outputs"][0]["data"])
OIP_LIN = replace(OIP, path="/v2/models/lin/infer")
DATAIKU = Wire(
    "dataiku",
    "/public/api/v1/bench/{endpoint}/predict",
    lambda rows: features(rows[0]),
    lambda answer: [answer["result"]["prediction"]],
)
DATAIKU_MULTI = Wire(
    "dataiku",
    "/public/api/v1/bench/{endpoint}/predict-multi",
    lambda rows: {"items": [features(row) for row in rows]},
    lambda answer: [result["prediction"] for result in answer["results"]],
)
KSERVE = Wire(
    "kserve", "/v1/models/lin:predict", lambda rows: {"instances": rows}, lambda answer: answer["predictions"]
)
DRUM = Wire("csv", "/predict/", table, lambda answer: answer["predictions"], CSV)
MLFLOW = replace(DRUM, path="/invocations")
LITSERVE = Wire("litserve", "/predict", lambda rows: {"x": rows}, lambda answer: answer["y"])

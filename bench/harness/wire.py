"""What goes over the wire: how rows become a request body, and how an answer is read back."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from modelport.schemas.seldon import SCHEMA

COLUMNS = "abcdefghij"
Rows = list[list[float]]
JSON, CSV, GRPC = "application/json", "text/csv", "application/grpc"
JSON_ROWS, CSV_ROWS, SELDON, SELDON_GRPC, GRAPH = "rows", "csv", "seldon", "seldon-grpc", "graph"
"""Families: formats that are compared with one another."""


@dataclass(frozen=True)
class Wire:
    """One request format: a value for JSON, text, or bytes. `path` may hold {endpoint}: the plain or the batching one.

    It goes to the server's port of that number, and to scenarios of its family. Over gRPC `path` is the method.
    """

    name: str
    path: str
    body: Callable[[Rows], Any]
    predictions: Callable[[Any], list[float]]
    content_type: str = JSON
    family: str = JSON_ROWS
    port: int = 0
    read: Callable[[bytes], Any] = json.loads

    def encode(self, rows: Rows) -> bytes:
        """Make the request body, compact."""
        body = self.body(rows)
        if isinstance(body, bytes):
            return body
        return (body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))).encode()

    def error(self, answer: bytes, expected: list[float]) -> str | None:
        """Say what is wrong with an answer, or None when every prediction is right."""
        try:
            got = self.predictions(self.read(answer))
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


def seldon(rows: Rows) -> dict[str, Any]:
    """Nest the rows in a SeldonMessage."""
    return {"data": {"names": list(COLUMNS), "ndarray": rows}}


def seldon_bytes(rows: Rows) -> bytes:
    """Lay the rows out as the tensor of a SeldonMessage, as protocol buffers."""
    values = array("d", [value for row in rows for value in row])
    tensor = {"shape": array("i", [len(rows), len(COLUMNS)]), "values": values}
    return SCHEMA.encode("SeldonMessage", {"data": {"names": list(COLUMNS), "tensor": tensor}})


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
DRUM = Wire("csv", "/predict/", table, lambda answer: answer["predictions"], CSV, CSV_ROWS)
MLFLOW = replace(DRUM, path="/invocations")
LITSERVE = Wire("litserve", "/predict", lambda rows: {"x": rows}, lambda answer: answer["y"])
SELDON_REST = Wire("seldon", "/api/v1.0/predictions", seldon, lambda answer: answer["data"]["ndarray"], family=SELDON)
SELDON_CALL = Wire(
    "seldon-grpc",
    "/seldon.protos.Seldon/Predict",
    seldon_bytes,
    lambda answer: list(answer["data"]["tensor"]["values"]),
    content_type=GRPC,
    family=SELDON_GRPC,
    port=1,
    read=lambda answer: SCHEMA.decode("SeldonMessage", answer),
)
SELDON_GRAPH = replace(SELDON_REST, family=GRAPH)
SELDON_STEPS = tuple(
    replace(SELDON_GRAPH, path=path, port=port)
    for port, path in enumerate(("/predict", "/transform-input", "/transform-output"))
)
"""What an executor asks the three components of the graph, one after another; they listen on ports of their own."""

"""Models that take a table or arguments, asked by tensors: what reaches them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness import Running
from tests.platforms.oip.test_bad_input import numbered, refused

REPORT = "/v2/models/report/infer"


def cell(datatype: str, data: Any, hint: Any = None, name: str = "a", shape: Any = (1, 1)) -> dict[str, Any]:
    parameters = {} if hint is None else {"parameters": {"content_type": hint}}
    return {"name": name, "datatype": datatype, "shape": list(shape), "data": data, **parameters}


def reported(server: Running, *inputs: dict[str, Any], **more: Any) -> list[str]:
    answer = server.post(REPORT, {"inputs": inputs, **more})
    assert answer.status == 200, answer.body
    (output,) = answer.json()["outputs"]
    assert (output["name"], output["datatype"]) == ("predict", "BYTES")
    said: list[str] = output["data"]
    assert output["shape"] == [len(said), 1]
    return said


@pytest.mark.parametrize(
    ("hint", "sent", "got"),
    [
        (None, "héllo", "'héllo'"),
        ("str", "héllo", "'héllo'"),
        ("base64", "/wA=", r"b'\xff\x00'"),
        ("datetime", "2021-08-24T15:01:19", "Timestamp('2021-08-24 15:01:19')"),
        ("pd", "x", "'x'"),
        ("np", "x", "'x'"),
        ("unheard_of", "x", "'x'"),
        (["str"], "x", "'x'"),
    ],
)
def test_content_type_of_an_input(tables: Running, hint: Any, sent: str, got: str) -> None:
    assert reported(tables, cell("BYTES", [sent], hint)) == [f"a={got}"]


@pytest.mark.parametrize("hint", ["pd", "np", "str", "unheard_of"])
def test_content_type_of_a_request(tables: Running, hint: str) -> None:
    inputs = [cell("FP64", [1.5]), cell("BYTES", ["x"], name="b")]
    assert reported(tables, *inputs, parameters={"content_type": hint}) == ["a=1.5; b='x'"]


def test_columns_keep_their_types(tables: Running) -> None:
    inputs = [
        cell("FP64", [0.5, None], name="f", shape=[2]),
        cell("INT64", [2**53 + 1, -1], name="i", shape=[2]),
        cell("BOOL", [True, False], name="b", shape=[2, 1]),
        cell("BYTES", ["x", None], name="s", shape=[2, 1]),
        cell("UINT8", [[7], [255]], name="u", shape=[2, 1]),
    ]
    assert reported(tables, *inputs) == [
        "f=0.5; i=9007199254740993; b=True; s='x'; u=7",
        "f=nan; i=-1; b=False; s=nan; u=255",
    ]


def test_a_matrix_without_known_columns_is_numbered(tables: Running) -> None:
    assert reported(tables, cell("FP64", [1, 2], shape=[1, 2])) == ["0=1.0; 1=2.0"]


NO_TABLES: list[tuple[Any, str]] = [
    ([cell("BYTES", ["*"], "base64")], "input 'a' is not base64"),
    ([cell("BYTES", ["soon"], "datetime")], "input 'a' is not datetime"),
    ([cell("FP64", [1], shape=[1]), cell("FP64", [1, 2], name="b", shape=[2])], "equal lengths"),
    ([cell("FP64", [1, 2], shape=[1, 2]), cell("FP64", [1], name="b")], "is not a column"),
    ([cell("FP64", [1] * 8, shape=[2, 2, 2])], "is not a column"),
    ([cell("FP64", [], shape=[0, 2**40])], "too large a shape"),
    ([cell("FP64", [], shape=[2**40, 0])], "too large a shape"),
    ([cell("BYTES", [], shape=[2**62, 0])], "too large a shape"),
]


@pytest.mark.parametrize(("inputs", "words"), NO_TABLES, ids=numbered(NO_TABLES))
def test_tensors_that_are_no_table(tables: Running, inputs: Any, words: str) -> None:
    refused(tables, {"inputs": inputs}, words, path=REPORT)


def test_a_matrix_of_another_width_than_the_model_s(tables: Running) -> None:
    body = {"inputs": [cell("FP64", [1, 2, 3], shape=[1, 3])]}
    refused(tables, body, "has 3 columns, the model takes 2: a, b", path="/v2/models/sum/infer")


def test_no_rows(tables: Running) -> None:
    answer = tables.post("/v2/models/sum/infer", {"inputs": [cell("FP64", [], shape=[0, 2])]})
    assert answer.status == 200
    assert answer.json()["outputs"] == [{"name": "predict", "datatype": "FP64", "shape": [0, 1], "data": []}]


def test_a_function_gets_arguments(tables: Running) -> None:
    inputs = [
        cell("FP64", [1.5], name="number", shape=[1]),
        cell("BYTES", ["é"], name="text", shape=[1]),
        cell("INT64", [1, 2, 3], name="list", shape=[3]),
    ]
    answer = tables.post("/v2/models/fn/infer", {"inputs": inputs})
    assert answer.status == 200
    data = {output["name"]: output["data"] for output in answer.json()["outputs"]}
    assert data == {"response": ['{"number":1.5,"text":"é","list":[1,2,3]}']} or data == {
        "number": [1.5],
        "text": ["é"],
        "list": [1, 2, 3],
    }


def test_deep_empty_arguments_are_refused(tables: Running) -> None:
    body = {"inputs": [cell("FP64", [], shape=[2**20, 2**20, 0])]}
    refused(tables, body, "too large a shape", path="/v2/models/fn/infer")

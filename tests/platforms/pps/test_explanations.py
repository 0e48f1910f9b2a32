"""Prediction explanations, against models whose every effect can be told by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelport.protocols.pps.explain import symbol
from tests.harness import Running, serving
from tests.platforms.pps import packs
from tests.platforms.pps.test_predictions import CSV, WANTS_CSV, ask, told

MODEL = """
import pandas as pd

def load_model(code_dir):
    return "formula"

def score(data, model, **kwargs):
    {}
"""
PARTS = ("FEATURE_NAME", "STRENGTH", "QUALITATIVE_STRENGTH", "ACTUAL_VALUE")
NUMBERS = [f"x{number}" for number in range(9)]


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory, packages: Path, cache: dict[str, str]) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("explained")

    def write(name: str, body: str, **card: Any) -> None:
        packs.write_package(folder / f"{name}.mlpkg", MODEL.format(body), **card)

    regression = {"type": "regression", "name": "y"}
    write(
        "product",
        "return pd.DataFrame({'Predictions': data['a'] * data['b'] + data['c'] * 0.0})",
        target=regression,
        explanations={"algorithm": "shap", "baseline": {"a": 0, "b": [0, 5], "c": 1}},
    )
    write(
        "nine",
        "return pd.DataFrame({'Predictions': data.prod(axis=1) + data['x0'] * 2 + data['x1']})",
        target=regression,
        explanations={"algorithm": "shap", "baseline": dict.fromkeys(NUMBERS, 1)},
    )
    write(
        "mean",
        "return pd.DataFrame({'Predictions': data['a'] + 10.0 * (data['b'] == 'x')})",
        target=regression,
        explanations={
            "algorithm": "xemp",
            "baseline": {"a": [0, 2, 4], "b": ["x", "y"], "gone": 1, "dull": 1},
            "featureImpact": {"dull": 0},
        },
    )
    write(
        "three",
        "p = data['a'].clip(0, 1) * 0.5\n    return pd.DataFrame({'u': p, 'v': 0.3 + 0 * p, 'w': 0.7 - p})",
        target={"type": "multiclass", "name": "y", "classLabels": ["u", "v", "w"]},
        explanations={"algorithm": "xemp", "baseline": {"a": 0}},
    )
    for name in ("fraud", "revenue"):
        (folder / f"{name}.mlpkg").write_bytes((packages / f"{name}.mlpkg").read_bytes())
    with serving(*sorted(folder.glob("*.mlpkg")), env=cache) as server:
        yield server


def rows_of(server: Running, model: str, body: str, query: str) -> list[dict[str, Any]]:
    answer = ask(server, model, body, query)
    assert answer.status == 200, answer.body
    rows: list[dict[str, Any]] = answer.json()["data"]
    return rows


def effects(row: dict[str, Any]) -> dict[str, float]:
    return {item["feature"]: pytest.approx(item["strength"]) for item in row["predictionExplanations"]}


def test_averages_over_the_baseline_values(explained: Running) -> None:
    rows = rows_of(explained, "mean", "a,b,dull\n5,x,0\n1,y,0\n", "maxExplanations=9")
    assert [effects(row) for row in rows] == [{"a": 3.0, "b": 5.0}, {"a": -1.0, "b": -5.0}]
    assert rows[0]["predictionExplanations"][0] == {
        "feature": "b",
        "featureValue": "x",
        "strength": 5.0,
        "label": "y",
        "qualitativeStrength": "++",
    }
    assert [row["prediction"] for row in rows] == [15.0, 1.0]
    assert "predictionExplanationMetadata" not in rows[0]


def test_the_strongest_come_first_and_the_others_are_left_out(explained: Running) -> None:
    (row,) = rows_of(explained, "mean", "a,b,dull\n5,x,0\n", "maxCodes=1")
    assert [item["feature"] for item in row["predictionExplanations"]] == ["b"]


def test_shapley_values_of_a_sum_are_its_parts(explained: Running) -> None:
    (row,) = rows_of(explained, "revenue", "units,region\n2,north\n", "maxExplanations=all")
    assert effects(row) == {"units": -28.0, "region": 10.0}
    assert row["predictionExplanationMetadata"] == {"shapBaseValue": 35.0, "shapRemainingTotal": 0}
    assert "qualitativeStrength" not in row["predictionExplanations"][0]


def test_shapley_values_share_what_features_do_together(explained: Running) -> None:
    (row,) = rows_of(explained, "product", "a,b,c\n3,4,9\n", "maxExplanations=all")
    assert effects(row) == {"a": 6.0, "b": 6.0, "c": 0.0}


@pytest.mark.parametrize("most", [1, 4, 9])
def test_base_strengths_and_the_rest_make_the_prediction(explained: Running, most: int) -> None:
    """Also of more features than are tried in every combination."""
    values = ",".join(str(1 + number / 4) for number in range(9))
    (row,) = rows_of(explained, "nine", f"{','.join(NUMBERS)}\n{values}\n", f"maxExplanations={most}")
    metadata = row["predictionExplanationMetadata"]
    strengths = [item["strength"] for item in row["predictionExplanations"]]
    assert len(strengths) == most
    assert metadata["shapBaseValue"] == 4.0
    assert metadata["shapBaseValue"] + sum(strengths) + metadata["shapRemainingTotal"] == pytest.approx(
        row["prediction"]
    )


def test_thresholds_choose_the_rows(explained: Running) -> None:
    rows = "amount,country\n20,US\n100,US\n180,US\n"

    def chosen(query: str) -> list[bool]:
        return [
            bool(row["predictionExplanations"])
            for row in rows_of(explained, "fraud", rows, f"maxExplanations=1{query}")
        ]

    assert chosen("") == [True, True, True]
    assert chosen("&thresholdLow=0.2") == [True, False, False]
    assert chosen("&thresholdHigh=0.8") == [False, False, True]
    assert chosen("&thresholdLow=0.2&thresholdHigh=0.8") == [True, False, True]


def test_of_a_binary_target_the_positive_class_is_explained(explained: Running) -> None:
    (row,) = rows_of(explained, "fraud", "amount,country\n150,FR\n", "maxExplanations=2")
    assert effects(row) == {"amount": 0.25, "country": 0.0}
    assert {item["label"] for item in row["predictionExplanations"]} == {"yes"}


def test_the_classes_of_a_multiclass_target(explained: Running) -> None:
    def classes(query: str) -> list[tuple[str, float]]:
        (row,) = rows_of(explained, "three", "a\n1\n", f"maxExplanations=1{query}")
        return [(item["label"], round(item["strength"], 9)) for item in row["predictionExplanations"]]

    assert classes("") == [("u", 0.5)]
    assert classes("&explanationNumTopClasses=2") == [("u", 0.5), ("v", 0.0)]
    assert classes("&explanationNumTopClasses=9") == [("u", 0.5), ("v", 0.0), ("w", -0.5)]
    assert classes("&explanationClassNames=w&explanationClassNames=v") == [("v", 0.0), ("w", -0.5)]


def test_csv_says_the_same(explained: Running) -> None:
    answer = ask(explained, "mean", "a,b,dull\n5,x,0\n1,y,0\n", "maxExplanations=2&passthroughColumns=b", WANTS_CSV)
    assert answer.body.decode().splitlines() == [
        ",".join(["y_PREDICTION", *(f"EXPLANATION_{n}_{part}" for n in (1, 2) for part in PARTS), "b"]),
        "15.0,b,5.0,++,x,a,3.0,++,5,x",
        "1.0,b,-5.0,---,y,a,-1.0,-,1,y",
    ]
    answer = ask(explained, "revenue", "units,region\n2,north\n", "maxExplanations=1", WANTS_CSV)
    head, row = (line.split(",") for line in answer.body.decode().splitlines())
    assert dict(zip(head, row, strict=True)) == {
        "revenue_PREDICTION": "17.0",
        "EXPLANATION_1_FEATURE_NAME": "units",
        "EXPLANATION_1_STRENGTH": "-28.0",
        "EXPLANATION_1_ACTUAL_VALUE": "2",
        "SHAP_BASE_VALUE": "35.0",
        "SHAP_REMAINING_TOTAL": "10.0",
    }


def test_rows_that_are_not_explained_leave_their_columns_empty(explained: Running) -> None:
    query = "maxExplanations=1&thresholdHigh=0.8"
    answer = ask(explained, "fraud", "amount,country\n20,US\n180,US\n", query, WANTS_CSV)
    assert [line.split(",")[5:] for line in answer.body.decode().splitlines()[1:]] == [
        ["", "", "", ""],
        ["amount", "0.4", "+++", "180"],
    ]


def test_strengths_are_rounded_and_json_rows_are_explained_too(explained: Running) -> None:
    headers = {"Content-Type": "application/json"}
    body = json.dumps([{"amount": 33, "country": "US"}])
    answer = ask(explained, "fraud", body, "maxExplanations=1&decimalsNumber=2", headers)
    (item,) = answer.json()["data"][0]["predictionExplanations"]
    assert (item["strength"], item["featureValue"]) == (-0.33, 33)


def test_no_rows_have_no_explanations(explained: Running) -> None:
    assert rows_of(explained, "mean", "a,b\n", "maxExplanations=3") == []


def test_a_missing_prediction_has_no_explanations(explained: Running) -> None:
    (row,) = rows_of(explained, "mean", "a,b\n,x\n", "maxExplanations=3")
    assert (row["prediction"], row["predictionExplanations"]) == (None, [])


def test_more_rows_than_can_be_explained_are_refused(explained: Running) -> None:
    body = f"{','.join(NUMBERS)}\n" + "1,1,1,1,1,1,1,1,1\n" * 20_000
    assert "rows" in told(ask(explained, "nine", body, "maxExplanations=1"), 422)
    assert ask(explained, "nine", body, headers=CSV).status == 200


def test_models_without_a_baseline_are_not_explained(models: Running) -> None:
    assert "baseline" in told(ask(models, "species", "size\n5\n", "maxExplanations=1"), 422)


def test_the_algorithm_may_be_named_if_it_is_the_model_s(explained: Running) -> None:
    assert ask(explained, "fraud", query="maxExplanations=1&explanationAlgorithm=xemp").status == 200
    assert "xemp" in told(ask(explained, "fraud", query="explanationAlgorithm=shap"), 422)


@pytest.mark.parametrize(
    ("strength", "others", "wanted"),
    [
        (5, [], "+++"), (-5, [], "---"), (0, [], "---"),
        (0.8, [0.2], "+++"), (0.75, [0.25], "++"), (0.25, [0.75], "+"), (-0.5, [0.5], "--"), (0.0001, [1], "+++"),
        (0.7, [0.2, 0.1], "+++"), (0.5, [0.3, 0.2], "++"), (0.2, [0.3, 0.5], "+"),
        (0.3, [0.7, *[0] * 8], "+++"), (0.15, [0.85, *[0] * 8], "++"), (0.1, [0.9, *[0] * 8], "+"),
        (1, [9, *[1] * 10], "+"),
    ],
)  # fmt: skip
def test_symbols(strength: float, others: list[float], wanted: str) -> None:
    assert symbol(strength, [strength, *others]) == wanted

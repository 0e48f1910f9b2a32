"""What clients of the Portable Prediction Server get for their rows."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness import Answer, Running

CSV = {"Content-Type": "text/csv"}
WANTS_CSV = {**CSV, "Accept": "text/csv"}
FRAUD = "amount,country\n50,US\n150,FR\n"
RECORDS = [{"amount": 50, "country": "US"}, {"amount": 150, "country": "FR"}]


def ask(
    server: Running, model: str = "fraud", body: str | bytes = FRAUD, query: str = "", headers: dict[str, str] = CSV
) -> Answer:
    data = body.encode() if isinstance(body, str) else body
    return server.post(f"/deployments/{model}/predictions" + (f"?{query}" if query else ""), data, headers=headers)


def told(answer: Answer, status: int) -> str:
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/json"
    content = answer.json()
    assert list(content) == ["message"]
    assert "Traceback" not in content["message"]
    return str(content["message"])


# --- answers ---------------------------------------------------------------------------------------------


def test_a_binary_row_has_the_form_of_the_seed(models: Running) -> None:
    assert ask(models).json()["data"][1] == {
        "rowId": 1,
        "prediction": "yes",
        "predictionValues": [{"label": "yes", "value": 0.75}, {"label": "no", "value": 0.25}],
        "predictionThreshold": 0.5,
    }


def test_binary_csv_has_the_columns_of_the_seed(models: Running) -> None:
    answer = ask(models, headers=WANTS_CSV)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.body.decode() == (
        "isfraud_yes_PREDICTION,isfraud_no_PREDICTION,isfraud_PREDICTION,THRESHOLD,POSITIVE_CLASS\n"
        "0.25,0.75,no,0.5,yes\n0.75,0.25,yes,0.5,yes\n"
    )


def test_a_row_at_the_threshold_is_not_positive(models: Running) -> None:
    assert ask(models, body="amount,country\n100,US\n").json()["data"][0]["prediction"] == "no"


def test_regression(models: Running) -> None:
    rows = "units,region\n2,north\n4,south\n"
    assert ask(models, "revenue", rows).json() == {
        "data": [
            {"rowId": 0, "prediction": 17.0, "predictionValues": [{"label": "revenue", "value": 17.0}]},
            {"rowId": 1, "prediction": 14.0, "predictionValues": [{"label": "revenue", "value": 14.0}]},
        ]
    }
    assert ask(models, "revenue", rows, headers=WANTS_CSV).body == b"revenue_PREDICTION\n17.0\n14.0\n"


def test_multiclass(models: Running) -> None:
    answer = ask(models, "species", "size\n5\n60\n")
    assert [row["prediction"] for row in answer.json()["data"]] == ["cat", "lion"]
    assert answer.json()["data"][0]["predictionValues"] == [
        {"label": "cat", "value": 0.7},
        {"label": "lion", "value": 0.1},
        {"label": "lynx", "value": 0.2},
    ]
    assert "predictionThreshold" not in answer.json()["data"][0]
    assert ask(models, "species", "size\n5\n", headers=WANTS_CSV).body.decode() == (
        "species_cat_PREDICTION,species_lion_PREDICTION,species_lynx_PREDICTION,species_PREDICTION\n0.7,0.1,0.2,cat\n"
    )


def test_what_is_no_number_is_null_or_empty(models: Running) -> None:
    rows = "x\nnothing\n3\n"
    assert [row["prediction"] for row in ask(models, "odd", rows).json()["data"]] == [None, 1.0]
    assert ask(models, "odd", rows, headers=WANTS_CSV).body == b'"odd, one_PREDICTION"\n""\n1.0\n'


def test_no_rows_are_no_rows(models: Running) -> None:
    headers = {"Content-Type": "application/json"}
    assert ask(models, "odd", "[]", headers=headers).json() == {"data": []}


def test_the_headers_of_the_platform(models: Running) -> None:
    headers = ask(models).headers
    assert float(headers["x-datarobot-execution-time"]) > 0
    assert headers["x-datarobot-model-cache-hit"] == "true"
    assert headers["x-datarobot-request-id"] == headers["x-request-id"]


# --- what may be sent ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    ["text/csv", "TEXT/CSV; charset=UTF-8", "text/plain; charset=UTF-8", "textplain; charset=UTF-8", "text/plain"],
)
def test_each_spelling_of_csv_is_taken(models: Running, content_type: str) -> None:
    assert len(ask(models, headers={"Content-Type": content_type}).json()["data"]) == 2


@pytest.mark.parametrize("content_type", ["application/json", "application/JSON", "application/json; charset=utf-8"])
def test_json_records_are_taken(models: Running, content_type: str) -> None:
    answer = ask(models, body=json.dumps(RECORDS), headers={"Content-Type": content_type})
    assert answer.json() == ask(models).json()


def test_latin_text_is_taken_with_its_charset(models: Running) -> None:
    rows = "amount,country\n50,Ísland\n".encode("latin-1")
    answer = ask(
        models, body=rows, query="passthroughColumns=country", headers={"Content-Type": "text/csv; charset=latin-1"}
    )
    assert answer.json()["data"][0]["passthroughValues"] == {"country": "Ísland"}


def test_gzip_is_taken_and_nothing_else(models: Running) -> None:
    packed = gzip.compress(FRAUD.encode())
    assert ask(models, body=packed, headers={**CSV, "Content-Encoding": "gzip"}).json() == ask(models).json()
    assert "gzip" in told(ask(models, headers={**CSV, "Content-Encoding": "br"}), 415)
    assert "gzip" in told(
        ask(models, body=b"x\x9c\x03\x00\x00\x00\x00\x01", headers={**CSV, "Content-Encoding": "deflate"}), 415
    )
    told(ask(models, body=packed[:-9], headers={**CSV, "Content-Encoding": "gzip"}), 400)
    told(ask(models, body=b"plain", headers={**CSV, "Content-Encoding": "gzip"}), 400)


def form(*parts: tuple[str, str]) -> bytes:
    pieces = [f"--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{text}\r\n" for head, text in parts]
    return "".join([*pieces, "--b--\r\n"]).encode()


FORM = {"Content-Type": "multipart/form-data; boundary=b"}


@pytest.mark.parametrize("name", ["rows.csv", "ROWS.TXT"])
def test_the_first_file_of_a_form_is_taken(models: Running, name: str) -> None:
    parts = (
        ('name="note"', "hello"),
        (f'name="file"; filename="{name}"', FRAUD),
        ('name="x"; filename="b.csv"', "x\n1\n"),
    )
    assert ask(models, body=form(*parts), headers=FORM).json() == ask(models).json()


def test_forms_without_such_a_file_are_refused(models: Running) -> None:
    assert "note" in told(ask(models, body=form(('name="note"', FRAUD)), headers=FORM), 400)
    assert "rows.exe" in told(ask(models, body=form(('name="f"; filename="rows.exe"', FRAUD)), headers=FORM), 415)
    told(ask(models, body=b"--b\r\nnothing", headers=FORM), 400)


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "application/xml"}, {"Content-Type": "image/png"}])
def test_other_types_are_refused(models: Running, headers: dict[str, str]) -> None:
    assert "text/csv" in told(ask(models, headers=headers), 415)


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ("", CSV), ("\n\n", CSV), ('amount,country\n"50,US\n', CSV), ("amount,country\n1,2,3\n", CSV),
        (b"amount,country\n1,\xff\n", CSV), (b"amount,country\n1,\x00\n", CSV),
        ("", JSON), ("{", JSON), ("{}", JSON), ('{"data": []}', JSON), ("[1]", JSON), ("[[]]", JSON), ("null", JSON),
        ('[{"amount": {"a": 1}, "country": "US"}]', JSON), ('[{"amount": [1], "country": "US"}]', JSON),
        ("amount,country\n1,US\n", {"Content-Type": "text/csv; charset=odd"}),
    ],
    ids=range(16),
)  # fmt: skip
@pytest.mark.parametrize("query", ["", "passthroughColumnsSet=all"])
def test_bodies_that_cannot_be_read_are_a_400(models: Running, body: Any, headers: dict[str, str], query: str) -> None:
    told(ask(models, body=body, headers=headers, query=query), 400)


def test_columns_that_the_model_needs_are_named(models: Running) -> None:
    assert "country" in told(ask(models, body="amount\n1\n"), 422)
    assert "country" in told(ask(models, body='[{"amount": 1}]', headers=JSON), 422)


def test_a_model_that_raises_shows_no_traceback(models: Running) -> None:
    message = told(ask(models, "odd", "x\nboom\n"), 500)
    assert message.startswith("RuntimeError: secret of the model")


# --- query arguments -------------------------------------------------------------------------------------


def test_columns_are_passed_through_as_they_were_sent(models: Running) -> None:
    rows = 'amount,country,note\n50.0,US,"a, b"\n150,NA,\n'
    answer = ask(models, body=rows, query="passthroughColumns=note&passthroughColumns=amount&passthroughColumns=note")
    assert [row["passthroughValues"] for row in answer.json()["data"]] == [
        {"note": "a, b", "amount": "50.0"},
        {"note": "", "amount": "150"},
    ]
    answer = ask(models, body=rows, query="passthroughColumnsSet=all", headers=WANTS_CSV)
    assert answer.body.decode().splitlines()[1] == '0.25,0.75,no,0.5,yes,50.0,US,"a, b"'
    assert answer.body.decode().splitlines()[0].endswith(",amount,country,note")


def test_json_values_are_passed_through_as_values(models: Running) -> None:
    records = [{"amount": 50, "country": "US", "more": 1.5}, {"amount": 150, "country": None, "more": True}]
    answer = ask(models, body=json.dumps(records), query="passthroughColumnsSet=all", headers=JSON)
    assert [row["passthroughValues"] for row in answer.json()["data"]] == records


def test_names_of_columns_are_percent_encoded(models: Running) -> None:
    rows = "amount,country,Größe & so\n50,US,5\n"
    answer = ask(models, body=rows, query="passthroughColumns=Gr%C3%B6%C3%9Fe%20%26%20so")
    assert answer.json()["data"][0]["passthroughValues"] == {"Größe & so": "5"}
    assert "UTF-8" in told(ask(models, body=rows, query="passthroughColumns=Gr%F6"), 422)


def test_columns_that_are_not_there_are_a_400(models: Running) -> None:
    message = told(ask(models, query="passthroughColumns=Name&passthroughColumns=amount&passthroughColumns=Age"), 400)
    assert message.endswith("Name, Age")


@pytest.mark.parametrize(("decimals", "wanted"), [("0", 33.0), ("1", 33.3), ("3", 33.333), ("500", 100 / 3)])
def test_decimals(models: Running, decimals: str, wanted: float) -> None:
    query = f"decimalsNumber={decimals}&passthroughColumns=x"
    (row,) = ask(models, "odd", "x\n100.12345\n", query.replace("100.12345", "100")).json()["data"]
    assert row["passthroughValues"] == {"x": "100.12345"}
    (row,) = ask(models, "odd", "x\n100\n", query).json()["data"]
    assert row["prediction"] == row["predictionValues"][0]["value"] == wanted
    assert ask(models, "odd", "x\n100\n", query, WANTS_CSV).body.decode().splitlines()[1] == f"{wanted},100"


def test_decimals_leave_thresholds_alone(models: Running) -> None:
    (row, _) = ask(models, query="decimalsNumber=0").json()["data"]
    assert row["predictionThreshold"] == 0.5
    assert row["predictionValues"] == [{"label": "yes", "value": 0.0}, {"label": "no", "value": 1.0}]
    assert row["prediction"] == "no"


REFUSED = [
    ("wd=1", "wd"),
    ("passthroughColumns=", "passthroughColumns"),
    ("passthroughColumnsSet=some", "passthroughColumnsSet"),
    ("passthroughColumnsSet=", "passthroughColumnsSet"),
    ("passthroughColumns=amount&passthroughColumnsSet=all", "together"),
    ("decimalsNumber=-1", "decimalsNumber"),
    ("decimalsNumber=1.5", "decimalsNumber"),
    ("decimalsNumber=", "decimalsNumber"),
    ("decimalsNumber=x", "decimalsNumber"),
    ("decimalsNumber=1&decimalsNumber=2", "once"),
    ("maxExplanations=-1", "maxExplanations"),
    ("maxExplanations=few", "maxExplanations"),
    ("maxExplanations=all", "SHAP"),
    ("maxExplanations=0&maxCodes=0", "maxCodes"),
    ("thresholdLow=low", "thresholdLow"),
    ("thresholdHigh=nan", "thresholdHigh"),
    ("excludeAdjustedPredictions=2", "true or false"),
    ("explanationNumTopClasses=1", "multiclass"),
    ("explanationClassNames=yes", "multiclass"),
    ("explanationAlgorithm=magic", "explanationAlgorithm"),
    ("maxNgramExplanations=1", "maxNgramExplanations"),
    ("forecastPoint=2026-01-01", "forecastPoint"),
    ("predictionsStartDate=2026-01-01", "predictionsStartDate"),
    ("relaxKnownInAdvanceFeaturesCheck=true", "relaxKnownInAdvanceFeaturesCheck"),
]


@pytest.mark.parametrize(("query", "named"), REFUSED, ids=[query for query, _ in REFUSED])
def test_arguments_that_make_no_sense_are_refused_by_name(models: Running, query: str, named: str) -> None:
    """Whatever the body is: they are looked at first."""
    for body, headers in ((FRAUD, CSV), (json.dumps(RECORDS), JSON), ("{", JSON)):
        assert named in told(ask(models, body=body, headers=headers, query=query), 422)


def test_every_fault_is_told_at_once(models: Running) -> None:
    message = told(ask(models, query="wd=1&decimalsNumber=x"), 422)
    assert message == "'wd': is not allowed here; 'decimalsNumber': must be a whole number of 0 or more"


@pytest.mark.parametrize(
    "query",
    ["maxExplanations=0", "maxCodes=0", "thresholdLow=0.1&thresholdHigh=0.9", "excludeAdjustedPredictions=TRUE"],
)
def test_arguments_without_effect_are_taken(models: Running, query: str) -> None:
    assert ask(models, query=query).json() == ask(models).json()


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("explanationNumTopClasses=2&explanationClassNames=cat", "together"),
        ("explanationNumTopClasses=0", "1 or more"),
        ("explanationClassNames=dog", "dog"),
    ],
)
def test_arguments_of_multiclass_models(models: Running, query: str, named: str) -> None:
    assert named in told(ask(models, "species", "size\n5\n", query), 422)


# --- both forms ------------------------------------------------------------------------------------------

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8).map("w{}".format)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(NUMBERS, WORDS), min_size=1, max_size=20))
def test_the_same_rows_give_the_same_predictions_in_every_form(models: Running, rows: list[tuple[float, str]]) -> None:
    records = [{"amount": amount, "country": country} for amount, country in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, ["amount", "country"])
    writer.writeheader()
    writer.writerows(records)
    ways = [(text.getvalue(), "text/csv"), (json.dumps(records), "application/json")]
    answers = [ask(models, body=body, headers={"Content-Type": kind}).json()["data"] for body, kind in ways]
    assert answers[0] == answers[1]
    for body, kind in ways:
        told = ask(models, body=body, headers={"Content-Type": kind, "Accept": "text/csv"}).body.decode()
        for row, line in zip(answers[0], csv.DictReader(io.StringIO(told)), strict=True):
            assert line["isfraud_PREDICTION"] == row["prediction"]
            assert math.isclose(
                float(line["isfraud_yes_PREDICTION"]), row["predictionValues"][0]["value"], rel_tol=1e-15
            )

"""Time series: forecast points, windows, what must be known; over CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from modelport.core import calendar
from tests.harness import Running, serving
from tests.platforms.pps import packs
from tests.platforms.pps.test_predictions import CSV, WANTS_CSV, ask, told

TELLING = """
def load_model(code_dir):
    return 100.0

def forecast(history, future, model):
    assert future["y"].isna().all() and len(history) == 2
    assert str(history["when"].dtype).startswith("datetime64")
    assert history["when"].is_monotonic_increasing
    return model * history["y"].iloc[-1] + future.index
"""
WRONG = """
def forecast(history, future, **kwargs):
    return {"short": [1.0], "text": ["a"] * len(future), "fine": [float("nan")] * len(future)}[history["y"].iloc[-1]]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, cache: dict[str, str]) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("series")
    packs.write_transcript_model("sales", folder / "sales.mlpkg")
    target = {"name": "y", "type": "regression"}
    windows = {"featureDerivationWindow": [-2, 0], "forecastWindow": [1, 2]}
    for name, frequency in (("monthly", "M"), ("hourly", "6h")):
        series = {"dateColumn": "when", "frequency": frequency, **windows}
        packs.write_package(folder / f"{name}.mlpkg", TELLING, target=target, timeSeries=series)
    packs.write_package(folder / "wrong.mlpkg", WRONG, target=target, timeSeries={"dateColumn": "when", **windows})
    with serving(*sorted(folder.glob("*.mlpkg")), env=cache) as server:
        yield server


def days(start: str, sales: list[Any], store: str = "A", promo: Any = 0) -> list[dict[str, Any]]:
    first = datetime.fromisoformat(start)
    return [
        {"date": str((first + timedelta(number)).date()), "store": store, "sales": value, "promo": promo}
        for number, value in enumerate(sales)
    ]


WEEK = [*days("2026-01-01", [10, 11, 12, 13, 14, 15, 16]), *days("2026-01-08", [None, None, None], promo=1)]


def as_csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def forecast(
    server: Running, rows: list[dict[str, Any]], query: str = "", model: str = "sales"
) -> list[dict[str, Any]]:
    """The rows of the answer, which are the same for both forms of the request."""
    answer = ask(server, model, as_csv(rows), query)
    assert answer.status == 200, answer.body
    other = ask(server, model, json.dumps(rows), query, {"Content-Type": "application/json"})
    assert other.json() == answer.json()
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


def refused(server: Running, rows: list[dict[str, Any]], query: str = "", model: str = "sales") -> str:
    message = told(ask(server, model, as_csv(rows), query), 422)
    headers = {"Content-Type": "application/json"}
    assert told(ask(server, model, json.dumps(rows), query, headers), 422) == message
    return message


def test_the_form_of_a_forecast(server: Running) -> None:
    assert forecast(server, WEEK, "forecastPoint=2026-01-07T00:00:00")[0] == {
        "rowId": 7,
        "prediction": 23.0,
        "predictionValues": [{"label": "sales", "value": 23.0}],
        "seriesId": "A",
        "forecastPoint": "2026-01-07T00:00:00.000000Z",
        "timestamp": "2026-01-08T00:00:00.000000Z",
        "forecastDistance": 1,
        "originalFormatTimestamp": "2026-01-08",
    }


def test_csv_has_the_series_and_the_date_as_they_were_sent(server: Running) -> None:
    answer = ask(server, "sales", as_csv(WEEK), "passthroughColumns=promo", WANTS_CSV)
    assert answer.body.decode().splitlines()[:2] == [
        "sales_PREDICTION,store,date,FORECAST_POINT,FORECAST_DISTANCE,promo",
        "23.0,A,2026-01-08,2026-01-07T00:00:00.000000Z,1,1",
    ]


@pytest.mark.parametrize(
    "point", ["2026-01-07T00:00:00", "2026-01-07", "2026-01-07T00:00:00Z", "2026-01-07T00:00:00.000000%2B00:00"]
)
def test_a_zone_is_taken_and_left_out(server: Running, point: str) -> None:
    assert forecast(server, WEEK, f"forecastPoint={point}") == forecast(server, WEEK)


def test_without_a_point_the_newest_known_value_is_one(server: Running) -> None:
    assert {row["forecastPoint"] for row in forecast(server, WEEK)} == {"2026-01-07T00:00:00.000000Z"}


def test_rows_may_come_in_any_order_and_of_several_series(server: Running) -> None:
    other = [{**row, "store": "B", "sales": None if row["sales"] is None else row["sales"] + 100} for row in WEEK]
    mixed = [row for pair in zip(WEEK[::-1], other[::-1], strict=True) for row in pair]
    found = {(row["seriesId"], row["forecastDistance"]): row for row in forecast(server, mixed)}
    assert {key: row["prediction"] for key, row in found.items()} == {
        **{("A", distance): 23.0 for distance in (1, 2, 3)},
        **{("B", distance): 123.0 for distance in (1, 2, 3)},
    }
    for row in found.values():
        assert mixed[row["rowId"]]["date"] == row["originalFormatTimestamp"]
        assert mixed[row["rowId"]]["store"] == row["seriesId"]


def test_in_bulk_each_point_with_enough_history_is_one(server: Running) -> None:
    rows = days("2026-01-01", list(range(12)))
    found = forecast(server, rows, "predictionsStartDate=2026-01-01&predictionsEndDate=2026-01-09T00:00:00Z")
    assert [(row["forecastPoint"][:10], row["forecastDistance"]) for row in found] == [
        *(("2026-01-07", distance) for distance in (1, 2, 3)),
        *(("2026-01-08", distance) for distance in (1, 2, 3)),
    ]
    assert [row["prediction"] for row in found] == [3.0, 3.0, 3.0, 4.0, 4.0, 4.0]
    extremes = "predictionsStartDate=1900-01-01T00:00:00.000000Z&predictionsEndDate=2262-04-11T23:47:16.854775Z"
    assert len(forecast(server, rows, extremes)) == 3 * 3 + 2 + 1


def test_months_and_hours(server: Running) -> None:
    dates = ["2025-11-30", "2025-12-31", "2026-01-31", "2026-02-28"]
    rows = [{"when": date, "y": value} for date, value in zip(dates, [1, 2, None, None], strict=True)]
    found = forecast(server, rows, model="monthly")
    assert [(row["forecastDistance"], row["prediction"], row["seriesId"]) for row in found] == [
        (1, 200.0, None),
        (2, 201.0, None),
    ]
    times = ["2026-01-01 06:00", "2026-01-01 12:00", "2026-01-01 18:00:00", "2026-01-01 20:00", "2026-01-02 00:00"]
    rows = [{"when": time, "y": value} for time, value in zip(times, [1, 2, None, None, None], strict=True)]
    found = forecast(server, rows, model="hourly")
    assert [(row["forecastDistance"], row["originalFormatTimestamp"]) for row in found] == [
        (1, times[2]),
        (2, times[4]),
    ]


def test_the_model_does_not_see_what_it_is_to_forecast(server: Running) -> None:
    rows = [{"when": f"2026-{month:02}-01", "y": month} for month in range(1, 6)]
    found = forecast(server, rows, "predictionsStartDate=2026-03-01&predictionsEndDate=2026-04-01", "monthly")
    assert [row["prediction"] for row in found] == [300.0, 301.0]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("forecastPoint=2026-01-07&predictionsStartDate=2026-01-01&predictionsEndDate=2026-01-02", "together"),
        ("forecastPoint=2026-01-07&predictionsEndDate=2026-01-02", "together"),
        ("predictionsStartDate=2026-01-01", "belong together"),
        ("predictionsEndDate=2026-01-01", "belong together"),
        ("predictionsStartDate=2026-01-02&predictionsEndDate=2026-01-02", "after"),
        ("predictionsStartDate=2026-01-03&predictionsEndDate=2026-01-02", "after"),
        ("forecastPoint=yesterday", "forecastPoint"),
        ("forecastPoint=2026-02-30", "forecastPoint"),
        ("forecastPoint=1899-12-31", "1900"),
        ("forecastPoint=", "forecastPoint"),
        ("relaxKnownInAdvanceFeaturesCheck=perhaps", "relaxKnownInAdvanceFeaturesCheck"),
        ("forecastPoint=2025-01-01", "no row of 2025-01-01"),
        ("forecastPoint=2026-01-10", "no row lies"),
        ("forecastPoint=2026-01-05", "has 5 rows of history"),
        ("predictionsStartDate=2026-01-01&predictionsEndDate=2026-01-03", "enough history"),
        ("maxExplanations=1", "maxExplanations"),
    ],
)
def test_questions_that_cannot_be_answered(server: Running, query: str, words: str) -> None:
    assert words in refused(server, WEEK, query)


def test_the_series_with_too_little_history_is_named(server: Running) -> None:
    short = [*WEEK, *days("2026-01-06", [1, 2, None], "B")]
    assert "series 'B' has 2 rows" in refused(server, short)
    assert "7 are needed" in refused(server, short)


def test_rows_that_make_no_series(server: Running) -> None:
    assert "date" in refused(server, [{**row, "date": "01/02/2026"} for row in WEEK])
    assert "row 9" in refused(server, [*WEEK[:9], {**WEEK[9], "date": "soon"}])
    assert "two rows" in refused(server, [*WEEK, WEEK[0]])
    assert "known target" in refused(server, [{**row, "sales": None} for row in WEEK])
    for column in ("date", "store", "sales", "promo"):
        assert column in refused(server, [{name: row[name] for name in row if name != column} for row in WEEK])


def test_what_is_to_be_known_in_advance_may_be_left_out_where_that_is_said(server: Running) -> None:
    rows = [*WEEK[:8], {**WEEK[8], "promo": None}, WEEK[9]]
    assert "promo" in refused(server, rows)
    found = forecast(server, rows, "relaxKnownInAdvanceFeaturesCheck=true")
    assert [row["prediction"] for row in found] == [23.0, 13.0, 23.0]


@pytest.mark.parametrize(("answer", "words"), [("short", "shape [1] for 2"), ("text", "list")])
def test_models_that_answer_something_else(server: Running, answer: str, words: str) -> None:
    rows = [{"when": f"2026-01-0{day}", "y": answer if day < 3 else None} for day in (1, 2, 3, 4)]
    assert words in told(ask(server, "wrong", as_csv(rows)), 500)
    rows = [{"when": f"2026-01-0{day}", "y": "fine" if day < 3 else None} for day in (1, 2, 3, 4)]
    assert [row["prediction"] for row in forecast(server, rows, model="wrong")] == [None, None]


def test_other_platforms_have_no_form_for_a_series(server: Running) -> None:
    answer = server.post("/drum/sales/predict/", as_csv(WEEK).encode(), headers=CSV)
    assert answer.status in (400, 422)
    assert answer.json()["message"].startswith("ERROR: ")


def test_info_tells_of_the_windows(server: Running) -> None:
    told = server.get("/deployments/sales/info").json()["timeSeries"]
    assert told["featureDerivationWindow"] == [-7, 0]
    assert told["forecastWindow"] == [1, 3]
    assert told["knownInAdvance"] == ["promo"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-01-02", datetime.fromisoformat("2026-01-02T00:00:00")),
        ("2026-01-02 03:04", datetime.fromisoformat("2026-01-02T03:04:00")),
        (" 2026-01-02T03:04:05.123456789Z ", datetime.fromisoformat("2026-01-02T03:04:05.123456")),
        ("2026-01-02T03:04:05,5+01:00", datetime.fromisoformat("2026-01-02T03:04:05.500000")),
        ("2026-13-01", None), ("2026-01-02T25:00", None), ("2026-1-2", None), ("20260102", None), ("", None),
        ("1899-12-31", None), ("٢٠٢٦-01-02", None), ("2026-01-02T03:04:60", None),
    ],
)  # fmt: skip
def test_dates(text: str, wanted: datetime | None) -> None:
    assert calendar.parsed(text) == wanted


@pytest.mark.parametrize("text", ["", "0D", "-1D", "D1", "fortnight", "1.5D", "99999999D"])
def test_frequencies_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="frequency"):
        calendar.frequency(text)

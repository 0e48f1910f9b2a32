"""What a web page, a wrong argument or an odd answer must not achieve."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from modelport.core import dataframe as frame
from modelport.core.payload import Table
from tests.harness import Running, function, serving, write_service

CODE = """
from dataiku.apinode import DkuCustomHttpResponse

def secretive(a=0, token="s3cret-default"):
    return a

def late_text():
    response = DkuCustomHttpResponse.create_text_response("first")
    response.body = "second"
    return response

def number():
    response = DkuCustomHttpResponse.create_text_response("first")
    response.body = 7
    return response
"""


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    names = ("secretive", "late_text", "number")
    endpoints = [function(name, function=name, customResponse=True) for name in names]
    folder = write_service(tmp_path_factory.mktemp("odd") / "svc", *endpoints, code={"functions.py": CODE})
    with serving(folder, "--repository") as server:
        yield server


def test_a_web_page_may_not_use_the_repository_without_a_key(odd: Running) -> None:
    for path in ("/v2/repository/index", "/v2/repository/models/secretive/unload"):
        assert odd.post(path, headers={"Origin": "http://evil.test"}).status == 403
    assert odd.post("/v2/repository/index").status == 200
    assert odd.get("/v2/models/secretive/ready").status == 200


def test_defaults_of_a_function_are_not_told(odd: Running) -> None:
    answer = odd.post("/public/api/v1/svc/secretive/run", {"nope": 1})
    assert answer.status == 400
    assert b"s3cret-default" not in answer.body
    assert "secretive(a, token)" in answer.json()["message"]


def test_a_text_set_as_body_is_sent_and_anything_else_is_told(odd: Running) -> None:
    answer = odd.post("/public/api/v1/svc/late_text/run")
    assert (answer.status, answer.body) == (200, b"second")
    answer = odd.post("/public/api/v1/svc/number/run")
    assert (answer.status, answer.json()["errorType"]) == (500, "InvalidOutput")


def test_names_that_clients_choose_are_not_kept_without_bound() -> None:
    frames = frame.Frames()
    frames.build(Table.from_records([{f"column {number}": 1.0 for number in range(frame.MAX_NAMES + 1)}]))
    frames.build(Table.from_records([{"x" * (frame.MAX_TEXT + 1): 1.0}]))
    assert len(frames._indexes) == 0
    for number in range(3 * frame.MAX_INDEXES):
        frames.build(Table.from_records([{f"column {number}": 1.0}]))
    assert len(frames._indexes) <= frame.MAX_INDEXES

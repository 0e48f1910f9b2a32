"""The names that user code finds on the platform: exceptions, responses, request metadata, a client of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from dataikuapi import APINodeClient
from dataikuapi.utils import DataikuException

from tests.harness import Answer, Running, function, predictor, regression, serving, write_service

KEY = "own-key"
FUNCTIONS = """
from dataiku.apinode import DkuCustomHttpResponse as Response

def reject(message="no", status=None):
    if status is None:
        raise DkuCustomApiException(message)
    raise DkuCustomApiException(message, http_status_code=status)

def respond(kind, value=None, **more):
    if kind == "text":
        return Response.create_text_response(value, **more)
    if kind == "json":
        return Response.create_json_response(value, **more)
    if kind == "binary":
        return Response.create_binary_response(bytes(value), **more)
    if kind == "full":
        return Response(more["status"], value, more["headers"])
    if kind == "headers":
        made = Response.create_text_response("x")
        made.headers["X-One"] = "first"
        made.headers["x-one"] = "second"
        made.add_header("X-Two", "a")
        made.add_header("X-Two", 2)
        made.headers["Content-Type"] = "text/csv"
        made.status = 201
        return made
    return value

def metadata():
    found = dku_http_request_metadata
    return {"path": found.path, "one": found.headers["x-one"], "agent": found.headers.get("USER-AGENT"),
            "absent": found.headers["x-absent"]}

def ask_neighbour(endpoint, **arguments):
    from dataiku.apinode.utils import get_self_client
    return get_self_client().run_function(endpoint, **arguments)

def unused(name):
    import dataiku
    return getattr(dataiku, name)("x")
"""
DESIGN_NODE = """
import dataiku
from dataiku import Dataset, Folder

def run():
    if dataiku is None:
        return Dataset("x").get_dataframe()
    return "ran"
"""
MODULE_LEVEL = """
from dataiku.apinode.utils import get_self_client
client = get_self_client()

def run():
    return 1
"""
PREDICT = """
if features_df["what"].iloc[0] == "metadata":
    return pd.Series([0.0]), [{"path": dku_http_request_metadata.path}]
if features_df["what"].iloc[0] == "client":
    import dataiku
    answer = dataiku.apinode.utils.get_self_client().run_function("echo", kind="value", value=7)
    return pd.Series([answer["response"]])
raise DkuCustomApiException("the row is wrong", http_status_code=422)
"""


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = write_service(
        tmp_path_factory.mktemp("names") / "svc",
        regression("ep", requestMetadata=True),
        function("reject", function="reject"),
        function("respond", function="respond", customResponse=True),
        function("plain", function="respond"),
        function("echo", function="respond"),
        function("metadata", function="metadata", requestMetadata=True),
        function("nometadata", function="metadata"),
        function("ask", function="ask_neighbour"),
        function("imports", "imports.py"),
        function("unused", function="unused"),
        function("early", "early.py"),
        code={
            "predictor.py": predictor(PREDICT),
            "functions.py": FUNCTIONS,
            "early.py": MODULE_LEVEL,
            "imports.py": DESIGN_NODE,
        },
        authMethod="API_KEYS",
        apiKeys=[KEY],
    )
    with serving(folder) as server:
        yield server


def run(server: Running, endpoint: str, /, *, verb_: str = "run", headers_: Any = None, **arguments: Any) -> Answer:
    path = f"/public/api/v1/svc/{endpoint}/{verb_}"
    return server.post(path, arguments, headers={"Authorization": f"Bearer {KEY}", **(headers_ or {})})


def test_an_exception_that_needs_no_import_chooses_status_and_message(names: Running) -> None:
    answer = run(names, "reject", message="ça ne va pas", status=418)
    assert answer.status == 418
    error = answer.json()
    assert (error["errorType"], error["message"]) == ("DkuCustomApiException", "ça ne va pas")
    client = APINodeClient(names.base, "svc", api_key=KEY)
    with pytest.raises(DataikuException, match=r"^DkuCustomApiException: gone$"):
        client.run_function("reject", message="gone", status=410)
    client._session.close()


def test_the_status_is_500_when_none_is_chosen(names: Running) -> None:
    answer = run(names, "reject")
    assert (answer.status, answer.json()["message"]) == (500, "no")


@pytest.mark.parametrize("status", [0, 99, 200, 302, 600, 10**6, "teapot", -1])
def test_a_status_that_is_no_error_becomes_500(names: Running, status: Any) -> None:
    answer = run(names, "reject", status=status)
    assert (answer.status, answer.json()["errorType"]) == (500, "DkuCustomApiException")


def test_a_predictor_chooses_its_status_too(names: Running) -> None:
    answer = run(names, "ep", verb_="predict", features={"what": "reject"})
    assert (answer.status, answer.json()["message"]) == (422, "the row is wrong")


def test_text_json_and_binary_responses_go_out_as_they_are(names: Running) -> None:
    text = run(names, "respond", kind="text", value="né")
    assert {"dss-version", "dss-api-version"} <= set(text.headers)
    assert (text.status, text.body) == (200, "né".encode())
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    xml = run(names, "respond", kind="text", value="<a/>", content_type="application/xml")
    assert (xml.headers["content-type"], xml.body) == ("application/xml", b"<a/>")
    plain = run(names, "respond", kind="json", value={"a": [1, None]})
    assert (plain.headers["content-type"], plain.json()) == ("application/json", {"a": [1, None]})
    image = run(names, "respond", kind="binary", value=[0, 255, 13, 10], content_type="image/png")
    assert (image.headers["content-type"], image.body) == ("image/png", b"\x00\xff\r\n")
    raw = run(names, "respond", kind="binary", value=[])
    assert (raw.headers["content-type"], raw.body) == ("application/octet-stream", b"")


def test_a_large_response_goes_out_whole(names: Running) -> None:
    answer = run(names, "respond", kind="text", value="x" * (3 << 20))
    assert answer.body == b"x" * (3 << 20)


def test_status_and_headers_of_a_response(names: Running) -> None:
    answer = run(names, "respond", kind="full", value="made", status=202, headers={"X-A": "1", "Location": "/x"})
    assert (answer.status, answer.body) == (202, b"made")
    assert (answer.headers["x-a"], answer.headers["location"]) == ("1", "/x")
    pairs = run(names, "respond", kind="full", value="", status=404, headers=[["X-A", "1"]])
    assert (pairs.status, pairs.headers["x-a"]) == (404, "1")
    assert run(names, "respond", kind="full", value="none", status=204, headers=None).body == b""


def test_headers_are_replaced_or_repeated(names: Running) -> None:
    answer = run(names, "respond", kind="headers")
    assert answer.status == 201
    assert answer.headers["x-one"] == "second"
    assert answer.headers["x-two"] in ("a, 2", "2")
    assert answer.headers["content-type"] == "text/csv"


@pytest.mark.parametrize("status", [0, 99, 101, 600, 10**9, "200", None, True])
def test_a_response_with_no_such_status_is_an_error_of_its_own(names: Running, status: Any) -> None:
    answer = run(names, "respond", kind="full", value="x", status=status, headers=None)
    assert (answer.status, answer.json()["errorType"]) == (500, "InvalidOutput")
    assert "is no status" in answer.json()["message"]


@pytest.mark.parametrize(
    "header",
    [["X-A", "1\r\nX-Evil: 1"], ["X-A\r\nX-Evil", "1"], ["X-A", "1\n"], ["X A", "1"], ["", "1"], ["X-A", "\x00"]],
)
def test_headers_cannot_smuggle_others(names: Running, header: list[str]) -> None:
    answer = run(names, "respond", kind="full", value="x", status=200, headers=[header])
    assert (answer.status, answer.json()["errorType"]) == (500, "InvalidOutput")
    assert "x-evil" not in answer.headers


def test_headers_about_the_connection_stay_the_servers(names: Running) -> None:
    headers = {"Content-Length": "1", "Transfer-Encoding": "chunked", "Connection": "close"}
    answer = run(names, "respond", kind="full", value="whole", status=200, headers=headers)
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"whole", "5")
    assert "transfer-encoding" not in answer.headers


def test_a_response_of_ones_own_must_be_allowed(names: Running) -> None:
    answer = run(names, "plain", kind="text", value="x")
    assert (answer.status, answer.json()["errorType"]) == (500, "InvalidOutput")
    assert "customResponse" in answer.json()["detailedMessage"]


def test_where_it_is_allowed_other_values_are_wrapped_as_ever(names: Running) -> None:
    assert run(names, "respond", kind="value", value=[1]).json()["response"] == [1]


def test_the_path_of_the_request_where_metadata_are_switched_on(names: Running) -> None:
    answer = run(names, "metadata")
    assert answer.status == 200, answer.body
    assert answer.json()["response"]["path"] == "/public/api/v1/svc/metadata/run"
    assert answer.json()["response"]["absent"] is None
    answer = run(names, "ep", verb_="predict", features={"what": "metadata"})
    assert answer.json()["result"]["customKeys"] == {"path": "/public/api/v1/svc/ep/predict"}


def test_any_header_of_the_request_where_metadata_are_switched_on(names: Running) -> None:
    answer = run(names, "metadata", headers_={"X-One": "1", "User-Agent": "me"})
    found = answer.json()["response"]
    assert (found["one"], found["agent"]) == ("1", "me")


def test_request_metadata_is_off_by_default(names: Running) -> None:
    answer = run(names, "nometadata")
    assert (answer.status, answer.json()["errorType"]) == (500, "NameError")


def test_a_function_asks_its_neighbour_with_the_callers_key(names: Running) -> None:
    for scheme in (f"Bearer {KEY}", "Basic b3duLWtleTo="):
        answer = run(names, "ask", headers_={"Authorization": scheme}, endpoint="echo", kind="value", value=5)
        assert answer.status == 200, answer.body
        inner = answer.json()["response"]
        assert (inner["response"], inner["apiContext"]["endpointId"]) == (5, "echo")


def test_a_predictor_asks_its_neighbour(names: Running) -> None:
    answer = run(names, "ep", verb_="predict", features={"what": "client"})
    assert answer.json()["result"]["prediction"] == 7


def test_the_neighbours_error_is_the_callers_exception(names: Running) -> None:
    answer = run(names, "ask", endpoint="reject", message="not today", status=409)
    assert (answer.status, answer.json()["errorType"]) == (500, "DataikuException")
    assert "not today" in answer.json()["message"]


def test_a_client_of_ones_own_exists_only_during_a_request(names: Running) -> None:
    answer = run(names, "early")
    assert answer.status == 503
    assert any("get_self_client() works only while a request is being answered" in line for line in names.said)


@pytest.mark.parametrize("name", ["Dataset", "Folder", "api_client", "get_custom_variables"])
def test_apis_of_the_design_node_say_that_they_do_not_work_here(names: Running, name: str) -> None:
    answer = run(names, "unused", name=name)
    error = answer.json()
    assert (answer.status, error["errorType"]) == (500, "RuntimeError")
    assert f"dataiku.{name} works inside Dataiku DSS only: an API node reads no datasets" in error["message"]


def test_code_that_only_imports_them_runs(names: Running) -> None:
    assert run(names, "imports").json()["response"] == "ran"


def test_what_the_package_never_had_is_an_ordinary_attribute_error(names: Running) -> None:
    assert run(names, "unused", name="nope").json()["message"] == "module 'dataiku' has no attribute 'nope'"

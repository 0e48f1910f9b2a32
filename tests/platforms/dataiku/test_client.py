"""The platform's public Python client against a real server."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from dataikuapi import APINodeClient
from dataikuapi.utils import DataikuException

from tests.harness import Running


@pytest.fixture
def client(node: Running) -> Iterator[APINodeClient]:
    made = APINodeClient(node.base, "svc")
    yield made
    made._session.close()


@pytest.fixture
def keyed(node: Running) -> Iterator[APINodeClient]:
    made = APINodeClient(node.base, "keyed", api_key="key123")
    yield made
    made._session.close()


def refusal(client: APINodeClient, endpoint: str = "kep") -> str:
    with pytest.raises(DataikuException) as caught:
        client.predict_record(endpoint, {"a": 1})
    client._session.close()
    return str(caught.value)


def test_one_record(client: APINodeClient) -> None:
    answer = client.predict_record("ep", {"a": 1, "b": "x", "n": None, "f": 1.5, "t": True})
    assert answer["result"] == {"prediction": 1.5, "ignored": False}
    assert answer["apiContext"] == {"serviceId": "svc", "endpointId": "ep", "serviceGeneration": "v2"}
    assert all(value >= 0 for value in answer["timing"].values())


def test_several_records_come_back_in_order(client: APINodeClient) -> None:
    code = "df['x'] * 10"
    items = [{"features": {"x": x, "code": code}, "context": {"k": x}} for x in (3, 1, 2)]
    answer = client.predict_records("ep", items)
    assert [result["prediction"] for result in answer["results"]] == [30, 10, 20]


def test_no_records_give_no_results(client: APINodeClient) -> None:
    assert client.predict_records("ep", [])["results"] == []


def test_no_features_at_all(client: APINodeClient) -> None:
    assert client.predict_record("ep", {})["result"]["prediction"] == 1.5
    assert len(client.predict_records("ep", [{"features": {}}, {"features": {}}])["results"]) == 2


def test_a_context_is_taken_and_changes_nothing(client: APINodeClient) -> None:
    plain = client.predict_record("ep", {"a": 1})["result"]
    assert client.predict_record("ep", {"a": 1}, context={"order": "o-9"})["result"] == plain


def test_a_function_gets_named_arguments(client: APINodeClient) -> None:
    arguments = {"age": 35, "tags": ["a"], "o": {"k": None}, "ville": "Orléans", "日": "本"}
    assert client.run_function("fn", **arguments)["response"] == arguments


def test_a_function_without_arguments_is_called_with_no_body(client: APINodeClient) -> None:
    assert client.run_function("fn")["response"] == {}


def test_defaults_of_a_function(client: APINodeClient) -> None:
    assert client.run_function("add", a=2)["response"] == 3


def test_arguments_that_do_not_fit_a_function(client: APINodeClient) -> None:
    with pytest.raises(DataikuException, match=r"InvalidInput: add\(a, b\): missing a required argument: 'a'"):
        client.run_function("add", b=2)
    with pytest.raises(DataikuException, match=r"InvalidInput: add\(a, b\): got an unexpected keyword argument 'c'"):
        client.run_function("add", a=1, c=2)


def test_non_ascii_text_in_names_and_values(client: APINodeClient) -> None:
    code = "(pd.Series([0.0]), [{'café': df['ville'].iloc[0], 'columns': list(df.columns)}])"
    answer = client.predict_record("ep", {"ville": "Orléans", "日": "本", "code": code})
    assert answer["result"]["customKeys"] == {"café": "Orléans", "columns": ["ville", "日", "code"]}


def test_nan_and_infinity_reach_the_model(client: APINodeClient) -> None:
    code = "(pd.Series([0.0]), [{'a': bool(df['a'].isna().iloc[0]), 'b': str(df['b'].iloc[0])}])"
    answer = client.predict_record("ep", {"a": math.nan, "b": -math.inf, "code": code})
    assert answer["result"]["customKeys"] == {"a": True, "b": "-inf"}


def test_explanations_that_are_not_asked_for(client: APINodeClient) -> None:
    """The client always sends the object, with four nulls."""
    answer = client.predict_record("ep", {"a": 1}, with_explanations=False, explanation_method="ICE", n_explanations=3)
    assert "explanations" not in answer["result"]


def test_explanations_that_are_asked_for_are_refused(client: APINodeClient) -> None:
    with pytest.raises(DataikuException, match="InvalidInput: a Python prediction endpoint computes no explanations"):
        client.predict_record("ep", {"a": 1}, with_explanations=True)


def test_the_loaded_generation_may_be_asked_for(client: APINodeClient) -> None:
    assert client.predict_record("ep", {"a": 1}, forced_generation="v2")["result"]["prediction"] == 1.5
    answer = client.predict_records("ep", [{"features": {"a": 1}}], forced_generation="v2")
    assert answer["apiContext"]["serviceGeneration"] == "v2"


def test_another_generation_is_not_loaded(client: APINodeClient) -> None:
    with pytest.raises(DataikuException, match="NotFound: generation 'v1' of svc is not loaded; v2 is"):
        client.predict_record("ep", {"a": 1}, forced_generation="v1")


def test_a_dispatch_key_is_taken(client: APINodeClient) -> None:
    assert client.predict_record("ep", {"a": 1}, dispatch_key="user-42")["result"]["prediction"] == 1.5


def test_a_base_address_with_a_final_slash(node: Running) -> None:
    client = APINodeClient(f"{node.base}/", "svc")
    assert client.predict_record("ep", {"a": 1})["result"]["prediction"] == 1.5
    client._session.close()


@pytest.mark.parametrize("key", ["key123", "tok.abc.def"])
@pytest.mark.parametrize("way", ["api_key", "bearer_token"])
def test_each_key_of_a_service_as_basic_and_as_bearer(node: Running, way: str, key: str) -> None:
    client = APINodeClient(node.base, "keyed", **{way: key})
    assert client.predict_record("kep", {"a": 1})["result"]["prediction"] == 1.5
    assert client.run_function("kfn", a=1)["response"] == {"a": 1}
    client._session.close()


def test_a_missing_key_and_a_wrong_one(node: Running) -> None:
    assert refusal(APINodeClient(node.base, "keyed")).startswith("Unauthorized: kep needs an API key")
    for wrong in ({"api_key": "key12"}, {"api_key": "key1234"}, {"bearer_token": "no"}):
        assert refusal(APINodeClient(node.base, "keyed", **wrong)).startswith("Unauthorized: the API key is not valid")


def test_a_key_on_an_open_service_is_no_obstacle(node: Running) -> None:
    client = APINodeClient(node.base, "svc", api_key="anything")
    assert client.predict_record("ep", {"a": 1})["result"]["prediction"] == 1.5
    client._session.close()


def test_what_is_unknown_is_named(node: Running, client: APINodeClient) -> None:
    other = APINodeClient(node.base, "nope")
    assert refusal(other) == "NotFound: there is no service 'nope'"
    with pytest.raises(DataikuException, match="NotFound: service 'svc' has no endpoint 'nope'"):
        client.predict_record("nope", {})
    with pytest.raises(DataikuException, match="NotFound: endpoint 'ep' does not answer 'run'; it answers predict"):
        client.run_function("ep")
    with pytest.raises(DataikuException, match="NotFound: endpoint 'fn' does not answer 'predict'; it answers run"):
        client.predict_record("fn", {})
    with pytest.raises(DataikuException, match="NotFound: endpoint 'ep' does not answer 'lookup'"):
        client.lookup_record("ep", {"id": "42"})


def test_an_endpoint_name_with_a_space_is_unknown(client: APINodeClient) -> None:
    with pytest.raises(DataikuException, match="NotFound: service 'svc' has no endpoint 'my ep'"):
        client.predict_record("my ep", {"a": 1})


def test_the_models_own_exception_is_what_the_client_shows(client: APINodeClient) -> None:
    with pytest.raises(DataikuException, match=r"^ZeroDivisionError: division by zero \[request \S+\]$"):
        client.predict_record("ep", {"code": "1 / 0"})
    with pytest.raises(DataikuException, match=r"^KeyError: 'é' \[request \S+\]$"):
        client.predict_record("ep", {"code": "df['é']"})


def test_one_connection_serves_many_calls(client: APINodeClient, keyed: APINodeClient) -> None:
    """Also after errors, which must leave nothing behind on the wire."""
    for _ in range(3):
        assert client.predict_record("ep", {"a": 1})["result"]["prediction"] == 1.5
        with pytest.raises(DataikuException):
            client.predict_record("ep", {"code": "1 / 0"})
        with pytest.raises(DataikuException):
            client.predict_record("nope", {})
        assert keyed.run_function("kfn", a=1)["response"] == {"a": 1}

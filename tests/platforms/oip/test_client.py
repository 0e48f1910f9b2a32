"""Triton's own HTTP client, as its users call it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tests.harness import Running, serving
from tests.platforms.oip import models

TYPES = ["?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8"]
BASIC = {"Authorization": f"Bearer {models.ADMIN}"}


@contextlib.contextmanager
def connected(server: Running, base: str = "") -> Iterator[Any]:
    client = triton.InferenceServerClient(f"127.0.0.1:{server.port}{base}", network_timeout=20)
    try:
        yield client
    finally:
        client.close()


@pytest.fixture
def noop(tensors: Running) -> Iterator[Any]:
    with connected(tensors) as client:
        yield client


@pytest.fixture
def dataiku(tables: Running) -> Iterator[Any]:
    with connected(tables) as client:
        yield client


def given(name: str, array: np.ndarray[Any, Any], binary: bool = True) -> Any:
    tensor = triton.InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array, binary_data=binary)
    return tensor


def wanted(name: str, binary: bool = True) -> Any:
    return triton.InferRequestedOutput(name, binary_data=binary)


def extreme(code: str) -> np.ndarray[Any, Any]:
    if code == "?":
        return np.array([[True, False]])
    limits = np.finfo(code) if code[0] == "f" else np.iinfo(code)
    return np.array([[limits.min, limits.max], [0, 1]], dtype=code)


def test_health_and_metadata(noop: Any) -> None:
    assert noop.is_server_live()
    assert noop.is_server_ready()
    assert noop.is_model_ready("sk")
    assert noop.is_model_ready("sk", "v2")
    assert not noop.is_model_ready("sk", "v1")
    assert not noop.is_model_ready("nope")
    server = noop.get_server_metadata()
    assert server["name"] == "modelport"
    assert "binary_tensor_data" in server["extensions"]
    assert noop.get_model_metadata("sk", "v2") == {
        "name": "sk",
        "versions": ["v2"],
        "platform": "tensors",
        "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1, 4]}],
        "outputs": [{"name": "predict", "datatype": "INT64", "shape": [-1, 1]}],
    }
    with pytest.raises(InferenceServerException, match="model 'nope' not found"):
        noop.get_model_metadata("nope")


@pytest.mark.parametrize("code", TYPES)
@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_numbers_come_back_to_the_last_bit(noop: Any, code: str, binary_in: bool, binary_out: bool | None) -> None:
    array = extreme(code)
    outputs = None if binary_out is None else [wanted("a", binary_out)]
    result = noop.infer("noop", [given("a", array, binary_in)], outputs=outputs)
    back = result.as_numpy("a")
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)
    assert ("data" in result.get_output("a")) == (binary_out is False)


def test_half_floats(noop: Any) -> None:
    array = np.array([[1.5, -2.25], [65504, 6e-8]], dtype="f2")
    for outputs in (None, [wanted("a", True)], [wanted("a", False)]):
        back = noop.infer("noop", [given("a", array)], outputs=outputs).as_numpy("a")
        assert back.dtype == array.dtype
        assert np.array_equal(back, array)


def test_texts_and_bytes(noop: Any) -> None:
    texts = np.array([["héllo", ""], ["w", "\U0001f600"]], dtype=object)
    raw = np.array([b"\xff\x00", b""], dtype=object)
    for binary in (True, False):
        result = noop.infer("noop", [given("t", texts, binary)], outputs=[wanted("t", binary)])
        back = [cell.decode() if isinstance(cell, bytes) else cell for cell in result.as_numpy("t").reshape(-1)]
        assert back == texts.reshape(-1).tolist()
    assert noop.infer("noop", [given("r", raw)]).as_numpy("r").tolist() == raw.tolist()


def test_nan_in_binary_stays_nan(noop: Any) -> None:
    back = noop.infer("noop", [given("a", np.array([np.nan, np.inf, 1], dtype="f8"))]).as_numpy("a")
    assert np.array_equal(back, [np.nan, np.inf, 1], equal_nan=True)


def test_integers_beyond_a_float_s_precision(noop: Any) -> None:
    array = np.array([9007199254740993, -9007199254740993, 2**63 - 1], dtype="i8")
    for binary in (True, False):
        result = noop.infer("noop", [given("a", array, binary)], outputs=[wanted("a", binary)])
        assert result.as_numpy("a").tolist() == array.tolist()


def test_only_the_outputs_asked_for(noop: Any) -> None:
    inputs = [given(name, np.array([at])) for at, name in enumerate("abc")]
    result = noop.infer("noop", inputs, outputs=[wanted("c", False), wanted("a")])
    assert [output["name"] for output in result.get_response()["outputs"]] == ["c", "a"]
    assert (result.as_numpy("a").tolist(), result.as_numpy("b"), result.as_numpy("c").tolist()) == ([0], None, [2])
    with pytest.raises(InferenceServerException, match="no output 'x', 'y'; it has a, b, c"):
        noop.infer("noop", inputs, outputs=[wanted("a"), wanted("x"), wanted("y")])


def test_request_id_and_version(noop: Any) -> None:
    result = noop.infer("noop", [given("a", np.array([1]))], request_id="an id", model_version="v1")
    answer = result.get_response()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("an id", "noop", "v1")
    assert noop.infer("noop", [given("a", np.array([1]))]).get_response()["id"]


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_requests(noop: Any, algorithm: str) -> None:
    array = np.arange(5000.0).reshape(50, 100)
    result = noop.infer("noop", [given("a", array)], request_compression_algorithm=algorithm)
    assert np.array_equal(result.as_numpy("a"), array)


def test_a_large_tensor(noop: Any) -> None:
    array = np.arange(1_000_000.0)
    assert np.array_equal(noop.infer("noop", [given("a", array)]).as_numpy("a"), array)


def test_parameters_are_taken(noop: Any) -> None:
    result = noop.infer("noop", [given("a", np.array([1]))], parameters={"mine": 1}, priority=2, timeout=1_000_000)
    assert result.as_numpy("a").tolist() == [1]


def test_a_failing_model(noop: Any) -> None:
    with pytest.raises(InferenceServerException, match="ValueError: boom in model") as caught:
        noop.infer("raiser", [given("a", np.array([1]))])
    assert caught.value.status() == "500"


def test_under_the_protocol_s_own_prefix(tensors: Running) -> None:
    with connected(tensors, "/oip") as client:
        assert client.is_server_ready()
        assert client.infer("noop", [given("a", np.array([1]))]).as_numpy("a").tolist() == [1]


@pytest.mark.parametrize("binary", [True, False])
def test_a_regression_takes_columns_or_a_matrix(dataiku: Any, binary: bool) -> None:
    columns = [given("a", np.array([[1.0], [2.0]]), binary), given("b", np.array([[0.5], [np.pi]]), binary)]
    matrix = [given("x", np.array([[1.0, 0.5], [2.0, np.pi]]), binary)]
    for inputs in (columns, matrix):
        result = dataiku.infer("sum", inputs, outputs=[wanted("predict", binary)])
        assert result.as_numpy("predict").tolist() == [[1.5], [2 + np.pi]]
    metadata = dataiku.get_model_metadata("sum")
    assert [item["name"] for item in metadata["inputs"]] == ["a", "b"]
    assert metadata["outputs"] == [{"name": "predict", "datatype": "FP64", "shape": [-1, 1]}]


def test_statistics_count_what_was_done(tmp_path: Path) -> None:
    folders = [models.write(tmp_path, name) for name in ("noop", "raiser")]
    with serving(*folders, env=models.ENVIRONMENT) as server, connected(server) as client:
        for _ in range(3):
            client.infer("noop", [given("a", np.array([1]))])
        with pytest.raises(InferenceServerException):
            client.infer("raiser", [given("a", np.array([1]))])
        (noop,) = client.get_inference_statistics("noop")["model_stats"]
        (raiser,) = client.get_inference_statistics("raiser", "v1")["model_stats"]
        assert (noop["name"], noop["version"], noop["execution_count"]) == ("noop", "v1", 3)
        assert noop["last_inference"] > 1_600_000_000_000
        assert noop["inference_stats"]["success"]["count"] == 3
        assert noop["inference_stats"]["success"]["ns"] > 0
        assert noop["inference_stats"]["fail"] == {"count": 0, "ns": 0}
        assert noop["inference_stats"]["queue"]["count"] == 3
        assert noop["batch_stats"][0]["batch_size"] == 1
        assert (raiser["inference_stats"]["success"]["count"], raiser["inference_stats"]["fail"]["count"]) == (0, 1)
        both = client.get_inference_statistics()["model_stats"]
        assert [entry["name"] for entry in both] == ["noop", "raiser"]
        with pytest.raises(InferenceServerException, match="not found"):
            client.get_inference_statistics("nope")


def test_the_repository_with_its_key(tmp_path: Path) -> None:
    folders = [models.write(tmp_path, name) for name in ("noop", "typed")]
    started = serving(*folders, "--repository", "--admin-key", models.ADMIN, env=models.ENVIRONMENT)
    with started as server, connected(server) as client:
        for headers, words in (({}, "admin key"), ({"Authorization": "Bearer wrong"}, "not the admin key")):
            with pytest.raises(InferenceServerException, match=words):
                client.get_model_repository_index(headers=headers)
            for act in (client.load_model, client.unload_model):
                with pytest.raises(InferenceServerException, match=words):
                    act("typed", headers=headers)
        assert client.is_model_ready("typed")
        index = client.get_model_repository_index(headers=BASIC)
        ready = {"state": "READY", "reason": "", "version": "v1"}
        assert index == [{"name": name, **ready} for name in ("noop", "typed")]
        client.unload_model("typed", headers=BASIC)
        assert not client.is_model_ready("typed")
        assert client.is_model_ready("noop")
        assert client.is_server_ready()
        with pytest.raises(InferenceServerException, match="not loaded") as caught:
            client.infer("typed", [given("a", np.array([1]))])
        assert caught.value.status() == "404"
        states = {item["name"]: item["state"] for item in client.get_model_repository_index(headers=BASIC)}
        assert states == {"noop": "READY", "typed": "UNAVAILABLE"}
        answer = server.post("/v2/repository/index", {"ready": True}, headers=BASIC)
        assert [item["name"] for item in answer.json()] == ["noop"]
        client.load_model("typed", headers=BASIC)
        assert client.is_model_ready("typed")
        assert client.infer("typed", [given("a", np.array([1]))]).as_numpy("a").tolist()
        with pytest.raises(InferenceServerException, match="not found"):
            client.load_model("nope", headers=BASIC)


def test_the_repository_is_closed_unless_asked_for(noop: Any) -> None:
    with pytest.raises(InferenceServerException, match="--repository"):
        noop.unload_model("typed")
    assert noop.is_model_ready("typed")

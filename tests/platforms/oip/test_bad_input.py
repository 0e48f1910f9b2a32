"""What a client may get wrong: always 4xx, always an error in words, quickly, and nothing of our insides."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from tests.harness import Answer, Running

INSIDES = re.compile(r"Traceback|/work|/tmp|/usr|site-packages|\.py\b|modelport[./]|File \"|object at 0x")
UNFORESEEN = "could not be understood"
INFER = "/v2/models/noop/infer"


def tensor(**changes: Any) -> dict[str, Any]:
    """A sound input, changed; a value of ``...`` leaves the key out."""
    whole = {"name": "a", "datatype": "FP64", "shape": [2], "data": [1, 2], **changes}
    return {key: value for key, value in whole.items() if value is not ...}


def binary(datatype: str = "FP32", shape: Any = (1,), size: Any = 4, **more: Any) -> dict[str, Any]:
    return tensor(datatype=datatype, shape=list(shape), data=..., parameters={"binary_data_size": size}, **more)


def assert_error(answer: Answer, status: int = 400) -> str:
    assert answer.status == status, answer.body[:500]
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()
    assert list(error) == ["error"]
    text: str = error["error"]
    assert not INSIDES.search(text)
    assert UNFORESEEN not in text
    assert len(text) < 10_000
    return text


def refused(server: Running, body: Any, *words: str, path: str = INFER, **more: Any) -> str:
    begin = time.perf_counter()
    answer = server.post(path, body, **more)
    assert time.perf_counter() - begin < 3
    text = assert_error(answer)
    for word in words:
        assert word in text
    return text


def refused_inputs(server: Running, inputs: Any, *words: str) -> str:
    return refused(server, {"inputs": inputs}, *words)


def numbered(cases: list[Any]) -> list[str]:
    """A name for each case: its number and what the error must say."""
    return [f"{at}: {case[-1]}" for at, case in enumerate(cases)]


@pytest.fixture(autouse=True)
def _no_surprises(tensors: Running) -> Any:
    """Nothing that a client sends may end in a logged exception, or end a worker."""
    pids = {process.pid for process in tensors.workers()}
    before = len(tensors.logs)
    yield
    assert {process.pid for process in tensors.workers()} >= pids
    assert [line for line in tensors.logs[before:] if line.get("level", "").lower() in ("error", "critical")] == []


DOCUMENTS: list[tuple[bytes, str]] = [
    (b"", "not valid JSON"),
    (b"{not json", "not valid JSON"),
    (b'{"inputs": [', "not valid JSON"),
    (b"\xff\xfe", "not valid JSON"),
    (b"[]", "must be a JSON object"),
    (b"1", "must be a JSON object"),
    (b"null", "must be a JSON object"),
    (b'"inputs"', "must be a JSON object"),
    (b"[" * 100_000, "nested too deeply"),
    (b'{"inputs":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    (b'{"inputs":[{"name":"a","datatype":"INT64","shape":[1],"data":[1' + b"0" * 5000 + b"]}]}", "too many digits"),
    (b'{"inputs":[{"name":"\\ud800","datatype":"BOOL","shape":[1],"data":[true]}]}', "surrogate"),
]


@pytest.mark.parametrize(("body", "words"), DOCUMENTS, ids=numbered(DOCUMENTS))
def test_documents_that_are_none(tensors: Running, body: bytes, words: str) -> None:
    refused(tensors, body, words)


@pytest.mark.parametrize("inputs", [None, [], {}, "a", 1, True])
def test_inputs_must_be_a_list(tensors: Running, inputs: Any) -> None:
    refused_inputs(tensors, inputs, "inputs")


def test_missing_inputs(tensors: Running) -> None:
    refused(tensors, {"id": "x"}, "inputs is missing")


FAULTS: list[tuple[Any, str]] = [
    (None, "inputs[0] must be an object"),
    ([], "inputs[0] must be an object"),
    ("a", "inputs[0] must be an object"),
    ({}, "inputs[0].name"),
    (tensor(name=...), "inputs[0].name"),
    (tensor(name=""), "inputs[0].name"),
    (tensor(name=7), "inputs[0].name"),
    (tensor(name="n" * 10_000), "inputs[0].name"),
    (tensor(datatype=...), "inputs[0].datatype must be one of"),
    (tensor(datatype="FP99"), "inputs[0].datatype must be one of"),
    (tensor(datatype="fp64"), "inputs[0].datatype must be one of"),
    (tensor(datatype=["FP64"]), "inputs[0].datatype must be one of"),
    (tensor(datatype={}), "inputs[0].datatype must be one of"),
    (tensor(shape=...), "inputs[0].shape must be"),
    (tensor(shape=2), "inputs[0].shape must be"),
    (tensor(shape="2"), "inputs[0].shape must be"),
    (tensor(shape=["2"]), "inputs[0].shape must be"),
    (tensor(shape=[2.0]), "inputs[0].shape must be"),
    (tensor(shape=[True, 2]), "inputs[0].shape must be"),
    (tensor(shape=[None]), "inputs[0].shape must be"),
    (tensor(shape=[-1]), "inputs[0].shape must be"),
    (tensor(shape=[-2, -1]), "inputs[0].shape must be"),
    (tensor(shape=[1] * 33 + [2]), "inputs[0].shape must be"),
    (tensor(shape=[2**64]), "inputs[0].shape must be"),
    (tensor(shape=[3]), "has 2 values, and shape [3] takes 3"),
    (tensor(shape=[]), "has 2 values, and shape [] takes 1"),
    (tensor(shape=[2, 2]), "has 2 values, and shape [2, 2] takes 4"),
    (tensor(shape=[0]), "has 2 values, and shape [0] takes 0"),
    (tensor(shape=[2**40]), "has 2 values, and shape [1099511627776]"),
    (tensor(shape=[2**62] * 32), "has 2 values, and shape"),
    (tensor(data=...), "needs either data or the parameter binary_data_size"),
    (tensor(data=None), "has 1 values, and shape [2] takes 2"),
    (tensor(data={}), "has 1 values, and shape [2] takes 2"),
    (tensor(data=[1, [2]]), "a list is not a FP64"),
    (tensor(data=[[1], 2]), "mixes values and lists"),
    (tensor(data=[[1], {"a": 2}]), "mixes values and lists"),
    (tensor(data=[[1], "2"]), "mixes values and lists"),
    (tensor(data=[[1], []]), "lists of different lengths"),
    (tensor(shape=[4], data=[[1, 2, 3], [4]]), "lists of different lengths"),
    (tensor(shape=[1], data=[[[[[[[[[1, 2]]]]]]]]]), "has 2 values, and shape [1] takes 1"),
    (tensor(data=[1, "2"]), '"2" is not a FP64'),
    (tensor(data=[1, True]), "true is not a FP64"),
    (tensor(data=[1, {}]), "an object is not a FP64"),
    (tensor(data=[1, 10**400]), "is not a FP64"),
    (tensor(datatype="FP32", data=[1, 1e39]), "is not a FP32"),
    (tensor(datatype="INT32", data=[1, 1.5]), "1.5 is not a INT32"),
    (tensor(datatype="INT32", data=[1, None]), "null is not a INT32"),
    (tensor(datatype="INT32", data=[1, 2**31]), "2147483648 is not a INT32"),
    (tensor(datatype="INT64", data=[1, 2**63]), "9223372036854775808 is not a INT64"),
    (tensor(datatype="UINT64", data=[1, -1]), "-1 is not a UINT64"),
    (tensor(datatype="UINT64", data=[1, 2**64]), "is not a UINT64"),
    (tensor(datatype="UINT8", data=[1, 256]), "256 is not a UINT8"),
    (tensor(datatype="BOOL", data=[True, 1]), "1 is not a BOOL"),
    (tensor(datatype="BOOL", data=[True, "true"]), '"true" is not a BOOL'),
    (tensor(datatype="BYTES", data=["a", 1]), "BYTES takes strings, not 1"),
    (tensor(datatype="BYTES", data=["a", ["b"]]), "BYTES takes strings, not a list"),
    (tensor(datatype="FP16"), "FP16 travels as binary data only"),
    (tensor(datatype="BF16"), "BF16 travels as binary data only"),
    (tensor(parameters=[]), "inputs[0].parameters must be an object"),
    (tensor(parameters="x"), "inputs[0].parameters must be an object"),
    (tensor(parameters=0), "inputs[0].parameters must be an object"),
    (tensor(parameters={"binary_data_size": 16}), "needs either data or the parameter binary_data_size"),
    (binary(), "binary_data_size is 4, and 0 bytes are left"),
    (binary(size="4"), 'binary_data_size is "4"'),
    (binary(size="x" * 100_000), "binary_data_size is"),
    (binary(size=-1), "binary_data_size is -1"),
    (binary(size=4.0), "binary_data_size is 4.0"),
    (binary(size=True), "binary_data_size is true"),
    (binary(size=2**62), "binary_data_size is 4611686018427387904"),
]


@pytest.mark.parametrize(("given", "words"), FAULTS, ids=numbered(FAULTS))
def test_faults_of_an_input(tensors: Running, given: Any, words: str) -> None:
    refused_inputs(tensors, [given], words)


def test_deep_data_is_refused_in_words(tensors: Running) -> None:
    deep: Any = 1
    for _ in range(600):
        deep = [deep]
    refused_inputs(tensors, [tensor(shape=[1], data=deep)], "a list is not a FP64")
    refused_inputs(tensors, [tensor(shape=[1], datatype="BYTES", data=deep)], "BYTES takes strings, not a list")


def test_every_fault_is_listed_at_once(tensors: Running) -> None:
    body = {
        "id": 7,
        "parameters": "x",
        "inputs": [tensor(shape=[3]), tensor(name=""), tensor(name="b", datatype="?"), tensor(name="c"), {}],
        "outputs": [{"nam": "a"}, {"name": "c", "parameters": {"binary_data": "yes"}}, {"name": "c"}, 5],
    }
    refused(
        tensors, body,
        "id must be a string", "parameters must be an object",
        "inputs[0].data has 2 values", "inputs[1].name", "inputs[2].datatype", "inputs[4].name",
        "outputs[0] must be an object with a name", "outputs[1].parameters.binary_data must be true or false",
        "outputs[2]: 'c' is asked for twice", "outputs[3] must be an object",
    )  # fmt: skip


def test_every_fault_of_one_input_is_listed(tensors: Running) -> None:
    where = "inputs[0]"
    words = (f"{where}.name", f"{where}.datatype", f"{where}.shape", f"{where}.parameters")
    refused_inputs(tensors, [{"parameters": 1}], *words)


def test_a_thousand_faults_are_told_in_short(tensors: Running) -> None:
    text = refused_inputs(tensors, [1] * 1000, "inputs[0] must", "inputs[19] must", "and 980 more")
    assert "inputs[20]" not in text


def test_two_inputs_of_one_name(tensors: Running) -> None:
    refused_inputs(tensors, [tensor(), tensor()], "two inputs named 'a'")


def test_masses_of_tensors(tensors: Running) -> None:
    refused_inputs(tensors, [{}] * 1_000_000, "there are 1000000 inputs; at most 1024")
    refused(tensors, {"inputs": [tensor()], "outputs": [{"name": "a"}] * 1_000_000}, "outputs must be a list of up to")


@pytest.mark.parametrize("outputs", ["a", 1, {"name": "a"}, True, 0, ""])
def test_outputs_must_be_a_list(tensors: Running, outputs: Any) -> None:
    refused(tensors, {"inputs": [tensor()], "outputs": outputs}, "outputs must be a list")


def test_unknown_outputs(tensors: Running) -> None:
    refused(tensors, {"inputs": [tensor()], "outputs": [{"name": "x"}, {"name": "a"}, {"name": "y"}]}, "'x', 'y'", "a")


@pytest.mark.parametrize("parameters", [[], "x", 1, {"binary_data_output": 1}, {"binary_data_output": "true"}])
def test_parameters_of_a_request(tensors: Running, parameters: Any) -> None:
    refused(tensors, {"inputs": [tensor()], "parameters": parameters}, "parameters")


@pytest.mark.parametrize("length", ["abc", "-1", "", "1.5", "0x10", "1e2", "9" * 5000, "\u0661", "+5", "999"])
def test_head_lengths_that_are_none(tensors: Running, length: str) -> None:
    headers = {"Inference-Header-Content-Length": length.encode("utf-8").decode("latin-1")}
    refused(tensors, {"inputs": [tensor()]}, "Inference-Header-Content-Length must be", headers=headers)


@pytest.mark.parametrize("short", [0, 1, 10])
def test_a_head_cut_short(tensors: Running, short: int) -> None:
    refused(tensors, {"inputs": [tensor()]}, "not valid JSON", headers={"Inference-Header-Content-Length": str(short)})


MISFITS: list[tuple[Any, bytes, str]] = [
    ([binary()], b"", "0 bytes are left"),
    ([binary()], b"123", "3 bytes are left"),
    ([binary()], b"12345", "announce 4 bytes of binary data, and 5 came"),
    ([tensor()], b"1", "announce 0 bytes of binary data, and 1 came"),
    ([binary(size=3)], b"123", "FP32 of shape [1] takes 4 bytes, not 3"),
    ([binary(shape=(2,))], b"1234", "FP32 of shape [2] takes 8 bytes, not 4"),
    ([binary(shape=(2**40,))], b"1234", "takes 4398046511104 bytes, not 4"),
    ([binary(shape=(-1,))], b"1234", "inputs[0].shape must be"),
    ([binary("BF16")], b"1234", "BF16 of shape [1] takes 2 bytes, not 4"),
    ([binary("BOOL")], b"\1\1\1\1", "BOOL of shape [1] takes 1 bytes, not 4"),
    ([binary("BOOL", (4,))], b"\0\1\2\1", "a BOOL is a byte 0 or 1"),
    ([binary("BYTES")], b"1234", "does not hold 1 length-prefixed elements"),
    ([binary("BYTES", (2,))], b"\0\0\0\0", "does not hold 2 length-prefixed elements"),
    ([binary("BYTES", (0,))], b"\0\0\0\0", "does not hold 0 length-prefixed elements"),
    ([binary("BYTES")], b"\xff\xff\xff\xff", "does not hold 1 length-prefixed elements"),
    ([binary("BYTES", (1,), 3)], b"\0\0\0", "does not hold 1 length-prefixed elements"),
    ([binary(), binary()], b"12345678", "two inputs named 'a'"),
    ([binary(size=5), binary(name="b", shape=(2,))], b"123456789", "inputs[1]: FP32 of shape [2] takes 8 bytes"),
]


@pytest.mark.parametrize(("inputs", "tail", "words"), MISFITS, ids=numbered(MISFITS))
def test_binary_data_that_does_not_fit(tensors: Running, inputs: Any, tail: bytes, words: str) -> None:
    head = json.dumps({"inputs": inputs}).encode()
    refused(tensors, head + tail, words, headers={"Inference-Header-Content-Length": str(len(head))})


def test_a_faulty_input_is_not_held_against_the_next(tensors: Running) -> None:
    head = json.dumps({"inputs": [binary("FP99"), binary(name="b", shape=(2,), size=8)]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    text = refused(tensors, head + b"1234" + bytes(8), "inputs[0].datatype", headers=headers)
    assert "inputs[1]" not in text


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("POST", "/v2/models/nope/infer", 404, "model 'nope' not found"),
        ("POST", "/v2/models/noop/versions/zz/infer", 404, "model 'noop' with version 'zz' not found"),
        ("GET", "/v2/models/nope", 404, "model 'nope' not found"),
        ("GET", "/v2/models/nope/ready", 404, "model 'nope' not found"),
        ("GET", "/v2/models/nope/stats", 404, "model 'nope' not found"),
        ("GET", "/v2/models/noop/versions/zz/ready", 404, "version 'zz' not found"),
        ("GET", "/oip/v2/models/noop/", 404, "nothing at /oip/v2/models/noop/"),
        ("GET", "/v2/", 404, "nothing at"),
        ("GET", "/v2/zzz", 404, "nothing at /v2/zzz"),
        ("GET", INFER, 405, "GET is not allowed"),
        ("PUT", INFER, 405, "PUT is not allowed"),
        ("DELETE", "/v2/models/noop", 405, "DELETE is not allowed"),
        ("POST", "/v2/health/live", 405, "POST is not allowed"),
        ("POST", "/v2/repository/index", 403, "--repository"),
        ("POST", "/v2/repository/models/noop/unload", 403, "--repository"),
    ],
)
def test_paths_and_methods(tensors: Running, method: str, path: str, status: int, words: str) -> None:
    assert words in assert_error(tensors.request(method, path, b"{}"), status)


def test_compressed_bodies_that_are_none(tensors: Running) -> None:
    refused(tensors, {"inputs": [tensor()]}, "not valid gzip", headers={"Content-Encoding": "gzip"})
    refused(tensors, {"inputs": [tensor()]}, "not supported", headers={"Content-Encoding": "br"})


@pytest.mark.parametrize(
    "path", ["/v2/models/noop/infer", "/v2/models/noop/versions/v1/infer", "/oip/v2/models/noop/infer"]
)
def test_after_all_that_it_still_answers(tensors: Running, path: str) -> None:
    answer = tensors.post(path, {"id": "x", "inputs": [tensor(data=[0.1, None])]})
    assert answer.status == 200
    assert answer.json() == {
        "model_name": "noop",
        "model_version": "v1",
        "id": "x",
        "outputs": [{"name": "a", "datatype": "FP64", "shape": [2], "data": [0.1, None]}],
    }


def test_numbers_that_json_lacks(tensors: Running) -> None:
    body = b'{"inputs":[{"name":"a","datatype":"FP64","shape":[4],"data":[NaN,Infinity,-Infinity,1e999]}]}'
    answer = tensors.post(INFER, body)
    assert answer.status == 200
    assert answer.json()["outputs"][0]["data"] == [None] * 4
    assert b"NaN" not in answer.body
    assert b"Inf" not in answer.body


def test_what_a_model_answers_is_never_broken_json(tensors: Running) -> None:
    asked = {"inputs": [tensor()], "outputs": [{"name": n} for n in ("nan", "many_nan", "text", "empty")]}
    answer = tensors.post("/v2/models/odd/infer", asked)
    assert answer.status == 200
    assert b"NaN" not in answer.body
    data = {output["name"]: output["data"] for output in answer.json()["outputs"]}
    assert data == {"nan": [None, None, 0.1], "many_nan": [None] * 100, "text": ["hé", None], "empty": []}


def test_half_floats_go_out_as_binary_data_unasked(tensors: Running) -> None:
    answer = tensors.post(
        "/v2/models/odd/infer", {"inputs": [tensor()], "outputs": [{"name": "half"}, {"name": "brain"}]}
    )
    size = int(answer.headers["inference-header-content-length"])
    head = json.loads(answer.body[:size])
    assert [output["parameters"] for output in head["outputs"]] == [{"binary_data_size": 4}] * 2
    assert answer.body[size:] == b"\x00\x3e\x00\xc0\x80\x3f\x00\x40"


def test_bytes_that_are_no_text_are_refused_as_json(tensors: Running) -> None:
    asked = {"inputs": [tensor()], "outputs": [{"name": "bytes"}]}
    refused(tensors, asked, "not UTF-8 text", "binary_data: true", path="/v2/models/odd/infer")
    asked["parameters"] = {"binary_data_output": True}  # type: ignore[assignment]
    assert tensors.post("/v2/models/odd/infer", asked).body.endswith(b"\x02\x00\x00\x00\xff\xfe")


def test_parameters_and_shape_reach_a_model_of_tensors(tensors: Running) -> None:
    given = tensor(shape=[2, 1], parameters={"content_type": "np", "x": [1]})
    answer = tensors.post("/v2/models/typed/infer", {"inputs": [given]})
    told = "FP64 [2, 1] [('content_type', 'np'), ('x', [1])] [[1.0], [2.0]]"
    assert answer.json()["outputs"][0]["data"] == [told]

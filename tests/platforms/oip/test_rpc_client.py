"""Triton's own gRPC clients, as their users call them."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from modelport.core.call import Call
from modelport.core.model import Description, ModelSpec, Split
from modelport.protocols.oip.rpc_codec import CONTENTS, codec
from tests.harness import Running, serving
from tests.platforms.oip import models
from tests.platforms.oip.conftest import RPC
from tests.platforms.oip.test_client import TYPES, extreme

SERVICE = "/inference.GRPCInferenceService/"


@pytest.fixture
def noop(tensors: Running) -> Iterator[Any]:
    with triton.InferenceServerClient(tensors.rpc) as client:
        yield client


def given(name: str, array: np.ndarray[Any, Any]) -> Any:
    tensor = triton.InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array)
    return tensor


def asked(name: str, datatype: str, shape: list[int], **contents: Any) -> Any:
    tensor = service_pb2.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape)
    for field, values in contents.items():
        getattr(tensor.contents, field).extend(values)
    return tensor


def infer(server: Running, model: str, *inputs: Any, **more: Any) -> Any:
    """A request as a message; its answer, or the error."""
    request = service_pb2.ModelInferRequest(model_name=model, inputs=inputs, **more)
    return call(server, "ModelInfer", request, service_pb2.ModelInferResponse)


def call(server: Running, method: str, request: Any, response: Any, metadata: Any = ()) -> Any:
    with grpc.insecure_channel(server.rpc) as channel:
        stub = channel.unary_unary(SERVICE + method)
        return response.FromString(stub(request.SerializeToString(), timeout=20, metadata=metadata))


def test_health_and_metadata(noop: Any) -> None:
    assert noop.is_server_live()
    assert noop.is_server_ready()
    assert noop.is_model_ready("noop")
    assert noop.is_model_ready("noop", "v1")
    assert noop.get_server_metadata().name == "modelport"
    described = noop.get_model_metadata("sk")
    assert (described.name, list(described.versions), described.platform) == ("sk", ["v2"], "tensors")
    assert [(i.name, i.datatype, list(i.shape)) for i in described.inputs] == [("x", "FP64", [-1, 4])]


def test_a_model_that_shares_a_name_answers_to_that_too() -> None:
    spec = ModelSpec("part", "tensors", "/", split=Split("whole", 1.0))
    described = Description("tensors", "tensors")
    for name in ("part", "whole"):
        body = service_pb2.ModelInferRequest(model_name=name, inputs=[asked("a", "INT64", [0])]).SerializeToString()
        payload, _ = codec.decode(Call("1", "oip.grpc", "infer", {}, "", ""), body, spec, described)
        assert [tensor.name for tensor in payload.items] == ["a"]


def test_what_is_not_there(noop: Any) -> None:
    for ask in (
        lambda: noop.is_model_ready("none"),
        lambda: noop.get_model_metadata("sk", "v3"),
        lambda: noop.infer("none", [given("a", np.ones(1))]),
        lambda: noop.infer("noop", [given("a", np.ones(1))], model_version="v9"),
    ):
        with pytest.raises(InferenceServerException) as caught:
            ask()
        assert caught.value.status() == "StatusCode.NOT_FOUND"
        assert "not found" in caught.value.message()


@pytest.mark.parametrize("code", TYPES)
def test_every_number_type_comes_back_as_it_went(noop: Any, code: str) -> None:
    array = extreme(code)
    answer = noop.infer("noop", [given("a", array)], request_id="one")
    assert answer.as_numpy("a").dtype == array.dtype
    assert (answer.as_numpy("a") == array).all()
    assert answer.get_response().id == "one"
    assert answer.get_response().raw_output_contents


@pytest.mark.parametrize("code", TYPES)
def test_typed_contents_are_answered_with_such(tensors: Running, code: str) -> None:
    array = extreme(code)
    datatype = np_to_triton_dtype(array.dtype)
    sent = asked("a", datatype, list(array.shape), **{CONTENTS[datatype]: array.reshape(-1).tolist()})
    answer = infer(tensors, "noop", sent)
    assert not answer.raw_output_contents
    (output,) = answer.outputs
    assert list(output.shape) == list(array.shape)
    assert list(getattr(output.contents, CONTENTS[datatype])) == array.reshape(-1).tolist()


def test_strings_and_bytes(noop: Any, tensors: Running) -> None:
    array = np.array(["é", b"\xff\x00", ""], dtype=object)
    answer = noop.infer("noop", [given("s", array)])
    assert answer.as_numpy("s").tolist() == ["é".encode(), b"\xff\x00", b""]
    answer = infer(tensors, "noop", asked("s", "BYTES", [2], bytes_contents=["é".encode(), b"\xff"]))
    assert list(answer.outputs[0].contents.bytes_contents) == ["é".encode(), b"\xff"]


def test_an_output_that_travels_raw_only_makes_all_raw(tensors: Running) -> None:
    answer = infer(tensors, "odd", asked("x", "FP64", [1], fp64_contents=[1.0]))
    names = [output.name for output in answer.outputs]
    raw = dict(zip(names, answer.raw_output_contents, strict=True))
    assert raw["half"] == np.array([1.5, -2.0], "f2").tobytes()
    assert raw["brain"] == b"\x80\x3f\x00\x40"
    assert raw["text"] == b"\x03\0\0\0h\xc3\xa9\0\0\0\0"
    assert not any(output.HasField("contents") for output in answer.outputs)


def test_wanted_outputs(tensors: Running) -> None:
    wanted = [service_pb2.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in ("empty", "nan")]
    answer = infer(tensors, "odd", asked("x", "FP64", [1], fp64_contents=[1.0]), outputs=wanted)
    assert [output.name for output in answer.outputs] == ["empty", "nan"]
    assert list(answer.outputs[0].shape) == [0, 3]
    assert len(answer.outputs[1].contents.fp64_contents) == 3


def test_parameters_reach_the_model_and_come_back(tensors: Running) -> None:
    sent = asked("a", "INT64", [1], int64_contents=[1])
    sent.parameters["text"].string_param = "é"
    sent.parameters["number"].int64_param = -5
    sent.parameters["flag"].bool_param = False
    sent.parameters["large"].uint64_param = 1 << 63
    sent.parameters["fraction"].double_param = 0.5
    (output,) = infer(tensors, "noop", sent).outputs
    assert output.parameters == sent.parameters


def test_without_an_id_the_request_is_named_in_the_answer_and_in_the_metadata(tensors: Running) -> None:
    request = service_pb2.ModelInferRequest(model_name="noop", inputs=[asked("a", "INT64", [0])])
    with grpc.insecure_channel(tensors.rpc) as channel:
        stub = channel.unary_unary(SERVICE + "ModelInfer")
        body, done = stub.with_call(request.SerializeToString(), metadata=(("x-request-id", "mine"),), timeout=20)
    assert service_pb2.ModelInferResponse.FromString(body).id == "mine"
    assert dict(done.trailing_metadata())["x-request-id"] == "mine"


def test_a_model_that_raises(noop: Any) -> None:
    with pytest.raises(InferenceServerException) as caught:
        noop.infer("raiser", [given("x", np.ones((1, 4)))])
    assert caught.value.status() == "StatusCode.INTERNAL"
    assert "ValueError: boom in model" in caught.value.message()
    assert "Traceback" not in caught.value.message()


def test_a_large_body_both_ways(noop: Any) -> None:
    array = np.arange(1 << 20, dtype="f8").reshape(1024, -1)
    assert (noop.infer("noop", [given("a", array)]).as_numpy("a") == array).all()


def test_compressed_messages(noop: Any) -> None:
    array = np.zeros(10_000)
    answer = noop.infer("noop", [given("a", array)], compression_algorithm="gzip")
    assert (answer.as_numpy("a") == array).all()


def test_statistics_and_what_is_not_offered(noop: Any) -> None:
    noop.infer("typed", [given("a", np.ones(2))])
    (entry,) = noop.get_inference_statistics("typed").model_stats
    assert (entry.name, entry.version) == ("typed", "v1")
    assert entry.inference_count >= 1
    assert entry.inference_stats.success.ns > 0
    assert {one.name for one in noop.get_inference_statistics().model_stats} >= {"noop", "sk", "typed"}
    for ask in (lambda: noop.get_model_config("sk"), noop.get_system_shared_memory_status, noop.get_log_settings):
        with pytest.raises(InferenceServerException, match="is not offered here") as caught:
            ask()
        assert caught.value.status() == "StatusCode.UNIMPLEMENTED"


def test_the_repository_is_closed_unless_opened(noop: Any) -> None:
    for ask in (noop.get_model_repository_index, lambda: noop.load_model("sk"), lambda: noop.unload_model("sk")):
        with pytest.raises(InferenceServerException, match="--repository") as caught:
            ask()
        assert caught.value.status() == "StatusCode.PERMISSION_DENIED"


def test_the_repository_needs_its_key_and_loads_and_unloads(fresh: Path) -> None:
    folder = models.write(fresh, "noop")
    arguments = (folder, "--repository", "--admin-key", models.ADMIN, *RPC)
    with serving(*arguments, env=models.ENVIRONMENT) as server, triton.InferenceServerClient(server.rpc) as client:
        with pytest.raises(InferenceServerException) as caught:
            client.unload_model("noop")
        assert caught.value.status() == "StatusCode.UNAUTHENTICATED"
        key = {"authorization": f"Bearer {models.ADMIN}"}
        client.unload_model("noop", headers=key)
        assert not client.is_model_ready("noop")
        (entry,) = client.get_model_repository_index(headers=key).models
        assert (entry.name, entry.state) == ("noop", "UNAVAILABLE")
        with pytest.raises(InferenceServerException) as caught:
            client.infer("noop", [given("a", np.ones(1))])
        assert caught.value.status() == "StatusCode.NOT_FOUND"
        client.load_model("noop", headers=key)
        assert client.is_model_ready("noop")
        older = "/inference.model_repository.ModelRepositoryService/RepositoryIndex"
        with grpc.insecure_channel(server.rpc) as channel:
            body = channel.unary_unary(older)(b"", metadata=tuple(key.items()), timeout=20)
        assert service_pb2.RepositoryIndexResponse.FromString(body).models[0].state == "READY"


def test_the_asynchronous_client(tensors: Running) -> None:
    async def ask() -> list[Any]:
        async with triton_aio.InferenceServerClient(tensors.rpc) as client:
            assert await client.is_server_ready()
            calls = [client.infer("noop", [given("a", np.full(3, n, "i8"))]) for n in range(20)]
            return [answer.as_numpy("a").tolist() for answer in await asyncio.gather(*calls)]

    assert asyncio.run(ask()) == [[n] * 3 for n in range(20)]


def test_a_stream_answers_in_order_and_errors_do_not_end_it(noop: Any) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    noop.start_stream(lambda result, error: answers.put((result, error)))
    for n in range(40):
        model = {7: "raiser", 9: "none"}.get(n, "noop")
        noop.async_stream_infer(model, [given("a", np.full((1, 4), n, "f8"))], request_id=str(n))
    got = [answers.get(timeout=20) for _ in range(40)]
    noop.stop_stream()
    faults = {n: str(error) for n, (_, error) in enumerate(got) if error is not None}
    assert set(faults) == {7, 9}
    assert "boom in model" in faults[7]
    assert "model 'none' not found" in faults[9]
    fine = {n: result for n, (result, error) in enumerate(got) if error is None}
    assert all(result.as_numpy("a")[0, 0] == n for n, result in fine.items())
    assert all(result.get_response().id == str(n) for n, result in fine.items())


def test_a_stream_says_which_answer_is_the_last_to_who_wants_to_know(noop: Any) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    noop.start_stream(lambda result, error: answers.put(result))
    for wants in (True, False):
        noop.async_stream_infer("noop", [given("a", np.ones(1))], enable_empty_final_response=wants)
        parameters = answers.get(timeout=20).get_response().parameters
        assert ("triton_final_response" in parameters) == wants
        assert not wants or parameters["triton_final_response"].bool_param
    noop.stop_stream()


def test_a_stream_that_waits_for_each_answer(noop: Any) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    noop.start_stream(lambda result, error: answers.put((result, error)))
    for n in range(5):
        noop.async_stream_infer("noop", [given("a", np.full(2, n, "i4"))])
        result, error = answers.get(timeout=20)
        assert error is None
        assert result.as_numpy("a").tolist() == [n, n]
    noop.stop_stream()


def test_an_asynchronous_stream(tensors: Running) -> None:
    async def ask() -> list[Any]:
        async def requests() -> Any:
            for n in range(10):
                yield {"model_name": "noop", "inputs": [given("a", np.full(2, n, "i4"))], "request_id": str(n)}

        async with triton_aio.InferenceServerClient(tensors.rpc) as client:
            found = []
            async for result, error in client.stream_infer(requests()):
                assert error is None
                found.append(result.as_numpy("a")[0])
            return found

    assert asyncio.run(ask()) == list(range(10))


def test_calls_are_answered_together_where_the_model_takes_batches(fresh: Path) -> None:
    folder = models.write(fresh, "slow", pool={"ceil": 1, "queue": 64}, batching={"maxRequests": 16})
    with serving(folder, *RPC, env=models.ENVIRONMENT) as server, triton.InferenceServerClient(server.rpc) as client:
        answers: queue.Queue[Any] = queue.Queue()
        for n in range(24):
            client.async_infer(
                "slow",
                [given("x", np.full((1, 2), n + 100.0))],
                lambda result, error: answers.put((result, error)),
                request_id=str(n),
            )
        got = [answers.get(timeout=20) for _ in range(24)]
        assert all(error is None for _, error in got)
        for result, _ in got:
            assert result.as_numpy("predict").tolist() == [[2 * (int(result.get_response().id) + 100.0)]]
        (entry,) = client.get_inference_statistics("slow").model_stats
        assert max(batch.batch_size for batch in entry.batch_stats) > 1
        client.start_stream(lambda result, error: answers.put((result, error)))
        for n in range(24):
            client.async_stream_infer("slow", [given("x", np.full((1, 2), n + 100.0))], request_id=str(n))
        got = [answers.get(timeout=20) for _ in range(24)]
        client.stop_stream()
        assert [result.as_numpy("predict")[0, 0] for result, _ in got] == [2 * (n + 100.0) for n in range(24)]


def test_a_reply_that_a_model_wrote_itself(tensors: Running) -> None:
    def told(*words: bytes) -> Any:
        return infer(tensors, "writer", asked("x", "BYTES", [4], bytes_contents=words))

    (output,) = told(b"200", b"content-type", b"text/html; charset=utf-8", b"hi").outputs
    assert (output.name, list(output.contents.bytes_contents)) == ("response", [b"hi!"])
    assert output.parameters["content_type"].string_param == "text/html"
    for status, name, value, want in (
        (b"404", b"content-type", b"text/plain", "NOT_FOUND"),
        (b"418", b"content-type", b"text/plain", "FAILED_PRECONDITION"),
        (b"503", b"grpc-status", b"OK", "UNAVAILABLE"),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            told(status, name, value, b"no")
        assert (caught.value.code().name, caught.value.details()) == (want, "no!")


# (what is served): server, model, inputs, and what must be in the answer
CONTRACTS: dict[str, tuple[str, str, list[Any], dict[str, list[Any]]]] = {
    "dataiku prediction": (
        "tables", "sum", [asked("a", "FP64", [1], fp64_contents=[3]), asked("b", "FP64", [1], fp64_contents=[4])],
        {"predict": [7.0]},
    ),
    "dataiku function": (
        "tables", "fn", [asked("x", "FP64", [1], fp64_contents=[1.5]), asked("y", "BYTES", [1], bytes_contents=[b"z"])],
        {"x": [1.5], "y": [b"z"]},
    ),
    "drum structured": (
        "folders", "total", [asked("a", "FP64", [1], fp64_contents=[3]), asked("b", "INT64", [1], int64_contents=[4])],
        {"predict": [7.0]},
    ),
    "drum unstructured": (
        "folders", "echo", [asked("text", "BYTES", [1], bytes_contents=["é".encode()])], {"response": ["é".encode()]},
    ),
    "deepaas model": (
        "entries",
        "scale",
        [asked("x", "FP64", [1], fp64_contents=[3]), asked("by", "FP64", [2], fp64_contents=[2, 0.5])],
        {"scaled": [6.0, 1.5]},
    ),
    "seldon component": (
        "components", "Total", [asked("x", "FP64", [1, 2], fp64_contents=[3, 4])], {"predict": [7.0]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CONTRACTS)
def test_models_of_every_platform(request: pytest.FixtureRequest, what: str) -> None:
    which, model, inputs, want = CONTRACTS[what]
    answer = infer(request.getfixturevalue(which), model, *inputs)
    got = {
        output.name: list(output.contents.fp64_contents) or list(output.contents.bytes_contents)
        for output in answer.outputs
    }
    assert got == want


def test_a_model_may_use_protobuf_and_a_client_of_its_own(fresh: Path) -> None:
    fresh.mkdir()
    (fresh / "model.py").write_text(
        "from tritonclient.grpc import service_pb2\n"
        "from google.protobuf import struct_pb2\n\n\n"
        "class Model:\n"
        "    def predict(self, tensors):\n"
        "        asked = service_pb2.ModelInferRequest(model_name='inner')\n"
        "        assert service_pb2.ModelInferRequest.FromString(asked.SerializeToString()).model_name == 'inner'\n"
        "        import numpy as np\n"
        "        return np.array([float(len(asked.SerializeToString()))])\n"
    )
    (fresh / "modelport.yaml").write_text("contract: tensors\ncomponent: model.py:Model\nname: own\n")
    with serving(fresh, *RPC, env=models.ENVIRONMENT) as server:
        answer = infer(server, "own", asked("x", "FP64", [1, 1], fp64_contents=[1]))
        assert list(answer.outputs[0].contents.fp64_contents) == [7.0]

"""A folder of packages, each in a folder of its own: looking, loading, uploading, deleting."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import resource
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2

from tests.harness import Answer, Running, launch, serving, until
from tests.platforms.pps import packs
from tests.platforms.pps.test_predictions import CSV, FRAUD, told

TTL = "PREDICTION_API_DEPLOYED_MODEL_RESOLVER_CACHE_TTL_SEC"
SIZE = "PREDICTION_API_SCORING_MODEL_CACHE_MAXSIZE"
VERSIONED = """
def load_model(code_dir):
    return {version}

def score(data, model, **kwargs):
    data["Predictions"] = float(model)
    return data[["Predictions"]]
"""


@contextlib.contextmanager
def many(folder: Path, env: dict[str, str], *arguments: str, **more: Any) -> Iterator[Running]:
    with serving(folder, *arguments, "--port", "0", verb=("pps",), env=env, **more) as server:
        yield server


def laid_out(folder: Path, packages: Path, *names: str) -> Path:
    for name in names:
        (folder / name).mkdir(parents=True)
        shutil.copy(packages / f"{name}.mlpkg", folder / name / "model_5fae9a023ba73530157ebdae.mlpkg")
    return folder


def versioned(place: Path, version: int, size: int = 0) -> bytes:
    more = {"more.txt": "".join(random.choices("0123456789abcdef", k=size))} if size else {}
    packs.write_package(
        place / f"v{version}.mlpkg", VERSIONED.format(version=version), files=more, target={"type": "regression"}
    )
    return (place / f"v{version}.mlpkg").read_bytes()


def predicted(server: Running, name: str) -> Answer:
    return server.post(f"/deployments/{name}/predictions", b"x\n1\n", headers=CSV)


def value(answer: Answer) -> float:
    assert answer.status == 200, answer.body
    return float(answer.json()["data"][0]["prediction"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, packages: Path) -> Path:
    """Tests must not change what is in it; what they upload is theirs to delete."""
    folder = laid_out(tmp_path_factory.mktemp("many"), packages, "revenue", "fraud", "species")
    (folder / "revenue" / "config.yml").write_text("deployment_id: 5fc92906ad764dde6c3264fa\nodd: 1\n")
    (folder / "empty").mkdir()
    (folder / "twice").mkdir()
    for name in ("a", "b"):
        shutil.copy(packages / "odd.mlpkg", folder / "twice" / f"{name}.mlpkg")
    laid_out(folder, packages, "odd")
    (folder / "odd" / "config.yml").write_text("deployment_id: [")
    (folder / "foreign").mkdir()
    (folder / "foreign" / "model.mlpkg").write_bytes(b"PK\x03\x04 of another product")
    return folder


@pytest.fixture(scope="module")
def server(folder: Path, cache: dict[str, str]) -> Iterator[Running]:
    with many(folder, {**cache, TTL: "0"}) as server:
        yield server


# --- looking ---------------------------------------------------------------------------------------------


def test_what_is_there_is_listed_by_id(server: Running) -> None:
    listed = server.get("/deployments").json()["data"]
    assert [one["id"] for one in listed] == ["foreign", "fraud", "odd", "revenue", "species", "twice"]
    assert listed[1]["targetName"] == "isfraud"
    assert listed[1]["targetType"] == "binary"
    assert listed[3]["deploymentId"] == "5fc92906ad764dde6c3264fa"
    assert listed[0]["targetName"] is None


def test_info_tells_of_the_model_before_it_is_loaded(server: Running) -> None:
    info = server.get("/deployments/fraud/info").json()
    assert info["target"] == {
        "name": "isfraud",
        "type": "binary",
        "classLabels": ["yes", "no"],
        "positiveClass": "yes",
        "threshold": 0.5,
    }
    assert [feature["name"] for feature in info["features"]] == ["amount", "country"]
    assert info["packageFormat"] == "modelport/1"
    assert server.get("/deployments/revenue/info").json()["deploymentId"] == "5fc92906ad764dde6c3264fa"


def test_the_other_mode_s_routes_are_not_there(server: Running) -> None:
    assert server.get("/ping").json() == {"response": "pong"}
    told(server.get("/info"), 404)
    told(server.post("/predictions", FRAUD.encode(), headers=CSV), 404)


def test_what_is_unknown_is_named(server: Running) -> None:
    assert "nobody" in told(predicted(server, "nobody"), 404)
    assert "nobody" in told(server.get("/deployments/nobody/info"), 404)
    assert "empty" in told(server.get("/deployments/empty/info"), 404)
    told(server.get("/deployments/fraud/predictions"), 405)


@pytest.mark.parametrize(
    ("name", "status", "word"), [("foreign", 422, "no zip"), ("twice", 422, "2 packages"), ("odd", 500, "config.yml")]
)
def test_what_cannot_be_served_says_why_and_harms_nobody(server: Running, name: str, status: int, word: str) -> None:
    assert word in told(server.get(f"/deployments/{name}/info"), status)
    assert word in told(predicted(server, name), status)
    assert server.post("/deployments/fraud/predictions", FRAUD.encode(), headers=CSV).status == 200


def test_changes_on_disk_are_seen(server: Running, folder: Path, tmp_path: Path) -> None:
    told(predicted(server, "later"), 404)
    (folder / "later").mkdir()
    place = folder / "later" / "m.mlpkg"
    for version in (1, 2):
        made = versioned(tmp_path, version)
        (tmp_path / "new").write_bytes(made)
        (tmp_path / "new").replace(place)
        assert value(predicted(server, "later")) == version
    (folder / "later" / "config.yml").write_text("deployment_id: abc")
    assert server.get("/deployments/later/info").json()["deploymentId"] == "abc"
    shutil.rmtree(folder / "later")
    told(predicted(server, "later"), 404)
    assert "later" not in [one["id"] for one in server.get("/deployments").json()["data"]]


def test_changes_wait_for_the_time_to_live(tmp_path: Path, cache: dict[str, str], packages: Path) -> None:
    folder = laid_out(tmp_path / "f", packages, "revenue", "fraud")
    with many(folder, {**cache, TTL: "1000000"}) as server:
        assert server.get("/deployments/fraud/info").status == 200
        shutil.rmtree(folder / "fraud")
        assert server.get("/deployments/fraud/info").status == 200
        assert len(server.get("/deployments").json()["data"]) == 2


# --- loading ---------------------------------------------------------------------------------------------


def test_no_more_models_are_loaded_than_the_cache_holds(tmp_path: Path, cache: dict[str, str]) -> None:
    for version in range(4):
        name = tmp_path / "f" / f"m{version}"
        name.mkdir(parents=True)
        (name / "m.mlpkg").write_bytes(versioned(tmp_path, version))
    with many(tmp_path / "f", {**cache, SIZE: "2"}) as server:
        assert server.workers() == []
        hits = []
        for version in (0, 1, 0, 2, 0, 1, 3):
            answer = predicted(server, f"m{version}")
            assert value(answer) == version
            assert len(server.workers()) <= 2
            hits.append(answer.headers["x-datarobot-model-cache-hit"])
        assert hits == ["false", "false", "true", "false", "true", "false", "false"]


def test_models_are_preloaded_as_far_as_the_cache_goes(tmp_path: Path, cache: dict[str, str], packages: Path) -> None:
    folder = laid_out(tmp_path / "f", packages, "revenue", "fraud", "species")
    env = {**cache, SIZE: "2", "PREDICTION_API_PRELOAD_MODELS_ENABLED": "Yes"}
    with many(folder, env) as server:
        assert len(server.workers()) == 2
        answer = server.post("/deployments/fraud/predictions", FRAUD.encode(), headers=CSV)
        assert answer.headers["x-datarobot-model-cache-hit"] == "true"


def test_requests_that_come_while_all_are_busy_wait_for_room(tmp_path: Path, cache: dict[str, str]) -> None:
    slow = "import time\n" + VERSIONED.format(version=7).replace('    data["P', '    time.sleep(1)\n    data["P')
    for name in ("a", "b"):
        (tmp_path / "f" / name).mkdir(parents=True)
        packs.write_package(tmp_path / "f" / name / "m.mlpkg", slow, target={"type": "regression"})
    with many(tmp_path / "f", {**cache, SIZE: "1"}) as server:
        answers: list[Answer] = []
        threads = [
            threading.Thread(target=lambda name=name: answers.append(predicted(server, name))) for name in "abab"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [value(answer) for answer in answers] == [7.0] * 4


# --- uploading and deleting ------------------------------------------------------------------------------


def test_a_package_is_uploaded_replaced_and_deleted(server: Running, tmp_path: Path) -> None:
    assert server.post("/deployments/up", versioned(tmp_path, 1)).status == 201
    assert value(predicted(server, "up")) == 1
    assert server.post("/deployments/up", versioned(tmp_path, 2)).status == 200
    assert value(predicted(server, "up")) == 2
    assert server.request("DELETE", "/deployments/up")[:1] == (204,)
    told(predicted(server, "up"), 404)
    told(server.request("DELETE", "/deployments/up"), 404)


def test_a_package_may_come_in_a_form_and_be_large(server: Running, tmp_path: Path) -> None:
    data = versioned(tmp_path, 3, 3 << 20)
    assert len(data) > 1 << 20
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="m.mlpkg"\r\n\r\n' + data + b"\r\n--b--\r\n"
    assert (
        server.post("/deployments/form", body, headers={"Content-Type": "multipart/form-data; boundary=b"}).status
        == 201
    )
    assert value(predicted(server, "form")) == 3
    assert server.post("/deployments/form", data).status == 200
    assert server.request("DELETE", "/deployments/form").status == 204


def test_a_bad_package_is_refused_and_the_old_one_stays(server: Running, folder: Path, tmp_path: Path) -> None:
    good = versioned(tmp_path, 4)
    assert server.post("/deployments/bad", good).status == 201
    (folder / "bad" / "config.yml").write_text("deployment_id: kept")
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    for body in (b"", b"PK", good[:-10], bytes(flipped)):
        told(server.post("/deployments/bad", body), 422)
    assert value(predicted(server, "bad")) == 4
    assert sorted(file.name for file in (folder / "bad").iterdir()) == ["bad.mlpkg", "config.yml"]
    assert server.post("/deployments/bad", good).status == 200
    assert server.get("/deployments/bad/info").json()["deploymentId"] == "kept"
    assert server.request("DELETE", "/deployments/bad").status == 204
    assert not (folder / "bad").exists()
    told(server.post("/deployments/never", b"bad"), 422)
    assert not (folder / "never").exists()


@pytest.mark.parametrize(
    "name", ["..", ".", "%2e%2e", "a%2fb", "..%2f..%2fx", "a%00b", "a%5cb", "x" * 129, "%c3%a9", ".hidden", "a%20b"]
)
def test_ids_that_are_none_are_refused(server: Running, folder: Path, tmp_path: Path, name: str) -> None:
    before = sorted(folder.rglob("*"))
    assert server.post(f"/deployments/{name}", versioned(tmp_path, 1)).status in (400, 404)
    assert server.request("DELETE", f"/deployments/{name}").status in (400, 404)
    assert sorted(folder.rglob("*")) == before
    assert not (folder.parent / "x").exists()


def test_beyond_loopback_changes_need_the_admin_key(tmp_path: Path, cache: dict[str, str], packages: Path) -> None:
    folder = laid_out(tmp_path / "f", packages, "revenue", "fraud")
    data = versioned(tmp_path, 1)
    with many(folder, cache, "--host", "0.0.0.0", "--insecure") as server:
        told(server.post("/deployments/x", data), 403)
        told(server.request("DELETE", "/deployments/fraud"), 403)
    with many(folder, cache, "--host", "0.0.0.0", "--insecure", "--admin-key", "k") as server:
        told(server.post("/deployments/x", data), 401)
        told(server.post("/deployments/x", data, headers={"Authorization": "Bearer wrong"}), 403)
        assert server.post("/deployments/x", data, headers={"Authorization": "Bearer k"}).status == 201
        assert server.post("/deployments/fraud/predictions", FRAUD.encode(), headers=CSV).status == 200


def test_web_pages_may_not_change_anything(server: Running, tmp_path: Path) -> None:
    told(server.post("/deployments/x", versioned(tmp_path, 1), headers={"Origin": "http://evil.example"}), 403)


def test_beyond_loopback_somebody_must_want_it(tmp_path: Path, cache: dict[str, str]) -> None:
    server = launch(tmp_path, "--port", "0", "--host", "0.0.0.0", verb=("pps",), env=cache)
    assert server.process.wait(30) == 2
    server.kill()
    assert any("reachable from other machines" in line for line in server.raw_logs)


def test_killed_in_an_upload_the_old_package_is_served_after(tmp_path: Path, cache: dict[str, str]) -> None:
    folder = tmp_path / "f"
    (folder / "m").mkdir(parents=True)
    old = versioned(tmp_path, 1)
    (folder / "m" / "m.mlpkg").write_bytes(old)
    new = versioned(tmp_path, 2, 4 << 20)
    with many(folder, cache) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.putrequest("POST", "/deployments/m")
        connection.putheader("Content-Length", str(len(new)))
        connection.endheaders(new[: len(new) // 2])
        assert value(predicted(server, "m")) == 1
        server.kill()
        connection.close()
    (folder / "m" / ".upload-left").write_bytes(new[:1000])
    with many(folder, cache) as server:
        assert [file.name for file in (folder / "m").iterdir()] == ["m.mlpkg"]
        assert (folder / "m" / "m.mlpkg").read_bytes() == old
        assert value(predicted(server, "m")) == 1


@pytest.mark.parametrize("then", ["replaced", "deleted"])
def test_who_is_still_sending_is_answered_by_what_is_there_in_the_end(
    server: Running, tmp_path: Path, then: str
) -> None:
    name = f"slow-{then}"
    assert server.post(f"/deployments/{name}", versioned(tmp_path, 1)).status == 201
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.putrequest("POST", f"/deployments/{name}/predictions")
    connection.putheader("Content-Type", "text/csv")
    connection.putheader("Content-Length", "4")
    connection.endheaders(b"x\n")
    assert value(predicted(server, name)) == 1  # what came before it on the wire has been read
    if then == "replaced":
        assert server.post(f"/deployments/{name}", versioned(tmp_path, 2)).status == 200
        assert value(predicted(server, name)) == 2
    else:
        assert server.request("DELETE", f"/deployments/{name}").status == 204
    connection.send(b"1\n")
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    if then == "replaced":
        assert (answer.status, body["data"][0]["prediction"]) == (200, 2.0)
        assert server.request("DELETE", f"/deployments/{name}").status == 204
    else:
        assert answer.status == 404


def test_a_full_disk_refuses_uploads_and_nothing_else(tmp_path: Path, cache: dict[str, str]) -> None:
    (tmp_path / "f" / "m").mkdir(parents=True)
    (tmp_path / "f" / "m" / "m.mlpkg").write_bytes(versioned(tmp_path, 1))

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    with many(tmp_path / "f", cache, preexec=little_room) as server:
        told(server.post("/deployments/m", versioned(tmp_path, 2, 4 << 20)), 507)
        assert value(predicted(server, "m")) == 1
        assert server.post("/deployments/m", versioned(tmp_path, 3)).status == 200
        assert value(predicted(server, "m")) == 3


def test_whoever_asks_while_packages_change_gets_one_version_whole(tmp_path: Path, cache: dict[str, str]) -> None:
    """Uploads, deletes and predictions of one id at once: each answer is of one version, or says that there is none."""
    (tmp_path / "f").mkdir()
    made = [versioned(tmp_path, version) for version in (1, 2)]
    seen: list[tuple[int, float]] = []
    end = time.monotonic() + 6

    def asking() -> None:
        while time.monotonic() < end:
            answer = predicted(server, "m")
            rows = answer.json().get("data", [{}])
            seen.append((answer.status, rows[0].get("prediction", 0.0)))

    def changing() -> None:
        while time.monotonic() < end:
            for data in made:
                seen.append((server.post("/deployments/m", data).status, 0.0))
                until(lambda: predicted(server, "m").status == 200 or time.monotonic() > end)
            seen.append((server.request("DELETE", "/deployments/m").status, 0.0))

    with many(tmp_path / "f", {**cache, "PREDICTION_API_WORKERS": "2"}) as server:
        threads = [threading.Thread(target=work) for work in (asking, asking, changing)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {status for status, _ in seen} <= {200, 201, 204, 404}
    answers = [version for status, version in seen if status == 200 and version]
    assert set(answers) == {1.0, 2.0}


# --- one -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["folder", "file", "variable"])
def test_one_package_in_the_root_is_served_without_an_id(
    tmp_path: Path, cache: dict[str, str], packages: Path, way: str
) -> None:
    place = tmp_path / "f" / "model_5fae9a023ba73530157ebdae.mlpkg"
    place.parent.mkdir()
    shutil.copy(packages / "fraud.mlpkg", place)
    given = [place if way == "file" else place.parent] if way != "variable" else []
    env = {**cache, "PREDICTION_API_MODEL_REPOSITORY_PATH": str(place.parent), "MLOPS_DEPLOYMENT_ID": "abc"}
    with serving(*given, "--port", "0", verb=("pps",), env=env) as server:
        assert server.get("/ping").status == 200
        assert server.get("/info").json()["deploymentId"] == "abc"
        answer = server.post(
            "/predictions", FRAUD.encode(), headers={**CSV, "Authorization": "Bearer x", "Datarobot-key": "y"}
        )
        assert len(answer.json()["data"]) == 2
        assert answer.headers["x-datarobot-model-cache-hit"] == "true"
        name = place.stem
        for path in ("/deployments", f"/deployments/{name}/info", f"/deployments/{name}/predictions"):
            told(server.get(path), 404)


def test_bodies_over_50_mib_are_refused(tmp_path: Path, cache: dict[str, str], packages: Path) -> None:
    with serving(packages / "fraud.mlpkg", "--port", "0", verb=("pps",), env=cache) as server:
        rows = b"amount,country\n" + b"50,US\n" * 10
        told(server.post("/predictions", rows.ljust((50 << 20) + 1, b"\n"), headers=CSV), 413)
        assert server.post("/predictions", rows.ljust(50 << 20, b"\n"), headers=CSV).status == 200
        assert server.get("/info?" + "x" * 8192).status == 414


# --- other platforms -------------------------------------------------------------------------------------


def test_a_package_answers_the_other_platforms_clients_too(server: Running) -> None:
    def asked(path: str, body: Any, **headers: str) -> Any:
        answer = server.post(path, body, headers=headers)
        assert answer.status == 200, answer.body
        return answer.json()

    assert asked("/deployments/revenue/predictions", b"units,region\n2,north\n", **CSV)["data"][0]["prediction"] == 17.0
    assert asked("/drum/revenue/predict/", b"units,region\n2,north\n", **CSV) == {"predictions": [17.0]}
    row = {"features": {"units": 2, "region": "north"}}
    assert asked("/public/api/v1/revenue/revenue/predict", row)["result"]["prediction"] == 17.0
    inputs = [
        {"name": "units", "shape": [1], "datatype": "INT64", "data": [2]},
        {"name": "region", "shape": [1], "datatype": "BYTES", "data": ["north"]},
    ]
    assert asked("/v2/models/revenue/infer", {"inputs": inputs})["outputs"][0]["data"] == [17.0]
    assert json.loads(server.get("/v2/models").body)["models"]


# --- over gRPC -------------------------------------------------------------------------------------------


def test_what_comes_and_goes_does_so_over_grpc_too(tmp_path: Path, packages: Path, cache: dict[str, str]) -> None:
    folder = laid_out(tmp_path / "many", packages, "revenue")
    tensor = service_pb2.ModelInferRequest.InferInputTensor(name="x", datatype="FP64", shape=[1])
    tensor.contents.fp64_contents.append(1.0)
    with many(folder, {**cache, TTL: "0"}, "--grpc-port", "0") as server, grpc.insecure_channel(server.rpc) as channel:
        stub = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")

        def asked(name: str) -> str:
            request = service_pb2.ModelInferRequest(model_name=name, inputs=[tensor])
            call = stub.future(request.SerializeToString(), timeout=60)
            code: str = call.code().name
            if code == "OK":
                answer = service_pb2.ModelInferResponse.FromString(call.result())
                return str(answer.outputs[0].contents.fp64_contents[0])
            return code

        assert asked("new") == "NOT_FOUND"
        (folder / "new").mkdir()
        (folder / "new" / "model.mlpkg").write_bytes(versioned(tmp_path, 5))
        assert asked("new") == "5.0"
        (folder / "new" / "model.mlpkg").write_bytes(versioned(tmp_path, 6, size=100))
        assert asked("new") == "6.0"
        shutil.rmtree(folder / "new")
        assert asked("new") == "NOT_FOUND"

"""``service.json``: what may stand in it, and that every fault is listed before anything starts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelport import platforms
from modelport.config import Settings
from modelport.core.model import ModelSpec
from modelport.errors import ConfigError
from modelport.packages.find import find
from tests.harness import function, regression, serving, until, write_service

CODE = {
    "predictor.py": "class Model:\n    pass\n",
    "functions.py": "def run(**data):\n    return data\n",
    "other.py": "def run(**data):\n    return 'other'\n",
    "data/x.txt": "x",
}


def read(folder: Path) -> list[ModelSpec]:
    return find(str(folder), Settings())


def faults(folder: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(folder)
    assert str(folder / "service.json") in caught.value.message
    return caught.value.faults


def serve(*arguments: Any) -> subprocess.CompletedProcess[str]:
    """``modelport serve`` with something that keeps it from starting."""
    command = [sys.executable, "-m", "modelport", "serve", *map(str, arguments), "--port", "0"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_every_setting_of_an_endpoint_is_taken(tmp_path: Path) -> None:
    entry = regression(
        folder="data",
        environment="/opt/env",
        pool={"floor": 2, "ceil": 3, "cruise": 2, "queue": 4, "timeout": 500, "runTimeout": 600},
        batching={"maxRequests": 32},
        testQueries=[{"q": {"features": {"a": 1}}}],
    )
    keys = {"authMethod": "API_KEYS", "apiKeys": ["a", "sha256:" + "0f" * 32]}
    write_service(tmp_path, entry, function(folders=["data"]), code=CODE, libPython="data", generation="v9", **keys)
    first, second = read(tmp_path)
    assert (first.name, first.service, first.version, first.operation) == ("ep", "svc", "v9", "predict")
    assert (first.pool.floor, first.pool.ceil, first.pool.cruise, first.pool.queue) == (2, 3, 2, 4)
    assert (first.pool.timeout, first.pool.run_timeout, first.max_batch) == (500, 600, 32)
    assert (first.environment, first.keys, first.queries) == ("/opt/env", keys["apiKeys"], entry["testQueries"])
    assert (second.name, second.operation, second.options["folders"]) == ("fn", "function", ["data"])
    assert (second.pool.floor, second.pool.ceil, second.pool.cruise, second.pool.queue) == (1, 8, 2, 16)
    assert second.pool.timeout == 10_000


def test_keys_of_a_public_service_are_not_asked_for(tmp_path: Path) -> None:
    write_service(tmp_path, function(), code=CODE, authMethod="PUBLIC", apiKeys=["a"])
    assert [spec.keys for spec in read(tmp_path)] == [None]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', '{"serviceId": "s"', "\x00"])
def test_a_file_that_is_no_json_object(tmp_path: Path, text: str) -> None:
    (tmp_path / "service.json").write_text(text)
    with pytest.raises(ConfigError, match=r"service\.json"):
        read(tmp_path)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "service.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ConfigError, match=r"service\.json"):
        read(tmp_path)


def test_every_fault_of_the_outline_is_listed(tmp_path: Path) -> None:
    endpoints = [
        {"id": "a/b", "type": "CUSTOM_PREDICTION", "code": "predictor.py"},
        {"id": "c", "type": "SQL_QUERY", "code": 7, "predictionType": "CLUSTERING"},
        {"id": "d", "type": "PY_FUNCTION", "code": "functions.py", "colour": "red", "batching": {"maxRequests": 0}},
        {"type": "PY_FUNCTION"},
    ]
    content = {"serviceId": "../x", "authMethod": "OAUTH2", "apiKeys": [""], "endpoints": endpoints, "extra": 1}
    (tmp_path / "service.json").write_text(json.dumps(content))
    told = faults(tmp_path)
    places = {fault.partition(": ")[0] for fault in told}
    assert places == {
        "serviceId", "authMethod", "apiKeys.0", "extra", "endpoints.0.id", "endpoints.1.type", "endpoints.1.code",
        "endpoints.1.predictionType", "endpoints.2.colour", "endpoints.2.batching.maxRequests", "endpoints.3.id",
        "endpoints.3.code",
    }  # fmt: skip
    assert all(fault.partition(": ")[2] for fault in told)


def test_every_fault_of_the_content_is_listed(tmp_path: Path) -> None:
    write_service(
        tmp_path / "svc",
        regression("twice", "absent.py", folder="../outside"),
        function("twice", "/etc/passwd", folders=["data", "nope"]),
        {"id": "no-kind", "type": "CUSTOM_PREDICTION", "code": "predictor.py"},
        {"id": "no-function", "type": "PY_FUNCTION", "code": "functions.py"},
        function("pool", pool={"floor": 5, "ceil": 2, "colour": 1}),
        function("more-pool", pool={"floor": 3, "cruise": 2, "ceil": 1}),
        function("metadata", requestMetadata=True, batching={"maxRequests": 2}),
        code=CODE,
        authMethod="API_KEYS",
        libPython="..",
    )
    assert sorted(faults(tmp_path / "svc")) == sorted(
        [
            "endpoint 'twice' is there twice",
            "authMethod API_KEYS needs apiKeys",
            "libPython: '..' leads out of the service folder",
            "twice.code: there is no 'absent.py'",
            "twice.folder: '../outside' leads out of the service folder",
            "twice.code: '/etc/passwd' leads out of the service folder",
            "twice.folders: there is no 'nope'",
            "no-kind: a CUSTOM_PREDICTION needs predictionType REGRESSION or CLASSIFICATION",
            "no-function: a PY_FUNCTION needs function, the name of the function",
            "pool: 'colour' is not a pool setting (floor, ceil, cruise, queue, timeout, runTimeout)",
            "more-pool: floor (3) is above ceil (1)",
            "more-pool: floor (3) is above cruise (2)",
            "more-pool: cruise (2) is above ceil (1)",
            "metadata: a batch has no one request that requestMetadata could be about",
        ]
    )


@pytest.mark.parametrize("value", [0, -1, 1.5, "8", True, None, []])
@pytest.mark.parametrize("key", ["floor", "ceil", "cruise", "queue", "timeout", "runTimeout"])
def test_pool_numbers_are_positive_integers(tmp_path: Path, key: str, value: Any) -> None:
    write_service(tmp_path, function(pool={key: value}), code=CODE)
    assert faults(tmp_path) == [f"fn: {key} must be a positive integer, not {value!r}"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (1, 2, 8)),
        ({"floor": 3}, (3, 3, 8)),
        ({"floor": 10}, (10, 10, 10)),
        ({"ceil": 1}, (1, 1, 1)),
        ({"cruise": 9}, (1, 9, 9)),
        ({"floor": 2, "cruise": 2, "ceil": 2}, (2, 2, 2)),
    ],
)
def test_numbers_that_are_not_given_fit_those_that_are(
    tmp_path: Path, given: dict[str, int], expected: tuple[int, int, int]
) -> None:
    write_service(tmp_path, function(pool=given), code=CODE)
    (spec,) = read(tmp_path)
    assert (spec.pool.floor, spec.pool.cruise, spec.pool.ceil) == expected


@pytest.mark.parametrize("path", ["link.py", "linked/secret.py"])
def test_links_do_not_lead_out_of_the_folder(tmp_path: Path, path: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.py").write_text("def run(): pass\n")
    folder = write_service(tmp_path / "svc", function(code=path), code={})
    (folder / "link.py").symlink_to(outside / "secret.py")
    (folder / "linked").symlink_to(outside)
    assert faults(folder) == [f"fn.code: {path!r} leads out of the service folder"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "-a", "é", "a\n", "a%2e", "x" * 101])
def test_names_are_plain(tmp_path: Path, name: str) -> None:
    write_service(tmp_path, function(name), code=CODE)
    assert [fault.partition(": ")[0] for fault in faults(tmp_path)] == ["endpoints.0.id"]
    write_service(tmp_path, function(), code=CODE, serviceId=name)
    assert [fault.partition(": ")[0] for fault in faults(tmp_path)] == ["serviceId"]


def test_a_hash_that_is_none_is_told_without_telling_the_key(tmp_path: Path) -> None:
    keys = ["good", "sha256:" + "a" * 63, "sha256:" + "z" * 64]
    write_service(tmp_path, function(), code=CODE, authMethod="API_KEYS", apiKeys=keys)
    told = faults(tmp_path)
    assert told == ["apiKeys.1: after sha256: come 64 hex digits", "apiKeys.2: after sha256: come 64 hex digits"]


def test_the_command_line_lists_the_faults_and_ends(tmp_path: Path) -> None:
    write_service(tmp_path, function(code="absent.py", pool={"floor": 0}), code={})
    done = serve(tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {tmp_path / 'service.json'} has faults\n  - ")
    assert "fn.code: there is no 'absent.py'" in done.stderr
    assert "fn: floor must be a positive integer, not 0" in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_there_and_nothing_known(tmp_path: Path) -> None:
    done = serve(tmp_path / "absent")
    assert (done.returncode, "there is nothing at" in done.stderr) == (2, True)
    done = serve(tmp_path)
    assert done.returncode == 2
    assert "is no model of a known platform" in done.stderr
    assert "dataiku" in done.stderr


def test_two_services_may_have_an_endpoint_of_one_name(tmp_path: Path) -> None:
    first = write_service(tmp_path / "a", function("same"), function("own"), code=CODE, serviceId="first")
    second = write_service(tmp_path / "b", function("same", "other.py"), code=CODE, serviceId="second")
    tuned = tmp_path / "data" / "config" / "services" / "second"
    tuned.mkdir(parents=True)
    (tuned / "same.json").write_text(json.dumps({"pool": {"floor": 2, "cruise": 2}}))
    with serving(first, second, "--data-dir", tmp_path / "data") as server:
        answer = server.post("/public/api/v1/first/same/run", {"a": 1}).json()
        assert (answer["response"], answer["apiContext"]["endpointId"]) == ({"a": 1}, "same")
        answer = server.post("/public/api/v1/second/same/run", {"a": 1}).json()
        assert (answer["response"], answer["apiContext"]["serviceId"]) == ("other", "second")
        names = server.get("/v2/models").json()["models"]
        assert names == ["first.same", "own", "second.same"]
        until(lambda: server.metric("modelport_workers", endpoint="second.same", state="idle") == 2)
        assert server.metric("modelport_requests_total", endpoint="first.same", code="200") == 1


def test_one_service_twice_does_not_start(tmp_path: Path) -> None:
    first = write_service(tmp_path / "a", function("same"), function("too"), code=CODE)
    second = write_service(tmp_path / "b", function("same"), function("too"), code=CODE)
    done = serve(first, second)
    assert done.returncode == 2
    assert "two models would answer at the same path" in done.stderr
    assert f"dataiku ({first}: same) and dataiku ({second}: same) at POST /public/api/v1/svc/same/run" in done.stderr
    # a line for each model and protocol, not one a path
    assert done.stderr.count("\n  - ") <= 2 * len(platforms.BUILT_IN["modelport.protocols"])
    assert "Traceback" not in done.stderr


def test_keys_without_a_word_on_them_are_asked_for(tmp_path: Path) -> None:
    write_service(tmp_path, function(), code=CODE, apiKeys=["a"])
    assert [spec.keys for spec in read(tmp_path)] == [["a"]]


def test_faults_of_the_outline_hide_none_of_the_content(tmp_path: Path) -> None:
    broken = {"id": "broken", "type": "SQL_QUERY", "code": "absent.py"}
    write_service(tmp_path, broken, function(code="absent.py", pool={"floor": 0}), code={}, colour=1)
    assert [fault.partition(": ")[0] for fault in faults(tmp_path)] == [
        "colour",
        "endpoints.0.type",
        "fn",
        "fn.code",
    ]


def test_several_paths_are_served_together(tmp_path: Path) -> None:
    first = write_service(tmp_path / "a", function("one"), code=CODE, serviceId="first")
    second = write_service(tmp_path / "b", function("two", "other.py"), code=CODE, serviceId="second", generation="v2")
    third = write_service(tmp_path / "c", function("three"), code=CODE, serviceId="third")
    with serving(first, second, third) as server:
        assert server.post("/public/api/v1/first/one/run", {"a": 1}).json()["response"] == {"a": 1}
        answer = server.post("/public/api/v1/second/two/run", {"a": 1}).json()
        assert answer["response"] == "other"
        assert answer["apiContext"] == {"serviceId": "second", "endpointId": "two", "serviceGeneration": "v2"}
        assert server.post("/public/api/v1/third/three/run").status == 200
        assert server.post("/public/api/v1/first/two/run").status == 404
        assert server.get("/v2/models").json() == {"models": ["one", "two", "three"]}

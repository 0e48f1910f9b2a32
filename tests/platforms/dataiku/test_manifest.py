"""``modelport.yaml`` beside a service or a predictor, and the node's data folder, which has the last word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelport.config import Settings
from modelport.core.model import ModelSpec
from modelport.errors import ConfigError
from modelport.packages.find import find
from tests.harness import function, serving, until, write_service

CODE = {"functions.py": "def run(**data):\n    return data\n"}
PREDICTOR = """
from dataiku.apinode.predict.predictor import RegressionPredictor
class Model(RegressionPredictor):
    pass
"""


def service(folder: Path, yaml: str = "", **entry: Any) -> Path:
    write_service(folder, function(**entry), code=CODE)
    if yaml:
        (folder / "modelport.yaml").write_text(yaml)
    return folder


def read(path: Path, data_dir: Path | None = None) -> ModelSpec:
    (spec,) = find(str(path), Settings(data_dir=str(data_dir or "")))
    return spec


def faults(path: Path, data_dir: Path | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(path, data_dir)
    return caught.value.faults or [caught.value.message]


def test_each_key_has_its_effect(tmp_path: Path) -> None:
    env = tmp_path / "env"
    env.mkdir()
    spec = read(
        service(
            tmp_path,
            """
            name: other
            version: v7
            contract: dataiku
            component: functions.Model
            target: price
            pool: {floor: 2, ceil: 3, cruise: 3, queue: 5, timeout: 700, runTimeout: 800}
            batching: {maxRequests: 9}
            environment: env
            """,
            pool={"floor": 7},
        )
    )
    assert (spec.service, spec.name, spec.version, spec.contract) == ("other", "fn", "v7", "dataiku")
    assert spec.options["component"] == "Model"
    assert (spec.pool.floor, spec.pool.ceil, spec.pool.cruise, spec.pool.queue) == (2, 3, 3, 5)
    assert (spec.pool.timeout, spec.pool.run_timeout, spec.max_batch) == (700, 800, 9)
    assert spec.environment == str(env)


def test_it_may_be_missing_and_it_may_be_empty(tmp_path: Path) -> None:
    plain = read(service(tmp_path / "a"))
    empty = read(service(tmp_path / "b", "# nothing\n"))
    assert (plain.pool, plain.max_batch, plain.environment) == (empty.pool, empty.max_batch, empty.environment)
    assert (empty.service, empty.version, empty.max_batch, empty.environment) == ("svc", "v1", 1, None)


def test_it_lies_beside_a_plain_file_too(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(PREDICTOR)
    (tmp_path / "modelport.yaml").write_text("name: churn\nversion: v3\n")
    spec = read(tmp_path / "model.py")
    assert (spec.service, spec.name, spec.version) == ("churn", "churn", "v3")


def test_a_contract_that_is_named_is_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("from hidden import *\n")
    (tmp_path / "modelport.yaml").write_text("contract: dataiku\n")
    assert read(tmp_path / "model.py").contract == "dataiku"


def test_every_fault_is_listed(tmp_path: Path) -> None:
    told = faults(
        service(
            tmp_path,
            """
            name: a/b
            version: ""
            pool: 7
            batching: {maxRequests: 0, other: 1}
            environment: []
            target: 7
            component: {}
            contract: 1
            colour: red
            """,
        )
    )
    assert {fault.partition(": ")[0] for fault in told} == {
        "name", "version", "pool", "batching.maxRequests", "batching.other", "environment", "target", "component",
        "contract", "colour",
    }  # fmt: skip


def test_every_fault_of_its_pool_is_listed(tmp_path: Path) -> None:
    told = faults(service(tmp_path, "pool: {floor: 0, ceil: many, colour: 1}\n"))
    assert told == [
        "'colour' is not a pool setting (floor, ceil, cruise, queue, timeout, runTimeout)",
        "floor must be a positive integer, not 0",
        "ceil must be a positive integer, not 'many'",
    ]


@pytest.mark.parametrize("text", ["a: [", "\tname: x", "name: !!python/object:os.system x", "- a", "just text"])
def test_what_is_no_yaml_mapping(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"modelport\.yaml"):
        read(service(tmp_path, text))


def test_a_contract_that_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="contract 'nope' is not known") as caught:
        read(service(tmp_path, "contract: nope\n"))
    assert "dataiku" in (caught.value.hint or "")


def tuned(folder: Path, content: Any, endpoint: str = "fn", name: str = "svc") -> Path:
    file = folder / "config" / "services" / name / f"{endpoint}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def test_the_data_folder_has_the_last_word(tmp_path: Path) -> None:
    made = service(tmp_path / "svc", "pool: {floor: 3}\n", pool={"floor": 2})
    data = tuned(tmp_path / "data", {"pool": {"floor": 1, "ceil": 4, "cruise": 2, "queue": 7, "timeout": 1500}})
    pool = read(made, data).pool
    assert (pool.floor, pool.ceil, pool.cruise, pool.queue, pool.timeout) == (1, 4, 2, 7, 1500)


def test_files_for_others_change_nothing(tmp_path: Path) -> None:
    made = service(tmp_path / "svc", pool={"floor": 2})
    data = tuned(tmp_path / "data", {"pool": {"floor": 5}}, endpoint="other")
    tuned(data, {"pool": {"floor": 6}}, name="others")
    assert read(made, data).pool.floor == 2


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "fn.json: Expecting property name"),
        ("[]", 'fn.json must be an object with "pool"'),
        ("{}", 'fn.json must be an object with "pool"'),
        ({"pool": 1}, 'fn.json must be an object with "pool"'),
        ({"pool": {"floor": 0}}, "floor must be a positive integer, not 0"),
        ({"pool": {"floor": 2, "ceil": 1}}, "floor (2) is above ceil (1)"),
        ({"pool": {"flour": 2}}, "'flour' is not a pool setting"),
    ],
)
def test_faults_of_the_data_folder(tmp_path: Path, content: Any, told: str) -> None:
    made, data = service(tmp_path / "svc"), tuned(tmp_path / "data", content)
    assert told in faults(made, data)[0]
    with pytest.raises(ConfigError, match=r"config/services/svc/fn\.json"):
        read(made, data)


def test_tuning_and_the_file_that_says_not_alive(tmp_path: Path) -> None:
    """The node still answers queries while it says that it is not alive."""
    data = tuned(tmp_path / "data", {"pool": {"floor": 2, "ceil": 2, "cruise": 2, "queue": 3, "timeout": 2500}})
    with serving(service(tmp_path / "svc"), "--data-dir", data) as server:
        until(lambda: len(server.workers()) == 2, what="two workers")
        assert any("3 requests may wait 2.5 s" in line for line in server.said)
        flag = data / "apinode-not-alive.txt"
        for is_alive in (True, False, True):
            flag.unlink(missing_ok=True) if is_alive else flag.touch()
            for path in ("/isAlive/", "/isAlive"):
                answer = server.get(path)
                assert (answer.status, answer.json()) == (200 if is_alive else 503, {"isAlive": is_alive})
                assert {"dss-version", "dss-api-version"} <= set(answer.headers)
                assert server.request("HEAD", path).status == answer.status
            assert server.post("/public/api/v1/svc/fn/run", {"a": 1}).json()["response"] == {"a": 1}
            assert server.get("/healthz/live").status == 200


def test_a_manifest_that_is_no_text(tmp_path: Path) -> None:
    made = service(tmp_path)
    (made / "modelport.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"modelport\.yaml"):
        read(made)


def test_a_data_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="absent"):
        read(service(tmp_path / "svc"), tmp_path / "absent")

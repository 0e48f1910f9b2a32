"""API keys: on every route to a model, by whatever spelling of its path; never told to anybody."""

from __future__ import annotations

import base64
import hmac
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from modelport import dataplane
from modelport.config import Settings
from modelport.core.model import ModelSpec
from modelport.errors import Unauthorized
from modelport.monitoring.metrics import Metrics
from tests.harness import Running, function, serving, write_service
from tests.security.conftest import ADMIN_KEY, HASH, HASHED_KEY, KEY, bearer

INFER = json.dumps({"inputs": [{"name": "a", "datatype": "INT64", "shape": [1], "data": [7]}]}).encode()
DATAIKU = "/public/api/v1/svc/fn/run"
OIP = "/v2/models/fn/infer"
TOLD = {"MODELPORT_SELF", "MODELPORT_SCRATCH"}
"""What a worker may be told: the server's own address, and a folder for files that are deleted with the worker."""
SPELLINGS: list[Callable[[str], str]] = [
    lambda path: path,
    lambda path: "/" + path,
    lambda path: "////" + path,
    lambda path: path.replace("/fn/", "/%66n/"),
    lambda path: path.replace("/fn/", "/f%6E/"),
    lambda path: "/" + path.lstrip("/").replace("/", "%2f"),
    lambda path: path.replace("/fn/", "//fn/"),
    lambda path: path.replace("/fn/", "/./fn/"),
    lambda path: path.replace("/fn/", "/%2e/fn/"),
    lambda path: path.replace("/fn/", "/x/../fn/"),
    lambda path: path + "/",
    lambda path: path + "%20",
    lambda path: path + ";x=1",
    lambda path: path + "?apiKey=" + KEY,
    lambda path: path + "#x",
    str.upper,
]


def basic(user: str, password: str = "") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize("spelling", range(len(SPELLINGS)))
@pytest.mark.parametrize(
    "path", [DATAIKU, f"/dataiku{DATAIKU}", OIP, f"/oip{OIP}", "/v2/models/fn/versions/v1/infer", f"//dataiku{DATAIKU}"]
)
def test_no_spelling_of_a_route_gets_round_the_key(guarded: Running, path: str, spelling: int) -> None:
    spelled = SPELLINGS[spelling](path)
    for method in ("POST", "GET", "PUT", "HEAD"):
        answer = guarded.request(method, spelled, INFER)
        assert answer.status in (401, 404, 405), (method, spelled, answer)
        assert b'"response"' not in answer.body
    for name in ("X-HTTP-Method-Override", "X-Original-URL", "X-Forwarded-For", "X-API-Key"):
        answer = guarded.post(spelled, INFER, headers={name: KEY})
        assert answer.status in (401, 404), (name, spelled, answer)


@pytest.mark.parametrize("key", [KEY, HASHED_KEY])
def test_each_key_opens_every_route(guarded: Running, key: str) -> None:
    for headers in (bearer(key), basic(key), basic(key, "ignored"), {"Authorization": f"bearer   {key} "}):
        for path in (DATAIKU, f"/dataiku{DATAIKU}", f"//{DATAIKU}"):
            assert guarded.post(path, {"a": 1}, headers=headers).status == 200
        for path in (OIP, f"/oip{OIP}", "/v2/models/fn/versions/v1/infer"):
            assert guarded.post(path, INFER, headers=headers).status == 200


def test_keys_that_are_none(guarded: Running) -> None:
    wrong = [
        "", " ", KEY[:-1], KEY + "x", KEY.upper(), f"x{KEY}", "null", "*", ADMIN_KEY, "\xff", "x" * 4000,
        HASH, HASH.upper(), HASH.removeprefix("sha256:"), "sha256:", "sha256:zz", "sha256:" + "0" * 64,
    ]  # fmt: skip
    for key in wrong:
        for headers in (bearer(key), basic(key), {"Authorization": key}, {"Authorization": f"Token {key}"}):
            answer = guarded.post(DATAIKU, {"a": 1}, headers=headers)
            assert answer.status == 401, (headers, answer)
            assert answer.json()["errorType"] == "Unauthorized"
            answer = guarded.post(OIP, INFER, headers=headers)
            assert answer.status == 401
            assert "www-authenticate" in answer.headers


def test_the_hash_of_the_admin_key_is_no_admin_key(tmp_path: Path) -> None:
    folder = write_service(
        tmp_path / "svc", function(function="echo"), code={"functions.py": "def echo():\n    pass\n"}
    )
    with serving(folder, "--repository", env={"MODELPORT_ADMIN_KEY": HASH}) as server:
        assert server.post("/v2/repository/index", headers=bearer(HASHED_KEY)).status == 200
        assert server.post("/v2/repository/index", headers=bearer(HASH)).status == 403
        assert server.post("/v2/repository/index", headers=bearer(HASH[7:])).status == 403


def test_the_key_comes_before_the_body(guarded: Running) -> None:
    """A caller without one learns nothing of what the model would have said to the body."""
    for body in (b"{", b'{"a": ' + b"x" * 5000, json.dumps({"unknown": 1}).encode()):
        assert guarded.post(DATAIKU, body).status == 401
        assert guarded.post(OIP, body).status == 401


def test_model_keys_and_admin_keys_are_not_each_other(guarded: Running) -> None:
    admin = ["/v2/repository/index", "/v2/repository/models/fn/unload", "/oip/v2/repository/models/fn/load"]
    for path in admin:
        assert guarded.post(path).status == 401
        assert guarded.post(path, headers=bearer(KEY)).status == 403
    assert guarded.post(DATAIKU, {}, headers=bearer(ADMIN_KEY)).status == 401
    assert guarded.post(admin[0], headers=bearer(ADMIN_KEY)).status == 200
    assert guarded.post(DATAIKU, {}, headers=bearer(KEY)).status == 200


def test_repository_routes_are_off_unless_asked_for(plain: Running) -> None:
    for path in ("/v2/repository/index", "/v2/repository/models/ep/unload", "//v2/repository/models/ep/unload"):
        assert plain.post(path).status == 403
    assert plain.get("/v2/models/ep/ready").status == 200


def test_every_key_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after one has matched, so that time does not tell which of them it was."""
    pairs = []

    def compare(left: bytes, right: bytes) -> bool:
        pairs.append((left, right))
        return hmac.compare_digest(left, right)

    class Watched:
        compare_digest = staticmethod(compare)

    monkeypatch.setattr(dataplane, "hmac", Watched)

    class Plane:
        metrics = Metrics()

    keys = ["one", "two", "three"]
    endpoint = dataplane.Endpoint(ModelSpec("m", "dataiku", "/"), Plane(), keys)  # type: ignore[arg-type]
    for given in ("one", "three", "four", ""):
        pairs.clear()
        if given in keys:
            endpoint.admit(given)
        else:
            with pytest.raises(Unauthorized):
                endpoint.admit(given)
        assert len(pairs) == len(keys)
        assert {len(side) for pair in pairs for side in pair} == {32}


def test_workers_are_told_no_key(guarded: Running) -> None:
    told = guarded.post("/public/api/v1/svc/surroundings/run", {}, headers=bearer()).json()["response"]
    whole = json.dumps(told)
    for secret in (KEY, HASHED_KEY, HASH, ADMIN_KEY):
        assert secret not in whole
    assert {name for name in told["environ"] if name.startswith("MODELPORT_")} <= TOLD
    assert "MODELPORT_" not in told["first"].replace("MODELPORT_SCRATCH=", "")
    for worker in guarded.workers():
        outside = json.dumps([worker.environ(), worker.cmdline()])
        assert all(secret not in outside for secret in (KEY, HASHED_KEY, HASH, ADMIN_KEY))
        assert {name for name in worker.environ() if name.startswith("MODELPORT_")} <= TOLD


def test_the_servers_settings_reach_no_worker_whatever_their_name(tmp_path: Path) -> None:
    code = {"functions.py": "import os\ndef run():\n    return sorted(os.environ)\n"}
    env = {"MODELPORT_API_KEY": "k1", "MODELPORT_ANYTHING": "secret", "OTHER_SETTING": "kept"}
    with serving(write_service(tmp_path / "svc", function(), code=code), env=env) as server:
        names = server.post("/public/api/v1/svc/fn/run", headers=bearer("k1")).json()["response"]
        assert "OTHER_SETTING" in names
        assert {name for name in names if name.startswith("MODELPORT_")} <= TOLD


def test_keys_are_shown_nowhere(guarded: Running) -> None:
    for headers in (bearer(), basic(KEY), bearer("wrong-" + KEY), basic(HASHED_KEY)):
        guarded.post(DATAIKU, {"a": 1}, headers=headers)
        guarded.post(OIP, b"{", headers=headers)
        guarded.get(f"/nowhere/{KEY[:5]}?apiKey={KEY}", headers=headers)
    shown = "\n".join([*guarded.said, *guarded.raw_logs, guarded.get("/metrics").body.decode()])
    for secret in (KEY, HASHED_KEY, HASH[7:], ADMIN_KEY, basic(KEY)["Authorization"][6:]):
        assert secret not in shown
    assert psutil.Process(guarded.pid).is_running()


def test_settings_that_are_secret_are_not_printed(tmp_path: Path) -> None:
    assert [item.name for item in _secrets()] == ["api_key", "admin_key"]


def _secrets() -> list[object]:
    from modelport.config import items

    return [item for item in items() if item.secret]


def test_secrets_have_no_default() -> None:
    assert (Settings().api_key, Settings().admin_key, Settings().insecure, Settings().repository) == (
        "",
        "",
        False,
        False,
    )


@pytest.mark.parametrize("setting", ["--api-key", "--admin-key"])
def test_a_setting_that_is_no_hash_is_told(tmp_path: Path, setting: str) -> None:
    folder = write_service(tmp_path / "svc", function(), code={"functions.py": "def run():\n    pass\n"})
    command = [sys.executable, "-m", "modelport", "serve", folder, "--port", "0", setting, "sha256:zz"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr

"""The packages under ``examples/deepaas`` answer what lies beside them."""

from __future__ import annotations

import json
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

from tests.harness import serving, until
from tests.platforms.deepaas.conftest import RUN
from tests.platforms.deepaas.replay import multipart

EXAMPLES = Path(__file__).parents[3] / "examples" / "deepaas"


@pytest.mark.parametrize("name", ["words", "curve"])
def test_what_it_answers(name: str, tmp_path: Path) -> None:
    env = {"TMPDIR": str(tmp_path)}
    expected: list[dict[str, Any]] = json.loads((EXAMPLES / name / "expected.json").read_text())
    with serving(EXAMPLES / name, verb=RUN, env=env) as server:
        for step in expected:
            body, headers = multipart(step["file"]) if "file" in step else (b"", {})
            query = urllib.parse.urlencode(step["query"], doseq=True)
            answer = server.post(f"/v2/models/{name}/predict/?{query}", body, headers=headers)
            assert answer.status == step["status"], answer.body
            assert answer.body.decode() == step["text"] if "text" in step else answer.json() == step["json"]


def test_its_training(tmp_path: Path) -> None:
    env = {"TMPDIR": str(tmp_path), "MODELPORT_STATE_DIR": str(tmp_path / "state")}
    with serving(EXAMPLES / "curve", verb=RUN, env=env) as server:
        path = "/v2/models/curve/train/"
        uuid = server.post(f"{path}?steps=1000").json()["uuid"]
        told = until(lambda: server.get(path + uuid).json().get("result"), what="the training to end")
        assert told["output"] == {"a": 2.0, "b": 1.0}
        lines = server.get(f"{path}{uuid}/output").body.decode().splitlines()
        assert len(lines) == 10
        assert lines[0].startswith("step 100: y = ")

"""A worker runs under the interpreter that the model needs, not the front's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import function, serving, write_service

CODE = """
import sys

def run(**data):
    print("asked")
    return {"python": list(sys.version_info[:2]), "data": data}
"""


def other_interpreters() -> list[str]:
    """One Python a version, from 3.9 on, that is on PATH or kept by pyenv, really starts, and is not the front's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    paths = [path for minor in range(9, 20) if (path := shutil.which(f"python3.{minor}"))]
    paths += map(str, sorted(pyenv.glob("versions/3.*/bin/python3")))
    tell = "import sys; print(*sys.version_info[:2], sys.executable)"
    found: dict[tuple[int, int], str] = {}
    for path in paths:
        done = subprocess.run([path, "-c", tell], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            major, minor, executable = done.stdout.split(maxsplit=2)
            found.setdefault((int(major), int(minor)), executable.strip())
    return [path for version, path in sorted(found.items()) if version >= (3, 9) and version != sys.version_info[:2]]


def test_each_other_python_on_this_machine_serves(tmp_path: Path) -> None:
    interpreters = other_interpreters()
    if not interpreters:
        pytest.skip("there is no other Python from 3.9 on, on PATH or kept by pyenv")
    names = [f"fn{number}" for number in range(len(interpreters))]
    endpoints = [
        function(name, environment=path, pool={"ceil": 1}) for name, path in zip(names, interpreters, strict=True)
    ]
    folder = write_service(tmp_path / "service", *endpoints, code={"functions.py": CODE})
    with serving(folder) as server:
        seen = []
        for name in names:
            answer = server.post(f"/public/api/v1/svc/{name}/run", {"text": "é", "number": 2**53 + 1})
            assert answer.status == 200, answer.body
            response = answer.json()["response"]
            assert response["data"] == {"text": "é", "number": 2**53 + 1}
            seen.append(tuple(response["python"]))
        assert sys.version_info[:2] not in seen
        assert len(set(seen)) == len(seen)


def test_an_interpreter_that_does_not_exist_is_named(tmp_path: Path) -> None:
    folder = write_service(tmp_path / "service", function(environment="/no/such/python"), code={"functions.py": CODE})
    with serving(folder) as server:
        answer = server.post("/public/api/v1/svc/fn/run", {})
        assert answer.status == 503
        assert "/no/such/python" in "\n".join(server.raw_logs)

"""``modelport doctor``"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from modelport.cli.needs import imported
from modelport.config import Settings
from modelport.packages.find import find
from tests.cli.conftest import modelport
from tests.harness import function, write_service


def findings(*arguments: object) -> tuple[int, list[dict[str, Any]]]:
    done = modelport("doctor", *arguments, "--port", "0", "--json")
    report = json.loads(done.stdout)
    assert report["ok"] is (done.returncode == 0)
    return done.returncode, report["findings"]


def of(path: Path) -> tuple[int, list[tuple[str, str]]]:
    """The exit code, and state and text of what is about the models."""
    code, found = findings(path)
    at = next(number for number, finding in enumerate(found) if finding["about"] == str(path))
    return code, [(finding["state"], finding["text"]) for finding in found[at:]]


def test_a_sound_machine_is_sound() -> None:
    code, found = findings()
    assert code == 0
    about = {finding["about"]: finding for finding in found}
    assert "cyclopts" in about["packages"]["text"]
    assert "scikit-learn" in about["extra sklearn"]["text"]
    assert sys.executable in about["python"]["text"]
    assert "extra dev" not in about


def test_a_taken_port_fails_and_is_told_in_a_table() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = modelport("doctor", "--port", taken.getsockname()[1])
    assert done.returncode == 1
    assert "Address already in use" in done.stdout
    assert "hint: choose another with --port" in done.stdout


def test_the_example_would_run(example: Path) -> None:
    code, found = of(example)
    assert code == 0
    assert found[0][1] == "dataiku, because it holds a service.json: diabetes, iris, bmi"
    assert ("ok", f"Python {sys.version.split()[0]}; imports dataiku, joblib, pandas") in found


def test_missing_imports_are_named_without_running_the_code(tmp_path: Path) -> None:
    source = """
        import no_such_module.sub, json, helper
        from another_missing import thing
        try:
            import optional_one
        except ImportError:
            optional_one = None
        raise SystemExit("this never runs")
        def run(): pass
    """
    helper = "import third_missing\n"
    folder = write_service(tmp_path / "s", function(), code={"functions.py": source, "helper.py": helper})
    code, found = of(folder)
    assert code == 1
    assert ("fail", "imports what is not there: another_missing, no_such_module, third_missing") in found


def test_own_modules_are_followed_and_not_missed(tmp_path: Path) -> None:
    code = {
        "functions.py": "import pack.part\nfrom lib_module import x\ndef run(): pass\n",
        "pack/__init__.py": "import first_missing\n",
        "pack/part.py": "import second_missing\n",
        "lib/lib_module.py": "x = 1\n",
    }
    folder = write_service(tmp_path / "s", function(), code=code, libPython="lib")
    assert imported(find(str(folder), Settings())[0]) == {"first_missing", "second_missing"}


def test_an_interpreter_that_does_not_start_fails(tmp_path: Path) -> None:
    code = {"functions.py": "def run(): pass\n", "env/readme.txt": "no Python here"}
    folder = write_service(tmp_path / "s", function(environment="env"), code=code)
    exit_code, found = of(folder)
    assert exit_code == 1
    assert found[1] == ("fail", f"{folder}/env/bin/python does not start: No such file or directory")


def test_more_workers_than_processors_and_no_queries_are_noted(tmp_path: Path) -> None:
    folder = write_service(tmp_path / "s", function(pool={"ceil": 5000}), code={"functions.py": "def run(): pass\n"})
    code, found = of(folder)
    assert code == 0
    assert [state for state, _ in found] == ["ok", "ok", "note", "note"]


def test_a_path_without_a_model_fails(tmp_path: Path) -> None:
    code, found = of(tmp_path)
    assert code == 1
    assert "is no model of a known platform" in found[0][1]


def test_a_pmml_file_needs_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.pmml").write_text("<PMML/>")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    code, found = of(tmp_path)
    assert code == 1
    assert ("fail", "needs Java, which is not there") in found

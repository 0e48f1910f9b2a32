"""``modelport new``"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from modelport.cli import new
from tests.cli.conftest import modelport


def test_it_makes_a_folder_with_all_that_its_readme_names(example: Path) -> None:
    readme = (example / "README.md").read_text()
    named = re.findall(r"^\| `([^`]+)` \|", readme, re.MULTILINE)
    assert named
    assert [name for name in named if not (example / name).exists()] == []
    assert "{{" not in "".join(path.read_text() for path in example.iterdir() if path.is_file())
    assert sorted(path.name for path in (example / "models").iterdir()) == ["diabetes.joblib", "iris.joblib"]


def test_the_service_is_named_after_the_folder(example: Path) -> None:
    service = json.loads((example / "service.json").read_text())
    assert service["serviceId"] == "my-service"
    assert [endpoint["id"] for endpoint in service["endpoints"]] == ["diabetes", "iris", "bmi"]
    assert all(endpoint["testQueries"] for endpoint in service["endpoints"])


def test_the_readme_quotes_the_folder(example: Path) -> None:
    assert f"modelport check {shlex.quote(str(example))}" in (example / "README.md").read_text()


def test_it_refuses_to_overwrite(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = modelport("new", "dataiku", tmp_path)
    assert done.returncode == 2
    assert "is not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_it_refuses_a_file(tmp_path: Path) -> None:
    target = tmp_path / "mine.txt"
    target.write_text("mine")
    done = modelport("new", "dataiku", target)
    assert done.returncode == 2
    assert target.read_text() == "mine"


def test_it_takes_an_empty_folder(tmp_path: Path) -> None:
    assert modelport("new", "dataiku", tmp_path).returncode == 0
    assert (tmp_path / "service.json").exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = modelport("new", "dataiku", tmp_path / "file" / "service")
    assert done.returncode == 2
    assert "cannot make" in done.stderr


def test_an_unknown_platform_gets_a_suggestion(tmp_path: Path) -> None:
    done = modelport("new", "datiku", tmp_path / "x")
    assert done.returncode == 2
    assert "did you mean dataiku?" in done.stderr
    assert not (tmp_path / "x").exists()


def test_without_what_training_needs_it_says_how_to_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(new, "NEEDED", ("no_such_package",))
    assert new.new("dataiku", str(tmp_path / "service")) == 0
    assert "python" in capsys.readouterr().err
    assert list((tmp_path / "service" / "models").iterdir()) == []


def test_failed_training_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new, "TRAINING", "no_such_file.py")
    with pytest.raises(new.SetupError, match="no_such_file"):
        new.scaffold("dataiku", tmp_path / "service")
    assert list(tmp_path.iterdir()) == []

"""The rules about the source tree that no linter knows."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "modelport"
SOURCES = sorted(PACKAGE.rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]

PLATFORM_NAMES = re.compile(r"dataiku|seldon|deepaas|datarobot|\bdrum\b", re.IGNORECASE)
MAY_NAME_PLATFORMS = ("contracts/", "protocols/", "schemas/", "platforms.py", "cli/")

IMPORT_ALL = """
import importlib, json, sys
before = set(sys.modules)
for name in sys.argv[1:]:
    importlib.import_module(name)
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps(sorted(new - sys.stdlib_module_names - {"modelport"})))
"""


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def worker_half() -> list[str]:
    """The modules that a worker may load: not the stand-ins, nor the manifests, which the front reads."""
    files = [PACKAGE / "errors.py"]
    folders = ("core", "schemas", "contracts", "worker")
    files += [path for folder in folders for path in (PACKAGE / folder).rglob("*.py")]
    files += [
        path
        for name in ("codec", "errors", "foreign", "jsonbody", "messages", "rpc_codec", "tensors")
        for path in PACKAGE.glob(f"protocols/*/{name}.py")
    ]
    modules = [
        path.relative_to(PACKAGE.parent).with_suffix("")
        for path in files
        if path.stem not in ("__main__", "manifest") and {"shim", "deployments"}.isdisjoint(path.parts)
    ]
    return sorted(".".join(path.parts).removesuffix(".__init__") for path in modules)


def test_the_worker_half_loads_the_standard_library_alone() -> None:
    """Also with nothing else to be found: no site-packages, only our source."""
    code = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r})\n{IMPORT_ALL}"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, *worker_half()], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_platforms_are_named_at_the_edges_only(path: Path) -> None:
    if not name_of(path).startswith(MAY_NAME_PLATFORMS):
        assert PLATFORM_NAMES.findall(path.read_text()) == []


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_files_and_functions_stay_short(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 500
    functions = [
        node for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    assert [node.name for node in functions if (node.end_lineno or 0) - node.lineno >= 60] == []


@pytest.mark.parametrize("group", ["modelport.contracts", "modelport.protocols"])
def test_each_platform_folder_is_registered(group: str) -> None:
    family = PACKAGE / group.partition(".")[2]
    folders = {path.parent.name for path in family.glob("*/__init__.py")}
    mine = [point for point in entry_points(group=group) if point.dist and point.dist.name == "modelport"]
    assert {point.name for point in mine} == folders
    assert all(point.load() for point in mine)


@pytest.mark.parametrize(
    ("lock", "extras"), [("base", ()), ("demo", ("build", "sklearn")), ("dev", ("build", "sklearn", "dev"))]
)
def test_locks_satisfy_the_project_and_name_no_address(lock: str, extras: tuple[str, ...]) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    locked: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", text, flags=re.MULTILINE):
        locked.setdefault(name, set()).add(version)
    wanted = [
        *PROJECT["dependencies"],
        *(line for extra in extras for line in PROJECT["optional-dependencies"][extra]),
    ]
    requirements = [Requirement(line) for line in wanted]
    assert "://" not in text
    assert [
        str(requirement)
        for requirement in requirements
        if requirement.name != "modelport"
        and not all(map(requirement.specifier.contains, locked.get(requirement.name, {"none"})))
    ] == []

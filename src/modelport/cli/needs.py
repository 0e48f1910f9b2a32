"""What a model's code would import, told without running it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from modelport import platforms
from modelport.core.contract import Contract, Demanding, Needs
from modelport.core.model import ModelSpec
from modelport.pool.pool import interpreter_of
from modelport.pool.process import environment

TIMEOUT = 60.0
MAX_FILES = 500

_PROBE = """
import importlib.util, json, sys
sys.path[:0], sys.path[len(sys.path):] = json.loads(sys.argv[1]), json.loads(sys.argv[2])
def is_there(name):
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return name in sys.modules
missing = [name for name in json.loads(sys.argv[3]) if not is_there(name)]
print(json.dumps({"version": list(sys.version_info[:3]), "missing": missing}))
"""


class Interpreter(NamedTuple):
    """What a model's interpreter said when asked; ``fault`` is why it did not answer."""

    path: str
    version: tuple[int, ...] = ()
    missing: Sequence[str] = ()
    fault: str = ""


def ask_interpreter(spec: ModelSpec) -> Interpreter:
    """Starts the model's interpreter and asks it for what the code imports."""
    path = interpreter_of(spec.environment)
    own, shims = import_path(spec)
    given = [json.dumps(value) for value in (own, shims, sorted(imported(spec)))]
    try:
        ran = subprocess.run(
            [path, "-c", _PROBE, *given],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            env=environment(1),
            cwd=spec.root,
            check=False,
        )
    except OSError as fault:
        return Interpreter(path, fault=fault.strerror or str(fault))
    except subprocess.TimeoutExpired:
        return Interpreter(path, fault=f"no answer in {TIMEOUT:g} s")
    try:
        said = json.loads(ran.stdout)
    except ValueError:
        return Interpreter(path, fault=(ran.stderr.strip().splitlines() or [f"exit code {ran.returncode}"])[-1])
    return Interpreter(path, tuple(said["version"]), said["missing"])


def import_path(spec: ModelSpec) -> tuple[list[str], list[str]]:
    """The folders that a worker puts first on the import path, and the stand-in modules that go last."""
    return [str(Path(spec.root, folder)) for folder in spec.options.get("path", [])], _contract(spec).shims()


def imported(spec: ModelSpec) -> set[str]:
    """Top-level names that the model's code and its files import from elsewhere, standard library left out."""
    by_files = {name for name in needed(spec).modules if _own_files(name, [Path(spec.root)]) is None}
    return (_imported_by_code(spec) | by_files) - sys.stdlib_module_names


def needed(spec: ModelSpec) -> Needs:
    """What the contract says of the model's files."""
    contract = _contract(spec)
    return contract.needs(spec) if isinstance(contract, Demanding) else Needs(set(), {})


def _contract(spec: ModelSpec) -> Contract:
    found: Contract = dict(platforms.loaded("modelport.contracts"))[spec.contract]
    return found


def _imported_by_code(spec: ModelSpec) -> set[str]:
    folders = [Path(folder) for folder in import_path(spec)[0]]
    start = Path(spec.root, spec.options.get("code") or "")
    todo, seen, names = [start] if start.is_file() else [], set[Path](), set[str]()
    while todo and len(seen) < MAX_FILES:
        file = todo.pop()
        if file in seen:
            continue
        seen.add(file)
        for name in _imports(file):
            own = _own_files(name, folders)
            if own is None:
                names.add(name.partition(".")[0])
            todo += own or []
    return names


def _own_files(name: str, folders: list[Path]) -> list[Path] | None:
    """The files of the model's own module of that name; None when it is not the model's own."""
    parts = name.split(".")
    for folder in folders:
        top = folder / parts[0]
        if top.with_suffix(".py").is_file():
            return [top.with_suffix(".py")]
        if top.is_dir():
            places = [folder.joinpath(*parts[:depth]) for depth in range(1, len(parts) + 1)]
            files = [file for place in places for file in (place / "__init__.py", place.with_suffix(".py"))]
            return [file for file in files if file.is_file()]
    return None


def _imports(file: Path) -> Iterator[str]:
    """Module names imported anywhere in a file, but for those that it can do without."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Try) and any(_catches_import_error(handler) for handler in node.handlers):
            todo += [*node.orelse, *node.finalbody]
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
        todo += ast.iter_child_nodes(node)


def _catches_import_error(handler: ast.ExceptHandler) -> bool:
    caught = {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)} if handler.type else {"all"}
    return bool(caught & {"all", "ImportError", "ModuleNotFoundError", "Exception", "BaseException"})

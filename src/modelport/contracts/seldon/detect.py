"""Whether a file holds a component of the platform's wrapper, or a deployment of several, told without running it."""

from __future__ import annotations

import ast
import os
import re

PACKAGE = "seldon_core"
KIND = "SeldonDeployment"
_KIND = re.compile(rb"""["']?kind["']?\s*:\s*["']?""" + KIND.encode() + rb"""\b""")
IMAGE_FILE = ".s2i/environment"
_LOOKED_AT = 1 << 20
"""Bytes of a file in which its kind is looked for."""


def find(path: str) -> str | None:
    """The reason in words, or None. A component is a plain class: only a file that imports the platform's package is
    taken for one unasked."""
    if is_deployment(path):
        return f"it holds a {KIND}"
    if os.path.isdir(path):
        named = image_component(path)
        return f"its {IMAGE_FILE} names component {named}" if named else None
    if not path.endswith(".py") or not os.path.isfile(path):
        return None
    if imports(path, PACKAGE):
        name = main_class(path)
        return f"it imports {PACKAGE} and defines class {name}" if name else None
    return None


def main_class(path: str) -> str | None:
    """The class of a file that is its component, where nobody says: the one of its name, else the only one."""
    name = os.path.splitext(os.path.basename(path))[0]
    found = classes(path)
    return name if name in found else found[0] if len(found) == 1 else None


def image_component(folder: str) -> str | None:
    """The component that a folder's image would be built to serve."""
    try:
        with open(os.path.join(folder, *IMAGE_FILE.split("/")), encoding="utf-8") as file:
            pairs = dict(line.strip().split("=", 1) for line in file.read(_LOOKED_AT).splitlines() if "=" in line)
    except (OSError, UnicodeDecodeError):
        return None
    return pairs.get("MODEL_NAME", "").strip("'\"") or None


def is_deployment(path: str) -> bool:
    """Whether the file says that it is one; a look, no parsing."""
    if not path.endswith((".yaml", ".yml", ".json")) or not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") as file:
            return _KIND.search(file.read(_LOOKED_AT)) is not None
    except OSError:
        return False


def classes(path: str) -> list[str]:
    """The classes that a file defines."""
    return _classes(_parsed(path))


def methods(path: str, name: str) -> set[str]:
    """The methods that a class of a file defines itself."""
    kinds = [node for node in _parsed(path).body if isinstance(node, ast.ClassDef) and node.name == name]
    return {node.name for kind in kinds for node in kind.body if isinstance(node, ast.FunctionDef)}


def imports(path: str, package: str) -> bool:
    """Whether a file imports a package, at its head or anywhere else."""
    return package in _imported(_parsed(path))


def _parsed(path: str) -> ast.Module:
    """An empty module for what is no Python file."""
    try:
        with open(path, "rb") as file:
            return ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return ast.Module([], [])


def _classes(tree: ast.Module) -> list[str]:
    return [node.name for node in tree.body if isinstance(node, ast.ClassDef)]


def _imported(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}

"""Whether a folder is a DRUM code folder, or a file a model that needs no code, told without running anything."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator

CODE = "custom.py"
METADATA = "model-metadata.yaml"
HOOKS = (
    "init",
    "load_model",
    "read_input_data",
    "transform",
    "score",
    "post_process",
    "score_unstructured",
)
ARTIFACTS = {
    ".pkl": "pickle",
    ".pickle": "pickle",
    ".joblib": "pickle",
    ".ubj": "xgboost",
    ".xgb": "xgboost",
    ".bst": "xgboost",
    ".lgb": "lightgbm",
    ".cbm": "catboost",
    ".pth": "torch",
    ".pt": "torch",
    ".h5": "keras",
    ".keras": "keras",
    ".onnx": "onnx",
    ".pmml": "pmml",
}
"""What an artifact's suffix says of it: ``<kind>_model`` in ``predictors`` reads it."""
HEADS = {
    ".json": (("xgboost", b'{"learner":'),),
    ".model": (
        ("xgboost", b'{"learner":'),
        ("xgboost", b"{L\0\0\0\0\0\0\0\x07learner"),
        ("lightgbm", b"tree\nversion="),
    ),
    ".txt": (("lightgbm", b"tree\nversion="),),
}
"""Suffixes that say nothing: what such a file begins with does."""
ANY = "*"
"""Stands for hooks that nobody sees without running the code."""
SCOPES = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda,
    ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp,
)  # fmt: skip
"""What has names of its own."""


def find(path: str) -> str | None:
    """The reason in words, or None."""
    if os.path.isfile(os.path.join(path, CODE)):
        names = [name for name in hooks(os.path.join(path, CODE)) if name != ANY]
        return f"its {CODE} has the hooks {', '.join(names)}" if names else f"it holds a {CODE}"
    if os.path.isfile(os.path.join(path, METADATA)):
        return f"it holds a {METADATA}"
    return None


def adopt(path: str) -> str | None:
    """Plain model files need no marks of a platform."""
    if os.path.isdir(path):
        found = artifacts(path)
        return f"it holds {', '.join(found)}" if found else None
    kind = kind_of(path)
    return f"it is a model file ({kind})" if kind else None


def kind_of(path: str) -> str | None:
    """What reads a file, if it is a model: told by its suffix, else by its first bytes."""
    suffix = os.path.splitext(path)[1].lower()
    heads = HEADS.get(suffix)
    if heads is None:
        return ARTIFACTS.get(suffix)
    try:
        with open(path, "rb") as file:
            begin = file.read(64)
    except OSError:
        return None
    return next((kind for kind, head in heads if begin.startswith(head)), None)


def artifacts(folder: str) -> list[str]:
    """The names of the model files right in a folder."""
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_file() and kind_of(entry.path) is not None)


def hooks(file: str) -> list[str]:
    """The hooks that a file defines or imports; none where it cannot be read.

    ``ANY`` is among them where it imports everything from a module that does not lie beside it.
    """
    names = _names(file, set())
    return [name for name in (*HOOKS, ANY) if name in names]


def _names(file: str, seen: set[str]) -> set[str]:
    """The global names of a file, also those that only some branch of it makes."""
    seen.add(file)
    try:
        with open(file, "rb") as source:
            tree = ast.parse(source.read())
    except (OSError, SyntaxError, ValueError):
        return set()
    names: set[str] = set()
    for node in _globals(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update(alias.asname or alias.name for alias in node.names if alias.name != ANY)
            if isinstance(node, ast.ImportFrom) and node.names[0].name == ANY:
                beside = _beside(file, node)
                if beside is None:
                    names.add(ANY)
                elif beside not in seen:
                    names |= _names(beside, seen)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def _globals(node: ast.AST) -> Iterator[ast.AST]:
    """All that is run when a module is imported."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, SCOPES):
            yield from _globals(child)


def _beside(file: str, node: ast.ImportFrom) -> str | None:
    """The file of a module in the same folder."""
    if node.level or not node.module:
        return None
    place = os.path.join(os.path.dirname(file), *node.module.split("."))
    candidates = (os.path.join(place, "__init__.py"), f"{place}.py")
    return next((candidate for candidate in candidates if os.path.isfile(candidate)), None)

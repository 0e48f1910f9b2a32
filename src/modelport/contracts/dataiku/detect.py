"""Whether a file or folder is a Dataiku service or predictor, told without running it."""

from __future__ import annotations

import ast
import os

SERVICE_FILE = "service.json"
KINDS = {"RegressionPredictor": "REGRESSION", "ClassificationPredictor": "CLASSIFICATION"}


def find(path: str) -> str | None:
    """The reason in words, or None."""
    if os.path.isdir(path):
        return f"it holds a {SERVICE_FILE}" if os.path.isfile(os.path.join(path, SERVICE_FILE)) else None
    if path.endswith(".py"):
        classes = predictor_classes(path)
        if classes:
            return f"class {next(iter(classes))} extends {_base_name(classes)}"
    return None


def _base_name(classes: dict[str, str]) -> str:
    kind = next(iter(classes.values()))
    return next(base for base, name in KINDS.items() if name == kind)


def predictor_classes(path: str) -> dict[str, str]:
    """Class name to prediction type, of the classes in a file that name a predictor class as their base."""
    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return {}
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for base in _bases(node):
                if base in KINDS:
                    found[node.name] = KINDS[base]
    return found


def _bases(node: ast.ClassDef) -> list[str]:
    return [base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in node.bases]

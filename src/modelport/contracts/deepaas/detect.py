"""Where a folder declares models: in ``pyproject.toml``, ``setup.cfg`` or ``setup.py``, or as an environment in which
packages with models are installed. Nothing of it is run."""

from __future__ import annotations

import ast
import configparser
import glob
import os
from collections.abc import Iterable
from typing import Any

GROUP = "deepaas.v2.model"
ENVIRONMENT = "pyvenv.cfg"


def find(path: str) -> str | None:
    """The reason in words, or None."""
    names = declared(path)
    if names:
        return f"it declares the model{'s' if len(names) > 1 else ''} {', '.join(names)}"
    if os.path.isfile(os.path.join(path, ENVIRONMENT)) and _has_installed(path):
        return "packages with models are installed in it"
    return None


def declared(folder: str) -> dict[str, str]:
    """Name to ``module`` or ``module:attribute``, as the source of a package has it."""
    for file, read in (("pyproject.toml", _read_pyproject), ("setup.cfg", _read_cfg), ("setup.py", _read_setup)):
        try:
            with open(os.path.join(folder, file), encoding="utf-8") as source:
                found = read(source.read())
        except (OSError, ValueError, SyntaxError, RecursionError):
            continue
        if found:
            return found
    return {}


def entry_points(text: str) -> dict[str, str]:
    """Those of the group in an installed package's ``entry_points.txt``."""
    return _of_section(text, GROUP)


def _has_installed(environment: str) -> bool:
    for file in glob.glob(
        os.path.join(glob.escape(environment), "lib", "python*", "site-packages", "*-info", "entry*")
    ):
        try:
            with open(file, encoding="utf-8") as listed:
                if entry_points(listed.read()):
                    return True
        except (OSError, ValueError):
            continue
    return False


def _read_pyproject(text: str) -> dict[str, str]:
    import tomllib

    content = tomllib.loads(text)
    places = (("project", "entry-points"), ("tool", "poetry", "plugins"))
    groups = [_within(content, *place, GROUP) for place in places]
    return next((_texts(group) for group in groups if isinstance(group, dict)), {})


def _within(content: Any, *keys: str) -> Any:
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def _read_cfg(text: str) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.Error as fault:
        raise ValueError(str(fault)) from None
    for section in ("options.entry_points", "entry_points"):
        if parser.has_option(section, GROUP):
            return _of_lines(parser.get(section, GROUP).splitlines())
    return {}


def _read_setup(text: str) -> dict[str, str]:
    """What a call of ``setup`` is given word for word."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.keyword) and node.arg == "entry_points":
            try:
                given = ast.literal_eval(node.value)
            except (ValueError, TypeError, SyntaxError):
                continue
            if isinstance(given, str):
                return _of_section(given, GROUP)
            group = given.get(GROUP, []) if isinstance(given, dict) else []
            return _of_lines(group.splitlines() if isinstance(group, str) else group)
    return {}


def _of_section(text: str, section: str) -> dict[str, str]:
    parser = configparser.RawConfigParser(delimiters=("=",), strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(text)
    except configparser.Error as fault:
        raise ValueError(str(fault)) from None
    return dict(parser.items(section)) if parser.has_section(section) else {}


def _of_lines(lines: Iterable[Any]) -> dict[str, str]:
    pairs = [str(line).partition("=") for line in lines]
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def _texts(group: dict[str, Any]) -> dict[str, str]:
    return {name: value for name, value in group.items() if isinstance(value, str)}

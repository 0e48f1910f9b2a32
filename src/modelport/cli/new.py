"""``modelport new PLATFORM DIR``"""

from __future__ import annotations

import difflib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from modelport.core.model import as_name
from modelport.errors import ConfigError, SetupError

TEMPLATES = Path(__file__).parent / "templates"
SUFFIX = ".tmpl"
TRAINING = "train.py"
NEEDED = ("pandas", "sklearn", "joblib")
INSTALL = "pip install scikit-learn pandas"
ALSO_NEEDED = {"deepaas": "webargs"}
"""What a platform's models import beside that."""


def new(
    platform: Annotated[str, Parameter(help="Whose kind of model: dataiku, deepaas, drum or seldon.")],
    directory: Annotated[str, Parameter(help="The folder to make; it must not be there yet, or be empty.")],
    /,
) -> int:
    """Make a working model folder."""
    target = Path(directory)
    is_trained = scaffold(platform, target, shown=directory)
    where = shlex.quote(directory)
    print(f"Made {directory}: {', '.join(sorted(path.name for path in target.iterdir()))}")
    if not is_trained:
        print(f"Its models are not trained yet: {_install(platform)}, then: python {where}/{TRAINING}", file=sys.stderr)
    print(f"\nNext:\n  modelport check {where}\n  modelport serve {where}")
    return 0


def scaffold(platform: str, target: Path, shown: str | None = None) -> bool:
    """Writes and trains the models; false when training had to be left out. All or nothing: an error leaves no folder.

    ``shown`` is how the folder's own README names it.
    """
    templates = _templates(platform)
    if target.is_dir() and any(target.iterdir()):
        raise ConfigError(f"{target} is not empty", hint="name a folder that is not there yet")
    if target.exists() and not target.is_dir():
        raise ConfigError(f"{target} is a file", hint="name a folder that is not there yet")
    staging = target.absolute().parent / f".{target.absolute().name}.{os.getpid()}"
    try:
        staging.mkdir(parents=True)
        _write(templates, staging, service_id(target), shown or str(target))
        is_trained = _train(staging, platform)
        staging.rename(target)
    except OSError as fault:
        raise SetupError(f"cannot make {target}: {fault.strerror or fault}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return is_trained


def service_id(target: Path) -> str:
    """The folder's name, as far as an id may have its characters."""
    return as_name(target.absolute().name, "service")


def _templates(platform: str) -> Path:
    known = sorted(path.name for path in TEMPLATES.iterdir() if path.is_dir())
    if platform in known:
        return TEMPLATES / platform
    near = difflib.get_close_matches(platform.lower(), known, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    raise ConfigError(f"no example of a platform {platform!r} is known", hint=f"{meant}known: {', '.join(known)}")


def _write(templates: Path, folder: Path, service: str, shown: str) -> None:
    for subfolder in filter(Path.is_dir, templates.iterdir()):
        (folder / subfolder.name).mkdir()
    for template in sorted(templates.glob(f"*{SUFFIX}")):
        text = template.read_text().replace("{{service}}", service).replace("{{dir}}", shlex.quote(shown))
        (folder / template.name.removesuffix(SUFFIX)).write_text(text)


def _install(platform: str) -> str:
    return " ".join(filter(None, [INSTALL, ALSO_NEEDED.get(platform)]))


def _train(folder: Path, platform: str) -> bool:
    """Runs the folder's training in a process of its own, when what it needs is installed."""
    needed = (*NEEDED, *filter(None, [ALSO_NEEDED.get(platform)]))
    if not all(importlib.util.find_spec(name) for name in needed):
        return False
    ran = subprocess.run(
        [sys.executable, TRAINING],
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise SetupError(f"{TRAINING} failed", faults=ran.stderr.strip().splitlines()[-1:], hint=_install(platform))
    return True

"""One virtual environment for each peer, from its own pinned requirements."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from harness.peers import APPS, MODELPORT, VENVS, Peer, clean_environment

REFERENCE = "reference"
SERVERS = ("modelport", "litserve", "mlserver", "kserve", "mlflow-skinny", "seldon-core")
LIBRARIES = (
    "numpy",
    "pandas",
    "scikit-learn",
    "orjson",
    "flask",
    "grpcio",
    "uvicorn",
    "uvloop",
    "httptools",
    "fastapi",
    "starlette",
)
ASK = (
    "import importlib.metadata as m, json, sys;"
    "v = {'python': sys.version.split()[0]};"
    "names = {d.name.lower().replace('_', '-'): d.version for d in m.distributions()};"
    "v.update({n: names[n] for n in sys.argv[1:] if n in names});"
    "print(json.dumps(v))"
)


def prepare(peers: Iterable[Peer]) -> dict[str, dict[str, str]]:
    """Make what is missing; give the versions in each environment. All must share one scikit-learn."""
    pythons = {REFERENCE: VENVS / REFERENCE / "bin" / "python"}
    for peer in peers:
        pythons["modelport" if peer.ours else peer.python.parents[1].name] = peer.python
    for name, python in pythons.items():
        if name == "modelport":
            require_modelport()
        else:
            make(python, APPS / name / "requirements.txt")
    found = {name: versions(python) for name, python in pythons.items()}
    learners = {name: version.get("scikit-learn") for name, version in found.items()}
    if len(set(learners.values())) > 1:
        sys.exit(f"every environment needs the same scikit-learn, or the model differs: {learners}")
    return found


def require_modelport() -> None:
    """Modelport comes from the project's own environment, which is not made here."""
    if not MODELPORT.exists():
        sys.exit(
            f"{MODELPORT} is missing: install the project into .venv (pip install -e .), "
            "or measure the peers alone with --only litserve,mlserver,kserve,mlflow"
        )


def make(python: Path, requirements: Path) -> None:
    """Create a virtual environment unless it is there, made from the same requirements."""
    folder = python.parents[1]
    stamp = folder / "requirements.sha256"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"installing {folder.name} into {folder} ...", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True, timeout=120)
    subprocess.run([python, "-m", "pip", "install", "-qq", "-r", requirements], check=True, timeout=900)
    stamp.write_text(wanted)


def versions(python: Path) -> dict[str, str]:
    """Ask an environment for the versions that matter."""
    asked = subprocess.run(
        [python, "-c", ASK, *SERVERS, *LIBRARIES],
        env=clean_environment(),
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    found: dict[str, str] = json.loads(asked.stdout)
    return found

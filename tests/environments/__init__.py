"""Environments of models, made by the tests from locks; once, for all processes and runs."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".environments"


def made(lock: str, *packages: Path) -> Path:
    """The virtual environment with what ``<lock>.txt`` lists by its hashes, and with packages that lie in folders."""
    listed = HERE / f"{lock}.txt"
    sources = [file for package in packages for file in sorted(package.iterdir()) if file.is_file()]
    told = b"".join([listed.read_bytes(), sys.version.encode(), *(file.read_bytes() for file in sources)])
    folder = CACHE / f"{lock}-{hashlib.sha256(told).hexdigest()[:12]}"
    stamp = folder / "complete"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not stamp.exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", "-q"]
            subprocess.run([*pip, "--only-binary", ":all:", "--require-hashes", "-r", listed], check=True)
            if packages:
                copies = [shutil.copytree(package, folder / "sources" / package.name) for package in packages]
                subprocess.run([*pip, "--no-index", "--no-deps", "--no-build-isolation", *copies], check=True)
            stamp.touch()
    return folder

"""``modelport doctor [PATH]``"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import re
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from cyclopts import Parameter

from modelport import __version__, config
from modelport.cli.check import MARKS
from modelport.cli.options import Json
from modelport.errors import ConfigError, SetupError

if TYPE_CHECKING:
    from modelport.core.model import ModelSpec

OK, NOTE, FAIL = "ok", "note", "fail"
FEW_DESCRIPTORS = 1024
FEW_BYTES = 256 << 20
OLDEST_WORKER = (3, 9)
NOT_FOR_USERS = ("build", "dev")
"""Extras that only those who work on Modelport need."""


class Finding(NamedTuple):
    """``state`` is "ok", "note" (something is less than it could be) or "fail" (something would fail)."""

    about: str
    state: str
    text: str
    hint: str = ""


def doctor(
    path: Annotated[str | None, Parameter(help="A model's folder or file.")] = None,
    /,
    *,
    port: Annotated[int, Parameter(help="The port that a server would listen on.")] = config.Settings().port,
    json: Json = False,
) -> int:
    """Say what is installed, missing, or needed by a model."""
    findings = [*machine(), *packages(), *limits(port)]
    if path is not None:
        findings += model(path)
    is_good = all(finding.state != FAIL for finding in findings)
    if json:
        from modelport.core import jsontext

        print(jsontext.dumps({"ok": is_good, "findings": [finding._asdict() for finding in findings]}).decode())
    else:
        _show(findings)
    return 0 if is_good else 1


def machine() -> Iterator[Finding]:
    """Versions, processors, memory."""
    from modelport.pool.sizing import cpus, memory

    yield Finding("modelport", OK, f"{__version__} in {Path(__file__).resolve().parent.parent}")
    yield Finding("python", OK, f"{platform.python_version()} at {sys.executable}")
    system = sys.platform == "linux" or sys.platform == "darwin"
    yield Finding("system", OK if system else FAIL, platform.platform(), "" if system else "use Linux or macOS")
    yield Finding("processors", OK, f"{cpus():g} available of {os.cpu_count()}")
    size = memory()
    yield Finding("memory", OK if size >= FEW_BYTES else NOTE, f"{size / (1 << 30):.1f} GiB available")


def packages() -> Iterator[Finding]:
    """What Modelport requires, and what its extras would add."""
    missing: dict[str, list[str]] = {}
    found: dict[str, list[str]] = {}
    for line in importlib.metadata.requires("modelport") or []:
        name = re.match(r"[\w.-]+", line)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        group = extra[1] if extra else ""
        if name is None or group in NOT_FOR_USERS:
            continue
        try:
            found.setdefault(group, []).append(f"{name[0]} {importlib.metadata.version(name[0])}")
        except importlib.metadata.PackageNotFoundError:
            missing.setdefault(group, []).append(name[0])
    for group in dict.fromkeys([*found, *missing]):
        about = f"extra {group}" if group else "packages"
        lost = missing.get(group)
        if not lost:
            yield Finding(about, OK, ", ".join(found[group]))
        else:
            hint = f"pip install {' '.join(lost)}"
            yield Finding(about, NOTE if group else FAIL, f"missing: {', '.join(lost)}", hint)
    uv = shutil.which("uv")
    yield (
        Finding("uv", OK, uv)
        if uv
        else Finding("uv", NOTE, "not on PATH; it makes an environment for a model quickly", "pip install uv")
    )


def limits(port: int) -> Iterator[Finding]:
    """What the system lets a server have."""
    from modelport.server.lifecycle import bind

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
    few = hard != resource.RLIM_INFINITY and hard < FEW_DESCRIPTORS
    hint = "ulimit -Hn, or LimitNOFILE of the service" if few else ""
    yield Finding("open files", NOTE if few else OK, f"{soft}, which a server raises to {most}", hint)
    host = config.Settings().host
    try:
        bind(host, port).close()
        yield Finding("port", OK, f"{host}:{port} is free")
    except SetupError as error:
        yield Finding("port", FAIL, error.message, error.hint or "")
    try:
        with tempfile.TemporaryFile() as file:
            free = shutil.disk_usage(tempfile.gettempdir()).free
            file.write(b"x")
        yield Finding("temporary files", OK, f"{free / (1 << 30):.1f} GiB free in {tempfile.gettempdir()}")
    except OSError as fault:
        yield Finding("temporary files", FAIL, str(fault), "set TMPDIR to a folder that can be written")


def model(path: str) -> Iterator[Finding]:
    """What the models at ``path`` are, and what each would need; none of their code runs."""
    from modelport import platforms
    from modelport.packages.find import find

    reasons = {name: contract.find(path) for name, contract in platforms.loaded("modelport.contracts")}
    try:
        specs = find(path, config.resolve({}))
    except SetupError as error:
        yield Finding(path, FAIL, error.describe(), error.hint or "")
        return
    contract = specs[0].contract
    why = reasons.get(contract) or "modelport.yaml says so"
    yield Finding(path, OK, f"{contract}, because {why}: {', '.join(spec.name for spec in specs)}")
    for spec in specs:
        for one in spec.models:
            yield from _needs(one)


def _needs(spec: ModelSpec) -> Iterator[Finding]:
    from modelport.cli.dialects import dialect_of
    from modelport.cli.needs import ask_interpreter, imported, needed
    from modelport.pool.sizing import cpus

    asked = ask_interpreter(spec)
    if asked.fault:
        yield Finding(spec.name, FAIL, f"{asked.path} does not start: {asked.fault}", "name another as environment")
        return
    version = ".".join(map(str, asked.version))
    if asked.version < OLDEST_WORKER:
        oldest = ".".join(map(str, OLDEST_WORKER))
        yield Finding(spec.name, FAIL, f"{asked.path} is Python {version}", f"a worker needs {oldest} or newer")
    if asked.missing:
        lost = ", ".join(asked.missing)
        yield Finding(spec.name, FAIL, f"imports what is not there: {lost}", f"install into {asked.path}")
    else:
        names = ", ".join(sorted(imported(spec))) or "nothing beyond the standard library"
        yield Finding(spec.name, OK, f"Python {version}; imports {names}")
    for program, hint in needed(spec).programs.items():
        yield Finding(spec.name, FAIL, f"needs {program}, which is not there", hint)
    if spec.pool.ceil > cpus():
        text = f"up to {spec.pool.ceil} workers on {cpus():g} processors"
        yield Finding(spec.name, NOTE, text, "a lower ceil, unless the model waits for something")
    with contextlib.suppress(ConfigError):  # nothing is known of how to ask it
        dialect = dialect_of(spec)
        if not dialect.saved(spec):
            yield Finding(spec.name, NOTE, "has no saved test query to try it with", dialect.saving)


def _show(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
    table.add_column(width=1)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        mark, colour = MARKS[finding.state]
        hint = f"\nhint: {finding.hint}" if finding.hint else ""
        table.add_row(Text(mark, colour), finding.about, Text(f"{finding.text}{hint}"))
    Console().print(table)

"""``modelport check PATH``"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from modelport import config
from modelport.cli.address import read_data
from modelport.cli.dialects import dialect_of
from modelport.cli.options import Endpoint, Json, Verbose
from modelport.core import jsontext
from modelport.core.model import Description, ModelSpec
from modelport.errors import LoadError

if TYPE_CHECKING:
    from modelport.cli.checks import Finding

MARKS = {"ok": ("✓", "green"), "note": ("!", "yellow"), "fail": ("✗", "red")}


@dataclass
class Checked:
    """One model and what was found; without a description it did not load."""

    spec: ModelSpec
    description: Description | None = None
    load_seconds: float = 0.0
    traceback: str = ""
    hint: str | None = None
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return all(finding.state != "fail" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.spec.name,
            "contract": self.spec.contract,
            "operation": self.spec.operation,
            "ok": self.is_good,
            "load_seconds": round(self.load_seconds, 3),
            "description": None if self.description is None else asdict(self.description),
            "findings": [finding._asdict() for finding in self.findings],
            "traceback": self.traceback,
            "hint": self.hint,
        }


def check(
    path: Annotated[str, Parameter(help="A model's folder or file.")],
    /,
    *,
    endpoint: Endpoint = None,
    data: Annotated[
        str | None, Parameter(help="A query to try, or a file of rows: JSON, @FILE, or -.", allow_leading_hyphen=True)
    ] = None,
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Load models and try them, without a server."""
    from modelport.cli.local import choose, choose_one
    from modelport.monitoring import logs
    from modelport.packages.find import find

    settings = config.resolve({})
    logs.configure("human", "info" if verbose else "critical")
    specs = choose(find(path, settings), endpoint)
    if data is not None:
        spec = choose_one(specs, None)
        specs = [dialect_of(spec).given(spec, read_data(data))]
    return report(specs, settings, json)


def report(specs: Sequence[ModelSpec], settings: config.Settings, is_json: bool, is_strict: bool = False) -> int:
    """Tries the models and says what was found; the exit code. Of a strict report some notes are failures."""
    import uvloop

    checked = uvloop.run(_check_all(specs, settings, is_strict))
    is_good = all(one.is_good for one in checked)
    if is_json:
        print(jsontext.dumps({"ok": is_good, "models": [one.to_dict() for one in checked]}).decode())
    else:
        _show(checked)
    return 0 if is_good else 1


async def _check_all(specs: Sequence[ModelSpec], settings: config.Settings, is_strict: bool) -> list[Checked]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = TextColumn("{task.description}"), BarColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        return [await _check_one(spec, settings, is_strict, progress) for spec in specs]


async def _check_one(spec: ModelSpec, settings: config.Settings, is_strict: bool, progress: Any) -> Checked:
    from modelport.cli.checks import FAIL, OK, Checks, Finding
    from modelport.cli.local import loaded

    checked = Checked(spec)
    bar = progress.add_task(f"{spec.name}: loading", total=None)
    try:
        async with loaded(spec, settings) as model:
            checked.description = model.description
            checked.load_seconds = model.load_seconds
            checked.findings.append(Finding("loads", OK, f"in {model.load_seconds:.1f} s"))
            checks = Checks(model, is_strict)
            progress.update(bar, total=checks.total)
            async for finding in checks.run():
                checked.findings.append(finding)
                progress.update(bar, advance=1, description=f"{spec.name}: {finding.check}")
    except LoadError as error:
        checked.findings.append(Finding("loads", FAIL, error.message))
        checked.traceback, checked.hint = error.traceback, error.hint
    progress.remove_task(bar)
    return checked


def _show(checked: list[Checked]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for one in checked:
        table = Table(box=None, show_header=False, padding=(0, 1), expand=False)
        table.add_column(width=1)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for finding in one.findings:
            mark, colour = MARKS[finding.state]
            table.add_row(Text(mark, colour), finding.check, Text(finding.detail))
        console.print(Text(one.spec.name, "bold"), Text(_described(one)), sep="  ")
        console.print(table)
        if one.traceback:
            console.print(Text(one.traceback.rstrip(), "dim"))
        if one.hint:
            console.print(Text(f"hint: {one.hint}"))
        console.print()
    failed = [one.spec.name for one in checked if not one.is_good]
    console.print(Text(f"{', '.join(failed)}: not good" if failed else "all good", "red" if failed else "green"))


def _described(one: Checked) -> str:
    options = one.spec.options
    kind = str(options.get("prediction") or options.get("target") or one.spec.operation).lower()
    if one.description is not None:
        kind = one.description.details.get("targetType", kind)
    text = f"{one.spec.contract} {kind}"
    if one.description is None:
        return text
    text += f", takes {one.description.takes}"
    if not one.description.inputs:
        return text
    names = [item.name for item in one.description.inputs[:6]]
    more = len(one.description.inputs) - len(names)
    return f"{text}: {', '.join(names)}{f' and {more} more' if more else ''}"

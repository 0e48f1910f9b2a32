"""``modelport drum perf-test``"""

from __future__ import annotations

import contextlib
import itertools
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from cyclopts import Parameter

from modelport import config
from modelport.cli.complain import complain
from modelport.cli.drum.options import Code
from modelport.cli.options import Json, Verbose
from modelport.errors import ConfigError, InvalidOutput, LoadError, ModelError

if TYPE_CHECKING:
    from modelport.cli.local import LocalModel
    from modelport.core.model import ModelSpec

POWERS = range(7)
"""Of ten: how many rows a request has where nobody says."""
MAX_RECORDS = 100_000
MAX_BODY = 64 << 20
NAMES = ("min", "mean", "p95", "max")
DRAWN = ("min", "mean", "p95")
NOTE = (
    "One request after another in one worker, timed from before it is sent until its answer is there, without HTTP. "
    "Memory is the most that the worker had at a time."
)


@Parameter(name="*")
@dataclass(frozen=True)
class Plan:
    """What is sent how often."""

    samples: Annotated[
        list[int] | None,
        Parameter(
            help="Rows a request. Default 1, 10, 100 and so on, while a request takes no longer than --seconds.",
            consume_multiple=True,
            negative="",
            show_default=False,
        ),
    ] = None
    iterations: Annotated[int, Parameter(help="Requests of each size.")] = 100
    seconds: Annotated[float, Parameter(help="How long each size may take; fewer requests are sent, then.")] = 5.0


USUAL = Plan()


class Measured(NamedTuple):
    """One size: the rows and bytes of a request, the seconds that each took, the worker's most memory where known."""

    rows: int
    size: int
    seconds: list[float]
    memory: int | None

    def to_dict(self) -> dict[str, Any]:
        ordered = sorted(self.seconds)
        mean = sum(ordered) / len(ordered)
        times = ordered[0], mean, ordered[math.ceil(len(ordered) * 0.95) - 1], ordered[-1]
        return {
            "rows": self.rows,
            "bytes": self.size,
            "requests": len(ordered),
            "ms": {name: round(value * 1000, 4) for name, value in zip(NAMES, times, strict=True)},
            "rows_per_second": round(self.rows / mean, 1),
            "bytes_per_second": round(self.size / mean),
            "peak_memory": self.memory,
        }


def perf_test(
    *,
    code: Code,
    source: Annotated[
        str,
        Parameter(
            name="--input",
            help="A CSV file with rows, as it is or packed with gzip; - is standard input.",
            allow_leading_hyphen=True,
        ),
    ],
    output: Annotated[
        Path | None, Parameter(help="Draw the times into this file, .svg or .html.", show_default=False)
    ] = None,
    plan: Plan = USUAL,
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Measure how long requests of 1 row, 10 rows and so on take."""
    import uvloop

    from modelport.monitoring import logs

    _check(output, plan)
    settings = config.resolve({"log_level": "error"})
    logs.configure("human", "info" if verbose else settings.log_level)
    spec = code.find(settings)
    rows = Rows(spec, source)
    try:
        measured = uvloop.run(_measure(spec, settings, rows, plan, verbose))
    except (LoadError, ModelError) as error:
        complain(error)
        return 1
    report = {"model": spec.name, "input": source, "sizes": [size.to_dict() for size in measured]}
    _show(report, json)
    if output is not None:
        output.write_text(_drawn(report, output.suffix.lower()), encoding="utf-8")
        print(f"wrote {output}", file=sys.stderr)
    return 0


def _check(output: Path | None, plan: Plan) -> None:
    faults = []
    if output is not None and output.suffix.lower() not in (".svg", ".html"):
        faults.append(f"--output {output} is neither .svg nor .html")
    if output is not None and not output.absolute().parent.is_dir():
        faults.append(f"there is no folder {output.absolute().parent}")
    if any(rows < 1 for rows in plan.samples or []):
        faults.append("--samples must be 1 or more")
    if plan.iterations < 1:
        faults.append("--iterations must be 1 or more")
    if not 0 < plan.seconds < math.inf:
        faults.append("--seconds must be above 0")
    if faults:
        raise ConfigError("this cannot be measured", faults=faults)


class Rows:
    """The records of a file, over and over."""

    def __init__(self, spec: ModelSpec, path: str) -> None:
        from modelport.cli import csvcut
        from modelport.cli.datafile import DataFile
        from modelport.cli.dialects import FILES

        with DataFile(path) as file:
            if not file.can_be_cut or FILES.is_opaque(spec):
                raise ConfigError(
                    "perf-test repeats the rows of a CSV file, which this model does not take",
                    hint="modelport bench sends one request over and over",
                )
            first = next(csvcut.chunks(file.read), None)
            self.content_type = file.content_type
        self._head, body = csvcut.parted(first.data if first else b"")
        end = b"\r\n" if self._head.endswith(b"\r\n") else b"\n"
        records = csvcut.split(body)[:MAX_RECORDS]
        self._records = [record if record.endswith((b"\r", b"\n")) else record + end for record in records]
        if not records:
            raise ConfigError(f"{file.name} has no rows")

    def body(self, rows: int) -> bytes:
        """CSV with so many rows."""
        return self._head + b"".join(itertools.islice(itertools.cycle(self._records), rows))

    def size(self, rows: int) -> int:
        """Bytes that ``body`` has, roughly."""
        return sum(map(len, self._records)) // len(self._records) * rows


async def _measure(spec: ModelSpec, settings: config.Settings, rows: Rows, plan: Plan, verbose: bool) -> list[Measured]:
    from modelport.cli.dialects import FILES
    from modelport.cli.local import loaded

    sizes = plan.samples or [10**power for power in POWERS]
    measured: list[Measured] = []
    async with loaded(spec, settings, FILES) as model:
        with _progress(len(sizes), is_shown=sys.stderr.isatty() and not verbose) as tell:
            for size in sizes:
                if plan.samples is None and measured and _is_enough(measured[-1], size, rows, plan):
                    break
                tell(f"{size:,} rows")
                measured.append(await _measure_size(model, rows, size, plan))
    return measured


def _is_enough(last: Measured, size: int, rows: Rows, plan: Plan) -> bool:
    """Whether the next size is one too many, going by how long the last took."""
    return rows.size(size) > MAX_BODY or min(last.seconds) * size / last.rows > plan.seconds


async def _measure_size(model: LocalModel, rows: Rows, size: int, plan: Plan) -> Measured:
    from modelport.cli.dialects import FILES

    body = rows.body(size)
    request = FILES.of_file(model.spec, body, rows.content_type)
    seconds: list[float] = []
    _forget_peak(model.pid)
    end = time.perf_counter() + plan.seconds
    for number in range(plan.iterations + 1):
        begin = time.perf_counter()
        reply = await model.ask(request)
        took = time.perf_counter() - begin
        if reply.code is not None or reply.status >= 400:
            raise InvalidOutput(f"{size} rows: {FILES.fault(reply.body)}")
        if number or took > plan.seconds:  # the first warms up
            seconds.append(took)
        if seconds and time.perf_counter() > end:
            break
    return Measured(size, len(body), seconds, _peak(model.pid))


def _forget_peak(pid: int) -> None:
    """Has Linux begin anew to look for the most memory of a process."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def _peak(pid: int) -> int | None:
    """The most memory that a process had, in bytes; None where the system does not tell."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration, ValueError):
        return None


@contextlib.contextmanager
def _progress(total: int, is_shown: bool) -> Iterator[Callable[[str], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = TextColumn("{task.description}"), BarColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not is_shown) as shown:
        bar = shown.add_task("loading", total=total)
        yield lambda what: shown.update(bar, advance=1, description=what)


HEAD = ("rows", "sent", *(f"{name} ms" for name in NAMES), "rows/s", "MB/s", "peak MB")


def _cells(size: dict[str, Any]) -> list[str]:
    memory = "" if size["peak_memory"] is None else f"{size['peak_memory'] / 1e6:.0f}"
    times = [f"{size['ms'][name]:.2f}" for name in NAMES]
    rates = [f"{size['rows_per_second']:.0f}", f"{size['bytes_per_second'] / 1e6:.2f}"]
    return [f"{size['rows']:,}", str(size["requests"]), *times, *rates, memory]


def _show(report: dict[str, Any], is_json: bool) -> None:
    if is_json:
        from modelport.core import jsontext

        print(jsontext.dumps(report).decode())
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in HEAD:
        table.add_column(title, justify="right", no_wrap=True)
    for size in report["sizes"]:
        table.add_row(*_cells(size))
    Console().print(table)


def _drawn(report: dict[str, Any], suffix: str) -> str:
    """Times by rows, as SVG or as a page."""
    from modelport.cli import chart

    sizes = sorted(report["sizes"], key=lambda size: size["rows"])
    across = chart.Powers((size["rows"] for size in sizes), "rows a request")
    up = chart.Powers((size["ms"][name] for size in sizes for name in DRAWN), unit=" ms")
    curves = [
        chart.Curve(
            name,
            [
                (size["rows"], size["ms"][name], f"{name}: {size['ms'][name]:.2f} ms for {size['rows']:,} rows")
                for size in sizes
            ],
        )
        for name in DRAWN
    ]
    label = f"Time of a request to {report['model']}, by rows"
    drawn = chart.chart(curves, across, up, label, is_alone=suffix == ".svg")
    if suffix == ".svg":
        return drawn + "\n"
    return chart.page(
        title=label,
        subtitle=f"rows of {report['input']}",
        note=NOTE,
        chart=drawn,
        table=chart.table(HEAD, map(_cells, sizes)),
    )

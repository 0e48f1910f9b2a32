"""``modelport bench PATH|URL``"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from cyclopts import Parameter

from modelport import config
from modelport.cli.address import is_url, parse, read_data
from modelport.cli.bench_page import told_errors
from modelport.cli.call import ask_server, refuse_for_url, request_for
from modelport.cli.options import USUAL, Asked, Json
from modelport.errors import ConfigError, SetupError

if TYPE_CHECKING:
    from modelport.cli.load import Measured, Question

PARTS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""The rates that are measured when none is given, as parts of what the server can do."""
MAX_RATE, MAX_SECONDS, MAX_CONNECTIONS, MAX_STEPS = 100_000, 600, 512, 50
PROBE_SECONDS = 2.0


class Plan(NamedTuple):
    """``rates`` is empty for a ramp up to what the server can do."""

    url: str
    question: Question
    rates: list[float]
    seconds: float
    connections: int


@Parameter(name="*")
@dataclass(frozen=True)
class Schedule:
    """How much load for how long."""

    rate: Annotated[
        list[float] | None,
        Parameter(help="Requests a second; may be given several times.", negative="", show_default=False),
    ] = None
    ramp: Annotated[str | None, Parameter(help="FIRST:LAST:STEPS, evenly spaced rates.", show_default=False)] = None
    seconds: Annotated[float, Parameter(help="How long each rate is kept up.")] = 5.0
    connections: Annotated[int, Parameter(help="Connections that share the load.")] = 16
    remote: Annotated[bool, Parameter(help="Allow a URL of another machine.", negative="")] = False


USUAL_SCHEDULE = Schedule()


def bench(
    target: Annotated[str, Parameter(help="A model's folder or file, or the URL of a running server's route.")],
    /,
    *,
    asked: Asked = USUAL,
    schedule: Schedule = USUAL_SCHEDULE,
    json: Json = False,
    html: Annotated[
        Path | None, Parameter(help="Write one page with the curve to this file.", show_default=False)
    ] = None,
) -> int:
    """Measure latency under a steady load."""
    rates = read_rates(schedule)
    if html is not None and not html.absolute().parent.is_dir():
        raise ConfigError(f"there is no folder {html.absolute().parent}")
    with questioned(target, asked, schedule.remote) as (url, question):
        measured = measure(Plan(url, question, rates, schedule.seconds, schedule.connections))
    report: dict[str, Any] = {
        "target": target,
        "url": url,
        "connections": schedule.connections,
        "seconds": schedule.seconds,
        "steps": [step.to_dict() for step in measured],
    }
    show(report, json)
    if html is not None:
        from modelport.cli.bench_page import page

        html.write_text(page(report), encoding="utf-8")
        print(f"wrote {html}", file=sys.stderr)
    return 0 if any(step.good for step in measured) else 1


def read_rates(schedule: Schedule) -> list[float]:
    """The rates asked for, none for the usual ramp. Raises ``ConfigError`` for a load out of bounds."""
    rates = list(schedule.rate or [])
    faults = []
    if schedule.ramp is not None:
        if rates:
            faults.append("--rate and --ramp exclude each other")
        rates = _read_ramp(schedule.ramp)
    if not all(0 < rate <= MAX_RATE for rate in rates):
        faults.append(f"rates must be above 0 and at most {MAX_RATE}")
    if len(rates) > MAX_STEPS:
        faults.append(f"at most {MAX_STEPS} rates")
    if not 0 < schedule.seconds <= MAX_SECONDS:
        faults.append(f"--seconds must be above 0 and at most {MAX_SECONDS}")
    if not 1 <= schedule.connections <= MAX_CONNECTIONS:
        faults.append(f"--connections must be from 1 to {MAX_CONNECTIONS}")
    if faults:
        raise ConfigError("this load cannot be made", faults=faults)
    return rates


def _read_ramp(ramp: str) -> list[float]:
    try:
        first, last, steps = ramp.split(":")
        low, high, count = float(first), float(last), min(int(steps), MAX_STEPS + 1)
        return [low + (high - low) * step / (count - 1) for step in range(count)]
    except (ValueError, ZeroDivisionError):
        raise ConfigError(f"--ramp {ramp} is not FIRST:LAST:STEPS", hint="for instance --ramp 100:1000:4") from None


@contextlib.contextmanager
def questioned(target: str, asked: Asked, is_remote_allowed: bool) -> Iterator[tuple[str, Question]]:
    """What to send where. A path is served for as long as this lasts."""
    from modelport.cli.load import Question

    data = None if asked.data is None else read_data(asked.data)
    if is_url(target):
        refuse_for_url(asked)
        check_reach(target, is_remote_allowed)
        yield target, Question(parse(target), data, asked.key, asked.media_type)
        return
    from modelport.cli.background import serving
    from modelport.cli.dialects import dialect_of
    from modelport.cli.local import choose_one
    from modelport.packages.find import find

    spec = choose_one(find(target, config.resolve({})), asked.endpoint)
    request = request_for(spec, asked, data)
    key = asked.key or next((known for known in spec.keys or () if not known.startswith("sha256:")), None)
    with serving(target) as base:
        query = f"?{request.query}" if request.query else ""
        url = f"{base}{dialect_of(spec).path(spec, request.verb)}{query}"
        body = None if request.query else bytes(request.body)
        yield url, Question(parse(url), body, key, request.headers["content-type"])


def check_reach(url: str, is_remote_allowed: bool) -> None:
    """Raises ``ConfigError`` for another machine, unless that was asked for."""
    from modelport.server.lifecycle import is_loopback

    host = parse(url).host
    if not is_remote_allowed and not is_loopback(host):
        raise ConfigError(
            f"{host} is not this machine, and load on others may do harm",
            hint="--remote, if you may load that server",
        )


def measure(plan: Plan) -> list[Measured]:
    """Every rate in turn, with a bar on the terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from modelport.cli import load

    check_answer(plan)
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    with Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        refresh_per_second=4,
        disable=not sys.stderr.isatty(),
    ) as progress:
        bar = progress.add_task("" if plan.rates else "capacity", total=None)
        measured: list[Measured] = load.run(_steps(plan, lambda **news: progress.update(bar, **news)))
    return measured


def check_answer(plan: Plan) -> None:
    """One request first. Raises ``SetupError`` unless it is answered well: nobody needs the latency of errors."""
    first = ask_server(plan.url, plan.question.body, plan.question.key, media_type=plan.question.media_type)
    if not 200 <= first.status < 300:
        told = first.body.decode("utf-8", "replace").strip()[:300]
        raise SetupError(f"the first request was answered {first.status}: {told}")


async def _steps(plan: Plan, tell: Callable[..., None]) -> list[Measured]:
    import asyncio

    from modelport.cli.load import ClosedLoop, Load

    rates = plan.rates
    if not rates:
        best = await ClosedLoop(plan.question, PROBE_SECONDS, plan.connections).run()
        if not best.good:
            raise SetupError("no request was answered well", faults=[told_errors(best.errors)])
        rates = [best.per_second * part for part in PARTS]
    tell(total=len(rates) * plan.seconds)
    measured = []
    for number, rate in enumerate(rates):
        tell(description=f"{rate:.0f}/s", completed=number * plan.seconds)
        step = asyncio.ensure_future(Load(plan.question, rate, plan.seconds, plan.connections).run())
        while not (await asyncio.wait([step], timeout=0.5))[0]:
            tell(advance=0.5)
        measured.append(step.result())
    return measured


def show(report: dict[str, Any], is_json: bool) -> None:
    """A table, or JSON."""
    if is_json:
        from modelport.core import jsontext

        print(jsontext.dumps(report).decode())
        return
    from rich.console import Console
    from rich.table import Table

    names = list(next((step["latency_ms"] for step in report["steps"] if step["latency_ms"]), {}))
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("rate/s", "good/s", *(f"{name} ms" for name in names), "errors", "unfinished"):
        table.add_column(title, justify="right")
    for step in report["steps"]:
        times = [f"{step['latency_ms'].get(name, float('nan')):.2f}" for name in names]
        errors = told_errors(step["errors"])
        table.add_row(
            f"{step['rate']:.0f}", f"{step['answered_per_second']:.0f}", *times, errors, str(step["unfinished"])
        )
    Console().print(table)
    lag = max(step["client_lag_ms"] for step in report["steps"])
    load = f"{report['connections']} connections, {report['seconds']:g} s a rate"
    print(f"{load}; the client sent up to {lag:.1f} ms late")

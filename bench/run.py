#!/usr/bin/env python3
"""Measure Modelport and its peers side by side on this machine. See README.md."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import plot
import psutil
from harness import environments, report
from harness.load import require_wrk
from harness.measure import Bench
from harness.peers import BENCH, PEERS, Peer
from harness.processes import Processes, ServerError
from harness.scenarios import SCENARIOS

RESULTS = BENCH / "results"
README = BENCH / "README.md"


class StoppedError(Exception):
    """The run was told to stop, or its time is up."""


def main() -> None:
    """Measure, or show an earlier result again."""
    options = arguments()
    if options.show:
        show(json.loads(options.show.read_text()), options.show, options.write_readme)
        return
    sys.exit(measure(options))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    peers = [peer.name for peer in PEERS]
    scenarios = [scenario.name for scenario in SCENARIOS]
    usual = ",".join(peer.name for peer in PEERS if peer.default)
    parser.add_argument(
        "--only",
        type=choice(peers),
        default=usual,
        metavar="A,B",
        help=f"of {', '.join(peers)} (default: {usual})",
    )
    parser.add_argument(
        "--scenarios",
        type=choice(scenarios),
        default=",".join(scenarios),
        metavar="A,B",
        help=f"of {', '.join(scenarios)} (default: all)",
    )
    parser.add_argument("--rounds", type=int, default=5, help="times everything is measured (default: 5)")
    parser.add_argument("--secs", type=int, default=2, help="seconds of one load (default: 2)")
    parser.add_argument("--quick", action="store_true", help="one round of 1 s: does it work at all")
    parser.add_argument("--minutes", type=float, default=30, help="stop after this long (default: 30)")
    parser.add_argument("--port", type=int, default=29310, help="the first of its ports (default: 29310)")
    parser.add_argument("--out", type=Path, help="result file (default: results/DATE.json)")
    parser.add_argument("--write-readme", action="store_true", help="put the tables into README.md")
    parser.add_argument("--show", type=Path, metavar="RESULT", help="measure nothing: show this result again")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.secs = 1, 1
    if min(options.rounds, options.secs, options.minutes) <= 0:
        parser.error("--rounds, --secs and --minutes must be above zero")
    return options


def choice(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Make a reader of a comma-separated choice."""

    def read(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"unknown {', '.join(unknown)}; known: {', '.join(known)}")
        return names

    return read


def stop(number: int, frame: FrameType | None) -> None:
    """Leave the run through its clean-up, which no further signal may disturb."""
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(other, signal.SIG_IGN)
    raise StoppedError("the time is up" if number == signal.SIGALRM else signal.Signals(number).name)


def measure(options: argparse.Namespace) -> int:
    """Do a run and keep its result. The exit code is 0 only when every cell is good."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, stop)
    wrk = require_wrk()
    peers = [peer for peer in PEERS if peer.name in options.only]
    bench, stopped, begin, load = None, None, time.monotonic(), os.getloadavg()[0]
    found: dict[str, dict[str, str]] = {}
    try:
        found = environments.prepare(peers)
        signal.setitimer(signal.ITIMER_REAL, options.minutes * 60)
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, Processes(Path(folder)) as processes:
            bench = make(Path(folder), processes, peers, options)
            bench.run()
    except (StoppedError, ServerError) as error:
        stopped = str(error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if not bench or not bench.cells:
        print(f"nothing measured: {stopped}", file=sys.stderr)
        return 1
    result = {
        "date": datetime.datetime.now().astimezone().date().isoformat(),
        "complete": not stopped,
        "machine": machine() | {"wrk": wrk, "load_before": round(load, 2)},
        "versions": found,
        "options": {"rounds": options.rounds, "seconds": options.secs, "only": options.only},
        "took_s": round(time.monotonic() - begin),
        "notes": bench.notes,
        "summary": report.summarize(bench.cells),
        "cells": bench.cells,
    }
    out = options.out or RESULTS / f"{result['date']}{'-quick' if options.quick else ''}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    show(result, out, options.write_readme and not stopped)
    failed = [cell for cell in bench.cells if "failed" in cell]
    for reason in dict.fromkeys(cell["failed"] for cell in failed):
        where = dict.fromkeys(f"{cell['scenario']}/{cell['target']}" for cell in failed if cell["failed"] == reason)
        print(f"FAILED {', '.join(where)}: {reason}", file=sys.stderr)
    if stopped:
        print(f"stopped early: {stopped}; the result is not complete", file=sys.stderr)
    return 1 if failed or stopped else 0


def make(folder: Path, processes: Processes, peers: list[Peer], options: argparse.Namespace) -> Bench:
    """Build the run that the options ask for."""
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in options.scenarios]
    return Bench(folder, processes, peers, scenarios, options.rounds, options.secs, options.port)


def show(result: dict[str, Any], file: Path, readme: bool) -> None:
    """Print the tables, draw the picture, and write the README if asked."""
    print("\n" + report.tables(result))
    plot.draw(result, file.with_suffix(".png"))
    print(f"\n{file} and {file.with_suffix('.png').name}")
    if readme:
        report.write_readme(README, result)


def machine() -> dict[str, Any]:
    """Say what this runs on."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cores": os.cpu_count(),
        "cpu": models[0].split(":", 1)[1].strip() if models else platform.machine(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    main()

"""One self-contained page with the latency/throughput curve of ``modelport bench``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelport.cli import chart

SHOWN = ("p50", "p90", "p99")
NOTE = (
    "Open loop: requests leave on a fixed schedule, and each is timed from the moment it should have left. Latency "
    "counts good answers; a request still unanswered at the end counts with its age."
)


def page(report: dict[str, Any]) -> str:
    """The report of ``bench`` as HTML."""
    return chart.page(
        title=f"Latency of {report['target']}",
        subtitle=f"{report['url']}, {report['connections']} connections, {report['seconds']:g} s a rate",
        note=NOTE,
        chart=curves([step for step in report["steps"] if step["latency_ms"]]),
        table=table(report["steps"]),
    )


def curves(steps: list[dict[str, Any]]) -> str:
    """Latency against good answers a second; empty without a good answer."""
    if not steps:
        return ""
    steps = sorted(steps, key=lambda step: step["answered_per_second"])
    rates = [step["answered_per_second"] for step in steps]
    up = chart.Powers((step["latency_ms"][name] for step in steps for name in SHOWN), unit=" ms")
    drawn = [
        chart.Curve(
            name,
            [
                (rate, step["latency_ms"][name], f"{name}: {step['latency_ms'][name]:.2f} ms at {rate:.0f}/s")
                for rate, step in zip(rates, steps, strict=True)
            ],
        )
        for name in SHOWN
    ]
    return chart.chart(drawn, chart.Linear(rates, "good answers a second"), up, "Latency against good answers a second")


def told_errors(errors: Mapping[str, int]) -> str:
    """Such as "12 with 503, 1 connection lost"."""
    told = (f"{count} with {what}" if what.isdigit() else f"{count} {what}" for what, count in errors.items())
    return ", ".join(told) or "0"


def table(steps: list[dict[str, Any]]) -> str:
    """The figures as an HTML table."""
    names = list(next((step["latency_ms"] for step in steps if step["latency_ms"]), {}))
    rows = []
    for step in steps:
        times = [f"{step['latency_ms'][name]:.2f}" if name in step["latency_ms"] else "" for name in names]
        rates = [f"{step['rate']:.0f}", f"{step['answered_per_second']:.0f}"]
        rows.append([*rates, *times, told_errors(step["errors"]), step["unfinished"]])
    return chart.table(["rate/s", "good/s", *(f"{name} ms" for name in names), "errors", "unfinished"], rows)

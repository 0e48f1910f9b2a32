"""One self-contained page with the latency/throughput curve of ``modelport bench``."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).parent / "templates" / "bench.html"
SHOWN = ("p50", "p90", "p99")
WIDTH, HEIGHT = 860, 380
LEFT, RIGHT, TOP, BOTTOM = 60, 50, 15, 45


def page(report: dict[str, Any]) -> str:
    """The report of ``bench`` as HTML."""
    parts = {
        "title": html.escape(f"Latency of {report['target']}"),
        "subtitle": html.escape(
            f"{report['url']}, {report['connections']} connections, {report['seconds']:g} s a rate"
        ),
        "chart": chart([step for step in report["steps"] if step["latency_ms"]]),
        "table": table(report["steps"]),
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    for name, value in parts.items():
        text = text.replace(f"{{{{{name}}}}}", value)
    return text


class Scale:
    """Good answers a second, from 0, across; milliseconds, by powers of ten, upwards."""

    def __init__(self, steps: list[dict[str, Any]]) -> None:
        times = [max(step["latency_ms"][name], 1e-3) for step in steps for name in SHOWN]
        self.low = math.floor(math.log10(min(times)))
        self.high = max(math.ceil(math.log10(max(times))), self.low + 1)
        self.most = nice(max(step["answered_per_second"] for step in steps) or 1.0)

    def x(self, rate: float) -> float:
        return LEFT + rate / self.most * (WIDTH - LEFT - RIGHT)

    def y(self, milliseconds: float) -> float:
        part = (math.log10(max(milliseconds, 1e-3)) - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)


def chart(steps: list[dict[str, Any]]) -> str:
    """The curves as inline SVG; empty without a good answer."""
    if not steps:
        return ""
    steps = sorted(steps, key=lambda step: step["answered_per_second"])
    scale = Scale(steps)
    drawn = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Latency against good answers a second">']
    drawn += _grid(scale)
    heights: list[float] = []
    for name in reversed(SHOWN):
        points = [(scale.x(step["answered_per_second"]), scale.y(step["latency_ms"][name])) for step in steps]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dots = "".join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5"><title>{name}: {step["latency_ms"][name]:.2f} ms at '
            f"{step['answered_per_second']:.0f}/s</title></circle>"
            for (x, y), step in zip(points, steps, strict=True)
        )
        x, y = points[-1]
        y = max([y, *(height + 14 for height in heights[-1:])])
        heights.append(y)
        label = f'<text class="name" x="{x + 9:.1f}" y="{y + 4:.1f}">{name}</text>'
        drawn.append(f'<g class="{name}"><polyline points="{path}"/>{dots}{label}</g>')
    return "\n".join([*drawn, "</svg>"])


def _grid(scale: Scale) -> list[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    lines = []
    for power in range(scale.low, scale.high + 1):
        y = scale.y(10.0**power)
        lines.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g} ms</text>')
    for quarter in range(5):
        rate = scale.most * quarter / 4
        x = scale.x(rate)
        lines.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}"/>')
        lines.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{rate:g}</text>')
    middle = (LEFT + right) / 2
    lines.append(f'<text x="{middle:.0f}" y="{HEIGHT - 6}" text-anchor="middle">good answers a second</text>')
    return lines


def nice(value: float) -> float:
    """The next number that divides well by four."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if step * power >= value)


def told_errors(errors: Mapping[str, int]) -> str:
    """Such as "12 with 503, 1 connection lost"."""
    told = (f"{count} with {what}" if what.isdigit() else f"{count} {what}" for what, count in errors.items())
    return ", ".join(told) or "0"


def table(steps: list[dict[str, Any]]) -> str:
    """The figures as an HTML table."""
    names = list(next((step["latency_ms"] for step in steps if step["latency_ms"]), {}))
    head = ["rate/s", "good/s", *(f"{name} ms" for name in names), "errors", "unfinished"]
    rows = []
    for step in steps:
        times = [f"{step['latency_ms'][name]:.2f}" if name in step["latency_ms"] else "" for name in names]
        rates = [f"{step['rate']:.0f}", f"{step['answered_per_second']:.0f}"]
        rows.append([*rates, *times, told_errors(step["errors"]), step["unfinished"]])
    lines = ["<tr>" + "".join(f"<th>{name}</th>" for name in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows]
    return "<table>\n" + "\n".join(lines) + "\n</table>"

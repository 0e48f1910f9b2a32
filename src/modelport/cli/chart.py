"""Curves as SVG, and a page around them: no library, no script, nothing fetched."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

TEMPLATE = Path(__file__).parent / "templates" / "page.html"
WIDTH, HEIGHT = 860, 380
LEFT, RIGHT, TOP, BOTTOM = 60, 50, 15, 45
LEAST = 1e-3
"""What a logarithm is taken of at least."""

STYLE = """<style>
  text { font: 12px system-ui, sans-serif; fill: #66707e; } .grid { stroke: #dfe3e8; } .back { fill: #fff; }
  polyline { fill: none; stroke-width: 2; } text.name { font-weight: 600; }
  .curve0 polyline { stroke: #2a7a4b; } .curve0 circle, .curve0 .name { fill: #2a7a4b; }
  .curve1 polyline { stroke: #2361b8; } .curve1 circle, .curve1 .name { fill: #2361b8; }
  .curve2 polyline { stroke: #b3372c; } .curve2 circle, .curve2 .name { fill: #b3372c; }
</style>"""


class Axis(Protocol):
    """``ticks`` are values with their words, ``title`` what the axis is of; ``part`` is how far along a value is."""

    title: str
    ticks: list[tuple[float, str]]

    def part(self, value: float) -> float: ...


class Linear:
    """From 0 to the next good number."""

    def __init__(self, values: Iterable[float], title: str) -> None:
        self.title = title
        self._most = nice(max(values) or 1.0)
        self.ticks = [(self._most * quarter / 4, f"{self._most * quarter / 4:g}") for quarter in range(5)]

    def part(self, value: float) -> float:
        return value / self._most


class Powers:
    """By powers of ten."""

    def __init__(self, values: Iterable[float], title: str = "", unit: str = "") -> None:
        self.title = title
        logarithms = [math.log10(max(value, LEAST)) for value in values]
        self._low = math.floor(min(logarithms))
        self._high = max(math.ceil(max(logarithms)), self._low + 1)
        self.ticks = [(10.0**power, f"{_short(10.0**power)}{unit}") for power in range(self._low, self._high + 1)]

    def part(self, value: float) -> float:
        return (math.log10(max(value, LEAST)) - self._low) / (self._high - self._low)


class Curve(NamedTuple):
    """Points from left to right, each with what it says when pointed at."""

    name: str
    points: Sequence[tuple[float, float, str]]


def chart(curves: Sequence[Curve], across: Axis, up: Axis, label: str, is_alone: bool = False) -> str:
    """The curves as SVG, the highest last; ``is_alone`` as a file of its own."""
    root = ' xmlns="http://www.w3.org/2000/svg"' if is_alone else ""
    drawn = [f'<svg{root} viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(label)}">']
    if is_alone:
        drawn += [STYLE, f'<rect class="back" width="{WIDTH}" height="{HEIGHT}"/>']
    drawn += _grid(across, up)
    heights: list[float] = []
    for number, curve in reversed(list(enumerate(curves))):
        points = [(_x(across.part(x)), _y(up.part(y)), told) for x, y, told in curve.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
        dots = "".join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5"><title>{html.escape(told)}</title></circle>'
            for x, y, told in points
        )
        x, y, _ = points[-1]
        y = max([y, *(height + 14 for height in heights[-1:])])
        heights.append(y)
        name = f'<text class="name" x="{x + 9:.1f}" y="{y + 4:.1f}">{html.escape(curve.name)}</text>'
        drawn.append(f'<g class="curve{number}"><polyline points="{path}"/>{dots}{name}</g>')
    return "\n".join([*drawn, "</svg>"])


def page(**parts: str) -> str:
    """A page of ``title``, ``subtitle`` and ``note``, which are text, ``chart`` and ``table``."""
    filled = {name: text if name in ("chart", "table") else html.escape(text) for name, text in parts.items()}
    return re.sub(r"\{\{(\w+)\}\}", lambda found: filled[found[1]], TEMPLATE.read_text(encoding="utf-8"))


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Figures as an HTML table."""
    lines = ["<tr>" + "".join(f"<th>{html.escape(name)}</th>" for name in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows]
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def nice(value: float) -> float:
    """The next number that divides well by four."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if step * power >= value)


def _x(part: float) -> float:
    return LEFT + part * (WIDTH - LEFT - RIGHT)


def _y(part: float) -> float:
    return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)


def _short(value: float) -> str:
    """Such as 100 and 100k."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _grid(across: Axis, up: Axis) -> list[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    lines = []
    for value, text in up.ticks:
        y = _y(up.part(value))
        lines.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    for value, text in across.ticks:
        x = _x(across.part(value))
        lines.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}"/>')
        lines.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{text}</text>')
    middle = (LEFT + right) / 2
    lines.append(f'<text x="{middle:.0f}" y="{HEIGHT - 6}" text-anchor="middle">{html.escape(across.title)}</text>')
    return lines

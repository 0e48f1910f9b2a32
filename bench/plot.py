#!/usr/bin/env python3
"""Draw a result: bars of ratios to the best peer, one panel a scenario. plot.py results/DATE.json"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from harness.report import OURS, is_peer
from harness.scenarios import SCENARIOS, Scenario

mpl.use("agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

OUR_COLOUR, PEER_COLOUR = "#1f6feb", "#9aa4af"


def draw(result: dict[str, Any], picture: Path) -> None:
    """Draw every scenario that has figures."""
    shown = [scenario for scenario in SCENARIOS if result["summary"].get(scenario.name)]
    rows = (len(shown) + 1) // 2
    figure, axes = plt.subplots(rows, 2, figsize=(12, 2.6 * rows + 0.6), squeeze=False, layout="constrained")
    for axis, scenario in zip(axes.flat, shown, strict=False):
        panel(axis, scenario, result["summary"][scenario.name])
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    machine = result["machine"]
    figure.suptitle(f"Ratio to the best peer, {result['date']}, {machine['cores']} cores shared with wrk")
    figure.savefig(picture, dpi=110)
    plt.close(figure)


def panel(axis: Axes, scenario: Scenario, rows: dict[str, dict[str, Any]]) -> None:
    """One scenario: a bar for each target, with its figure beside it."""
    lead = scenario.metrics[0]
    bars = [
        (row["of_best_peer"][lead.key], name, row[lead.key])
        for name, row in rows.items()
        if (name in OURS or is_peer(name)) and lead.key in row.get("of_best_peer", {})
    ]
    bars.sort(reverse=not lead.higher_is_better)
    names = [name for _, name, _ in bars]
    colours = [OUR_COLOUR if name in OURS else PEER_COLOUR for name in names]
    drawn = axis.barh(names, [ratio for ratio, _, _ in bars], color=colours)
    labels = [f" {ratio:.2f} x  ({value:,.{lead.digits}f})" for ratio, _, value in bars]
    axis.bar_label(drawn, labels=labels, fontsize=8)
    axis.axvline(1, color="black", linewidth=0.8, linestyle=":")
    axis.margins(x=0.3)
    better = "more" if lead.higher_is_better else "less"
    axis.set_title(f"{scenario.title}\n{lead.label}, {better} is better", fontsize=9)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    source = Path(sys.argv[1])
    draw(json.loads(source.read_text()), source.with_suffix(".png"))

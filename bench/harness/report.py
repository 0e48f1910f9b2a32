"""From raw cells to medians and ratios, and from those to tables."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import median
from typing import Any

from harness.peers import PEERS
from harness.scenarios import SCENARIOS, Metric, Scenario

Cells = list[dict[str, Any]]
Summary = dict[str, dict[str, dict[str, Any]]]
OURS = {client.label for peer in PEERS if peer.ours for client in peer.clients} | {"modelport"}
CEILINGS = {
    "modelport-oip": "ceiling-oip",
    "modelport-dataiku": "ceiling-dataiku",
    "modelport-drum": "ceiling-csv",
    "mlserver": "ceiling-oip",
    "mlserver-pool": "ceiling-oip",
    "mlflow": "ceiling-csv",
}
BEGIN, END = "<!-- results: written by run.py --write-readme -->", "<!-- /results -->"


def summarize(cells: Cells) -> Summary:
    """Give medians over rounds, and medians of the rounds' own ratios to the best peer and to the ceiling."""
    found: Summary = {}
    for scenario in SCENARIOS:
        mine = [cell for cell in cells if cell["scenario"] == scenario.name]
        targets = dict.fromkeys(cell["target"] for cell in mine)
        if mine:
            found[scenario.name] = {target: summary(scenario, target, mine) for target in sorted(targets)}
    return found


def summary(scenario: Scenario, target: str, cells: Cells) -> dict[str, Any]:
    """One row of the table. One failed round fails the target."""
    own = [cell for cell in cells if cell["target"] == target]
    if failed := [cell["failed"] for cell in own if "failed" in cell]:
        return {"failed": failed[0]}
    keys = [metric.key for metric in scenario.metrics if all(metric.key in cell for cell in own)]
    row: dict[str, Any] = {"rounds": len(own), **{key: median(cell[key] for cell in own) for key in keys}}
    if target.startswith("ceiling-"):
        return row
    row["of_best_peer"] = {
        metric.key: median(ratios)
        for metric in scenario.metrics
        if (ratios := [ratio for cell in own if (ratio := of_best(cell, cells, metric)) is not None])
    }
    key = scenario.metrics[0].key
    tops = {cell["round"]: cell.get(key) for cell in cells if cell["target"] == CEILINGS.get(target)}
    if shares := [cell[key] / tops[cell["round"]] for cell in own if tops.get(cell["round"])]:
        row["of_ceiling"] = median(shares)
    return row


def of_best(cell: dict[str, Any], cells: Cells, metric: Metric) -> float | None:
    """Divide a figure by the best peer's of the same round."""
    values = [
        other[metric.key]
        for other in cells
        if other["round"] == cell["round"] and is_peer(other["target"]) and "failed" not in other
    ]
    best = (max if metric.higher_is_better else min)(values, default=0)
    return cell[metric.key] / best if best else None


def is_peer(target: str) -> bool:
    """Tell the peers from Modelport and the ceilings."""
    return target not in OURS and not target.startswith("ceiling-")


def tables(result: dict[str, Any]) -> str:
    """Draw the whole result as Markdown."""
    rows = result["summary"]
    shown = [table(scenario, rows[scenario.name]) for scenario in SCENARIOS if rows.get(scenario.name)]
    return "\n\n".join([conditions(result), *shown])


def conditions(result: dict[str, Any]) -> str:
    """Say where and how the figures were made."""
    machine, options = result["machine"], result["options"]
    where = f"{machine['cores']} cores ({machine['cpu']}), {machine['memory_gib']} GiB, {machine['system']}"
    how = f"{options['rounds']} rounds of {options['seconds']} s loads, {machine['wrk']} on the same cores"
    lines = [f"Run of {result['date']}: {where}; {how}.", "", "| environment | versions |", "|---|---|"]
    for name, versions in result["versions"].items():
        lines.append(f"| {name} | {', '.join(f'{key} {value}' for key, value in versions.items())} |")
    return "\n".join(lines)


def table(scenario: Scenario, rows: dict[str, dict[str, Any]]) -> str:
    """One scenario's table, best first."""
    lead = scenario.metrics[0]
    ceiling = any("of_ceiling" in row for row in rows.values())
    heads = ["", *(metric.label for metric in scenario.metrics), f"{lead.label}: x best peer"]
    heads += ["of its ceiling"] if ceiling else []
    lines = [f"**{scenario.title}** (`{scenario.name}`; goal: {scenario.goal})", "", line(heads)]
    lines.append("|---" * len(heads) + "|")
    order = sorted(rows, key=lambda name: rows[name].get(lead.key, 0), reverse=lead.higher_is_better)
    for name in order:
        row = rows[name]
        if "failed" in row:
            why = f"failed: {row['failed'].splitlines()[0][:120]}"
            lines.append(line([name, why, *[""] * (len(heads) - 2)]))
            continue
        cells = [figure(row.get(metric.key), metric.digits) for metric in scenario.metrics]
        cells.append(figure(row.get("of_best_peer", {}).get(lead.key), 2))
        cells += [percent(row.get("of_ceiling"))] if ceiling else []
        lines.append(line([name, *cells]))
    return "\n".join(lines)


def line(cells: list[str]) -> str:
    """One line of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def figure(value: float | None, digits: int) -> str:
    """A number as shown."""
    return "" if value is None else f"{value:,.{digits}f}"


def percent(value: float | None) -> str:
    """A share as shown."""
    return "" if value is None else f"{100 * value:.0f} %"


def write_readme(readme: Path, result: dict[str, Any]) -> None:
    """Put the tables between the README's markers."""
    text = readme.read_text()
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"{readme} has no markers {BEGIN} ... {END}")
    readme.write_text(pattern.sub(lambda _: f"{BEGIN}\n\n{tables(result)}\n\n{END}", text))

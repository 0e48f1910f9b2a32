"""What ``modelport inspect`` says of a package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelport import config
from modelport.packages import archive
from modelport.packages.find import cache_of


def show(path: str, is_json: bool) -> int:
    """Prints what a package holds, once every hash is verified; none of it is run."""
    settings = config.resolve({})
    opened = archive.unpack(Path(path), cache_of(settings), settings.max_package)
    told = opened.contents.model_dump(mode="json")
    if is_json:
        from modelport.core import jsontext

        print(jsontext.dumps({**told, "digest": opened.digest}).decode())
        return 0
    print(f"{path}  {told['format']}, a model of {told['runtime']}, {told['modelId']}")
    for line in _lines(told):
        print(f"  {line}")
    return 0


def _lines(told: dict[str, Any]) -> list[str]:
    target = told["target"]
    lines = [f"target       {target['name'] or 'without a name'} ({target['type'] or 'of any type'})"]
    if target["classLabels"]:
        lines.append(f"classes      {', '.join(target['classLabels'])}")
    if target["positiveClass"]:
        threshold = 0.5 if target["threshold"] is None else target["threshold"]
        lines.append(f"positive     {target['positiveClass']}, above {threshold:g}")
    if told["features"]:
        features = (f"{one['name']} ({one['type']})" if one["type"] else one["name"] for one in told["features"])
        lines.append(f"features     {', '.join(features)}")
    if told["timeSeries"]:
        series = told["timeSeries"]
        lines.append(f"time series  by {series['dateColumn']}, {series['forecastWindow']} {series['frequency']} ahead")
    if told["explanations"]:
        lines.append(f"explanations {told['explanations']['algorithm']}")
    lines.append(f"files        {len(told['files'])}, all as listed")
    return lines + [f"  {name.removeprefix(archive.FOLDER)}" for name in told["files"]]

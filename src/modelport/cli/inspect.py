"""``modelport inspect PATH``"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from modelport import config
from modelport.cli.options import Json

if TYPE_CHECKING:
    from modelport.core.graph import Unit
    from modelport.core.model import Graph, ModelSpec


def inspect(
    path: Annotated[str, Parameter(help="A package, a model's folder or file, or a file that describes a graph.")],
    /,
    *,
    json: Json = False,
) -> int:
    """Say what is at a path, without running any of it."""
    from modelport.cli import packed
    from modelport.packages.find import find

    if path.endswith(".mlpkg"):
        return packed.show(path, json)
    specs = find(path, config.resolve({}))
    if json:
        from modelport.core import jsontext

        print(jsontext.dumps([_told(spec) for spec in specs]).decode())
        return 0
    for at, spec in enumerate(specs):
        print("\n" * bool(at) + "\n".join(_lines(spec)))
    return 0


def _told(spec: ModelSpec) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": spec.name,
        "contract": spec.contract,
        "version": spec.version,
        "path": spec.path or spec.root,
        "environment": spec.environment,
        "workers": [spec.pool.floor, spec.pool.ceil],
    }
    if spec.split is not None:
        told["shares"] = {"name": spec.split.name, "weight": spec.split.weight, "mirror": spec.split.mirror}
    if spec.graph is not None:
        told["graph"] = _unit(spec.graph.root, spec.graph)
    return told


def _unit(unit: Unit, graph: Graph) -> dict[str, Any]:
    model = graph.together.get(unit.name) or graph.apart.get(unit.name)
    return {
        "name": unit.name,
        "asked": _asked(unit),
        "odds": unit.odds,
        "model": _model(model) if model is not None else None,
        "contract": model.contract if model is not None else None,
        "own_workers": graph.apart_for.get(unit.name),
        "children": [_unit(child, graph) for child in unit.children],
    }


def _asked(unit: Unit) -> list[str]:
    return [verb for verb in (unit.ask, unit.route, unit.join, unit.then, unit.learn) if verb]


def _model(spec: ModelSpec) -> str:
    component = spec.options.get("component")
    return f"{component} in {spec.root}" if component else spec.path or spec.root


def _lines(spec: ModelSpec) -> Iterator[str]:
    pool = spec.pool
    workers = f"{pool.floor} to {pool.ceil} workers" if pool.floor < pool.ceil else f"{pool.ceil} worker(s)"
    yield f"{spec.name}  {spec.contract}, version {spec.version}, {workers}: {spec.path or spec.root}"
    if spec.environment is not None:
        yield f"  environment {spec.environment}"
    if spec.split is not None:
        what = "gets copies of {:g} % of what comes to {}" if spec.split.mirror else "weighs {:g} in what comes to {}"
        yield "  " + what.format(spec.split.weight, spec.split.name)
    if spec.graph is not None:
        yield from _tree(spec.graph.root, spec.graph, "", "")


def _tree(unit: Unit, graph: Graph, first: str, rest: str) -> Iterator[str]:
    """A unit and what is below it; ``first`` goes before its own line, ``rest`` before the others."""
    model = graph.together.get(unit.name) or graph.apart.get(unit.name)
    what = ", ".join(_asked(unit)) or "passes on"
    if unit.odds is not None:
        what = f"first child for {unit.odds:.0%}"
    yield f"{first}{unit.name}  {what}" + (f"  {_model(model)}" if model is not None else "")
    if unit.name in graph.apart_for:
        bar = "│" if unit.children else " "
        yield f"{rest}{bar}    own workers: {graph.apart_for[unit.name]}"
    for at, child in enumerate(unit.children, 1):
        is_last = at == len(unit.children)
        yield from _tree(child, graph, rest + ("└─ " if is_last else "├─ "), rest + ("   " if is_last else "│  "))

"""The models of a graph's units: found like any others, and put together into workers where they can live together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelport.core.graph import Unit
from modelport.core.model import Graph, ModelSpec, Sought
from modelport.errors import ConfigError, SetupError

Find = Callable[[str, dict[str, Any]], list[ModelSpec]]


def resolved(specs: Iterable[ModelSpec], find: Find) -> list[ModelSpec]:
    """The models, with those of their graphs' units found. Raises ``ConfigError`` with every fault of every graph."""
    faults: list[str] = []
    done = [spec if spec.graph is None else _resolved(spec, spec.graph, find, faults) for spec in specs]
    if faults:
        raise ConfigError("the graph has faults", faults=list(dict.fromkeys(faults)))
    return done


def _resolved(spec: ModelSpec, graph: Graph, find: Find, faults: list[str]) -> ModelSpec:
    faults += graph.faults
    together = Household(spec)
    apart: dict[str, ModelSpec] = {}
    reasons: dict[str, str] = {}
    asked = {unit.name: unit for unit in graph.root.units()}
    for unit, sought in graph.sought.items():
        try:
            part = _found(sought, spec, find)
        except SetupError as error:
            faults += [f"{unit}: {fault}" for fault in error.faults or [_hinted(error)]]
            continue
        if part.contract != spec.contract and (asked[unit].route or asked[unit].join):
            faults.append(f"{unit}: a model of {part.contract} neither routes nor combines")
        reason = sought.apart or together.refuses(part, sought.env)
        part = replace(part, name=f"{spec.name}:{unit}")
        if reason:
            apart[unit], reasons[unit] = part, reason
        else:
            together.add(unit, part, sought.env)
    if graph.direct and not faults:
        (part,) = (*together.parts.values(), *apart.values())
        options = {**spec.options, **part.options}
        return replace(part, name=spec.name, pool=spec.pool, split=spec.split, path=spec.path, options=options)
    options = {**spec.options, "path": list(together.roots)}
    flags = any(part.all_headers for part in (*together.parts.values(), *apart.values()))
    foreign = {unit for unit, part in apart.items() if part.contract != spec.contract}
    root = _unlearning(graph.root, foreign)
    full = replace(graph, root=root, together=together.parts, apart=apart, apart_for=reasons, sought={})
    return replace(spec, graph=full, options=options, all_headers=flags)


def _unlearning(unit: Unit, names: set[str]) -> Unit:
    """The graph in which units of these names get no feedback: models of other platforms know none."""
    children = tuple(_unlearning(child, names) for child in unit.children)
    return replace(unit, children=children, learn="" if unit.name in names else unit.learn)


def _found(sought: Sought, graph: ModelSpec, find: Find) -> ModelSpec:
    """The unit's model. Raises ``SetupError``."""
    specs = find(sought.path, sought.given)
    if len(specs) > 1:
        names = ", ".join(spec.name for spec in specs)
        raise ConfigError(f"{sought.path} holds several models ({names}); a unit is one")
    (part,) = specs
    if part.graph is not None:
        raise ConfigError(f"{sought.path} is a graph itself")
    options = part.options
    pool = part.pool
    if part.contract == graph.contract:
        pool = pool if "pool" in sought.given else graph.pool
        options = {**options, **{key: {**options.get(key, {}), **more} for key, more in sought.options.items()}}
    elif "parameters" in sought.options:
        raise ConfigError(f"parameters are for components of {graph.contract}; {sought.path} is of {part.contract}")
    return replace(
        part, options=options, pool=pool, env={**part.env, **sought.env, **sought.own}, keys=None, queries=[]
    )


def _hinted(error: SetupError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message


class Household:
    """Models that live in the workers of one graph."""

    def __init__(self, graph: ModelSpec) -> None:
        self.parts: dict[str, ModelSpec] = {}
        self.roots: list[str] = []
        self._graph = graph
        self._modules: dict[str, str] = {}
        self._env: dict[str, str] = {}

    def add(self, unit: str, part: ModelSpec, env: dict[str, str]) -> None:
        """Lets it in; nothing must speak against that."""
        self.parts[unit] = part
        for root in _roots(part):
            if root not in self.roots:
                self.roots.append(root)
                self._modules.update(dict.fromkeys(_modules(root), root))
        self._env.update(env)

    def refuses(self, part: ModelSpec, env: dict[str, str]) -> str:
        """Why it needs workers of its own, with these variables; empty where it does not."""
        if part.contract != self._graph.contract:
            return f"it is a model of {part.contract}"
        if part.environment not in (None, self._graph.environment):
            return f"it has an environment of its own, {part.environment}"
        for name, value in env.items():
            if self._env.get(name, value) != value:
                return f"another node has another value of {name}"
        for root in _roots(part):
            for module in _modules(root) if root not in self.roots else ():
                if module in self._modules:
                    return f"its folder has a module {module}, and so has {self._modules[module]}"
        return ""


def _roots(part: ModelSpec) -> list[str]:
    """Its folders on the import path; a model whose code is ours needs none."""
    if str(part.options.get("component", "")).startswith("modelport."):
        return []
    return [str(Path(part.root, folder).resolve()) for folder in part.options.get("path", [])]


def _modules(root: str) -> list[str]:
    """What can be imported from a folder."""
    return [
        item.stem
        for item in Path(root).iterdir()
        if item.suffix in (".py", ".so") or (item.is_dir() and item.name.isidentifier() and any(item.glob("*.py")))
    ]

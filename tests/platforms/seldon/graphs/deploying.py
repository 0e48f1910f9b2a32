"""SeldonDeployment files for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

COMPONENTS = Path(__file__).parent / "components"
UNIT = f"{COMPONENTS / 'Unit.py'}:Unit"


def node(name: str, kind: str = "MODEL", *children: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A node of a graph; ``kind`` is its type, or its implementation. A ``parameters`` dict is of strings, or INTs."""
    is_type = kind in ("MODEL", "ROUTER", "COMBINER", "TRANSFORMER", "OUTPUT_TRANSFORMER", "UNKNOWN_TYPE")
    more["parameters"] = [
        {"name": key, "value": str(value), "type": "INT" if isinstance(value, int) else "STRING"}
        for key, value in more.get("parameters", {}).items()
    ]
    return {"name": name, "type" if is_type else "implementation": kind, "children": list(children), **more}


def unit(name: str, kind: str = "MODEL", *children: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    """A node whose component is ``Unit``, called by the node's name."""
    return node(name, kind, *children, parameters={"me": name, **parameters})


def names(tree: dict[str, Any]) -> list[str]:
    return [tree["name"], *(name for child in tree["children"] for name in names(child))]


def deployment(name: str, *predictors: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": {"name": name, "namespace": "ns"},
        "spec": {"predictors": list(predictors), **spec},
    }


def predictor(graph: dict[str, Any], name: str = "main", **more: Any) -> dict[str, Any]:
    return {"name": name, "graph": graph, **more}


def deploy(folder: Path, made: dict[str, Any], components: dict[str, Any] | None = None, **manifest: Any) -> Path:
    """The file, with a manifest beside it. Where no components are given every node is a ``Unit``."""
    folder.mkdir(parents=True, exist_ok=True)
    if components is None:
        graphs = [one["graph"] for one in made["spec"]["predictors"]]
        components = {name: UNIT for graph in graphs for name in names(graph)}
    (folder / "modelport.yaml").write_text(json.dumps({"components": components, **manifest}))
    file = folder / "deployment.yaml"
    file.write_text(json.dumps(made))
    return file


def isolated(components: dict[str, Any]) -> dict[str, Any]:
    """The same, each in workers of its own."""
    return {
        name: {**({"path": entry} if isinstance(entry, str) else entry), "isolated": True}
        for name, entry in components.items()
    }

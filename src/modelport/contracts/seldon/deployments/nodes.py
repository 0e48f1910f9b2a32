"""The graph of one predictor: each node's questions, and where its model is."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from pydantic import ValidationError

from modelport.contracts.seldon.manifest import METADATA, Parameter, explained, metadata_of
from modelport.contracts.seldon.ready import component_of
from modelport.core.graph import MAX_DEPTH, MAX_UNITS, Unit
from modelport.core.model import Sought

PREDICT, FEEDBACK = "predict", "send-feedback"
TYPES: dict[str, dict[str, str]] = {
    "MODEL": {"ask": PREDICT, "learn": FEEDBACK},
    "TRANSFORMER": {"ask": "transform-input"},
    "OUTPUT_TRANSFORMER": {"then": "transform-output"},
    "ROUTER": {"route": "route", "learn": FEEDBACK},
    "COMBINER": {"join": "aggregate"},
    "UNKNOWN_TYPE": {},
}
METHODS = {
    "TRANSFORM_INPUT": {"ask": "transform-input"},
    "TRANSFORM_OUTPUT": {"then": "transform-output"},
    "ROUTE": {"route": "route"},
    "AGGREGATE": {"join": "aggregate"},
    "SEND_FEEDBACK": {"learn": FEEDBACK},
}
ABTEST, SIMPLE_ROUTER, UNKNOWN = "RANDOM_ABTEST", "SIMPLE_ROUTER", "UNKNOWN_IMPLEMENTATION"
BUILT_IN = {
    "SIMPLE_MODEL": ("MODEL", "modelport.contracts.seldon.builtin.SimpleModel"),
    "AVERAGE_COMBINER": ("COMBINER", "modelport.contracts.seldon.builtin.AverageCombiner"),
}
"""Implementations that need no files: their type and their class."""
ODDS = {ABTEST: 0.5, SIMPLE_ROUTER: 1.0}
"""Those that choose without being asked: the chance of the first child."""
SERVERS = {
    "SKLEARN_SERVER": "modelport.contracts.seldon.servers.SklearnServer",
    "XGBOOST_SERVER": "modelport.contracts.seldon.servers.XgboostServer",
    "MLFLOW_SERVER": "modelport.contracts.seldon.servers.MlflowServer",
}
ELSEWHERE = ("TENSORFLOW_SERVER", "TRITON_SERVER", "HUGGINGFACE_SERVER", "TEMPO_SERVER")
"""Servers that are not here."""
IMPLEMENTATIONS = (UNKNOWN, *ODDS, *BUILT_IN, *SERVERS)


@dataclass
class Predictor:
    """What is known of a predictor beside its graph. ``mapping`` says where the model of a container's name or image
    is, ``env`` is that of every node; ``folder`` is where relative paths begin."""

    name: str
    folder: Path
    containers: dict[str, dict[str, Any]]
    mapping: Mapping[str, Any]
    env: dict[str, str]
    faults: list[str]
    sought: dict[str, Sought] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)

    def read(self, node: Any, place: str = "graph", depth: int = 1) -> Unit:
        """The unit of a node of the file, with those below it; faults go to ``faults``."""
        if not isinstance(node, dict):
            self.fault(place, "it must be an object")
            return Unit("?")
        name = self._name(node, place)
        implementation = self._choice(node, "implementation", (*IMPLEMENTATIONS, *ELSEWHERE), UNKNOWN, name)
        parameters = self._parameters(node, name)
        unit = Unit(name, **self._verbs(node, implementation, name), odds=self._odds(implementation, parameters, name))
        if unit.is_asked:
            self._seek(name, implementation, node, parameters)
        children = self._children(node, name, depth)
        below = tuple(
            self.read(child, f"{place}.children[{at}]", depth + 1)
            for at, child in enumerate(children)
            if len(self.names) <= MAX_UNITS
        )
        unit = replace(unit, children=below)
        self._check_children(unit, implementation)
        return unit

    def fault(self, node: str, what: str) -> None:
        """One more fault of the predictor."""
        self.faults.append(f"predictor {self.name}: {node}: {what}")

    def _name(self, node: dict[str, Any], place: str) -> str:
        name = node.get("name")
        if not isinstance(name, str) or not 0 < len(name) <= 100 or "/" in name or not name.isprintable():
            self.fault(place, "name is missing, or is no name")
            name = place
        if name in self.names:
            self.fault(name, "several nodes have this name")
        self.names.append(name)
        if len(self.names) == MAX_UNITS + 1:
            self.fault(name, f"a graph may have {MAX_UNITS} nodes")
        return name

    def _children(self, node: dict[str, Any], name: str, depth: int) -> list[Any]:
        children = node.get("children") or []
        if not isinstance(children, list):
            self.fault(name, "children must be a list")
            return []
        if children and depth >= MAX_DEPTH:
            self.fault(name, f"a graph may be {MAX_DEPTH} nodes deep")
            return []
        return children

    def _choice(self, node: dict[str, Any], key: str, known: tuple[str, ...], default: str, name: str) -> str:
        value = node.get(key)
        if value is None or value == "":
            return default
        if value not in known:
            self.fault(name, f"{key} {str(value)[:80]!r} is not known; there are {', '.join(known)}")
            return default
        return str(value)

    def _verbs(self, node: dict[str, Any], implementation: str, name: str) -> dict[str, Any]:
        methods = node.get("methods") or []
        if not isinstance(methods, list):
            self.fault(name, "methods must be a list")
            methods = []
        default = "UNKNOWN_TYPE"
        if implementation in (*SERVERS, *ELSEWHERE) or (implementation == UNKNOWN and not methods):
            default = "MODEL"
        elif implementation in BUILT_IN:
            default = BUILT_IN[implementation][0]
        verbs: dict[str, Any] = dict(TYPES[self._choice(node, "type", tuple(TYPES), default, name)])
        if implementation in ODDS:
            verbs = {}
        for method in methods:
            if method in METHODS:
                verbs.update(METHODS[method])
            else:
                self.fault(name, f"method {str(method)[:80]!r} is not known; there are {', '.join(METHODS)}")
        return verbs

    def _parameters(self, node: dict[str, Any], name: str) -> list[Parameter]:
        listed = node.get("parameters") or []
        if not isinstance(listed, list):
            self.fault(name, "parameters must be a list")
            return []
        found = []
        for at, item in enumerate(listed):
            try:
                parameter = Parameter.model_validate(item)
                parameter.typed()
                found.append(parameter)
            except ValidationError as fault:
                for text in explained(fault):
                    self.fault(name, f"parameters[{at}].{text}")
            except ValueError as fault:
                self.fault(name, f"parameter {item['name']} of type {item['type']}: {fault}")
        return found

    def _odds(self, implementation: str, parameters: list[Parameter], name: str) -> float | None:
        """The share of an A/B test counts where it is the only parameter."""
        if implementation != ABTEST or len(parameters) != 1 or parameters[0].name != "ratioA":
            return ODDS.get(implementation)
        try:
            return float(parameters[0].typed())
        except ValueError:
            self.fault(name, "ratioA is no number")
            return None

    def _check_children(self, unit: Unit, implementation: str) -> None:
        count = len(unit.children)
        if implementation == ABTEST and count != 2:
            self.fault(unit.name, f"{ABTEST} is between two children; it has {count}")
        elif (unit.route or unit.join or unit.odds is not None) and not count:
            self.fault(unit.name, "it has no children to choose from or to combine")

    # --- where the models are --------------------------------------------------------------------------------

    def _seek(self, name: str, implementation: str, node: dict[str, Any], parameters: list[Parameter]) -> None:
        container = self.containers.get(name, {})
        image = str(container.get("image") or "")
        given = next((self.mapping[key] for key in (name, image, _untagged(image)) if key in self.mapping), None)
        entry = Entry.read(given)
        if isinstance(entry, str):
            self.fault(name, f"components: {entry}")
            entry = Entry()
        values = {parameter.name: parameter.typed() for parameter in parameters}
        uri = node.get("modelUri")
        place = self._local(uri, name) if uri else None
        if given is None and implementation in ELSEWHERE:
            self.fault(name, f"{implementation} is not here; name a component for {name} in modelport.yaml instead")
            return
        if given is None and implementation in SERVERS:
            if not uri:
                self.fault(name, f"{implementation} needs a modelUri")
            if place is None:
                return
            entry = Entry(str(place), SERVERS[implementation])
            values = {"model_uri": str(place), **values}
        elif given is None and implementation in BUILT_IN:
            entry = Entry(str(self.folder), BUILT_IN[implementation][1])
        elif given is None and (ready := component_of(image)):
            entry = Entry(str(self.folder), ready)
        elif not entry.path:
            if place is None:
                if not uri:
                    self._missing(name, image, node)
                return
            entry = replace(entry, path=str(place))
        self.sought[name] = self._sought(name, entry, image, values, parameters)

    def _missing(self, name: str, image: str, node: dict[str, Any]) -> None:
        endpoint = node.get("endpoint")
        host = endpoint.get("service_host") if isinstance(endpoint, dict) else None
        if name not in self.containers and self.containers:
            self.fault(name, f"there is no container {name!r}; there are {', '.join(self.containers)}")
        elif host not in (None, "", "localhost", "0.0.0.0", "127.0.0.1"):  # noqa: S104
            self.fault(name, f"it is a service elsewhere ({str(host)[:80]}), which is not asked from here")
        else:
            what = f"image {image!r}" if image else f"node {name!r}"
            self.fault(name, f"no component is named for {what}: components in modelport.yaml, {name}: FILE.py:Class")

    def _sought(
        self, name: str, entry: Entry, image: str, values: dict[str, Any], parameters: list[Parameter]
    ) -> Sought:
        path = self.folder / entry.path
        given: dict[str, Any] = {}
        if path.suffix == ".py" or entry.component:
            given["contract"] = "seldon"
        if entry.component:
            given["component"] = entry.component
        if entry.pool:
            given["pool"] = entry.pool
        if entry.environment:
            given["environment"] = _from(self.folder, entry.environment)
        stated = [parameter.model_dump() for parameter in parameters]
        own = {
            "PREDICTIVE_UNIT_ID": name,
            "PREDICTIVE_UNIT_IMAGE": image,
            "PREDICTIVE_UNIT_PARAMETERS": json.dumps(stated),
        }
        env = {**self.env, **self._container_env(name, entry)}
        options: dict[str, Any] = {"parameters": values} if values else {}
        if METADATA in env:
            options["metadata"] = metadata_of(env)
        apart = "it is marked as isolated" if entry.isolated else ""
        return Sought(str(path), given, options, env, own, apart)

    def _container_env(self, name: str, entry: Entry) -> dict[str, str]:
        found = {}
        listed = self.containers.get(name, {}).get("env") or []
        for item in listed if isinstance(listed, list) else []:
            if not isinstance(item, dict) or not isinstance(item.get("name"), str):
                self.fault(name, "env of its container must be a list of name and value")
            elif "valueFrom" in item and item["name"] not in entry.env:
                self.fault(name, f"the value of {item['name']} is kept elsewhere; give it as env in modelport.yaml")
            else:
                found[item["name"]] = str(item.get("value", ""))
        return {**found, **entry.env}

    def _local(self, uri: Any, name: str) -> Path | None:
        """The folder or file of a model. Of its own accord nothing is fetched from anywhere."""
        scheme = urlparse(str(uri)).scheme
        if scheme not in ("", "file"):
            self.fault(name, f"modelUri {str(uri)[:120]} is remote: copy it here and say file:PATH")
            return None
        text = unquote(urlparse(str(uri)).path) if scheme else str(uri)
        place = self.folder / text
        if not place.exists():
            self.fault(name, f"modelUri: there is nothing at {place}")
            return None
        return place


@dataclass(frozen=True)
class Entry:
    """Where the model of a container is."""

    path: str = ""
    component: str = ""
    environment: str = ""
    isolated: bool = False
    pool: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, given: Any) -> Entry | str:
        """From "PATH", "PATH:Class", or an object with path, component, environment, isolated, pool and env; what is
        wrong, if it is none of those."""
        if given is None:
            return cls()
        if isinstance(given, str):
            given = {"path": given}
        if not isinstance(given, dict) or not isinstance(given.get("path"), str) or not given["path"]:
            return "it must be PATH:Class, or an object with a path"
        known = {"path": str, "component": str, "environment": str, "isolated": bool, "pool": dict, "env": dict}
        for key, value in given.items():
            if key not in known or not isinstance(value, known[key]):
                return f"{str(key)[:80]!r} must be one of {', '.join(known)}, of its type"
        path, colon, component = given["path"].rpartition(":")
        if colon and component.replace(".", "").isidentifier():
            given = {"component": component, **given, "path": path}
        env = {str(name): str(value) for name, value in given.get("env", {}).items()}
        return cls(**{**given, "env": env})


def _untagged(image: str) -> str:
    """An image's name without its tag or digest."""
    name = image.partition("@")[0]
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name


def _from(folder: Path, path: str) -> str:
    return str(folder / path) if os.sep in path or (folder / path).exists() else path

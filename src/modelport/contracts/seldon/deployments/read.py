"""A SeldonDeployment as models to be served: one for each predictor."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelport.contracts.seldon.deployments import document
from modelport.contracts.seldon.deployments.nodes import FEEDBACK, PREDICT, Predictor
from modelport.contracts.seldon.manifest import MAX_WORKERS, default_pool
from modelport.core.model import Graph, ModelSpec, PoolSettings, Split, as_name
from modelport.errors import ConfigError

COMPONENT = "modelport/component."
"""Annotations of this beginning and a container's name say where its model is."""
INJECTION = "SELDON_ENABLE_ROUTING_INJECTION"
"""The variable that, with any value, makes answers tell of the routes taken."""
DIRECT = "seldon.io/no-engine"
VERSIONS = ("v1", "v1alpha2", "v1alpha3")
GROUP = "machinelearning.seldon.io/"


def read(path: str, given: Mapping[str, Any]) -> list[ModelSpec]:
    """The predictors of every deployment in the file. What is wrong within a graph is told in the graph's ``faults``.

    Raises ``ConfigError`` listing every fault where no graph can be made out.
    """
    faults: list[str] = []
    specs = [spec for found in document.deployments(path) for spec in _Deployment(path, found, given, faults).specs()]
    names = [spec.name for spec in specs]
    faults += [f"several predictors or deployments are called {name}" for name in set(names) if names.count(name) > 1]
    if not specs:
        raise ConfigError(f"{path} has faults", faults=faults)
    assert specs[0].graph is not None
    return [replace(specs[0], graph=replace(specs[0].graph, faults=faults + specs[0].graph.faults)), *specs[1:]]


class _Deployment:
    """One object of the file. ``faults`` gets what is wrong with it."""

    def __init__(self, path: str, found: dict[str, Any], given: Mapping[str, Any], faults: list[str]) -> None:
        self._path = path
        self._folder = Path(path).resolve().parent
        self._found = found
        self._given = given
        self._faults = faults
        self._metadata = self._part(found, "metadata", "")
        self._spec = self._part(found, "spec", "")
        self._name = str(self._metadata.get("name") or self._spec.get("name") or Path(path).stem)
        self._namespace = str(self._metadata.get("namespace") or "default")
        self._annotations = {**self._texts(self._metadata), **self._texts(self._spec)}

    def specs(self) -> list[ModelSpec]:
        """One a predictor; what is wrong is in ``faults``."""
        self._check_outline()
        predictors = self._spec.get("predictors")
        if not isinstance(predictors, list) or not predictors:
            self._faults.append(f"{self._name}: spec.predictors must be a list with a predictor")
            return []
        usable = [item for item in predictors if isinstance(item, dict)]
        if len(usable) < len(predictors):
            self._faults.append(f"{self._name}: every predictor must be an object")
        self._check_shares(usable)
        return [self._read(item, len(usable) > 1) for item in usable]

    def _part(self, holder: dict[str, Any], key: str, where: str) -> dict[str, Any]:
        value = holder.get(key)
        if value is not None and not isinstance(value, dict):
            self._faults.append(f"{where}{key} must be an object")
        return value if isinstance(value, dict) else {}

    def _texts(self, holder: dict[str, Any]) -> dict[str, str]:
        annotations = holder.get("annotations")
        return {str(k): str(v) for k, v in annotations.items()} if isinstance(annotations, dict) else {}

    def _check_outline(self) -> None:
        group, _, version = str(self._found.get("apiVersion", "")).rpartition("/")
        if group + "/" != GROUP or version not in VERSIONS:
            self._faults.append(f"{self._name}: apiVersion must be {GROUP} and one of {', '.join(VERSIONS)}")
        protocol, transport = self._spec.get("protocol") or "seldon", self._spec.get("transport") or "rest"
        if protocol != "seldon":
            self._faults.append(f"{self._name}: protocol {protocol!r} is not here; graphs speak seldon")
        if transport not in ("rest", "grpc"):
            self._faults.append(f"{self._name}: transport must be rest or grpc, not {transport!r}")

    def _check_shares(self, predictors: list[dict[str, Any]]) -> None:
        names = [str(item.get("name")) for item in predictors]
        for name in dict.fromkeys(names):
            if names.count(name) > 1:
                self._faults.append(f"{self._name}: several predictors are called {name}")
        shadows = [item for item in predictors if item.get("shadow")]
        shares = []
        for item, name in zip(predictors, names, strict=True):
            traffic = item.get("traffic") or 0
            if isinstance(traffic, bool) or not isinstance(traffic, int) or not 0 <= traffic <= 100:
                self._faults.append(f"{self._name}: traffic of {name} must be a whole number from 0 to 100")
            elif not item.get("shadow"):
                shares.append(traffic)
        if len(shadows) > 1:
            self._faults.append(f"{self._name}: only one predictor may be a shadow")
        if shadows and len(shadows) == len(predictors):
            self._faults.append(f"{self._name}: a shadow cannot be the only predictor")
        elif len(shares) > 1 and sum(shares) != 100:
            self._faults.append(f"{self._name}: the traffic of its predictors is {sum(shares)}; it must be 100")
        elif len(shares) == 1 and shares[0] not in (0, 100):
            self._faults.append(f"{self._name}: the traffic of its one predictor must be 100, not {shares[0]}")

    def _read(self, item: dict[str, Any], is_one_of_several: bool) -> ModelSpec:
        name = str(item.get("name") or "default")
        where = f"predictor {name}: "
        annotations = {**self._annotations, **self._texts(item)}
        labels = {str(k): str(v) for k, v in self._part(item, "labels", where).items()}
        containers = self._containers(item, annotations, where)
        mapping = {key.removeprefix(COMPONENT): text for key, text in annotations.items() if key.startswith(COMPONENT)}
        graph_env = self._graph_env(item, where)
        faults: list[str] = []
        predictor = Predictor(
            name,
            self._folder,
            containers,
            {**(self._given.get("components") or {}), **mapping},
            {
                "SELDON_DEPLOYMENT_ID": self._name,
                "PREDICTOR_ID": name,
                "PREDICTOR_LABELS": json.dumps(labels),
            },
            faults,
        )
        root = predictor.read(item.get("graph"))
        direct = annotations.get(DIRECT, "").lower() == "true"
        if direct and (root.children or not root.is_asked):
            faults.append(f"{where}{DIRECT} is for graphs of one node, which has a component")
        full = as_name(f"{self._name}.{name}" if is_one_of_several else self._name)
        return ModelSpec(
            name=full,
            contract="seldon",
            root=str(self._folder),
            version=as_name(labels.get("version", ""), "1"),
            pool=self._pool(item, where),
            options={
                "path": [],
                "deployment": self._name,
                "namespace": self._namespace,
                "predictor": name,
                "predictor_version": self._texts(item).get("version", ""),
            },
            env=graph_env,
            graph=Graph(
                root,
                PREDICT,
                FEEDBACK,
                records=bool(graph_env.get(INJECTION) or os.environ.get(INJECTION)),
                sought=predictor.sought,
                faults=faults,
                direct=direct,
            ),
            split=self._split(item) if is_one_of_several else None,
        )

    def _split(self, item: dict[str, Any]) -> Split:
        traffic = item.get("traffic")
        share = float(traffic) if type(traffic) is int else 0.0
        if item.get("shadow"):
            return Split(as_name(self._name), share or 100.0, mirror=True)
        return Split(as_name(self._name), share)

    def _containers(self, item: dict[str, Any], annotations: dict[str, str], where: str) -> dict[str, dict[str, Any]]:
        """By name; a component's own annotations are added to those given."""
        specs = item.get("componentSpecs") or []
        if not isinstance(specs, list):
            self._faults.append(f"{where}componentSpecs must be a list")
            specs = []
        found: dict[str, dict[str, Any]] = {}
        for at, spec in enumerate(specs):
            pod = spec.get("spec") if isinstance(spec, dict) else None
            listed = pod.get("containers") if isinstance(pod, dict) else None
            if not isinstance(listed, list):
                self._faults.append(f"{where}componentSpecs[{at}].spec.containers must be a list")
                continue
            annotations.update(self._texts(spec.get("metadata") or {}))
            for container in listed:
                name = container.get("name") if isinstance(container, dict) else None
                if not isinstance(name, str) or not name:
                    self._faults.append(f"{where}every container must have a name")
                elif name in found:
                    self._faults.append(f"{where}several containers are called {name}")
                else:
                    found[name] = container
        return found

    def _graph_env(self, item: dict[str, Any], where: str) -> dict[str, str]:
        listed = self._part(item, "svcOrchSpec", where).get("env") or []
        found = {}
        for entry in listed if isinstance(listed, list) else []:
            if isinstance(entry, dict) and isinstance(entry.get("name"), str) and "value" in entry:
                found[entry["name"]] = str(entry["value"])
            else:
                self._faults.append(f"{where}svcOrchSpec.env must be a list of name and value")
        return found

    def _pool(self, item: dict[str, Any], where: str) -> PoolSettings:
        """As many workers as the platform would run pods."""
        replicas = item.get("replicas", self._spec.get("replicas"))
        if replicas is None:
            return default_pool(self._faults)
        if isinstance(replicas, bool) or not isinstance(replicas, int) or not 0 <= replicas <= MAX_WORKERS:
            self._faults.append(f"{where}replicas must be 1 to {MAX_WORKERS}, not {str(replicas)[:80]}")
            replicas = 1
        pool = default_pool(self._faults)
        return replace(pool, floor=replicas or 1, cruise=replicas or 1, ceil=replicas or 1)

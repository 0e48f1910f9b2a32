"""What is known of a model: before it is loaded (``ModelSpec``) and after (``Description``)."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from modelport.core.call import PREDICT
from modelport.core.graph import Unit
from modelport.errors import ConfigError


def as_name(text: str, otherwise: str = "model") -> str:
    """The name of a file or folder as one that may stand in a URL."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:100] or otherwise


@dataclass(frozen=True)
class PoolSettings:
    """How many workers an endpoint has and how long its requests may take; times in milliseconds.

    ``floor`` start when the endpoint loads, up to ``ceil`` on demand, down to ``cruise`` once a burst is over.
    ``queue`` requests wait beyond busy workers, each at most ``timeout``; a request may run for ``run_timeout``.
    """

    floor: int = 1
    ceil: int = 8
    cruise: int = 2
    queue: int = 16
    timeout: int = 10_000
    run_timeout: int = 60_000

    @classmethod
    def read(cls, given: dict[str, Any], where: str) -> PoolSettings:
        """From the numbers a user wrote; ``runTimeout`` is the file's name for ``run_timeout``.

        Numbers that were not given fit themselves around those that were. Raises ``ConfigError`` with every fault.
        """
        names = {"runTimeout" if item.name == "run_timeout" else item.name: item.name for item in fields(cls)}
        faults = [f"{key!r} is not a pool setting ({', '.join(names)})" for key in given if key not in names]
        numbers = {}
        for key, name in names.items():
            if key not in given:
                continue
            value = given[key]
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                faults.append(f"{key} must be a positive integer, not {value!r}")
            else:
                numbers[name] = value
        floor = numbers.get("floor", min(cls.floor, numbers.get("ceil", 1), numbers.get("cruise", 1)))
        ceil = numbers.get("ceil", max(cls.ceil, floor, numbers.get("cruise", 1)))
        cruise = numbers.get("cruise", min(max(cls.cruise, floor), ceil))
        if not faults and not 1 <= floor <= cruise <= ceil:
            if floor > ceil:
                faults.append(f"floor ({floor}) is above ceil ({ceil})")
            if floor > cruise:
                faults.append(f"floor ({floor}) is above cruise ({cruise})")
            if cruise > ceil:
                faults.append(f"cruise ({cruise}) is above ceil ({ceil})")
        if faults:
            raise ConfigError(f"{where}: the pool needs 1 <= floor <= cruise <= ceil", faults=faults)
        numbers.update(floor=floor, ceil=ceil, cruise=cruise)
        return cls(**numbers)


@dataclass(frozen=True)
class Limits:
    """What one worker may use. ``threads`` feeds OMP_NUM_THREADS and its friends; memory in bytes, 0 is none.

    After ``max_requests`` requests, or above ``max_rss`` bytes, a worker is replaced between two requests.
    """

    threads: int = 1
    memory: int = 0
    max_requests: int = 0
    max_rss: int = 0
    body: int = 64 << 20


@dataclass(frozen=True)
class ModelSpec:
    """A model as found on disk: all that a worker needs to load it, and all that the front needs to route to it.

    ``path`` is what was given to be served: ``root``, or a file in it. ``name`` is the server's for it, and
    ``endpoint`` its service's where that is another. With ``all_headers`` its code gets to see every header of a
    request, not only those that a codec reads. ``env`` holds environment variables for its workers. A model with a
    ``graph`` is made of others. ``split`` says that it shares the requests of a name with others. ``card`` is what its
    package tells of what it predicts, as plain data; None where nobody tells.
    """

    name: str
    contract: str
    root: str
    path: str = ""
    version: str | None = None
    service: str | None = None
    endpoint: str | None = None
    operation: str = PREDICT
    options: dict[str, Any] = field(default_factory=dict)
    pool: PoolSettings = field(default_factory=PoolSettings)
    limits: Limits = field(default_factory=Limits)
    max_batch: int = 1
    environment: str | None = None
    all_headers: bool = False
    keys: list[str] | None = None
    queries: list[dict[str, Any]] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    graph: Graph | None = None
    split: Split | None = None
    card: dict[str, Any] | None = None

    @property
    def place(self) -> tuple[str, str]:
        """Its service and its name there."""
        name = self.endpoint or self.name
        return self.service or name, name

    @property
    def models(self) -> list[ModelSpec]:
        """Itself, or those that it is made of."""
        return [self] if self.graph is None else [*self.graph.together.values(), *self.graph.apart.values()]

    def to_dict(self) -> dict[str, Any]:
        """The part a worker is told: never the keys."""
        plain = asdict(replace(self, graph=None))
        del plain["keys"]
        if self.graph is not None:
            plain["graph"] = self.graph.to_dict()
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> ModelSpec:
        plain = dict(plain, pool=PoolSettings(**plain["pool"]), limits=Limits(**plain["limits"]))
        if plain["graph"] is not None:
            plain["graph"] = Graph.from_dict(plain["graph"])
        if plain["split"] is not None:
            plain["split"] = Split(**plain["split"])
        return cls(**plain)


@dataclass(frozen=True)
class Sought:
    """The model of a graph's unit, still to be found: at ``path``, with what is ``given`` before its manifest.

    ``options`` go on top of its own where it is of the graph's contract. ``env`` holds environment variables, ``own``
    those that only tell it which unit it is. ``apart`` says why it is to have workers of its own; empty where it need
    not.
    """

    path: str
    given: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    own: dict[str, str] = field(default_factory=dict)
    apart: str = ""


@dataclass(frozen=True)
class Graph:
    """The units below ``root`` and their models, by the unit's name: those that live together in the workers of the
    graph, and those that have workers of their own.

    ``answers`` and ``learns`` are the verbs by which the whole is asked and given feedback;
    with ``records`` its answers tell of the routes they took.
    Between reading and serving, ``sought`` holds the models that are not found yet, ``faults`` what is wrong already,
    and ``apart_for`` says why a unit has its own workers. With ``direct`` the graph is one model, asked as such.
    """

    root: Unit
    answers: str
    learns: str
    records: bool = False
    together: dict[str, ModelSpec] = field(default_factory=dict)
    apart: dict[str, ModelSpec] = field(default_factory=dict)
    apart_for: dict[str, str] = field(default_factory=dict)
    sought: dict[str, Sought] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    direct: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The part a worker is told."""
        return {
            "root": asdict(self.root),
            "answers": self.answers,
            "learns": self.learns,
            "records": self.records,
            "together": {unit: spec.to_dict() for unit, spec in self.together.items()},
        }

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Graph:
        together = {unit: ModelSpec.from_dict(spec) for unit, spec in plain["together"].items()}
        return cls(Unit.from_dict(plain["root"]), plain["answers"], plain["learns"], plain["records"], together)


@dataclass(frozen=True)
class Split:
    """A share of the requests that come to ``name``: ``weight`` of the sum of all weights.

    A ``mirror`` gets copies of the others' requests, ``weight`` in a hundred, and nobody gets its answers.
    """

    name: str
    weight: float
    mirror: bool = False


@dataclass(frozen=True)
class Field:
    """A column, tensor or argument by name; ``shape`` has -1 for what may vary."""

    name: str
    datatype: str
    shape: list[int] = field(default_factory=lambda: [-1, 1])


@dataclass(frozen=True)
class Description:
    """What a loaded model says of itself, made once at load.

    ``takes`` is the payload kind its code wants; those of ``also`` it takes as they come. ``columns`` names the
    columns of its table where known, ``inputs`` and ``outputs`` are for protocols that publish them, ``labels`` are
    the classes, ``details`` is what the platform's own protocol publishes beside all that.
    """

    takes: str
    platform: str
    columns: list[str] = field(default_factory=list)
    inputs: list[Field] = field(default_factory=list)
    outputs: list[Field] = field(default_factory=list)
    labels: list[Any] | None = None
    arguments: dict[str, Any] | None = None
    also: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Description:
        plain = dict(plain)
        for side in ("inputs", "outputs"):
            plain[side] = [Field(**item) for item in plain[side]]
        return cls(**plain)

"""One server with a graph of every sort, once with all nodes in one worker and once with each in its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.harness import Answer, Running, serving
from tests.platforms.seldon.graphs.deploying import UNIT, deploy, deployment, isolated, names, node, predictor, unit

JSON = {"Content-Type": "application/json"}
RECORDS = {"svcOrchSpec": {"env": [{"name": "SELDON_ENABLE_ROUTING_INJECTION", "value": "true"}]}}
RUN_TIMEOUT = 4000
"""Milliseconds."""


class Graphs(NamedTuple):
    """``together`` says whether the nodes share one worker; ``notes`` is where they note what they were asked."""

    server: Running
    together: bool
    notes: Path

    def post(self, name: str, message: Any, what: str = "predictions", **headers: str) -> Answer:
        return self.server.post(f"/seldon/ns/{name}/api/v1.0/{what}", message, headers={**JSON, **headers})

    def ask(self, name: str, message: Any, **headers: str) -> Any:
        answer = self.post(name, message, **headers)
        assert answer.status == 200, answer
        return answer.json()

    def trace(self, name: str, **more: Any) -> Any:
        """What the units noted in a message that went through the graph."""
        return self.ask(name, {"jsonData": more})["jsonData"]["trace"]

    def noted(self, name: str) -> list[str]:
        """What a unit was asked; it starts anew."""
        file = self.notes / name
        lines = file.read_text().split() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines


def graphs(notes: Path) -> dict[str, dict[str, Any]]:
    """Name to graph."""

    def noting(name: str, kind: str = "MODEL", *children: dict[str, Any]) -> dict[str, Any]:
        return unit(name, kind, *children, folder=str(notes))

    def meeting(name: str) -> dict[str, Any]:
        return unit(name, folder=str(notes), meets=3)

    both = ["TRANSFORM_INPUT", "TRANSFORM_OUTPUT", "SEND_FEEDBACK"]
    return {
        "one": unit("one"),
        "chain": unit("t", "TRANSFORMER", unit("o", "OUTPUT_TRANSFORMER", unit("m", "MODEL", unit("last")))),
        "routed": noting("r", "ROUTER", noting("a"), noting("b", "TRANSFORMER", noting("c")), noting("d")),
        "lead": noting("lead", "TRANSFORMER", noting("follower")),
        "joined": unit("j", "COMBINER", unit("x"), unit("y"), unit("z")),
        "meeting": unit("j", "COMBINER", meeting("p"), meeting("q"), meeting("s")),
        "first": unit("t", "TRANSFORMER", unit("x"), unit("y")),
        "methods": {**unit("w", "UNKNOWN_TYPE", unit("x")), "methods": both},
        "passing": node("n", "UNKNOWN_TYPE", node("q", "UNKNOWN_TYPE", unit("x"))),
        "built": node("avg", "AVERAGE_COMBINER", node("s1", "SIMPLE_MODEL"), node("m")),
        "simple": node("r", "SIMPLE_ROUTER", unit("a"), unit("b")),
        "odds": node("ab", "RANDOM_ABTEST", unit("a"), unit("b")),
        "raw": unit("t", "TRANSFORMER", node("raw", "MODEL", unit("after"))),
        "kinds": node("single", "MODEL", node("k1", "MODEL")),
        "copies": unit("j", "COMBINER", unit("k1"), unit("k2")),
        "rawjoined": node("rj", "COMBINER", node("k1"), node("k2")),
        "sums": node("mean", "COMBINER", node("k1"), node("k2")),
        "faulty": unit(
            "t", "TRANSFORMER", unit("o", "OUTPUT_TRANSFORMER", unit("r", "ROUTER", unit("j", "COMBINER", unit("m"))))
        ),
    }


ALL_APART = ("chain", "routed", "joined", "meeting", "faulty")
"""Graphs each of whose nodes has a worker of its own; of the others one has."""
SPECIAL = {
    "raw": {"raw": "Raw"},
    "kinds": {"single": "Single", "k1": "Kind"},
    "copies": {"k1": "Spoils", "k2": "Spoils"},
    "sums": {"mean": "Mean"},
    "rawjoined": {"rj": "RawJoin"},
}


@pytest.fixture(scope="session", params=["together", "apart"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graphs]:
    place = tmp_path_factory.mktemp(request.param)
    notes = place / "notes"
    notes.mkdir()
    files = []
    for name, graph in graphs(notes).items():
        components: dict[str, Any] = dict.fromkeys(names(graph), UNIT)
        for one, kind in SPECIAL.get(name, {}).items():
            components[one] = UNIT.replace(":Unit", f":{kind}")
        for one in ("n", "q", "avg", "s1", "ab") if name in ("passing", "built", "odds") else ():
            components.pop(one, None)
        if name == "simple":
            del components["r"]
        if request.param == "apart" and name in ALL_APART:
            components = isolated(components)
        elif request.param == "apart":  # at least one
            last = list(components)[-1]
            components = {**components, **isolated({last: components[last]})}
        pool = {"runTimeout": RUN_TIMEOUT}
        more = RECORDS if name in ("routed", "joined", "chain") else {}
        files.append(deploy(place / name, deployment(name, predictor(graph, **more)), components, pool=pool))
    if request.param == "apart":  # a server of every graph would be some fifty processes
        files = [file for file in files if file.parent.name not in ("simple", "odds", "passing", "first")]
    with serving(*files, "--grpc-port", "0") as server:
        yield Graphs(server, request.param == "together", notes)

"""The order in which a graph's units are asked: in a worker and in the front, the same as a plain recursion says."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelport.contracts.seldon.graph import GraphModel
from modelport.core import graph
from modelport.core.call import Call, Outcome, Reply
from modelport.core.graph import ALL, BRANCH, NONE, RECALL, RECORD, ROUTES, Unit
from modelport.core.model import Description, Graph, ModelSpec
from modelport.core.payload import Json
from modelport.errors import InvalidInput, InvalidOutput
from modelport.monitoring.metrics import Times
from modelport.routing.graph import execute, json_list, protobuf_list

VERBS = {"ask": ("", "predict", "transform-input"), "join": ("", "aggregate"), "then": ("", "transform-output")}


@st.composite
def trees(draw: Any) -> tuple[Unit, dict[str, int]]:
    """A tree, and the branch that each of its routers chooses."""
    numbers = iter(range(1000))
    branches: dict[str, int] = {}

    def grown(depth: int) -> Unit:
        name = f"u{next(numbers)}"
        count = draw(st.integers(0, 3)) if depth < 4 else 0
        children = tuple(grown(depth + 1) for _ in range(count))
        verbs = {kind: draw(st.sampled_from(choices)) for kind, choices in VERBS.items()}
        if children and draw(st.booleans()):
            verbs["route"] = "route"
            branches[name] = draw(st.integers(NONE, len(children) - 1))
        verbs["learn"] = "send-feedback" if draw(st.booleans()) else ""
        return Unit(name, **verbs, children=children)

    return grown(0), branches


def reference(unit: Unit, trace: list[Any], branches: dict[str, int]) -> list[Any]:
    """What a message's trace is after the unit."""
    if unit.ask:
        trace = [*trace, f"{unit.name} {unit.ask}"]
    branch = branches.get(unit.name, ALL) if unit.route else ALL
    chosen = unit.children if branch == ALL else () if branch == NONE else unit.children[branch : branch + 1]
    answers = [reference(child, trace, branches) for child in chosen]
    if answers:
        trace = [answers, f"{unit.name} {unit.join}"] if unit.join else answers[0]
    return [*trace, f"{unit.name} {unit.then}"] if unit.then else trace


def told(unit: Unit, routes: dict[str, int]) -> list[str]:
    """Who gets feedback, in an order that there may be: children before their parents."""
    branch = routes.get(unit.name, ALL)
    chosen = unit.children if branch == ALL else () if branch == NONE else unit.children[branch : branch + 1]
    return [name for child in chosen for name in told(child, routes)] + ([unit.name] if unit.learn else [])


class Stub:
    """A component that leaves its trace in the message."""

    def __init__(self, name: str, branches: dict[str, int], learned: list[str]) -> None:
        self.name = name
        self.description = Description("table", "seldon", details={"passthrough": False, "metadata": {}})
        self._branches = branches
        self._learned = learned

    def takes_whole(self, verb: str) -> bool:
        return True

    def call(self, payload: Any, call: Call) -> Outcome:
        message, verb = payload.value, call.verb
        if verb == "send-feedback":
            self._learned.append(self.name)
            return Outcome(extras={"seldon": {"strData": self.name}})
        if verb == "route":
            return Outcome(extras={"seldon": {"data": {"ndarray": [[self._branches[self.name]]]}}})
        if verb == "aggregate":
            trace = [[item["jsonData"] for item in message], f"{self.name} {verb}"]
        else:
            trace = [*message["jsonData"], f"{self.name} {verb}"]
        return Outcome(extras={"seldon": {"jsonData": trace, "meta": {}}})


def stubs(root: Unit, branches: dict[str, int], learned: list[str]) -> dict[str, Stub]:
    return {unit.name: Stub(unit.name, branches, learned) for unit in root.units()}


def in_worker(root: Unit, branches: dict[str, int], learned: list[str], verb: str, message: Any) -> Any:
    specs = {unit.name: ModelSpec(unit.name, "seldon", "/") for unit in root.units()}
    spec = ModelSpec("g", "seldon", "/", graph=Graph(root, "predict", "send-feedback", True, specs))
    made = stubs(root, branches, learned)
    model = GraphModel(spec, lambda part: made[part.name])
    return model.call(Json(message, "seldon"), called(verb)).extras["seldon"]


def called(verb: str) -> Call:
    return Call("1", "seldon", verb, {"content-type": "application/json"}, "", "/")


def in_front(root: Unit, branches: dict[str, int], learned: list[str], verb: str, message: Any) -> Any:
    made = stubs(root, branches, learned)

    async def run(endpoint: Any, call: Call, body: Any, exchange: Any, is_counted: bool = True) -> Reply:
        await asyncio.sleep(0)
        value = json.loads(bytes(body))
        headers = [("content-type", "application/json")]
        if call.verb == RECALL:
            routing = value.get("response", {}).get("meta", {}).get("routing", {})
            return Reply(200, [*headers, (ROUTES, json.dumps(routing))], b"")
        if call.verb == RECORD:
            value["meta"]["routing"] = json.loads(call.headers[ROUTES])
            return Reply(200, headers, json.dumps(value).encode())
        answer = made[call.unit].call(Json(value, "seldon"), call).extras["seldon"]
        if call.verb == "route":
            headers.append((BRANCH, str(answer["data"]["ndarray"][0][0])))
        return Reply(200, headers, json.dumps(answer).encode())

    described = Graph(root, "predict", "send-feedback", True)
    spec = ModelSpec("g", "seldon", "/", graph=described)
    stats = SimpleNamespace(success=0, fail=0, last=0)
    endpoint = SimpleNamespace(spec=spec, parts={}, stats=stats, times=Times(), timed=None)
    reply = asyncio.run(execute(endpoint, called(verb), json.dumps(message).encode(), None, run))
    return json.loads(reply.body)


@pytest.mark.parametrize("driver", [in_worker, in_front])
@settings(max_examples=60, deadline=None)
@given(tree=trees())
def test_answers_are_those_of_a_plain_recursion(driver: Any, tree: tuple[Unit, dict[str, int]]) -> None:
    root, branches = tree
    answer = driver(root, branches, [], "predict", {"jsonData": [], "meta": {}})
    assert answer["jsonData"] == reference(root, [], branches)


@pytest.mark.parametrize("driver", [in_worker, in_front])
@settings(max_examples=60, deadline=None)
@given(tree=trees())
def test_feedback_goes_where_the_request_went(driver: Any, tree: tuple[Unit, dict[str, int]]) -> None:
    root, routes = tree
    learned: list[str] = []
    feedback = {"response": {"meta": {"routing": routes}}}
    answer = driver(root, routes, learned, "send-feedback", feedback)
    wanted = told(root, routes)
    assert sorted(learned) == sorted(wanted)
    for unit in root.units():
        if unit.name in learned:
            below = {one.name for one in unit.units()} & set(learned) - {unit.name}
            assert all(learned.index(name) < learned.index(unit.name) for name in below)
    assert answer == ({"strData": root.name} if root.learn else feedback)


@pytest.mark.parametrize("driver", [in_worker, in_front])
def test_the_branches_taken_are_recorded(driver: Any) -> None:
    leaves = tuple(Unit(name, ask="predict", learn="send-feedback") for name in "abc")
    inner = Unit("c1", join="aggregate", children=leaves[:2])
    root = Unit("t", ask="transform-input", children=(Unit("r", route="route", children=(inner, leaves[2])),))
    answer = driver(root, {"r": 0}, [], "predict", {"jsonData": [], "meta": {}})
    assert answer["meta"]["routing"] == {"t": ALL, "r": 0, "c1": ALL, "a": ALL, "b": ALL}
    answer = driver(root, {"r": NONE}, [], "predict", {"jsonData": [], "meta": {}})
    assert answer["meta"]["routing"] == {"t": ALL, "r": NONE}


@pytest.mark.parametrize("driver", [in_worker, in_front])
@pytest.mark.parametrize("branch", [3, 99, -3])
def test_a_branch_that_there_is_not_names_its_router(driver: Any, branch: int) -> None:
    root = Unit("r", route="route", children=tuple(Unit(name, ask="predict") for name in "abc"))
    with pytest.raises(InvalidOutput, match="r chose a branch that is not there") as caught:
        driver(root, {"r": branch}, [], "predict", {"jsonData": []})
    assert caught.value.unit == "r"
    with pytest.raises(InvalidInput, match="the routing of r is wrong"):
        driver(root, {}, [], "send-feedback", {"response": {"meta": {"routing": {"r": branch}}}})


def test_odds_choose_without_asking() -> None:
    root = Unit("ab", odds=0.25, children=(Unit("a", ask="predict"), Unit("b", ask="predict")))
    chances = random.Random(7)
    counts = {"a": 0, "b": 0}
    for _ in range(4000):
        walk = graph.answer(root, None, {}, chances.random)
        counts[next(one_of(walk)).unit.name] += 1
    assert 900 < counts["a"] < 1100  # 1000 expected, with a deviation of 27


def one_of(walk: Any) -> Iterator[Any]:
    """The first question of a walk that has only one at a time."""
    asked = walk.send(None)
    yield from one_of(asked.walks[0]) if isinstance(asked, graph.Together) else [asked]


def test_lists_of_messages_are_what_their_readers_take_for_lists() -> None:
    assert json.loads(json_list([b"1\n", b'{"a": 2}'])) == [1, {"a": 2}]
    from modelport.schemas.seldon import SCHEMA

    messages = [{"strData": "a" * 300}, {}, {"strData": "b"}]
    body = protobuf_list([SCHEMA.encode("SeldonMessage", message) for message in messages])
    assert SCHEMA.decode("SeldonMessageList", body) == {"seldonMessages": messages}

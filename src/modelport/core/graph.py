"""Models that are made of models: the tree of units, and the order in which a request asks them.

The walks do no input or output. They are generators that say whom to ask what, and get the answers from a *driver*:
one in a worker that holds every unit, one in the front where units have workers of their own. A message is whatever
the driver passes around; the walks never look into one.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Callable, NamedTuple

from modelport.errors import InvalidInput, InvalidOutput

OURS = "x-modelport-"
"""What the headers below begin with: a client's own of that beginning go no further than the front."""
BRANCH, ROUTES = "x-modelport-branch", "x-modelport-routes"
"""Headers between workers and the front alone: the branch that a unit chose, and the branches of all units as JSON."""
RECALL, RECORD = "recall-routes", "record-routes"
"""Verbs for the workers of a graph whose units live apart: which routes a feedback tells of, and to tell of them in an
answer."""
PARTS = "x-modelport-parts"
"""The header that tells a graph's workers, as JSON, what is known of the units that live apart."""
ENTER, LEAVE, ANSWER = "/enter", "/leave", "x-modelport-answer"
"""What is asked in place of a unit where the request is of another protocol than the graph's: to make a message of it,
and to make an answer to it of the message in this header."""
ALL, NONE = -1, -2
"""Branches that are no child's number: every child, or none."""
MAX_DEPTH, MAX_UNITS = 20, 200
"""What a graph may have."""


@dataclass(frozen=True)
class Unit:
    """A node of the graph. The verbs say what its model is asked; an empty one is not asked.

    ``ask`` is for the way down and ``then`` for the way up, ``route`` chooses among the children, ``join`` makes one
    answer of theirs, ``learn`` takes feedback. With ``odds``, the chance of the first child, nobody is asked to choose.
    """

    name: str
    ask: str = ""
    route: str = ""
    join: str = ""
    then: str = ""
    learn: str = ""
    odds: float | None = None
    children: tuple[Unit, ...] = ()

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Unit:
        return cls(**dict(plain, children=tuple(map(cls.from_dict, plain["children"]))))

    def units(self) -> Iterator[Unit]:
        """This one, and all below it."""
        yield self
        for child in self.children:
            yield from child.units()

    @property
    def is_asked(self) -> bool:
        """Whether there is a model behind it."""
        return any((self.ask, self.route, self.join, self.then, self.learn))

    def chosen(self, branch: int) -> tuple[Unit, ...]:
        """The children of a branch. Raises ``IndexError`` where it has no such."""
        if branch == ALL or not self.children:
            return self.children
        if branch == NONE:
            return ()
        if not 0 <= branch < len(self.children):
            raise IndexError(f"{branch} is none of its {len(self.children)} children")
        return (self.children[branch],)


class Step(NamedTuple):
    """One question. The answer is a message, but for the verb ``unit.route``: a branch. For ``unit.join`` the message
    is a list of them."""

    unit: Unit
    verb: str
    message: Any


class Together(NamedTuple):
    """Walks to be taken at the same time. The answer is the list of what they return; when some fail, all come to
    their end, and the error is that of the first in order."""

    walks: list[Walk]


class UnitRaised(Exception):
    """The code of a unit raised ``fault``."""

    def __init__(self, unit: str, fault: BaseException) -> None:
        super().__init__(unit)
        self.unit = unit
        self.fault = fault


Walk = Generator[Any, Any, Any]
"""Yields ``Step`` and ``Together``, returns a message."""


def answer(unit: Unit, message: Any, routes: dict[str, int], chance: Callable[[], float]) -> Walk:
    """A request's way through the graph; returns the answer.

    ``routes`` gets the branch that each unit took; ``chance`` gives numbers from 0 up to 1. Raises ``InvalidOutput``
    for a branch that there is not.
    """
    if unit.ask:
        message = yield Step(unit, unit.ask, message)
    if unit.children or unit.learn:
        routes[unit.name] = ALL
    if unit.children:
        branch = routes[unit.name] = yield from _branch(unit, message, chance)
        try:
            children = unit.chosen(branch)
        except IndexError as fault:
            raise InvalidOutput(f"{unit.name} chose a branch that is not there: {fault}").of(unit.name) from None
        if children:
            answers = yield Together([answer(child, message, routes, chance) for child in children])
            message = (yield Step(unit, unit.join, answers)) if unit.join else answers[0]
    if unit.then:
        message = yield Step(unit, unit.then, message)
    return message


def _branch(unit: Unit, message: Any, chance: Callable[[], float]) -> Generator[Any, Any, int]:
    if unit.route:
        branch: int = yield Step(unit, unit.route, message)
        return branch
    if unit.odds is not None:
        return 0 if chance() < unit.odds else 1
    return ALL


def learn(unit: Unit, message: Any, routes: Mapping[str, int]) -> Walk:
    """A feedback's way along the ``routes`` that its request took: the children first. Returns the unit's reply.

    Raises ``InvalidInput`` for a branch that there is not.
    """
    try:
        children = unit.chosen(routes.get(unit.name, ALL))
    except IndexError as fault:
        raise InvalidInput(f"the routing of {unit.name} is wrong: {fault}") from None
    if children:
        yield Together([learn(child, message, routes) for child in children])
    return (yield Step(unit, unit.learn, message)) if unit.learn else message

"""Routers that learn which branch answers best: multi-armed bandits over rewards from 0 to 1.

A feedback's reward is the mean over the rows of its request, so that a row is a success or a failure in parts.
"""

from __future__ import annotations

import logging
import math
import os
import random
from collections import deque
from typing import TYPE_CHECKING, Any

from modelport.contracts.seldon.kept import Kept, State
from modelport.core.model import as_name
from modelport.errors import InvalidInput, LoadError

if TYPE_CHECKING:
    from typing import TypeGuard

MAX_BRANCHES = 1000
MAX_HISTORY = 10_000

log = logging.getLogger(__name__)


class Bandit:
    """Routes by ``choose``, and keeps the successes and failures of each branch.

    ``n_branches`` may be left out where ``branch_names`` ("a:b:c", or a list) says how many there are. ``state_dir`` is
    where the counts are kept over restarts, and shared by several workers; by default a folder of the node's data
    folder, if there is one. ``history`` keeps the last feedbacks in the attribute of that name, ``verbose`` logs
    decisions. Raises ``LoadError`` for parameters that make no router.
    """

    def __init__(
        self,
        n_branches: Any = None,
        seed: Any = None,
        branch_names: Any = None,
        state_dir: str | None = None,
        history: bool = False,
        verbose: bool = False,
    ) -> None:
        self.branch_names = _names(n_branches, branch_names)
        self.n_branches = len(self.branch_names)
        self.successes = [0.0] * self.n_branches
        self.failures = [0.0] * self.n_branches
        self.history: deque[tuple[int, float, float]] | None = deque(maxlen=MAX_HISTORY) if history else None
        self._random = random.Random(seed)  # noqa: S311 - chance, no secret
        self._verbose = verbose
        self._routed: int | None = None
        self._routed_now: int | None = None
        self._kept = _kept(type(self).__name__, state_dir)
        self._refresh()
        if self._kept is None:
            log.warning("what it learns ends with its process; the parameter state_dir keeps it")

    @property
    def stays_alone(self) -> bool:
        """Whether a second worker would learn on its own."""
        return self._kept is None

    def choose(self) -> int:
        """The branch that is to answer next."""
        raise NotImplementedError

    def mean(self, branch: int) -> float:
        """The mean reward of a branch, 0 before the first."""
        rows = self.successes[branch] + self.failures[branch]
        return self.successes[branch] / rows if rows else 0.0

    # --- the platform's hooks --------------------------------------------------------------------------------

    def route(self, features: Any, names: Any, meta: Any = None) -> int:
        self._refresh()
        self._routed = self._routed_now = branch = self.choose()
        if self._verbose:
            log.info("routed to branch %s", self.branch_names[branch])
        return branch

    def send_feedback(self, features: Any, names: Any, reward: float, truth: Any, routing: Any = None) -> None:
        """Learns from a feedback on an answer of one branch; one on answers of all branches teaches nothing."""
        self._routed = None
        if routing == -1:
            return
        if not isinstance(routing, int) or not 0 <= routing < self.n_branches:
            raise InvalidInput(
                f"the feedback names no branch from 0 to {self.n_branches - 1}: {routing!r:.80}",
                hint="response.meta.routing must have the branch under this unit's name",
            )
        if not isinstance(reward, (int, float)) or not 0 <= reward <= 1:
            raise InvalidInput(f"the reward must be from 0 to 1, not {reward!r:.80}")
        rows = _rows(features)

        def learn(state: State | None) -> State:
            self._adopt(state)
            self.successes[routing] += reward * rows
            self.failures[routing] += (1 - reward) * rows
            return {"successes": self.successes, "failures": self.failures}

        if self._kept is None:
            learn(None)
        else:
            self._kept.update(learn)
        if self.history is not None:
            self.history.append((routing, reward * rows, (1 - reward) * rows))
        if self._verbose:
            log.info("reward %g for branch %s over %d rows", reward, self.branch_names[routing], rows)

    def tags(self) -> dict[str, Any]:
        return {} if self._routed is None else {"branch": self.branch_names[self._routed]}

    def metrics(self) -> list[dict[str, Any]]:
        """The counts of each branch, and where the request went."""
        found: list[dict[str, Any]] = []
        for branch, name in enumerate(self.branch_names):
            counts = {"successes": self.successes, "failures": self.failures}
            found += [_metric("GAUGE", f"router_branch_{key}", values[branch], name) for key, values in counts.items()]
        if self._routed_now is not None:
            found.append(_metric("COUNTER", "router_branch_routed", 1, self.branch_names[self._routed_now]))
            self._routed_now = None
        return found

    # --- what was learned ------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        """Takes over what other workers, or an earlier run, have learned."""
        if self._kept is not None:
            self._adopt(self._kept.changed())

    def _adopt(self, state: State | None) -> None:
        if state is None:
            return
        successes, failures = state.get("successes"), state.get("failures")
        if not (_are_counts(successes) and _are_counts(failures) and len(successes) == len(failures)):
            raise LoadError(f"{self._file} does not hold what a router has learned", hint="mend it, or remove it")
        if len(successes) > self.n_branches:
            raise LoadError(
                f"{self._file} is of a router with {len(successes)} branches; this one has {self.n_branches}",
                hint="remove it, or name another state_dir",
            )
        self.successes, self.failures = self._filled(successes), self._filled(failures)

    def _filled(self, values: list[float]) -> list[float]:
        """With zeros for branches that were added since."""
        return [*map(float, values), *[0.0] * (self.n_branches - len(values))]

    @property
    def _file(self) -> str:
        return self._kept.file if self._kept is not None else ""


class EpsilonGreedy(Bandit):
    """The branch with the best mean reward, with probability 1 - ``epsilon``; else one of the others.

    ``best_branch`` is taken for the best one before there is a reward; any one without it.
    """

    def __init__(self, n_branches: Any = None, epsilon: Any = 0.1, best_branch: Any = None, **more: Any) -> None:
        super().__init__(n_branches, **more)
        self.epsilon = _number("epsilon", epsilon)
        if not 0 <= self.epsilon <= 1:
            raise LoadError(f"epsilon must be from 0 to 1, not {epsilon!r:.80}")
        given = self._random.randrange(self.n_branches) if best_branch is None else _number("best_branch", best_branch)
        if given not in range(self.n_branches):
            raise LoadError(f"best_branch must be from 0 to {self.n_branches - 1}, not {best_branch!r:.80}")
        self.best_branch = int(given)

    def choose(self) -> int:
        means = list(map(self.mean, range(self.n_branches)))
        if means[self.best_branch] < max(means):
            self.best_branch = means.index(max(means))
        if self.n_branches == 1 or self._random.random() >= self.epsilon:
            return self.best_branch
        other = self._random.randrange(self.n_branches - 1)
        return other + (other >= self.best_branch)


class ThompsonSampling(Bandit):
    """The branch whose draw is the highest, of a draw for each from the Beta distribution of its rewards so far."""

    def __init__(self, n_branches: Any = None, **more: Any) -> None:
        super().__init__(n_branches, **more)

    def choose(self) -> int:
        pairs = zip(self.successes, self.failures)
        draws = [self._random.betavariate(1 + successes, 1 + failures) for successes, failures in pairs]
        return draws.index(max(draws))


def _names(count: Any, names: Any) -> list[str]:
    """The branches' names: as given, else their numbers."""
    if isinstance(names, str):
        names = names.split(":")
    if count is None and not names:
        raise LoadError("n_branches is missing", hint="how many children the router has, as an INT")
    number = len(names) if count is None else _number("n_branches", count)
    if number != int(number) or not 1 <= number <= MAX_BRANCHES:
        raise LoadError(f"n_branches must be from 1 to {MAX_BRANCHES}, not {count!r:.80}")
    listed = list(map(str, names or range(int(number))))
    if len(listed) != number or len(set(listed)) != number:
        raise LoadError(f"branch_names must be {int(number)} different names, not {names!r:.200}")
    return listed


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise LoadError(f"{name} must be a number, not {value!r:.80}")
    return number


def _kept(kind: str, folder: str | None) -> Kept | None:
    """The state of this unit, in the folder or in the node's."""
    data = os.environ.get("MODELPORT_DATA")
    folder = folder or (os.path.join(data, "routers") if data else None)
    if folder is None:
        return None
    parts = [os.environ.get(name) for name in ("SELDON_DEPLOYMENT_ID", "PREDICTOR_ID", "PREDICTIVE_UNIT_ID")]
    name = as_name("-".join(part for part in parts if part), kind)
    return Kept(os.path.join(os.path.abspath(folder), f"{name}.json"))


def _are_counts(values: Any) -> TypeGuard[list[float]]:
    return isinstance(values, list) and all(
        isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf for value in values
    )


def _rows(features: Any) -> int:
    """How many rows a feedback is about; one where its request had no array."""
    shape: Any = getattr(features, "shape", ())
    return int(shape[0]) if len(shape) > 1 and shape[0] else 1


def _metric(kind: str, key: str, value: float, branch: str) -> dict[str, Any]:
    return {"type": kind, "key": key, "value": value, "tags": {"branch": branch}}

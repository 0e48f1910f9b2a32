"""Components that come with this package, by the names under which the platform's users know them."""

from __future__ import annotations

_ROUTERS = "modelport.contracts.seldon.routers"
EPSILON_GREEDY, THOMPSON_SAMPLING = f"{_ROUTERS}.EpsilonGreedy", f"{_ROUTERS}.ThompsonSampling"

IMAGES = {"seldonio/mab_epsilon_greedy": EPSILON_GREEDY, "seldonio/mab_thompson_sampling": THOMPSON_SAMPLING}
"""Without their tags, in lower case."""
IMPLEMENTATIONS = {"EPSILON_GREEDY": EPSILON_GREEDY, "THOMPSON_SAMPLING": THOMPSON_SAMPLING}


def component_of(name: str) -> str | None:
    """The class, as module.Class, for an image or an implementation; None where there is none."""
    head, slash, last = name.partition("@")[0].rpartition("/")
    return IMPLEMENTATIONS.get(name) or IMAGES.get(f"{head}{slash}{last.partition(':')[0]}".lower())

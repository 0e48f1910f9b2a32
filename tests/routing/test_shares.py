"""Requests shared out by weight, and copies of them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from modelport.routing.shares import Copies, Shares


@pytest.mark.parametrize("weights", [[1], [75, 25], [0.2, 0.3, 0.5], [1, 1, 1, 1], [100, 0, 300]])
def test_requests_come_in_proportion(weights: list[float]) -> None:
    shares = Shares(list(enumerate(weights)), random.Random(11).random)
    counts = Counter(shares.choose() for _ in range(20_000))
    for at, weight in enumerate(weights):
        wanted = 20_000 * weight / sum(weights)
        assert abs(counts[at] - wanted) < 5 * (wanted * (1 - weight / sum(weights))) ** 0.5 + 1  # five deviations


def test_weights_of_nothing_are_equal() -> None:
    shares = Shares([("a", 0), ("b", 0)], random.Random(3).random)
    assert {shares.choose() for _ in range(50)} == {"a", "b"}


@pytest.mark.parametrize("chance", [0.0, 0.7499999, 0.75, 0.9999999999999999, 1.0])
def test_the_ends_of_chance(chance: float) -> None:
    shares = Shares([("a", 75), ("b", 25)], lambda: chance)
    assert shares.choose() == ("a" if chance < 0.75 else "b")


def test_copies_are_bounded_and_fail_alone() -> None:
    async def run() -> None:
        copies, gate, begun = Copies(2), asyncio.Event(), Counter[str]()

        async def call(name: str) -> None:
            begun[name] += 1
            await gate.wait()
            raise RuntimeError(name)

        started = [copies.start(lambda name=name: call(name)) for name in "abc"]  # type: ignore[misc]
        await asyncio.sleep(0)
        assert (begun, started) == (Counter("ab"), [True, True, False])
        gate.set()
        await asyncio.sleep(0.01)
        copies.start(lambda: call("d"))
        await asyncio.sleep(0)
        assert begun == Counter("abd")

    asyncio.run(run())

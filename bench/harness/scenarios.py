"""What is measured: the scenarios, their metrics and their goals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from harness.wire import CSV_ROWS, GRAPH, JSON_ROWS, SELDON, SELDON_GRPC

T = TypeVar("T")


@dataclass(frozen=True)
class Metric:
    """One figure of a scenario: its key in a cell, and how it is shown."""

    key: str
    label: str
    higher_is_better: bool = False
    digits: int = 2


RPS = Metric("rps", "requests/s", higher_is_better=True, digits=0)
P50 = Metric("p50_ms", "p50 ms")
P99 = Metric("p99_ms", "p99 ms")
ROWS = Metric("rows_per_s", "rows/s", higher_is_better=True, digits=0)


@dataclass(frozen=True)
class Scenario:
    """One kind of work. The first metric is the one that counts; loads are what has connections.

    A load is for the clients of its family.
    """

    name: str
    title: str
    goal: str
    metrics: tuple[Metric, ...]
    connections: int = 0
    rows: int = 1
    batched: bool = False
    family: str = JSON_ROWS


MANY = 10_000
SCENARIOS = (
    Scenario(
        "one-row-32",
        "One row, 32 connections, no batching",
        "at least 2.2 x the best peer",
        (RPS, P50, P99),
        connections=32,
    ),
    Scenario(
        "one-row-32-batched",
        "One row, 32 connections, batching on",
        "at least 10 x the best peer",
        (RPS, P50, P99),
        connections=32,
        batched=True,
    ),
    Scenario(
        "one-row-1",
        "One row, one connection",
        "p50 at most 0.6 x the best peer's",
        (P50, P99, RPS),
        connections=1,
    ),
    Scenario(
        "json-10k",
        "10,000 rows of JSON in one request, one connection",
        "at least 75 % of the ceiling",
        (ROWS, P50),
        connections=1,
        rows=MANY,
    ),
    Scenario(
        "csv-10k",
        "10,000 rows of CSV in one request, one connection",
        "at least 75 % of the ceiling",
        (ROWS, P50),
        connections=1,
        rows=MANY,
        family=CSV_ROWS,
    ),
    Scenario(
        "csv-10k-4",
        "10,000 rows of CSV in one request, four connections",
        "at least 75 % of the ceiling",
        (ROWS, P50),
        connections=4,
        rows=MANY,
        family=CSV_ROWS,
    ),
    Scenario(
        "seldon-32",
        "A Seldon component over REST: one row, 32 connections, no batching",
        "at least 3 x seldon-core",
        (RPS, P50, P99),
        connections=32,
        family=SELDON,
    ),
    Scenario(
        "seldon-1",
        "A Seldon component over REST: one row, one connection",
        "none was set",
        (P50, P99, RPS),
        connections=1,
        family=SELDON,
    ),
    Scenario(
        "seldon-grpc-32",
        "A Seldon component over gRPC: one row, 32 channels, no batching",
        "none was set",
        (RPS, P50, P99),
        connections=32,
        family=SELDON_GRPC,
    ),
    Scenario(
        "seldon-grpc-1",
        "A Seldon component over gRPC: one row, one channel",
        "none was set",
        (P50, P99, RPS),
        connections=1,
        family=SELDON_GRPC,
    ),
    Scenario(
        "seldon-graph-32",
        "A graph of three nodes over REST: one row, 32 connections",
        "none was set",
        (RPS, P50, P99),
        connections=32,
        family=GRAPH,
    ),
    Scenario(
        "start",
        "Start: spawn to the first right answer",
        "at most 0.5 s over the model's own imports",
        (
            Metric("over_imports_s", "s over own imports"),
            Metric("start_s", "s"),
            Metric("bare_s", "own imports s"),
        ),
    ),
    Scenario(
        "memory",
        "Memory in MiB after 300 requests",
        "front at most 60 MiB",
        (
            Metric("over_bare_mib", "tree PSS over a bare process", digits=0),
            Metric("front_pss_mib", "first process PSS", digits=0),
            Metric("front_rss_mib", "first process RSS", digits=0),
            Metric("tree_pss_mib", "whole tree PSS", digits=0),
            Metric("tree_rss_mib", "whole tree RSS", digits=0),
            Metric("bare_pss_mib", "bare process PSS", digits=0),
            Metric("processes", "processes", digits=0),
        ),
    ),
)


def alternate(items: Sequence[T], turn: int) -> list[T]:
    """Give the order for a round: back to front every other time, and rotated, so that drift hits all."""
    if not items:
        return []
    shift = (turn // 2) % len(items)
    order = [*items[shift:], *items[:shift]]
    return order[::-1] if turn % 2 else order

"""Prometheus metrics, all kept in the front, so that they are right with any number of workers.

The counts are plain numbers that the hot path bumps; they become metric families when somebody asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from modelport.monitoring.histogram import Histogram
from modelport.monitoring.reported import UserMetrics
from modelport.monitoring.timed import families

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_STATES = ("starting", "idle", "busy", "stopping")


class Times:
    """Queue, run and total time of one endpoint's calls."""

    __slots__ = ("queue", "run", "total")

    def __init__(self) -> None:
        self.queue, self.run, self.total = Histogram(), Histogram(), Histogram()

    def observe(self, waited: float, ran: float) -> None:
        self.queue.observe(waited)
        self.run.observe(ran)
        self.total.observe(waited + ran)


class Metrics(Collector):
    """``requests`` counts answers by (endpoint, protocol, status), where gRPC's are words; ``reported`` is what the
    models' own code counts."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, int | str]] = Counter()
        self.reported = UserMetrics()
        self._times: dict[str, Times] = {}
        self._endpoints: Sequence[Any] = ()
        self._tasks: Any = None
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def times(self, endpoint: str) -> Times:
        return self._times.setdefault(endpoint, Times())

    def watch(self, endpoints: Sequence[Any], tasks: Any) -> None:
        """The endpoints whose pools are shown, and the tasks."""
        self._endpoints = endpoints
        self._tasks = tasks

    def text(self) -> bytes:
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "modelport_requests", "Answered requests.", labels=["endpoint", "protocol", "code"]
        )
        for (endpoint, protocol, status), count in self.requests.items():
            requests.add_metric([endpoint, protocol, str(status)], count)
        yield requests
        for part, text in (
            ("queue", "Time spent waiting for a worker."),
            ("run", "Time spent in a worker."),
            ("request", "Time from queue to answer."),
        ):
            family = HistogramMetricFamily(f"modelport_{part}_seconds", text, labels=["endpoint"])
            for endpoint, times in self._times.items():
                histogram = times.total if part == "request" else getattr(times, part)
                family.add_metric([endpoint], histogram.buckets(), histogram.total)
            yield family
        yield from self._pools()
        if self._tasks is not None:
            tasks = GaugeMetricFamily("modelport_tasks", "Tasks by what they do.", labels=["state"])
            for state in ("running", "waiting"):
                tasks.add_metric([state], len(getattr(self._tasks, state)))
            yield tasks
        yield from families(one.timed for one in self._endpoints if one.timed is not None)
        yield from self.reported.collect()

    def _pools(self) -> Iterator[Metric]:
        workers = GaugeMetricFamily("modelport_workers", "Workers by what they do.", labels=["endpoint", "state"])
        waiting = GaugeMetricFamily("modelport_queue_length", "Requests waiting for a worker.", labels=["endpoint"])
        ready = GaugeMetricFamily("modelport_ready", "1 with a worker that serves.", labels=["endpoint"])
        restarts = CounterMetricFamily(
            "modelport_worker_restarts", "Workers that ended, by cause.", labels=["endpoint", "cause"]
        )
        batches = CounterMetricFamily(
            "modelport_batches",
            "Hand-overs to workers, by how many requests each had.",
            labels=["endpoint", "size"],
        )
        lost = CounterMetricFamily(
            "modelport_not_run",
            "Requests that never ran, or whose answer nobody took: rejected, timed_out, cancelled.",
            labels=["endpoint", "reason"],
        )
        parts = (part for one in self._endpoints if one.pool is not None for part in one.parts.values())
        for endpoint in (*self._endpoints, *parts):
            name, pool = endpoint.spec.name, endpoint.pool
            ready.add_metric([name], float(endpoint.state == "ready"))
            if pool is None:
                continue
            for state in _STATES:
                workers.add_metric([name, state], pool.count(state))
            waiting.add_metric([name], pool.waiting)
            for cause, count in pool.tally.restarts.items():
                restarts.add_metric([name, cause], count)
            for size, count in pool.tally.batches.items():
                batches.add_metric([name, str(size)], count)
            for reason in ("rejected", "timed_out", "cancelled"):
                lost.add_metric([name, reason], getattr(pool.tally, reason))
        yield from (workers, waiting, ready, restarts, batches, lost)

"""Metrics that the models' own code reports, summed up by worker: a worker's series end with it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from modelport.core.measures import CODE, COUNTER, GAUGE, QUESTION, TIMER, VERB, check
from modelport.monitoring.histogram import Histogram

TIMER_SECONDS = (
    0.001, 0.0012341553253454693, 0.0015231393670785815, 0.0018797905611233593, 0.0023199535315445415,
    0.002863183005509725, 0.0035336125536884733, 0.004361026750842238, 0.005382184388525997, 0.006642451525090608,
    0.008197816923039709, 0.010117379411776668, 0.012486417679584786, 0.015410178873747385, 0.019018554321561593,
    0.02347185009632733, 0.028967908792092944, 0.03575089889988335, 0.04412216226317852, 0.05445360152285871,
    0.06720420230367624, 0.0829404241586763, 0.10236136616184238, 0.12632982515827532, 0.15591062646904755,
    0.19241792993472334, 0.2374736129208902, 0.2930793240153456, 0.3617054084821892, 0.44640065608455204,
    0.5509277469444613, 0.6799304127720881, 0.8391397397870157, 1.035628778567157, 1.2781267721496807,
    1.5774069623151439, 1.9467652027782552, 2.402610642206036, 2.965194718810281, 3.65951085290597,
    4.516404807273444, 5.573945044312399, 6.879113959621136, 8.489895126924782, 10.477849282518772,
    12.931293490187748, 15.959224724520412, 19.696162182151948, 24.30812344597087, 29.999999999999996,
)  # fmt: skip
"""A millisecond to half a minute in equal ratios, to the digit as dashboards that exist already name them."""
TYPES = {COUNTER: "counter", GAUGE: "gauge", TIMER: "histogram"}
MAX_SAMPLES = 5000
"""Lines that the metrics of one worker may be: they take memory for as long as the worker lives."""
MAX_TEXT = 2000
"""Characters that a series' name and labels may have together."""

Key = tuple[str, str, tuple[tuple[str, str], ...]]
"""Kind, name and labels."""

_log = logging.getLogger("modelport.server")


class Reported:
    """What the workers of one endpoint have reported. ``asked`` counts what a graph's have asked their units: unit,
    verb, code and seconds; it raises as ``add`` does."""

    def __init__(self, endpoint: str) -> None:
        self.asked: Callable[[str, str, str, float], None] | None = None
        self._endpoint = endpoint
        self._workers: dict[int, dict[Key, Any]] = {}
        self._samples: Counter[int] = Counter()
        self._is_full = False

    def add(self, worker: int, items: list[Any]) -> None:
        """What came with an answer of the worker. Raises ``ValueError`` or ``TypeError`` for what is no measurement."""
        series = self._workers.setdefault(worker, {})
        for kind, name, value, labels in items:
            if kind == QUESTION:
                told = dict(labels)
                if self.asked is not None:
                    self.asked(name, told.get(VERB, ""), told.get(CODE, ""), float(value))
                continue
            key: Key = (kind, name, tuple([(label, text) for label, text in labels]))
            if key not in series and not self._may_add(key, worker):
                continue
            number = float(value)
            if kind == TIMER:
                series.setdefault(key, Histogram(TIMER_SECONDS)).observe(number)
            else:
                series[key] = number + series.get(key, 0.0) if kind == COUNTER else number

    def _may_add(self, key: Key, worker: int) -> bool:
        kind, name, labels = key
        check(name, dict(labels))
        texts = [name, *(text for label in labels for text in label)]
        if kind not in TYPES or set(map(type, texts)) != {str}:
            raise TypeError("a metric of no known form")
        samples = len(TIMER_SECONDS) + 3 if kind == TIMER else 1
        if self._samples[worker] + samples <= MAX_SAMPLES and sum(map(len, texts)) <= MAX_TEXT:
            self._samples[worker] += samples
            return True
        if not self._is_full:
            self._is_full = True
            _log.warning(
                "%s: metric %s and perhaps more are not counted: a worker's may be %d lines, each of %d characters",
                self._endpoint,
                name[:200],
                MAX_SAMPLES,
                MAX_TEXT,
            )
        return False

    def drop(self, worker: int) -> None:
        """Forgets a worker that has ended."""
        self._workers.pop(worker, None)
        del self._samples[worker]

    def series(self) -> Iterator[tuple[Key, int, Any]]:
        """Each series with its worker, and a number or a histogram."""
        for worker, series in self._workers.items():
            for key, value in series.items():
                yield key, worker, value


class UserMetrics(Collector):
    """Of every endpoint."""

    def __init__(self) -> None:
        self._endpoints: dict[str, Reported] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def of(self, endpoint: str) -> Reported:
        return self._endpoints.setdefault(endpoint, Reported(endpoint))

    def text(self) -> bytes:
        """These metrics alone, as Prometheus reads them; nothing at all before the first."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        families: dict[tuple[str, str], Metric] = {}
        for endpoint in self._endpoints.values():
            for (kind, name, pairs), worker, value in endpoint.series():
                base = name.removesuffix("_total") if kind == COUNTER else name
                family = families.setdefault((kind, base), Metric(base, "", TYPES[kind]))
                labels = {**dict(pairs), "worker_id": str(worker)}
                if kind == TIMER:
                    _add_histogram(family, labels, value)
                else:
                    family.add_sample(f"{base}_total" if kind == COUNTER else base, labels, value)
        yield from families.values()


def _add_histogram(family: Metric, labels: dict[str, str], histogram: Histogram) -> None:
    buckets = histogram.buckets()
    for bound, count in buckets:
        family.add_sample(f"{family.name}_bucket", {**labels, "le": bound}, count)
    family.add_sample(f"{family.name}_count", labels, buckets[-1][1])
    family.add_sample(f"{family.name}_sum", labels, histogram.total)

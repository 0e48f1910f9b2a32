"""How long the requests to graphs took, and the questions to their units, as the graphs' platforms count them."""

from __future__ import annotations

import asyncio
import logging
import time
from array import array
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

from prometheus_client.core import Metric

from modelport.core.call import Call, Reply
from modelport.core.model import ModelSpec
from modelport.core.timing import Series, Timing
from modelport.errors import Cancelled, ModelportError
from modelport.monitoring.histogram import Histogram

MAX_SERIES = 1000
"""Series that one graph may have; models may answer with any code."""
RECENT = 500
AGE = 600.0
"""Quantiles are those of so many times at most, and of so many seconds."""

_log = logging.getLogger("modelport.server")


class Recent:
    """The last times of one kind, for quantiles."""

    __slots__ = ("_at", "_seconds", "_when")

    def __init__(self) -> None:
        self._at = 0
        self._seconds, self._when = array("d"), array("d")

    def observe(self, seconds: float, now: float) -> None:
        if len(self._when) < RECENT:
            self._seconds.append(seconds)
            self._when.append(now)
            return
        self._seconds[self._at], self._when[self._at] = seconds, now
        self._at = (self._at + 1) % RECENT

    def quantiles(self, wanted: Sequence[float], now: float) -> list[float]:
        """The least time that so large a part did not exceed; not a number where there was none lately."""
        times = sorted(s for s, when in zip(self._seconds, self._when, strict=True) if now - when <= AGE)
        if not times:
            return [float("nan")] * len(wanted)
        last = len(times) - 1
        return [times[min(last, max(0, -int(-quantile * len(times) // 1) - 1))] for quantile in wanted]


class Times:
    """What is kept of one series."""

    __slots__ = ("histogram", "recent", "series")

    def __init__(self, series: Series, bounds: tuple[float, ...]) -> None:
        self.series = series
        self.histogram = Histogram(bounds)
        self.recent = Recent()

    def observe(self, seconds: float) -> None:
        self.histogram.observe(seconds)
        self.recent.observe(seconds, time.monotonic())


class Timed:
    """The requests to one graph, and the questions to its units."""

    def __init__(self, spec: ModelSpec, timing: Timing) -> None:
        assert spec.graph is not None
        self.timing = timing
        self._spec = spec
        self._units = {unit.name for unit in spec.graph.root.units()}
        self._times: dict[tuple[str, ...], Times | None] = {}
        self._is_full = False

    @property
    def times(self) -> list[Times]:
        """Of each series."""
        return list(dict.fromkeys(times for times in self._times.values() if times is not None))

    async def request(self, call: Call, answer: Awaitable[Reply]) -> Reply:
        """The answer to the request, which is counted."""

        def count(code: str, seconds: float) -> None:
            path = call.path if call.protocol.endswith(".grpc") else ""
            key = (call.protocol, call.verb, path, code)
            self._observe(key, lambda: self.timing.request(self._spec, call, code), seconds)

        return await self._counted(call, answer, count)

    async def question(self, call: Call, answer: Awaitable[Reply]) -> Reply:
        """The answer of the unit that is asked, which is counted."""
        return await self._counted(call, answer, lambda code, seconds: self.asked(call.unit, call.verb, code, seconds))

    def asked(self, unit: str, verb: str, code: str, seconds: float) -> None:
        """Counts a question. Raises ``ValueError`` or ``TypeError`` for one that there cannot have been."""
        if set(map(type, (unit, verb, code))) != {str}:
            raise TypeError("a question of no known form")
        if unit not in self._units:
            raise ValueError(f"{unit[:100]!r} is no unit of {self._spec.name}")
        self._observe((unit, verb, code), lambda: self.timing.question(self._spec, unit, verb, code), seconds)

    async def _counted(self, call: Call, answer: Awaitable[Reply], count: Callable[[str, float], None]) -> Reply:
        begin = time.perf_counter()
        code = ""
        try:
            reply = await answer
            code = self.timing.code(call, reply)
            return reply
        except ModelportError as error:
            code = self.timing.code(call, error)
            raise
        except asyncio.CancelledError:
            code = self.timing.code(call, Cancelled("the client went away"))
            raise
        except Exception:
            code = self.timing.code(call, ModelportError("internal error"))
            raise
        finally:
            count(code, time.perf_counter() - begin)

    def _observe(self, key: tuple[str, ...], series_of: Callable[[], Series | None], seconds: float) -> None:
        if key not in self._times:
            if len(self._times) >= MAX_SERIES:
                if not self._is_full:
                    _log.warning(
                        "%s: more than %d kinds of times: the rest is not counted", self._spec.name, MAX_SERIES
                    )
                self._is_full = True
                return
            series = series_of()
            alike = (times for times in self.times if times.series == series)
            fresh = Times(series, self.timing.bounds) if series is not None else None
            self._times[key] = next(alike, fresh)
        times = self._times[key]
        if times is not None:
            times.observe(seconds)


def families(graphs: Iterable[Timed]) -> Iterator[Metric]:
    """A histogram and a summary for each name."""
    found: dict[str, Metric] = {}
    now = time.monotonic()
    for graph in graphs:
        quantiles = graph.timing.quantiles
        for times in graph.times:
            name, summary, labels = times.series
            buckets = times.histogram.buckets()
            family = found.setdefault(name, Metric(name, "", "histogram"))
            for bound, count in buckets:
                family.add_sample(f"{name}_bucket", {**labels, "le": bound}, count)
            other = found.setdefault(summary, Metric(summary, "", "summary"))
            for quantile, seconds in zip(quantiles, times.recent.quantiles(quantiles, now), strict=True):
                other.add_sample(summary, {**labels, "quantile": str(quantile)}, seconds)
            for one in (family, other):
                one.add_sample(f"{one.name}_count", labels, buckets[-1][1])
                one.add_sample(f"{one.name}_sum", labels, times.histogram.total)
    yield from found.values()

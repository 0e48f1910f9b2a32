"""What ``modelport check`` tries on a loaded model. Each check asks through the platform's own protocol."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

from modelport.cli.dialects import Dialect, Request, Row
from modelport.cli.local import LocalModel
from modelport.core.call import Reply

OK, NOTE, FAIL = "ok", "note", "fail"
BROKEN = {"worker_died", "run_timeout", "queue_timeout", "model_unavailable", "invalid_output", "internal"}
"""Error codes of a model that did not just refuse a request."""
REPEATS = 5
MAX_ROWS = 32
MAX_COLUMNS = 100


class Tolerance(NamedTuple):
    """How far numbers may be apart: in parts of them, and near 0."""

    relative: float
    absolute: float


EXACT = Tolerance(1e-9, 1e-12)
NEAR = Tolerance(1e-5, 1e-7)
"""For the same rows in another batch, which float32 may add up in another order."""


class Finding(NamedTuple):
    """``state`` is "ok", "note" (good to know) or "fail"."""

    check: str
    state: str
    detail: str


class Reaction(NamedTuple):
    """What became of one request: its answers, or why there are none."""

    answers: list[Any] | None
    code: str
    message: str

    @property
    def is_broken(self) -> bool:
        return self.code in BROKEN


class Checks:
    """``async for finding in Checks(model).run()``; ``total`` is how many there will be.

    Strict ones fail where others note what a user may live with: refused nulls, and answers that depend on something
    else than their own row.
    """

    def __init__(self, model: LocalModel, is_strict: bool = False) -> None:
        self._model = model
        self._lesser = FAIL if is_strict else NOTE
        self._saved = model.dialect.saved(model.spec)
        self._given = model.dialect.rows(model.spec)
        self._rows = spread(self._given)[:MAX_ROWS]
        self._unit = "column" if model.dialect.takes_rows(model.spec) else "argument"
        self._is_steady = True
        self._takes_nulls = False
        self._steps: dict[str, Callable[[], Awaitable[tuple[str, str]]]] = {"saved queries": self._replay}
        if self._saved:
            self._steps["repeated calls"] = self._repeat
        if self._rows:
            self._steps |= {"nulls": self._nulls, "wrong types": self._wrong_types, "no input": self._no_input}
        if self._rows and model.dialect.takes_rows(model.spec):
            self._steps |= {
                "empty batch": self._empty,
                "row counts": self._counts,
                "side effects": self._side_effects,
                "row order": self._order,
                "neighbours": self._neighbours,
            }
        self.total = len(self._steps)

    async def run(self) -> AsyncIterator[Finding]:
        for name, step in self._steps.items():
            state, detail = await step()
            yield Finding(name, state, detail)

    async def _ask(self, request: Request) -> Reaction:
        return reaction(await self._model.ask(request), self._model.dialect)

    async def _predict(self, rows: list[Row]) -> Reaction:
        return await self._ask(self._model.dialect.ask(self._model.spec, rows))

    async def _replay(self) -> tuple[str, str]:
        if not self._saved:
            return NOTE, f"none are saved, so there is nothing to try: {self._model.dialect.saving}, or say --data"
        times = []
        for number, request in enumerate(self._saved, 1):
            begin = time.perf_counter()
            answer = await self._ask(request)
            times.append(time.perf_counter() - begin)
            if answer.answers is None:
                return FAIL, f"query {number} of {len(self._saved)} failed: {answer.message}"
        return OK, f"{len(self._saved)} answered, the last in {times[-1] * 1000:.1f} ms"

    async def _repeat(self) -> tuple[str, str]:
        request = self._saved[0]
        answers = [(await self._ask(request)).answers for _ in range(REPEATS)]
        self._is_steady = all(same(answer, answers[0]) for answer in answers)
        if self._is_steady:
            return OK, f"{REPEATS} calls gave equal answers"
        return self._lesser, "equal calls give different answers: is there randomness or a memory of earlier calls?"

    async def _nulls(self) -> tuple[str, str]:
        state, detail = await self._each_column(lambda value: None)
        self._takes_nulls = state == OK
        return self._lesser if state == NOTE else state, detail

    async def _wrong_types(self) -> tuple[str, str]:
        return await self._each_column(lambda value: 12345 if isinstance(value, str) else "wrong")

    async def _each_column(self, replaced: Callable[[Any], Any]) -> tuple[str, str]:
        """One request a column, in which that column of the first row is replaced."""
        row = self._rows[0]
        refused: dict[str, str] = {}
        broken: list[str] = []
        left_out = 0
        names = list(row)[:MAX_COLUMNS]
        for name in names:
            answer = await self._predict([{**row, name: replaced(row[name])}])
            if answer.is_broken:
                broken.append(f"{name}: {answer.message}")
            elif answer.answers is None:
                refused[name] = answer.message
            else:
                left_out += any(map(self._model.dialect.is_left_out, answer.answers))
        if broken:
            return FAIL, f"breaks on {broken[0]}"
        if not refused:
            without = f", {left_out} of them without a prediction" if left_out else ""
            return OK, f"answered for each of {counted(len(names), self._unit)}{without}"
        is_each = len(refused) == len(names)
        message, times = Counter(refused.values()).most_common(1)[0]
        if times == len(refused):
            return NOTE, f"refused in {f'each {self._unit}' if is_each else shortened(list(refused))}: {message}"
        columns = counted(len(names), self._unit)
        which = f"each of {columns}" if is_each else f"{len(refused)} of {columns} ({shortened(list(refused))})"
        name = next(name for name in refused if refused[name] == message)
        return NOTE, f"refused in {which}, in {name}: {message}"

    async def _no_input(self) -> tuple[str, str]:
        answer = await self._predict([{}])
        if answer.is_broken:
            return FAIL, f"breaks on it: {answer.message}"
        return (NOTE, f"refused: {answer.message}") if answer.answers is None else (OK, "answered")

    async def _empty(self) -> tuple[str, str]:
        answer = await self._predict([])
        if answer.answers == []:
            return OK, "answered with no rows"
        if answer.answers is None and not answer.is_broken:
            return NOTE, f"refused: {answer.message}"
        return FAIL, answer.message or f"answered with {counted(len(answer.answers or []), 'row')}"

    async def _counts(self) -> tuple[str, str]:
        sizes = sorted({1, min(2, len(self._rows)), len(self._rows)})
        for size in sizes:
            answer = await self._predict(self._rows[:size])
            if answer.answers is None:
                return FAIL, f"{counted(size, 'row')} together: {answer.message}"
            if len(answer.answers) != size:
                return FAIL, f"{len(answer.answers)} answers for {counted(size, 'row')}"
        return OK, f"as many answers as rows, for {', '.join(map(str, sizes))}"

    async def _side_effects(self) -> tuple[str, str]:
        if not self._is_steady:
            return self._lesser, "cannot be told: equal calls give different answers"
        first = await self._predict(self._rows[:1])
        await self._predict(self._rows[1:] or self._rows)
        again = await self._predict(self._rows[:1])
        if same(first.answers, again.answers):
            return OK, "a row is answered alike before and after others"
        return self._lesser, "a row is answered differently after others: does the model remember them?"

    async def _order(self) -> tuple[str, str]:
        if not self._is_steady:
            return self._lesser, "cannot be told: equal calls give different answers"
        forward = await self._predict(self._rows)
        backward = await self._predict(self._rows[::-1])
        if forward.answers is None or backward.answers is None:
            return FAIL, f"{counted(len(self._rows), 'row')} together: {forward.message or backward.message}"
        if len(forward.answers) != len(self._rows):
            return FAIL, f"{len(forward.answers)} answers for {counted(len(self._rows), 'row')}"
        if same(forward.answers, backward.answers[::-1], NEAR):
            return OK, f"{counted(len(self._rows), 'row')} in reverse give the same answers in reverse"
        return self._unless_batched("answers depend on the order of the rows")

    async def _neighbours(self) -> tuple[str, str]:
        if not self._is_steady:
            return self._lesser, "cannot be told: equal calls give different answers"
        rows = self._rows + [dict.fromkeys(self._rows[0])] * self._takes_nulls
        together = await self._predict(rows)
        alone = [await self._predict([row]) for row in rows]
        for row, answer in enumerate(alone):
            expected = [together.answers[row]] if together.answers and row < len(together.answers) else None
            if answer.answers is None or not same(answer.answers, expected, NEAR):
                return self._unless_batched(f"row {row + 1} alone is answered differently than among others")
        on = self._model.spec.max_batch > 1
        advice = "batching is safe, and on" if on else f"batching is safe: {self._model.dialect.batching}"
        invented = "" if len(self._given) == len(self._rows) else " (some made from saved ones)"
        return OK, f"{counted(len(rows), 'row')}{invented} alone and together are answered alike; {advice}"

    def _unless_batched(self, what: str) -> tuple[str, str]:
        if self._model.spec.max_batch > 1:
            return FAIL, f"{what}, and batching is on: remove it"
        return self._lesser, f"{what}: leave batching off"


def reaction(reply: Reply, dialect: Dialect) -> Reaction:
    """A reply as answers, or as the reason for there being none."""
    if reply.code is None and reply.status < 400:
        try:
            return Reaction(dialect.answers(reply.body), "", "")
        except (ValueError, AttributeError):  # a body of the model's own making
            return Reaction([reply.body], "", "")
    try:
        message = dialect.fault(reply.body)
    except (ValueError, LookupError, TypeError):
        message = f"status {reply.status}"
    return Reaction(None, reply.code or "", message)


def same(one: Any, other: Any, tolerance: Tolerance = EXACT) -> bool:
    """Equal, but for the last digits of numbers."""
    if isinstance(one, float) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=tolerance.relative, abs_tol=tolerance.absolute)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(*pair, tolerance) for pair in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key], tolerance) for key, value in one.items())
    return bool(one == other)


def spread(rows: list[Row]) -> list[Row]:
    """At least four different rows: where fewer are given, more with other numbers."""
    made = list(rows)
    for factor in (0.9, 1.1, 1.25):
        if not rows or len(made) >= 4:
            break
        made.append({name: _scaled(value, factor) for name, value in rows[0].items()})
    return made


def _scaled(value: Any, factor: float) -> Any:
    if isinstance(value, float):
        return value * factor
    if isinstance(value, int) and not isinstance(value, bool):
        return round(value * factor)
    return value


def counted(number: int, what: str) -> str:
    """Such as "1 row" and "2 rows"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def shortened(names: list[str]) -> str:
    """Three names at most."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"

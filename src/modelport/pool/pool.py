"""The workers of one endpoint: ``floor`` at load, up to ``ceil`` on demand, back to ``cruise`` after a burst."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelport.core.call import Call, Deadline
from modelport.core.model import Description, ModelSpec
from modelport.core.telling import told
from modelport.errors import (
    Cancelled,
    LoadError,
    ModelUnavailable,
    ModelUnloaded,
    QueueFull,
    QueueTimeout,
    RunTimeout,
    WorkerDied,
)
from modelport.pool.body import Body
from modelport.pool.process import Measures, Worker
from modelport.pool.queue import Queue, Ticket

MAX_FAILED_STARTS = 5
"""Failed starts in a row, with nothing alive, after which the pool gives up."""
SLOT_SECONDS = 60.0
"""For how long a worker that loads keeps others from loading: a slow load goes on, but not at their expense."""
FIRST_BACKOFF, LAST_BACKOFF = 1.0, 60.0

_log = logging.getLogger("modelport.pool")


@dataclass
class Tally:
    """What happened since the start."""

    rejected: int = 0
    timed_out: int = 0
    cancelled: int = 0
    restarts: Counter[str] = field(default_factory=Counter)
    batches: Counter[int] = field(default_factory=Counter)


class Pool:
    """Runs calls on workers, one request (or one batch that the model asked for) at a time each.

    ``order`` is what a worker is told at its start; ``starts`` bounds how many workers of the whole server load at
    once; ``shrink_after`` seconds without need, workers beyond ``cruise`` leave; ``measures`` gets what the model's
    own code measures.
    """

    def __init__(
        self,
        spec: ModelSpec,
        order: Mapping[str, Any],
        starts: asyncio.Semaphore,
        shrink_after: float,
        measures: Measures,
    ) -> None:
        self.spec = spec
        self.description: Description | None = None
        self.error: LoadError | None = None
        self.tally = Tally()
        self.workers: list[Worker] = []
        self.queue = Queue()
        self._order = order
        self._starts = starts
        self._shrink_after = shrink_after
        self.measures = measures
        self._loop = asyncio.get_running_loop()
        self._settings = spec.pool
        self._timeout = spec.pool.timeout / 1000
        self._run_timeout = spec.pool.run_timeout / 1000
        self._idle: list[Worker] = []
        self._failures = 0
        self._round = 1
        self._failed_round = 0
        self._crashes = 0
        self._open = True
        self._gave_up = False
        self._settled = asyncio.Event()
        self._empty = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._shrink: asyncio.TimerHandle | None = None
        self._most_busy = 0
        self._backoff: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._interpreter = interpreter_of(spec.environment)

    # --- what others ask ---------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """ "ready" with a loaded worker; else "starting", "failed" or "unloaded"."""
        if not self._open:
            return "unloaded"
        if any(worker.state in ("idle", "busy") for worker in self.workers):
            return "ready"
        return "failed" if self._gave_up else "starting"

    @property
    def reason(self) -> str:
        """Why it could not be loaded, as clients may know it; empty when nothing is known to be wrong."""
        return self.error.told if self.error is not None else ""

    @property
    def is_settled(self) -> bool:
        """Whether the first load has come to an end, good or bad."""
        return self._settled.is_set()

    @property
    def waiting(self) -> int:
        """Requests that are not run yet: in the queue, or handed to a worker ahead of time."""
        return len(self.queue) + sum(len(worker.ahead) for worker in self.workers)

    def count(self, *states: str) -> int:
        return sum(worker.state in states for worker in self.workers)

    def start(self) -> None:
        """Starts ``floor`` workers, without waiting for them."""
        self._grow()

    async def settled(self) -> None:
        """Until the first worker is ready, or has failed to load."""
        await self._settled.wait()

    def submit(self, call: Call, body: Body) -> Ticket:
        """Runs the call on a free worker, or queues it. Raises ``QueueFull`` or ``ModelUnavailable`` at once."""
        now = time.monotonic()
        ticket = Ticket(call, body, now, self._loop)
        if self._idle and not len(self.queue):
            self._dispatch(self._idle.pop(), [ticket], now)
        else:
            self._admit(ticket, now)
            self._hand_ahead()
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """The client went away: a waiting request leaves the queue, the answer of a running one is dropped."""
        if not self.queue.remove(ticket):
            self._revoke(ticket)
        if not ticket.future.done() or ticket.future.cancelled():
            self.tally.cancelled += 1
        ticket.fail(Cancelled("the client went away"))

    async def stop(self, grace: float) -> None:
        """Takes no more calls, lets the workers leave, kills what is left after ``grace`` seconds."""
        self._open = False
        for handle in (self._timer, self._shrink, self._backoff):
            if handle is not None:
                handle.cancel()
        self._settled.set()
        self._fail_waiting()
        for worker in list(self.workers):
            if worker.state == "busy":
                continue
            worker.leave() if worker.state == "idle" else worker.kill(signal.SIGKILL)
        self._idle.clear()
        try:
            if self.workers:
                await asyncio.wait_for(self._empty.wait(), grace)
        except TimeoutError:
            for worker in self.workers:
                worker.kill(signal.SIGKILL)
            if self.workers:
                await self._empty.wait()

    # --- requests ----------------------------------------------------------------------------------------

    def _admit(self, ticket: Ticket, now: float) -> None:
        self.check_room()
        ticket.deadline = Deadline(now + self._timeout)
        self.queue.push(ticket)
        self._grow()
        self._watch(ticket.deadline.at)

    def check_room(self) -> None:
        """Raises ``QueueFull`` or ``ModelUnavailable`` when a call could neither run now nor wait."""
        if self._idle:
            return
        if self.state in ("failed", "unloaded") or (self.error is not None and self.state != "ready"):
            raise self._unavailable()
        busy = self.count("busy")
        if self.waiting >= self._settings.queue + max(0, self._settings.ceil - busy):
            self.tally.rejected += 1
            raise QueueFull(
                f"{self.spec.name} has {busy} busy workers and {self.waiting} requests waiting",
                retry_after=max(1, round(self._timeout / 10)),
            )

    def _unavailable(self) -> ModelUnavailable:
        if not self._open:
            return ModelUnloaded(f"{self.spec.name} is not loaded")
        return ModelUnavailable(f"{self.spec.name} could not be loaded: {self.reason}")

    def _dispatch(self, worker: Worker, tickets: list[Ticket], now: float) -> None:
        worker.run(tickets, now)
        self.tally.batches[len(tickets)] += 1
        if not self._timer_at or now + self._run_timeout < self._timer_at:
            self._watch(now + self._run_timeout)
        busy = len(self.workers) - len(self._idle)
        self._most_busy = max(self._most_busy, busy)

    def _revoke(self, ticket: Ticket) -> None:
        for worker in self.workers:
            worker.revoke(ticket)

    def _requeue(self, tickets: list[Ticket]) -> None:
        """What a worker had not begun is first in line again."""
        for ticket in tickets:
            if ticket.future.done():  # nobody waits any more
                continue
            ticket.deadline = ticket.deadline or Deadline(ticket.queued + self._timeout)
            self.queue.push_front(ticket)
            self._watch(ticket.deadline.at)

    def _feed(self, worker: Worker) -> None:
        """Gives a free worker what waits, or lets it rest."""
        tickets = self.queue.take(self.spec.max_batch)
        if tickets:
            self._dispatch(worker, tickets, time.monotonic())
        else:
            self._idle.append(worker)

    def _hand_ahead(self) -> None:
        """Spares a quick worker the wait for its next call, where no other worker could have run that sooner.

        Endpoints that batch do without: batches grow better in the queue.
        """
        if self._settings.ceil > 1 or self.spec.max_batch > 1:
            return
        for worker in self.workers:
            if worker.has_room and len(self.queue):
                self._dispatch(worker, self.queue.take(1), time.monotonic())

    # --- what workers report -----------------------------------------------------------------------------

    def worker_ready(self, worker: Worker, meta: Mapping[str, Any]) -> None:
        self.description = Description.from_dict(meta["description"])
        self.error = None
        self._gave_up = False
        self._settled.set()
        _log.info("%s: worker %d is ready (Python %s)", self.spec.name, worker.pid, meta["python"])
        self._end_loading(worker)
        if not self._open:
            worker.leave()
            return
        self._feed(worker)
        self._retire_one()
        self._watch_shrink()

    def worker_done(self, worker: Worker) -> None:
        """It has answered what it ran; unless it was handed more ahead, it is idle."""
        self._failures = 0
        if worker.state == "busy":
            self._hand_ahead()
            return
        if not self._open:
            worker.leave()
            return
        limits = self.spec.limits
        if limits.max_rss and worker.rss() > limits.max_rss:
            worker.cause = "max_rss"
            worker.leave()
            self._grow()
            return
        if worker.lifetime and worker.served >= worker.lifetime and not worker.cause:
            worker.cause = "max_requests"
            self._grow()
        if worker.cause == "max_requests" and self._serving() >= self._settings.floor:
            worker.leave()
            return
        self._feed(worker)

    def worker_lost(self, worker: Worker) -> None:
        """Its link is gone, and soon its process; it gets no more work."""
        if worker in self._idle:
            self._idle.remove(worker)

    def worker_dead(self, worker: Worker, how: str) -> None:
        unanswered, ahead = worker.take_back()
        self._requeue(ahead)
        self.worker_lost(worker)
        self._forget(worker)
        self._end_loading(worker)
        cause = worker.cause or how
        for ticket in unanswered:
            ticket.fail(WorkerDied(f"the worker of {self.spec.name} ended while it ran this request ({how})"))
        if not self._open:
            self._fail_waiting()
            return
        if worker.cause in ("max_rss", "max_requests", "run_timeout", "shrink"):
            self.tally.restarts[cause] += worker.cause != "shrink"
            self._grow()
            return
        self.tally.restarts["load_failed" if worker.failure else cause] += 1
        if worker.failure is not None or not worker.loaded_at:
            self._start_failed(worker, how)
            return
        _log.error("%s: worker %d ended (%s)", self.spec.name, worker.pid, cause)
        if worker.served or unanswered or time.monotonic() - worker.loaded_at > LAST_BACKOFF:
            self._crashes = 0
            self._grow()
        else:  # it loads, and then ends by itself: what comes in waits
            self._crashes += 1
            self._back_off(self._crashes)

    # --- size --------------------------------------------------------------------------------------------

    def _grow(self) -> None:
        """Starts the workers that are needed now."""
        if not self._open or self._gave_up or self._backoff is not None:
            return
        starting = self.count("starting")
        serving = self._serving()
        batches = -(-len(self.queue) // self.spec.max_batch)
        wanted = max(self._settings.floor, min(self._settings.ceil, serving + batches))
        for _ in range(wanted - serving - starting):
            worker = Worker(self.spec, self._order, self._interpreter, self)
            worker.round = self._round
            self.workers.append(worker)
            self._empty.clear()
            task = self._loop.create_task(self._start(worker))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _serving(self) -> int:
        """Workers that serve, and are not about to be replaced."""
        return sum(worker.state in ("idle", "busy") and not worker.cause for worker in self.workers)

    async def _start(self, worker: Worker) -> None:
        await self._starts.acquire()
        worker.loading = True
        self._loop.call_later(SLOT_SECONDS, self._end_loading, worker)
        if not self._open:
            self._end_loading(worker)
            self._forget(worker)
            return
        try:
            await worker.start()
        except OSError as fault:
            self._end_loading(worker)
            self._forget(worker)
            worker.failure = {
                "type": type(fault).__name__,
                "message": f"cannot start {self._interpreter}: {fault.strerror}",
                "hint": "is that the interpreter of the model's environment?",
                "traceback": "",
            }
            self.tally.restarts["load_failed"] += 1
            self._start_failed(worker, "no process")

    def _end_loading(self, worker: Worker) -> None:
        if worker.loading:
            worker.loading = False
            self._starts.release()

    def _forget(self, worker: Worker) -> None:
        self.workers.remove(worker)
        if not self.workers:
            self._empty.set()

    def _start_failed(self, worker: Worker, how: str) -> None:
        failure = worker.failure or {
            "type": "WorkerDied",
            "message": f"its process ended before it was of use ({how}) {worker.last_words}".rstrip(),
            "hint": None,
            "traceback": "",
        }
        error = LoadError(f"{failure['type']}: {failure['message']}", failure["hint"], failure["traceback"])
        error.told = ": ".join(
            told(failure["type"], failure["message"], self._order["detail"], "the server's log says why")
        )
        if worker.round > self._failed_round:  # those that started together count once
            self._failed_round = self._round
            self._failures += 1
        alive = self.state == "ready"
        if self._failures == 1 or self.error is None:
            _log.error("%s does not load: %s\n%s", self.spec.name, error.message, error.traceback.rstrip())
        if not alive:
            self.error = self.error or error
            self._fail_waiting()
        self._settled.set()
        if self._failures >= MAX_FAILED_STARTS and not alive:
            if self._gave_up:
                return
            self._gave_up = True
            _log.error("%s: gave up after %d failed starts", self.spec.name, self._failures)
            return
        self._back_off(self._failures)

    def _back_off(self, failures: int) -> None:
        """Starts nothing for a while, longer with each failure in a row."""
        delay = min(LAST_BACKOFF, FIRST_BACKOFF * 2 ** min(failures - 1, 10))
        if self._backoff is None:
            self._backoff = self._loop.call_later(delay, self._retry)

    def _retry(self) -> None:
        self._backoff = None
        self._round += 1
        self._grow()

    def _fail_waiting(self) -> None:
        for ticket in self.queue.take(len(self.queue)):
            ticket.fail(self._unavailable())

    def _retire_one(self) -> None:
        """A replacement is ready: one worker that has served its time may leave."""
        for worker in self._idle:
            if worker.cause == "max_requests":
                self._idle.remove(worker)
                worker.leave()
                return

    # --- time --------------------------------------------------------------------------------------------

    def _watch(self, moment: float) -> None:
        """Makes sure that ``_tick`` runs at ``moment`` or before."""
        if self._timer is not None:
            if self._timer_at <= moment:
                return
            self._timer.cancel()
        self._timer_at = moment
        self._timer = self._loop.call_later(max(0.0, moment - time.monotonic()), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._timer_at = 0.0
        now = time.monotonic()
        ahead = [ticket for worker in self.workers for ticket in worker.ahead if not ticket.future.done()]
        late = [ticket for ticket in ahead if ticket.deadline is not None and ticket.deadline.at <= now]
        for ticket in late:
            self._revoke(ticket)
        for ticket in self.queue.expired(now) + late:
            self.tally.timed_out += 1
            ticket.fail(QueueTimeout(f"waited {self._settings.timeout} ms for a free worker of {self.spec.name}"))
        for worker in self.workers:
            if worker.deadline is not None and worker.deadline <= now:
                self._overrun(worker)
        moments = [worker.deadline for worker in self.workers if worker.deadline is not None]
        moments += [t.deadline.at for t in ahead if t.deadline is not None and not t.future.done()]
        waiting = self.queue.next_deadline()
        if waiting is not None:
            moments.append(waiting)
        if moments:
            self._watch(min(moments))

    def _overrun(self, worker: Worker) -> None:
        _log.error("%s: worker %d ran over %d ms", self.spec.name, worker.pid, self._settings.run_timeout)
        tickets, ahead = worker.take_back()
        self._requeue(ahead)
        worker.end("run_timeout")
        for ticket in tickets:
            ticket.fail(RunTimeout(f"{self.spec.name} ran over {self._settings.run_timeout} ms"))
        self._grow()

    def _watch_shrink(self) -> None:
        if self._shrink is None and len(self.workers) > self._settings.cruise:
            self._most_busy = self.count("busy")
            self._shrink = self._loop.call_later(self._shrink_after, self._shrink_now)

    def _shrink_now(self) -> None:
        """Lets go what the last period did not need, never below ``cruise``."""
        self._shrink = None
        extra = min(len(self._idle), len(self.workers) - max(self._settings.cruise, self._most_busy))
        for _ in range(extra if not len(self.queue) else 0):
            worker = self._idle.pop(0)
            worker.cause = "shrink"
            worker.leave()
        self._most_busy = 0
        self._watch_shrink()


def interpreter_of(environment: str | None) -> str:
    """The Python of an environment: a virtual environment's folder, an interpreter, or None for the front's own."""
    if environment is None:
        return sys.executable
    place = Path(environment)
    return str(place / "bin" / "python") if place.is_dir() else environment

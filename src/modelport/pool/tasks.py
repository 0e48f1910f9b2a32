"""Tasks: each in a worker process of its own, some at once, the others in line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from modelport.config import Settings
from modelport.core.call import Call, Reply
from modelport.core.model import ModelSpec
from modelport.core.task import CANCELLED, QUEUED, Task
from modelport.core.telling import MAX_TOLD, told, without_paths
from modelport.errors import BodyTooLarge, LoadError, ModelportError, QueueFull, ServiceError
from modelport.pool.body import Body, Spool
from modelport.pool.history import History
from modelport.pool.pool import SLOT_SECONDS, interpreter_of
from modelport.pool.process import LEAVE_GRACE, Measures, Worker
from modelport.pool.queue import Ticket

MAX_WAITING = 100
MAX_RESULT = 1 << 20
"""Bytes that a task's result may have, and its arguments; all of a model's are listed at once."""
MAX_LINES = 100
"""Of a traceback."""
STOPPED = "the server stopped before the task had ended"
HIDDEN = "the task failed; the server's log says more"

_log = logging.getLogger("modelport.tasks")


class Tasks:
    """``order`` makes what a model's worker is told at its start, ``measures`` gets what its code measures; ``starts``
    bounds how many workers load at once, ``settings.tasks`` how many tasks run; see ``state_folder`` for the rest."""

    def __init__(
        self,
        order: Callable[[ModelSpec], Mapping[str, Any]],
        measures: Callable[[str], Measures],
        starts: asyncio.Semaphore,
        settings: Settings,
    ) -> None:
        self.running: dict[str, Job] = {}
        self.waiting: deque[Job] = deque()
        self._order = order
        self._starts = starts
        self._measures = measures
        self._folder = state_folder(settings)
        self._most = settings.tasks
        self._detail = settings.error_detail
        self._open = True

    @cached_property
    def history(self) -> History:
        """Opened only where there are tasks."""
        return History(self._folder)

    def start(self, spec: ModelSpec, call: Call, body: Body, arguments: bytes) -> Task:
        """Runs the call in a worker of its own, now or when others have ended; the body is the task's from then on.

        Raises ``QueueFull`` or ``BodyTooLarge``.
        """
        if len(arguments) > MAX_RESULT:
            raise BodyTooLarge(f"a task's arguments may have {MAX_RESULT} bytes, beside files")
        if len(self.waiting) >= MAX_WAITING:
            raise QueueFull(f"{len(self.running)} tasks run and {len(self.waiting)} wait", retry_after=60)
        task = Task(uuid.uuid4().hex, QUEUED, arguments, time.time())
        self.history.add(spec, task)
        job = Job(task.id, spec, call, body, self)
        job.measures = self._measures(spec.name)
        self.waiting.append(job)
        self._fill()
        return task

    def all(self, spec: ModelSpec) -> list[Task]:
        return self.history.all(spec)

    def find(self, spec: ModelSpec, key: str) -> Task:
        return self.history.find(spec, key)

    def output(self, spec: ModelSpec, key: str) -> bytes:
        return self.history.output(self.find(spec, key).id)

    def remove(self, spec: ModelSpec, key: str) -> Task:
        task = self.find(spec, key)
        self.history.delete(key)
        if task.ended is not None:
            return task
        for job in [*self.waiting, *self.running.values()]:
            if job.id == key:
                self._cancel(job)
        return task._replace(state=CANCELLED, ended=time.time())

    def _cancel(self, job: Job) -> None:
        if job in self.waiting:
            self.waiting.remove(job)
        job.cancel()

    async def stop(self) -> None:
        """Ends what runs and forgets what waits; their records say so."""
        self._open = False
        jobs = [*self.waiting, *self.running.values()]
        for job in jobs:
            self.history.end(job.id, None, STOPPED)
            self._cancel(job)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 * LEAVE_GRACE):
                await asyncio.gather(*(job.gone.wait() for job in jobs))
        if "history" in self.__dict__:
            self.history.close()

    def _fill(self) -> None:
        while self._open and self.waiting and len(self.running) < self._most:
            job = self.waiting.popleft()
            self.running[job.id] = job
            self.history.begin(job.id)
            job.start(self._order(job.spec), self._starts)

    # --- what jobs report --------------------------------------------------------------------------------

    def said(self, job: Job, text: str) -> None:
        if not job.is_cancelled:
            self.history.write(job.id, text)

    def answered(self, job: Job, answer: Reply | ModelportError) -> None:
        """The task is over; its worker may still be leaving."""
        if job.is_cancelled:
            return
        if isinstance(answer, ModelportError):
            self.history.end(job.id, None, answer.describe())
            return
        body = bytes(answer.body)
        if answer.code is not None:
            self.history.end(job.id, None, self._message(job, body))
        elif len(body) > MAX_RESULT:
            self.history.end(job.id, None, f"the result has {len(body)} bytes; at most {MAX_RESULT} are kept")
        else:
            self.history.end(job.id, body)

    def _message(self, job: Job, body: bytes) -> str:
        """What is told of the failure; the traceback goes into the log, and where that much may be told, the output."""
        try:
            failure = {name: str(text) for name, text in json.loads(body).items()}
            message = told(failure["type"], failure["message"], self._detail, HIDDEN)[1]
            trace = failure["traceback"].rstrip()
        except (ValueError, LookupError, AttributeError):
            return body.decode("utf-8", "replace")
        _log.error("%s failed\n%s", job.id, trace, extra={"model": job.spec.name})
        if self._detail == "message":
            for line in trace.splitlines()[-MAX_LINES:]:
                self.history.write(job.id, without_paths(line[:MAX_TOLD]))
        return message

    def ended(self, job: Job) -> None:
        """Its worker is gone."""
        self.running.pop(job.id, None)
        self._fill()


class Job:
    """A task that has not ended, and the worker that runs it."""

    def __init__(self, key: str, spec: ModelSpec, call: Call, body: Body, tasks: Tasks) -> None:
        self.id = key
        self.spec = spec
        self.is_cancelled = False
        self.measures: Measures
        self.gone = asyncio.Event()
        self._call = call
        self._body = body
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._worker: Worker | None = None
        self._starting: asyncio.Task[None] | None = None
        self._answer: Reply | ModelportError | None = None
        self._starts: asyncio.Semaphore | None = None

    def start(self, order: Mapping[str, Any], starts: asyncio.Semaphore) -> None:
        """Begins to start a worker."""
        self._starting = self._loop.create_task(self._start(order, starts))

    async def _start(self, order: Mapping[str, Any], starts: asyncio.Semaphore) -> None:
        await starts.acquire()
        self._starts = starts
        if self.is_cancelled:
            self._end()
            return
        self._loop.call_later(SLOT_SECONDS, self._end_loading)
        interpreter = interpreter_of(self.spec.environment)
        worker = Worker(self.spec, order, interpreter, self)
        worker.heard = lambda text: self._tasks.said(self, text)
        try:
            await worker.start()
        except OSError as fault:
            self._answered(LoadError(f"cannot start {interpreter}: {fault.strerror}"))
            self._end()
            return
        self._adopt(worker)

    def _adopt(self, worker: Worker) -> None:
        self._worker = worker
        if self.is_cancelled:  # meanwhile
            worker.end("cancelled")

    def cancel(self) -> None:
        """Ends it wherever it is; nothing more is told of it."""
        self.is_cancelled = True
        if self._worker is not None:
            self._worker.end("cancelled")
        elif self._starting is None:
            self.gone.set()
            self._close()

    # --- what the worker reports -------------------------------------------------------------------------

    def worker_ready(self, worker: Worker, meta: Mapping[str, Any]) -> None:
        self._end_loading()
        now = time.monotonic()
        ticket = Ticket(self._call, self._body, now, self._loop)
        ticket.future.add_done_callback(self._resolved)
        worker.run([ticket], now)

    def _resolved(self, future: asyncio.Future[Reply]) -> None:
        fault = future.exception()
        self._answered(future.result() if fault is None else fault)

    def worker_done(self, worker: Worker) -> None:
        worker.leave()

    def worker_lost(self, worker: Worker) -> None:
        """Its process will follow."""

    def worker_dead(self, worker: Worker, how: str) -> None:
        failure = worker.failure
        if failure is not None:
            self._answered(LoadError(f"the model does not load: {failure['type']}: {failure['message']}"))
        else:
            self._answered(ServiceError(f"its process ended ({how})"))
        self._end()

    def _answered(self, answer: Any) -> None:
        """The first answer counts."""
        if self._answer is None:
            self._answer = answer
            self._tasks.answered(self, answer)

    def _end_loading(self) -> None:
        if self._starts is not None:
            self._starts.release()
            self._starts = None

    def _end(self) -> None:
        self._end_loading()
        self._close()
        self.gone.set()
        self._tasks.ended(self)

    def _close(self) -> None:
        if isinstance(self._body, Spool):
            self._body.close()


def state_folder(settings: Settings) -> Path:
    """Where that is kept which outlasts a server."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(settings.state_dir or Path(state, "modelport")).expanduser()

"""One worker process: spawned, watched, told, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from modelport.core import frames
from modelport.core.board import Board
from modelport.core.budget import OutputBudget
from modelport.core.call import Reply
from modelport.core.frames import BrokenFrame, Frame
from modelport.core.model import ModelSpec
from modelport.errors import ModelRaised
from modelport.pool import scratch
from modelport.pool.link import Link
from modelport.pool.queue import Ticket
from modelport.pool.stream import Stream

BOOTSTRAP = Path(__file__).parent.parent / "worker" / "bootstrap.py"
QUICK = 0.01
"""Seconds of a call beside which the wait for the next one counts."""
IN_TRANSIT = 1 << 20
"""Bytes that the system may hold between server and worker, if it allows so many."""
LEAVE_GRACE = 2.0
"""Seconds between asking a process to end and killing it."""
NOTICE_AFTER = 1.0
"""Seconds from the first output that is dropped to the line that says how much was."""

SCRATCH = "MODELPORT_SCRATCH"
"""The variable that tells a worker of a folder for its files, which goes with it."""
KEPT_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(64 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}
"""What glibc keeps of freed memory: asking the kernel anew for each large body costs more than reading it."""

_THREADS = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM", "BLIS", "RAYON")
_log = logging.getLogger("modelport.worker")


class Measures(Protocol):
    """Keeps what the models' own code measures, by the worker's process id."""

    def add(self, worker: int, items: Any) -> None:
        """What came with an answer. Raises ``TypeError`` or ``ValueError`` for what is no measurement."""
        ...

    def drop(self, worker: int) -> None: ...


class Worker:
    """A process and what it is doing.

    ``state`` goes from "starting" to "idle" and "busy" in turn, to "stopping", to "dead". ``observer``, the pool,
    is told by its ``worker_*`` methods, and has the ``measures``. ``cause`` is why the worker was made to end;
    ``loading`` that it holds one of the server's start slots; ``loaded_at`` when it was ready, 0 before; ``lifetime``
    how many requests it serves before it is replaced, 0 for no end; ``run_seconds`` how long its last hand-over took;
    ``round`` counts the pool's attempts to start workers; ``heard`` is told each line of output.
    """

    def __init__(self, spec: ModelSpec, order: Mapping[str, Any], interpreter: str, observer: Any) -> None:
        self.spec = spec
        self.state = "starting"
        self.pid = 0
        self.loading = False
        self.round = 0
        self.loaded_at = 0.0
        self.lifetime = jittered(spec.limits.max_requests)
        self.served = 0
        self.deadline: float | None = None
        self.run_seconds = math.inf
        self.failure: dict[str, Any] | None = None
        self.cause = ""
        self.heard: Callable[[str], None] | None = None
        self._scratch = ""
        self._pipe: asyncio.BaseTransport | None = None
        self._sent = 0
        self._handed: deque[list[Ticket]] = deque()
        self._answered = 0
        self._run_timeout = spec.pool.run_timeout / 1000
        self._order = order
        self._interpreter = interpreter
        self._observer = observer
        self._loop = asyncio.get_running_loop()

    async def start(self) -> None:
        """Spawns the process and sends it the spec. Raises ``OSError`` when there is no such interpreter."""
        stream, their_stream = socket.socketpair()
        for end in (stream, their_stream):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, IN_TRANSIT)
        side, their_side = socket.socketpair()
        read_end, write_end = os.pipe()
        shared = tempfile.TemporaryFile()  # noqa: SIM115
        self._scratch = scratch.folder()
        self._board = Board(shared.fileno())
        try:
            theirs = (their_stream.fileno(), their_side.fileno(), shared.fileno())
            self._process = subprocess.Popen(  # noqa: ASYNC220 - a vfork: it takes a millisecond or two
                [self._interpreter, str(BOOTSTRAP), *map(str, theirs), str(os.getpid())],
                pass_fds=theirs,
                stdin=subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                cwd=self.spec.root,
                env={**environment(self.spec.limits.threads), SCRATCH: self._scratch, **self.spec.env},
                start_new_session=True,
            )
        except OSError:
            scratch.clear(self._scratch)
            stream.close()
            side.close()
            os.close(read_end)
            raise
        finally:
            their_stream.close()
            their_side.close()
            shared.close()
            os.close(write_end)
        self.pid = self._process.pid
        self._watch_exit()
        stream.setblocking(False)
        side.setblocking(False)
        self._link = Link(side, self._on_frame, self._on_link_end)
        await self._loop.create_connection(lambda: self._link, sock=stream)
        self._output = NativeOutput(self.log, self._loop)
        self._pipe, _ = await self._loop.connect_read_pipe(lambda: self._output, os.fdopen(read_end, "rb", buffering=0))
        self._link.send([(frames.LOAD, self._order, b"")])

    def _watch_exit(self) -> None:
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except (AttributeError, OSError):  # not Linux, or out of descriptors
            self._loop.run_in_executor(None, self._process.wait).add_done_callback(lambda _: self._bury())
        else:
            self._loop.add_reader(self._pidfd, self._exited)

    @property
    def has_room(self) -> bool:
        """Whether it is so quick that one more call may be handed to it while it still runs another."""
        limits = self.spec.limits
        return (
            self.run_seconds < QUICK
            and len(self._handed) == 1
            and self.state == "busy"
            and not (self.cause or limits.max_requests or limits.max_rss)
        )

    @property
    def ahead(self) -> list[Ticket]:
        """What it was handed and has not begun."""
        return self._handed[1] if len(self._handed) > 1 else []

    def run(self, tickets: list[Ticket], now: float) -> None:
        """Hands over a call, or a batch of them: to an idle worker, or ahead of time to one that has room."""
        self.state = "busy"
        self._handed.append(tickets)
        if len(self._handed) == 1:
            self._begin(now)
        self._sent += len(tickets)
        self._link.send([(frames.CALL, [*ticket.call[:-1], now - ticket.queued], ticket.body) for ticket in tickets])

    def revoke(self, ticket: Ticket) -> None:
        """Keeps a call that it was handed ahead, always the last one sent, from being begun."""
        if ticket in self.ahead:
            self._board.revoke(self._sent)

    def _begin(self, now: float) -> None:
        """The oldest hand-over runs from now on."""
        self._answered = 0
        self.deadline = now + self._run_timeout
        for ticket in self._handed[0]:
            ticket.started = now

    def take_back(self) -> tuple[list[Ticket], list[Ticket]]:
        """What it runs and has not answered, and what it was handed ahead; it is rid of both."""
        self.deadline = None
        running = self._handed.popleft()[self._answered :] if self._handed else []
        ahead = self._handed.popleft() if self._handed else []
        return running, ahead

    def log(self, level: str, text: str, request: str = "") -> None:
        """A line that the model printed or logged."""
        if self.heard is not None:
            self.heard(text)
        number = logging.getLevelName(level.upper())
        _log.log(
            number if isinstance(number, int) else logging.INFO,
            "%s",
            text,
            extra={"model": self.spec.name, "worker": self.pid, "request": request or self._request()},
        )

    def _request(self) -> str:
        return self._handed[0][0].call.id if self._handed else ""

    def leave(self) -> None:
        """Asks an idle worker to end; kills it when it does not."""
        self.state = "stopping"
        self._link.close()
        self._loop.call_later(LEAVE_GRACE, self.kill, signal.SIGKILL)

    def end(self, cause: str) -> None:
        """Ends a worker that hangs or misbehaves: SIGTERM, then SIGKILL."""
        self.cause = self.cause or cause
        self.state = "stopping"
        self.kill(signal.SIGTERM)
        self._loop.call_later(LEAVE_GRACE, self.kill, signal.SIGKILL)

    def kill(self, number: int) -> None:
        """Signals the process and what it has started."""
        if self.pid and self.state != "dead":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    @property
    def last_words(self) -> str:
        """The last line that it wrote below Python: what an interpreter says that cannot even start."""
        return self._output.last if self.pid else ""

    def rss(self) -> int:
        """Resident bytes now."""
        return resident(self.pid)

    def _on_frame(self, frame: Frame) -> None:
        if frame.kind == frames.REPLY:
            self._on_reply(frame)
        elif frame.kind == frames.CHUNK:
            self._on_chunk(frame)
        elif frame.kind == frames.LOG:
            meta = frame.meta
            self.log(str(meta["level"]), str(meta["text"]), str(meta["request"]))
        elif frame.kind == frames.READY and self.state == "starting":
            self.state = "idle"
            self.loaded_at = time.monotonic()
            self._observer.worker_ready(self, frame.meta)
        elif frame.kind == frames.FAILED and self.state == "starting":
            self.failure = frame.meta
            self._loop.call_later(LEAVE_GRACE, self.kill, signal.SIGKILL)  # threads of the model may keep it alive
        else:
            raise BrokenFrame(f"a frame of kind {frame.kind} while {self.state}")

    def _on_reply(self, frame: Frame) -> None:
        ticket = self._current()
        if ticket is None:
            return
        if ticket.stream is not None:
            raise BrokenFrame("a reply within a reply")
        status, headers, code, nanoseconds, *measured = frame.meta
        if not isinstance(status, int) or not 100 <= status <= 599:
            raise BrokenFrame(f"{status!r} is no status")
        if not isinstance(code, (str, type(None))) or set(map(type, nanoseconds)) - {int} or len(measured) > 1:
            raise BrokenFrame("a reply of no known form")
        reply = Reply(status, [(str(name), str(value)) for name, value in headers], frame.body, code)
        for items in measured:
            self._observer.measures.add(self.pid, items)
        ticket.nanoseconds = nanoseconds
        if frame.flags & frames.MORE:
            number = self.served + self._answered + 1
            ticket.stream = Stream(self._link.hold, lambda: self._board.drop(number))
            if ticket.future.done():  # nobody waits for it
                ticket.stream.close()
            ticket.resolve(reply._replace(body=ticket.stream))
            return
        try:
            self._next()
        finally:
            ticket.resolve(reply)

    def _on_chunk(self, frame: Frame) -> None:
        """A piece of the answer that runs, or its end."""
        ticket = self._current()
        if ticket is None:
            return
        stream = ticket.stream
        if stream is None or frame.spooled:
            raise BrokenFrame("a piece of no answer")
        if frame.flags & frames.MORE:
            stream.feed(frame.body)
            return
        stream.end(ModelRaised(str(frame.meta), "while it answered") if frame.meta else None)
        self._next()

    def _current(self) -> Ticket | None:
        """Whose answer comes next; None when a worker that is made to end still sends. Raises ``BrokenFrame``."""
        if self._handed:
            return self._handed[0][self._answered]
        if self.state == "stopping":
            return None
        raise BrokenFrame("a reply that nobody waits for")

    def _next(self) -> None:
        """One answer has come to its end."""
        self._answered += 1
        if self._answered < len(self._handed[0]):
            return
        tickets = self._handed[0]
        now = time.monotonic()
        self.run_seconds = now - tickets[0].started
        self.served += len(tickets)
        self.deadline = None
        self._handed.popleft()
        if self._handed:
            self._begin(now)
        if self.state == "busy":
            self.state = "busy" if self._handed else "idle"
            self._observer.worker_done(self)

    def _on_link_end(self, fault: str | None) -> None:
        if self.state not in ("stopping", "dead"):
            self.cause = self.cause or ("broken_link" if fault else "")
            self.state = "stopping"
            self._observer.worker_lost(self)
            if fault:
                _log.error("worker %d of %s ended: %s", self.pid, self.spec.name, fault)
            self._loop.call_later(0 if fault else LEAVE_GRACE, self.kill, signal.SIGKILL)

    def _exited(self) -> None:
        self.kill(signal.SIGKILL)  # what it had started; its own number stays taken until _bury
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        # what it still said is in the socket and read in this turn of the loop
        self._loop.call_later(0.01, self._bury)

    def _bury(self) -> None:
        code = self._process.wait()
        self.state = "dead"
        self._link.close()
        if self._pipe is not None:  # something that the model left behind may hold the other end
            self._pipe.close()
        self._observer.measures.drop(self.pid)
        scratch.clear(self._scratch)
        self._observer.worker_dead(self, exit_cause(code))


def resident(process: int | str) -> int:
    """Resident bytes now of a process, by its id or "self"; 0 where there is no such process, or no /proc."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def jittered(requests: int) -> int:
    """Within a tenth of ``requests``, so that workers started together are not replaced together."""
    return max(1, round(requests * random.uniform(0.9, 1.1))) if requests else 0  # noqa: S311


def exit_cause(code: int) -> str:
    """ "exit 1" or "SIGSEGV"."""
    if code >= 0:
        return f"exit {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def environment(threads: int) -> dict[str, str]:
    """The environment of a worker: the front's own settings and secrets stay out."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("MODELPORT_")}
    for family in _THREADS:
        env.setdefault(f"{family}_NUM_THREADS", str(threads))
    return {**KEPT_MEMORY, **env}


class NativeOutput(asyncio.Protocol):
    """What native code writes to the worker's descriptors 1 and 2: always read, so that it never blocks; logged
    at a bounded rate."""

    def __init__(self, log: Callable[[str, str], None], loop: asyncio.AbstractEventLoop) -> None:
        self._log = log
        self._loop = loop
        self._noticing = False
        self._budget = OutputBudget()
        self._line = b""
        self.last = ""

    def data_received(self, data: bytes) -> None:
        if not self._budget.take(len(data), data.count(b"\n")):
            if not self._noticing:
                self._noticing = True
                self._loop.call_later(NOTICE_AFTER, self._notice)
            return
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._say(line)
        if len(self._line) > 8 << 10:
            self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._flush()
        self._notice()

    def _flush(self) -> None:
        if self._line:
            self._say(self._line)
            self._line = b""

    def _say(self, line: bytes) -> None:
        self.last = line.decode("utf-8", "replace")
        self._log("info", self.last)

    def _notice(self) -> None:
        self._noticing = False
        notice = self._budget.notice()
        if notice:
            self._log("warning", notice)

"""A file through a loaded model: whole records at a time, the next chunk cut while the worker has one."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from modelport import config
from modelport.cli import csvcut
from modelport.cli.datafile import CSV, DataFile
from modelport.cli.dialects import FILES, Request
from modelport.cli.local import LocalModel, loaded
from modelport.cli.outfile import Output
from modelport.core.call import Reply
from modelport.core.frames import SPOOL_THRESHOLD
from modelport.core.model import ModelSpec
from modelport.errors import InvalidOutput, SetupError
from modelport.pool.body import Spool

AHEAD = 1
"""Chunks that are read and cut while the worker has another."""
NO_LIMIT = (1 << 31) - 1
"""Milliseconds that a chunk may take: nobody waits for it but who can interrupt it."""
BINARY = "what is no text needs its type: --content-type application/octet-stream"

Tell = Callable[[int], None]
"""Is told how many more rows are done."""


class Job(NamedTuple):
    """All that scoring needs: ``query`` as in a URL, ``whole`` for one piece, ``verbose`` where the model is heard."""

    spec: ModelSpec
    settings: config.Settings
    file: DataFile
    output: Output
    query: str
    whole: bool
    verbose: bool

    @property
    def is_whole(self) -> bool:
        """Whether the file can only be sent in one piece."""
        return self.whole or not self.file.can_be_cut or FILES.is_opaque(self.spec)


async def rows_scored(job: Job) -> int | None:
    """The number of rows; None for data that has none."""
    patient = replace(job.spec, pool=replace(job.spec.pool, run_timeout=NO_LIMIT, timeout=NO_LIMIT))
    async with loaded(patient, job.settings, FILES) as model:
        with progress(job) as tell:
            if job.is_whole:
                return await _in_one_piece(model, job, tell)
            return await _in_chunks(model, job, tell)


async def _in_one_piece(model: LocalModel, job: Job, tell: Tell) -> int | None:
    body = Spool()
    try:
        while data := await aside(job.file.read, csvcut.BLOCK):
            _write(body, data)
            tell(0)
        reply = await model.ask(_request(job, body if body.size else b""))
    finally:
        body.close()
    takes_rows = FILES.takes_rows(job.spec)
    fault = _fault(reply)
    if fault is not None:
        is_unsaid = not takes_rows and not job.file.said and reply.status < 500  # refused, and not by the model
        raise InvalidOutput(f"{job.file.name}: {fault}", BINARY if is_unsaid else None)
    job.output.write(reply.body)
    if not takes_rows or dict(reply.headers).get("content-type", "").partition(";")[0] != CSV:
        return None
    rows = csvcut.count(csvcut.parted(reply.body)[1], blank_lines=True)
    tell(rows)
    return rows


async def _in_chunks(model: LocalModel, job: Job, tell: Tell) -> int:
    """Reads and cuts the next chunk while the worker has one."""
    chunks = csvcut.chunks(job.file.read)
    asked: deque[tuple[csvcut.Chunk, asyncio.Task[Reply]]] = deque()
    answers = Answers(job)
    try:
        while (chunk := await aside(next, chunks, None)) is not None:
            asked.append((chunk, asyncio.create_task(_ask(model, job, chunk.data))))
            if len(asked) > AHEAD:
                tell(answers.take(asked[0][0], await asked[0][1]))
                asked.popleft()
        while asked:
            tell(answers.take(asked[0][0], await asked[0][1]))
            asked.popleft()
    finally:
        for _, task in asked:
            task.cancel()
        await asyncio.gather(*(task for _, task in asked), return_exceptions=True)
    return answers.rows


async def aside(function: Callable[..., Any], *arguments: Any) -> Any:
    """Runs it in a thread that nobody waits for when the process is told to end, as it may read from a terminal."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(method: Callable[[Any], None], value: Any) -> None:
        if not future.done():
            method(value)

    def work() -> None:
        try:
            done = future.set_result, function(*arguments)
        except Exception as fault:
            done = future.set_exception, fault
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, *done)

    threading.Thread(target=work, daemon=True).start()
    return await future


async def _ask(model: LocalModel, job: Job, data: bytes) -> Reply:
    """A large body goes as a file: the worker maps it, and nothing is copied through the stream."""
    if len(data) < SPOOL_THRESHOLD:
        return await model.ask(_request(job, data))
    body = Spool()
    try:
        _write(body, data)
        return await model.ask(_request(job, body))
    finally:
        body.close()


def _write(body: Spool, data: bytes) -> None:
    try:
        body.write(data)
    except OSError as fault:
        where = tempfile.gettempdir()
        raise SetupError(f"cannot write to {where}: {fault.strerror}", hint="TMPDIR names another folder") from None


def _request(job: Job, body: Any) -> Request:
    return FILES.of_file(job.spec, body, job.file.content_type, job.query, job.file.said)


def _fault(reply: Reply) -> str | None:
    """What an error says; None for an answer."""
    if reply.code is None and reply.status < 400:
        return None
    try:
        return FILES.fault(reply.body)
    except (ValueError, LookupError, TypeError):
        return f"status {reply.status}"


class Answers:
    """The answers, put together under one header. ``rows`` is how many there are."""

    def __init__(self, job: Job) -> None:
        self._output = job.output
        self._name = job.file.name
        self._head = b""
        self.rows = 0

    def take(self, chunk: csvcut.Chunk, reply: Reply) -> int:
        """Writes it; the rows in it. Raises ``InvalidOutput`` unless they are one for each row of the chunk."""
        last = chunk.first + chunk.rows - 1
        what = f"rows {chunk.first} to {last} of {self._name}" if chunk.rows else f"{self._name}, which has no rows"
        fault = _fault(reply)
        if fault is not None:
            is_counted = chunk.first > 1 and "line " in fault
            raise InvalidOutput(f"{what}: {fault}", f"line 2 is row {chunk.first}" if is_counted else None)
        head, body = csvcut.parted(reply.body)
        rows = csvcut.count(body, blank_lines=True)
        if rows != chunk.rows:
            raise InvalidOutput(f"{what}: {rows} rows were answered for {chunk.rows}")
        if not self._head:
            self._head = head
            self._output.write(head)
        elif head != self._head:
            names, before = (text.decode("utf-8", "replace").strip()[:200] for text in (head, self._head))
            raise InvalidOutput(
                f"{what}: the answer has the columns {names}, and those before it had {before}",
                hint="--whole sends the file in one piece",
            )
        self._output.write(body)
        self.rows += rows
        return rows


@contextlib.contextmanager
def progress(job: Job) -> Iterator[Tell]:
    """A bar on the terminal, with bytes and rows, unless the model writes there."""
    if job.verbose or not sys.stderr.isatty():
        yield lambda rows: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = BarColumn(), DownloadColumn(), TextColumn("{task.fields[rows]:,} rows"), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=4) as shown:
        bar = shown.add_task("", total=job.file.size, rows=0)
        done = 0

        def tell(rows: int) -> None:
            nonlocal done
            done += rows
            shown.update(bar, completed=job.file.taken, rows=done)

        yield tell

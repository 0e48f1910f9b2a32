"""Scores a file with a model of named arguments: each row is a call of its own."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from modelport.cli import csvcut
from modelport.cli.scoring import NO_LIMIT, aside, progress
from modelport.core import jsontext
from modelport.errors import ConfigError, InvalidOutput

if TYPE_CHECKING:
    from modelport.cli.local import LocalModel
    from modelport.cli.scoring import Job

ANSWER = "answer"
"""The column of answers that have none of their own."""


async def rows_called(job: Job) -> int:
    """The number of rows. An empty cell is an argument that is not given.

    Raises ``ConfigError`` for what is no CSV, ``InvalidOutput`` naming the row that the model refused.
    """
    from modelport.cli.local import loaded

    if not job.file.can_be_cut:
        raise ConfigError(f"{job.spec.name} takes named arguments, so the rows must be CSV in UTF-8")
    patient = replace(job.spec, pool=replace(job.spec.pool, run_timeout=NO_LIMIT, timeout=NO_LIMIT))
    done = 0
    names: list[str] = []
    async with loaded(patient, job.settings) as model:
        with progress(job) as tell:
            chunks = csvcut.chunks(job.file.read, csvcut.BLOCK)
            while (chunk := await aside(next, chunks, None)) is not None:
                written = io.StringIO(newline="")
                for row in _rows(chunk.data, job.file.name):
                    done += 1
                    answer = await _answer(model, row, f"row {done} of {job.file.name}")
                    if not names:
                        names = list(answer)
                        csv.writer(written, lineterminator="\n").writerow(names)
                    _write(written, names, answer, f"row {done}")
                    tell(1)
                job.output.write(written.getvalue().encode())
    return done


def _rows(data: bytes, name: str) -> list[dict[str, str]]:
    try:
        rows = csv.DictReader(io.StringIO(data.decode(), newline=""), strict=True)
        return [{key: cell for key, cell in row.items() if key and cell} for row in rows]
    except (UnicodeDecodeError, csv.Error) as fault:
        raise ConfigError(f"{name} is no CSV in UTF-8: {fault}") from None


async def _answer(model: LocalModel, row: dict[str, str], what: str) -> dict[str, Any]:
    reply = await model.ask(model.dialect.ask(model.spec, [row]))
    if reply.code is not None or reply.status >= 400:
        raise InvalidOutput(f"{what}: {model.dialect.fault(reply.body)}")
    try:
        answer = model.dialect.answers(reply.body)[0]
    except ValueError:
        raise InvalidOutput(f"{what}: the answer is no JSON") from None
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    return answer if isinstance(answer, dict) and answer else {ANSWER: answer}


def _write(written: io.StringIO, names: list[str], answer: dict[str, Any], what: str) -> None:
    if list(answer) != names:
        raise InvalidOutput(
            f"{what} was answered with {', '.join(answer)}, and those before it with {', '.join(names)}"
        )
    csv.writer(written, lineterminator="\n").writerow(map(_cell, answer.values()))


def _cell(value: Any) -> Any:
    """Lists and objects as JSON."""
    return jsontext.dumps(value).decode() if isinstance(value, (list, dict, bool)) else value

"""``modelport score PATH``: a file through a model, in chunks, with constant memory."""

from __future__ import annotations

import json
import sys
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from modelport import config
from modelport.cli.complain import complain
from modelport.cli.options import Endpoint, Verbose
from modelport.core.model import ModelSpec
from modelport.errors import ConfigError, LoadError, ModelError

CALLED = "deepaas"
"""Whose models take text for what they declare as a number, so that the cells of a row can be their arguments."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Work:
    """What is scored, and where to."""

    input: Annotated[
        str,
        Parameter(
            help="The file to score, as it is or packed with gzip; - is standard input.", allow_leading_hyphen=True
        ),
    ]
    output: Annotated[
        Path | None, Parameter(help="The file to write; without it, standard output.", show_default=False)
    ] = None
    content_type: Annotated[
        str | None,
        Parameter(help="What the file holds, such as 'text/csv; charset=latin-1'.", show_default=False),
    ] = None
    query: Annotated[
        str | None,
        Parameter(help="Query parameters, as a=1&b=2 or a JSON object.", allow_leading_hyphen=True, show_default=False),
    ] = None
    whole: Annotated[
        bool,
        Parameter(help="Send the file in one piece: for a model whose rows depend on one another.", negative=""),
    ] = False
    verbose: Verbose = False


def score(
    path: Annotated[str, Parameter(help="A model's folder or file.")],
    /,
    *,
    work: Work,
    endpoint: Endpoint = None,
) -> int:
    """Score a file."""
    from modelport.cli.local import choose_one
    from modelport.packages.find import find

    settings = config.resolve({"log_level": "warning"})
    return run(choose_one(find(path, settings), endpoint), settings, work)


def run(spec: ModelSpec, settings: config.Settings, work: Work) -> int:
    """Scores; the exit code. Raises ``ConfigError`` for what cannot be asked, ``SetupError`` for a full disk."""
    import uvloop

    from modelport.cli.calling import rows_called
    from modelport.cli.datafile import DataFile
    from modelport.cli.dialects import FILES
    from modelport.cli.outfile import Output
    from modelport.cli.scoring import Job, rows_scored
    from modelport.monitoring import logs

    is_called = spec.contract == CALLED
    if not is_called and not FILES.takes_files(spec):
        raise ConfigError(f"{spec.name} is a function, which takes no rows", hint="modelport call asks it")
    logs.configure("human", "info" if work.verbose else settings.log_level)
    query = read_query(work.query)
    begin = time.perf_counter()
    try:
        with DataFile(work.input, work.content_type) as file, Output(work.output) as output:
            job = Job(spec, settings, file, output, query, work.whole, work.verbose)
            rows = uvloop.run(rows_called(job) if is_called else rows_scored(job))
            output.keep()
    except (LoadError, ModelError) as error:
        complain(error)
        return 1
    seconds = time.perf_counter() - begin
    what = f"{file.taken:,} bytes" if rows is None else f"{rows:,} row{'' if rows == 1 else 's'}"
    where = "" if work.output is None else f", written to {work.output}"
    print(f"scored {what} in {seconds:.1f} s{where}", file=sys.stderr)
    return 0


def read_query(text: str | None) -> str:
    """Query parameters as a URL has them. Raises ``ConfigError`` for JSON that is no object of plain values."""
    if text is None or not text.lstrip().startswith("{"):
        return (text or "").removeprefix("?")
    try:
        value = json.loads(text)
    except ValueError as fault:
        raise ConfigError(f"--query is not valid JSON: {fault}") from None
    if any(isinstance(item, (dict, list)) for item in value.values()):
        raise ConfigError("--query must hold plain values", hint='such as --query \'{"a": 1}\', or --query "a=1"')
    return urllib.parse.urlencode({name: _plain(item) for name, item in value.items()})


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)

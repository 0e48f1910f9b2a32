"""``modelport call URL|PATH``"""

from __future__ import annotations

import http.client
import json
import sys
import time
from typing import Annotated, NamedTuple

from cyclopts import Parameter

from modelport import __version__, config
from modelport.cli.address import is_url, parse, read_data
from modelport.cli.dialects import Dialect, dialect_of
from modelport.cli.options import USUAL, Asked
from modelport.core.model import ModelSpec
from modelport.errors import ConfigError, SetupError


class Answer(NamedTuple):
    """``what`` names the question in a word or two."""

    status: int
    body: bytes
    seconds: float
    what: str


def call(
    target: Annotated[str, Parameter(help="A model's folder or file, or the URL of a running server's route.")],
    /,
    *,
    asked: Asked = USUAL,
    timeout: Annotated[float, Parameter(help="Seconds to wait for a server's answer.")] = 60.0,
) -> int:
    """Send one request to a model or a server."""
    body = None if asked.data is None else read_data(asked.data)
    if is_url(target):
        refuse_for_url(asked)
        answer = ask_server(target, body, asked.key, timeout)
    else:
        answer = _ask_model(target, asked.endpoint, body, asked.verb)
    _show(answer)
    return 0 if 200 <= answer.status < 300 else 1


def refuse_for_url(asked: Asked) -> None:
    """Raises ``ConfigError`` for what only a path may be asked."""
    if asked.endpoint is not None or asked.verb is not None:
        raise ConfigError("--endpoint and --verb are for paths", hint="a URL names both itself")


def ask_server(url: str, body: bytes | None = None, key: str | None = None, timeout: float = 60.0) -> Answer:
    """POSTs the body, or reads with GET where there is none. Raises ``SetupError`` when nothing answers."""
    address = parse(url)
    kind = http.client.HTTPSConnection if address.is_tls else http.client.HTTPConnection
    headers = {"Accept": "application/json", "User-Agent": f"modelport/{__version__}"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    method = "GET" if body is None else "POST"
    connection = kind(address.host, address.port, timeout=timeout)
    begin = time.perf_counter()
    try:
        connection.request(method, address.target, body, headers)
        response = connection.getresponse()
        content = response.read()
    except (OSError, ValueError, http.client.HTTPException) as fault:
        reason = getattr(fault, "strerror", None) or str(fault) or type(fault).__name__
        raise SetupError(f"{url}: {reason}", hint="is a server running there? modelport serve PATH") from None
    finally:
        connection.close()
    return Answer(response.status, content, time.perf_counter() - begin, method)


def _ask_model(path: str, endpoint: str | None, data: bytes | None, verb: str | None) -> Answer:
    import uvloop

    from modelport.cli.local import choose_one
    from modelport.monitoring import logs
    from modelport.packages.find import find

    settings = config.resolve({"log_level": "warning"})
    logs.configure("human", settings.log_level)
    spec = choose_one(find(path, settings), endpoint)
    return uvloop.run(_ask_spec(spec, settings, data, verb))


async def _ask_spec(spec: ModelSpec, settings: config.Settings, data: bytes | None, verb: str | None) -> Answer:
    from modelport.cli.local import loaded

    dialect = dialect_of(spec)
    request = dialect.worded(spec, data if data is not None else first_saved(spec, dialect), verb)
    async with loaded(spec, settings) as model:
        begin = time.perf_counter()
        reply = await model.ask(request)
        return Answer(reply.status, reply.body, time.perf_counter() - begin, f"{spec.name} {request.verb}")


def first_saved(spec: ModelSpec, dialect: Dialect) -> bytes:
    """The body of its first saved test query. Raises ``ConfigError`` when there is none."""
    saved = dialect.saved(spec)
    if not saved:
        raise ConfigError(f"{spec.name} has no saved test query", hint="say what to ask with --data")
    return saved[0].body


def _show(answer: Answer) -> None:
    """The body on standard output, the status on standard error."""
    try:
        value = json.loads(answer.body)
    except ValueError:
        sys.stdout.buffer.write(answer.body)
    else:
        if sys.stdout.isatty():
            from rich.console import Console

            Console().print_json(data=value, ensure_ascii=False)
        else:
            sys.stdout.buffer.write(answer.body.rstrip() + b"\n")
    sys.stdout.flush()
    phrase = http.client.responses.get(answer.status, "")
    print(f"{answer.status} {phrase} ({answer.what}, {answer.seconds * 1000:.1f} ms)", file=sys.stderr)

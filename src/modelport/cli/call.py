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
from modelport.cli.dialects import Request, dialect_of
from modelport.cli.options import USUAL, Asked
from modelport.cli.samples import JSON
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
        answer = ask_server(target, body, asked.key, timeout, asked.media_type)
    else:
        answer = _ask_model(target, asked, body)
    _show(answer)
    return 0 if 200 <= answer.status < 300 else 1


def refuse_for_url(asked: Asked) -> None:
    """Raises ``ConfigError`` for what only a path may be asked."""
    if asked.endpoint is not None or asked.verb is not None:
        raise ConfigError("--endpoint and --verb are for paths", hint="a URL names both itself")


def ask_server(
    url: str, body: bytes | None = None, key: str | None = None, timeout: float = 60.0, media_type: str = JSON
) -> Answer:
    """POSTs the body, or reads with GET where there is none. Raises ``SetupError`` when nothing answers."""
    address = parse(url)
    kind = http.client.HTTPSConnection if address.is_tls else http.client.HTTPConnection
    headers = {"Accept": "application/json", "User-Agent": f"modelport/{__version__}"}
    if body is not None:
        headers["Content-Type"] = media_type
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


def _ask_model(path: str, asked: Asked, data: bytes | None) -> Answer:
    import uvloop

    from modelport.cli.local import choose_one
    from modelport.monitoring import logs
    from modelport.packages.find import find

    settings = config.resolve({"log_level": "warning"})
    logs.configure("human", settings.log_level)
    spec = choose_one(find(path, settings), asked.endpoint)
    return uvloop.run(_ask_spec(spec, settings, request_for(spec, asked, data)))


async def _ask_spec(spec: ModelSpec, settings: config.Settings, request: Request) -> Answer:
    from modelport.cli.local import loaded

    async with loaded(spec, settings) as model:
        begin = time.perf_counter()
        reply = await model.ask(request)
        return Answer(reply.status, reply.body, time.perf_counter() - begin, f"{spec.name} {request.verb}")


def request_for(spec: ModelSpec, asked: Asked, data: bytes | None) -> Request:
    """What is asked of a model: ``data``, else its first saved test query. Raises ``ConfigError`` without either."""
    dialect = dialect_of(spec)
    if data is not None:
        request = dialect.worded(spec, data, asked.verb)
    else:
        saved = dialect.saved(spec)
        if not saved:
            raise ConfigError(f"{spec.name} has no saved test query", hint="say what to ask with --data")
        request = dialect.worded(spec, bytes(saved[0].body), asked.verb)._replace(headers=saved[0].headers)
    return request._replace(headers={"content-type": asked.content_type}) if asked.content_type else request


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

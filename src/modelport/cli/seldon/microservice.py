"""``modelport seldon microservice INTERFACE``"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from modelport import config
from modelport.cli.complain import complain
from modelport.cli.seldon import podinfo
from modelport.cli.seldon.options import LEVELS, parser, without_meaning
from modelport.core.model import ModelSpec, PoolSettings, as_name
from modelport.errors import ConfigError, SetupError

if TYPE_CHECKING:
    from modelport.core.call import Reply
    from modelport.core.protocol import Headers
    from modelport.monitoring.metrics import Metrics
    from modelport.server.side import Side

METRICS_PATH = "PREDICTIVE_UNIT_METRICS_ENDPOINT"
PARAMETERS = "PREDICTIVE_UNIT_PARAMETERS"
REST_TIMEOUT, MESSAGE_SIZE = "seldon.io/rest-timeout", "seldon.io/grpc-max-message-size"
TIMEOUT = 5_000_000
"""Milliseconds that a request may wait and run where no annotation says."""
WAITING = 512
"""Requests that may wait; to the platform's command they would be connections that nobody accepts yet."""

_log = logging.getLogger("modelport.cli")


def microservice(*arguments: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> int:
    """Serve a component as seldon-core-microservice does. Exit code 1 for what keeps it from starting."""
    try:
        return _serve(_parsed(arguments))
    except SetupError as error:
        complain(error)
        return 1


def _parsed(arguments: tuple[str, ...]) -> argparse.Namespace:
    given, unknown = parser().parse_known_args(arguments)
    if unknown:
        is_old = unknown[0] in ("REST", "GRPC")
        raise ConfigError(
            f"unknown arguments: {' '.join(unknown)}",
            hint="leave it out: REST and gRPC are both served" if is_old else "modelport seldon microservice --help",
        )
    level = os.environ.get("SELDON_LOG_LEVEL", given.log_level).upper()
    given.log_level = level if level in LEVELS else "INFO"
    return given


def _serve(given: argparse.Namespace) -> int:
    from modelport.cli.serve import run
    from modelport.monitoring import logs

    notes = podinfo.read(given.annotations)
    settings = _settings(given, podinfo.number(notes, MESSAGE_SIZE) or 0)
    logs.configure(settings.log_format, settings.log_level)
    for told in without_meaning(given):
        _log.warning("accepted, and of no meaning here: %s", told)
    if given.grpc_workers and settings.grpc_port is None:
        _log.warning("there is no gRPC: grpcio is not installed; pip install 'modelport[grpc]'")
    spec = _find(given, settings, podinfo.number(notes, REST_TIMEOUT) or TIMEOUT)
    with _pidfile(given.pidfile):
        return run([spec], settings, [_metrics(given.metrics_port)])


def _settings(given: argparse.Namespace, message_size: int) -> config.Settings:
    has_grpc = given.grpc_workers and importlib.util.find_spec("grpc") is not None
    flags: dict[str, Any] = {
        "host": given.host or os.environ.get("MODELPORT_HOST") or "0.0.0.0",  # noqa: S104 - as the platform's command
        "port": given.http_port,
        "grpc_port": given.grpc_port if has_grpc else None,
        "insecure": True,
        "keep_alive": given.keepalive,
        "max_requests": given.max_requests,
        "access_log": given.access_log,
        "log_level": given.log_level.lower(),
        "exit_on_load_error": True,
    }
    settings = config.resolve(flags)
    return replace(settings, max_body=max(settings.max_body, message_size))


def _find(given: argparse.Namespace, settings: config.Settings, timeout: int) -> ModelSpec:
    """The component in the working directory, or of an installed package. ``timeout`` is in milliseconds."""
    from modelport.packages.find import find

    os.environ[PARAMETERS] = given.parameters  # the option goes before the variable
    name = as_name(os.environ.get("PREDICTIVE_UNIT_ID") or given.interface_name.rpartition(".")[2])
    (spec,) = find(".", settings, {"contract": "seldon", "component": given.interface_name, "name": name})
    workers = given.workers
    return replace(spec, pool=PoolSettings(workers, workers, workers, WAITING, timeout, timeout))


def _metrics(port: int) -> Side:
    """The listener for Prometheus."""
    from modelport.core.protocol import Marked
    from modelport.protocols.seldon.routes import protocol
    from modelport.protocols.seldon.scrape import scraped
    from modelport.server.side import Side

    path = os.environ.get(METRICS_PATH) or "/metrics"

    def answer(method: str, asked: str, headers: Headers, metrics: Metrics) -> Reply:
        reply = scraped(method, asked, path, metrics.reported.text())
        return reply._replace(headers=[*reply.headers, *protocol.marks(Marked(headers))])

    return Side("metrics", port, "--metrics-port", answer)


@contextlib.contextmanager
def _pidfile(file: str | None) -> Iterator[None]:
    """Keeps this process's id in a file. Raises ``ConfigError`` where another process, which runs, has its id there."""
    if file is None:
        yield
        return
    place = Path(file)
    if _runs(place):
        raise ConfigError(f"{file} names a process that runs", hint="stop it, or name another --pidfile")
    try:
        place.write_text(f"{os.getpid()}\n")
    except OSError as fault:
        raise ConfigError(f"cannot write {file}: {fault.strerror}") from None
    try:
        yield
    finally:
        place.unlink(missing_ok=True)


def _runs(place: Path) -> bool:
    try:
        pid = int(place.read_text())
        if pid > 0:
            os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return pid > 0

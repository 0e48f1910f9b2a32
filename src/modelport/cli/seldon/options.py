"""The options of the platform's command, each with its environment variable."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from modelport.errors import ConfigError

SERVICES = ("MODEL", "ROUTER", "TRANSFORMER", "COMBINER", "OUTLIER_DETECTOR")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
ANNOTATIONS = "/etc/podinfo/annotations"
TRUE = ("1", "t", "true")

WITHOUT_MEANING = {
    "persistence": "no state is kept for a component",
    "debug": "there is no debug server",
    "tracing": "nothing is traced",
    "threads": "a worker answers one request at a time; --workers asks for more of them",
    "max_requests_jitter": "workers are replaced within a tenth of --max-requests",
    "single_threaded": "a worker answers one request at a time anyway",
    "grpc_threads": "a worker answers one request at a time; --workers asks for more of them",
}
"""Options that are taken and change nothing, and why."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong as every verb does."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message, hint=f"{self.prog} --help")


def parser(env: Mapping[str, str] = os.environ) -> Parser:
    """The command's parser, with the environment's defaults."""
    made = Parser(
        prog="modelport seldon microservice",
        usage="%(prog)s INTERFACE [options]",
        description="Serve a component as seldon-core-microservice does: its REST API, and its metrics on a port of "
        "their own. Like that command it listens on every address of the machine; --host narrows that.",
    )
    made.add_argument("interface_name", metavar="INTERFACE", help="Name (class Name of module Name) or package.Class")
    known = made.add_argument_group("options of the platform")

    def option(
        name: str, kind: Callable[[str], Any], default: Any, variable: str | None, what: str, **more: Any
    ) -> None:
        stated = env.get(variable) if variable else None
        shown = f"{what}{f' [{variable}]' if variable else ''}"
        shown += "" if default in (None, False) else f" (default {default})".replace("%", "%%")
        # argparse has a text default pass through the option's type
        known.add_argument(name, type=kind, default=default if stated is None else stated, help=shown, **more)

    flag: dict[str, Any] = {"nargs": "?", "const": True, "metavar": "0|1"}
    option(
        "--service-type", str, "MODEL", "SERVICE_TYPE", "what the component is; every route is there", choices=SERVICES
    )
    option("--parameters", str, "[]", "PREDICTIVE_UNIT_PARAMETERS", "JSON list of {name, value, type}")
    option("--log-level", str.upper, "INFO", None, "[SELDON_LOG_LEVEL goes first]", choices=LEVELS)
    option("--http-port", int, 9000, "PREDICTIVE_UNIT_HTTP_SERVICE_PORT", "port for REST")
    option("--grpc-port", int, 5000, "PREDICTIVE_UNIT_GRPC_SERVICE_PORT", "port for gRPC")
    option("--metrics-port", int, 6000, "PREDICTIVE_UNIT_METRICS_SERVICE_PORT", "port for Prometheus")
    option("--workers", _count, 1, "GUNICORN_WORKERS", "processes that answer, each with a component of its own")
    option("--grpc-workers", _count_or_none, 1, "GRPC_WORKERS", "0 for no gRPC; the processes are those of --workers")
    option("--max-requests", _count_or_none, 0, "GUNICORN_MAX_REQUESTS", "replace a process after so many requests")
    option("--keepalive", _count_or_none, 2, "GUNICORN_KEEPALIVE", "seconds that an idle connection stays open")
    option("--access-log", _truth, False, "GUNICORN_ACCESS_LOG", "log each request", **flag)
    option("--pidfile", str, None, None, "a file for this process's id", metavar="FILE")
    taken = "taken, and changes nothing"
    option("--persistence", _truth, False, "PERSISTENCE", taken, **flag)
    option("--debug", _truth, False, "SELDON_DEBUG", taken, **flag)
    option("--tracing", _truth, False, "TRACING", taken, **flag)
    option("--threads", _count, 1, "GUNICORN_THREADS", taken)
    option("--max-requests-jitter", _count_or_none, 0, "GUNICORN_MAX_REQUESTS_JITTER", taken)
    option("--single-threaded", _truth, False, "FLASK_SINGLE_THREADED", taken, **flag)
    option("--grpc-threads", _count, 1, "GRPC_THREADS", taken)
    ours = made.add_argument_group("further options")
    ours.add_argument(
        "--host", help="address to listen on [MODELPORT_HOST] (default 0.0.0.0, as the platform's command)"
    )
    ours.add_argument("--annotations", metavar="FILE", default=ANNOTATIONS, help=f"the pod's (default {ANNOTATIONS})")
    return made


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 or more")
    return int(text)


def _count_or_none(text: str) -> int:
    return 0 if text == "0" else _count(text)


def _truth(text: str) -> bool:
    return text.lower() in TRUE


def without_meaning(given: argparse.Namespace) -> list[str]:
    """The options given that change nothing, each with the reason."""
    none = (False, 0, 1, None)  # 1 is the number of threads that there are
    return [
        f"--{name.replace('_', '-')}: {why}"
        for name, why in WITHOUT_MEANING.items()
        if getattr(given, name) is True or getattr(given, name) not in none
    ]

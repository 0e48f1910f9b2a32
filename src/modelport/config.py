"""The one settings table: flags, environment variables, the settings file and the documentation come from it.

Later sources win: default, file (TOML), environment (``MODELPORT_`` + name), flag.
"""

from __future__ import annotations

import math
import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple, get_args, get_type_hints

from modelport.errors import ConfigError


def setting(default: Any, what: str, secret: bool = False) -> Any:
    """A field of ``Settings``: its default, and what it does in one sentence."""
    return field(default=default, metadata={"help": what, "secret": secret})


@dataclass(frozen=True)
class Settings:
    """Everything about a server that may be set. Sizes in bytes, times in seconds."""

    host: str = setting("127.0.0.1", "Address to listen on; other than loopback it needs API keys or --insecure.")
    port: int = setting(8080, "Port for HTTP; 0 takes a free one.")
    grpc_port: int | None = setting(None, "Port for gRPC; 0 takes a free one. Without it there is no gRPC.")
    url_prefix: str = setting("", "What goes before the root paths that name no model, such as /models/a.")
    insecure: bool = setting(False, "Allow listening beyond loopback with no API key.")
    api_key: str = setting("", "Key for every model that has none of its own; 'sha256:<hex>' for a hashed one.", True)
    admin_key: str = setting("", "Key for administrative routes; needed for them beyond loopback.", True)
    repository: bool = setting(False, "Serve the model repository routes (index, load, unload).")
    data_dir: str = setting("", "Folder with config/services/<SERVICE>/<ENDPOINT>.json and apinode-not-alive.txt.")
    state_dir: str = setting("", "Folder for the history of tasks; by default ~/.local/state/modelport.")
    tasks: int = setting(1, "Tasks, such as trainings, that run at once; others wait.")
    cache_dir: str = setting(
        "", "Folder that packages are unpacked into; without it modelport in the user's cache folder."
    )
    max_package: int = setting(4 << 30, "Largest package, as sent and once unpacked.")
    max_body: int = setting(64 << 20, "Largest request body, as sent and once decompressed.")
    max_head: int = setting(64 << 10, "Largest request line and headers together.")
    max_headers: int = setting(128, "Most headers in a request.")
    max_url: int = setting(8 << 10, "Longest request line target.")
    max_connections: int = setting(0, "Most open connections; 0 is as many as file descriptors allow.")
    head_timeout: float = setting(10.0, "Time a client has to send its request line and headers.")
    body_timeout: float = setting(20.0, "Time in which a client must send at least 1 KiB a second of its body.")
    keep_alive: float = setting(30.0, "Time an idle connection stays open.")
    grace: float = setting(30.0, "Time that running requests have to finish when the server is told to stop.")
    linger: float = setting(0.5, "Time between being told to stop and no longer accepting connections.")
    exit_on_load_error: bool = setting(False, "End, with exit code 2, when a model does not load.")
    shrink_after: float = setting(10.0, "Time without need after which workers beyond cruise leave.")
    worker_threads: int = setting(1, "Threads a worker's numeric libraries use (OMP_NUM_THREADS and friends).")
    worker_memory: int = setting(0, "Memory a worker may allocate; 0 is unlimited.")
    max_requests: int = setting(0, "Replace a worker after about this many requests; 0 is never.")
    max_rss: int = setting(0, "Replace a worker that holds more memory than this, between requests; 0 is never.")
    access_log: bool = setting(True, "Log each request.")
    log_format: str = setting("auto", "human, json, or auto: human on a terminal, else json.")
    log_level: str = setting("info", "debug, info, warning or error.")
    error_detail: str = setting("message", "What clients see of a model's exceptions: none, type or message.")


_HASH = re.compile(r"sha256:[0-9A-Fa-f]{64}")
_PREFIX = re.compile(r"[A-Za-z0-9._~@:+/-]*")
_CHOICES = {
    "log_format": ("auto", "human", "json"),
    "log_level": ("debug", "info", "warning", "error"),
    "error_detail": ("none", "type", "message"),
}


class Item(NamedTuple):
    """One row of the table."""

    name: str
    type: type
    default: Any
    help: str
    env: str
    flag: str
    secret: bool


def items() -> Iterator[Item]:
    """The table, in order."""
    types = get_type_hints(Settings)
    for entry in fields(Settings):
        assert entry.default is not MISSING
        yield Item(
            entry.name,
            next(kind for kind in (*get_args(types[entry.name]), types[entry.name]) if kind is not NoneType),
            entry.default,
            entry.metadata["help"],
            f"MODELPORT_{entry.name.upper()}",
            f"--{entry.name.replace('_', '-')}",
            entry.metadata["secret"],
        )


def resolve(flags: Mapping[str, Any], env: Mapping[str, str] = os.environ, file: str | None = None) -> Settings:
    """The settings in force; a flag that is None was not given. Raises ``ConfigError`` with every fault."""
    faults: list[str] = []
    chosen: dict[str, Any] = {}
    known = {item.name: item for item in items()}
    for name, value in _read_file(file, faults).items():
        if name in known:
            chosen[name] = _typed(known[name], value, f"{file}: {name}", faults)
        else:
            faults.append(f"{file}: {name!r} is no setting")
    for item in known.values():
        if item.env in env:
            chosen[item.name] = _typed(item, env[item.env], item.env, faults)
        if flags.get(item.name) is not None:
            chosen[item.name] = _typed(item, flags[item.name], item.flag, faults)
    for name in ("api_key", "admin_key"):
        key = chosen.get(name, "")
        if key.startswith("sha256:") and not _HASH.fullmatch(key):
            faults.append(f"{known[name].flag}: after sha256: there must be 64 hexadecimal digits")
    if not _PREFIX.fullmatch(chosen.get("url_prefix", "")):
        faults.append(f"--url-prefix must be the path of a URL, not {chosen['url_prefix']!r}")
    for name, choices in _CHOICES.items():
        if name in chosen and chosen[name] not in choices:
            faults.append(f"{known[name].flag} must be one of {', '.join(choices)}, not {chosen[name]!r}")
    if faults:
        raise ConfigError("the settings have faults", faults=faults)
    return Settings(**chosen)


def _read_file(file: str | None, faults: list[str]) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return tomllib.loads(Path(file).read_text())
    except OSError as fault:
        faults.append(f"{file}: {fault.strerror}")
    except tomllib.TOMLDecodeError as fault:
        faults.append(f"{file}: {fault}")
    return {}


def _typed(item: Item, value: Any, where: str, faults: list[str]) -> Any:
    if item.type is bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("1", "true", "yes", "on"):
            return True
        if isinstance(value, str) and value.lower() in ("0", "false", "no", "off", ""):
            return False
        faults.append(f"{where} must be true or false, not {value!r}")
        return item.default
    try:
        typed = item.type(value)
    except (TypeError, ValueError):
        faults.append(f"{where} must be {item.type.__name__}, not {value!r}")
        return item.default
    if item.type in (int, float) and not 0 <= typed < math.inf:
        faults.append(f"{where} must be a number of 0 or more, not {value!r}")
    return typed


def markdown() -> str:
    """The table as documentation."""
    lines = ["| flag | environment | default | what it does |", "| --- | --- | --- | --- |"]
    for item in items():
        default = "" if item.default in ("", None) else f"`{item.default}`"
        lines.append(f"| `{item.flag}` | `{item.env}` | {default} | {item.help} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())

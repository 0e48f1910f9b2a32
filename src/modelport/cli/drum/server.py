"""``modelport drum server``"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Annotated, Any

from cyclopts import Parameter

from modelport import config
from modelport.cli.drum.options import Code
from modelport.cli.options import with_settings
from modelport.errors import ConfigError


@with_settings
def server(
    *,
    code: Code,
    address: Annotated[
        str | None, Parameter(help="HOST[:PORT] to listen on. Default 127.0.0.1:8080.", show_default=False)
    ] = None,
    workers: Annotated[
        int | None, Parameter(help="Processes that answer; the folder's own pool without it.", show_default=False)
    ] = None,
    settings: Annotated[
        str | None, Parameter(name="--config", help="A TOML file with settings.", show_default=False)
    ] = None,
    **flags: Any,
) -> int:
    """Serve a code folder."""
    from modelport.cli.serve import run

    if address is not None:
        flags.update(_read_address(address, flags))
    env = dict(os.environ)
    if env.get("URL_PREFIX"):  # the platform's name for it
        env.setdefault("MODELPORT_URL_PREFIX", env["URL_PREFIX"])
    chosen = config.resolve(flags, env, settings)
    spec = code.find(chosen)
    if workers is not None:
        if workers < 1:
            raise ConfigError(f"--workers must be 1 or more, not {workers}")
        spec = replace(spec, pool=replace(spec.pool, floor=workers, cruise=workers, ceil=workers))
    return run([spec], chosen)


def _read_address(address: str, flags: dict[str, Any]) -> dict[str, Any]:
    """Host and port as settings. Raises ``ConfigError`` for what is no address."""
    if flags.get("host") is not None or flags.get("port") is not None:
        raise ConfigError("--address names host and port already", hint="leave out --host and --port")
    host, port = address, ""
    if address.startswith("["):
        host, _, rest = address[1:].partition("]")
        port = rest.removeprefix(":")
    elif address.count(":") == 1:
        host, _, port = address.partition(":")
    if not host or "/" in host or (port and not (port.isdecimal() and int(port) < 1 << 16)):
        raise ConfigError(f"--address {address} is no address", hint="HOST, HOST:PORT or [IPV6]:PORT")
    return {"host": host, "port": int(port)} if port else {"host": host}

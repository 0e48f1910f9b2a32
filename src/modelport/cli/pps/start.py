"""``modelport pps``"""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from modelport import config
from modelport.cli.options import with_settings
from modelport.core.model import PoolSettings
from modelport.errors import ConfigError

if TYPE_CHECKING:
    from modelport.cli.pps.variables import Variables
    from modelport.server.lifecycle import Manner, Server

MAX_BODY = 50 << 20
"""Bytes that the platform takes, and that its client sends at most."""
TLS_PORT = 8443
WAITING, TIMEOUT = 64, 600_000
"""Requests that wait for a model, and the milliseconds that one may wait and run."""
SHOWN = 20

_log = logging.getLogger("modelport.pps")


@with_settings
def pps(
    path: Annotated[
        str | None, Parameter(help="Where packages are, in place of PREDICTION_API_MODEL_REPOSITORY_PATH.")
    ] = None,
    /,
    *,
    variables: Annotated[
        str | None, Parameter(help="A file of KEY=value lines, in place of /opt/ml/config.", show_default=False)
    ] = None,
    settings: Annotated[
        str | None, Parameter(name="--config", help="A TOML file with settings.", show_default=False)
    ] = None,
    **flags: Any,
) -> int:
    """Serve packages the way the Portable Prediction Server does."""
    from modelport.cli.pps.variables import read
    from modelport.monitoring import logs

    env = {"MODELPORT_MAX_BODY": str(MAX_BODY), **os.environ}
    chosen = config.resolve(flags, env, settings)
    logs.configure(chosen.log_format, chosen.log_level)
    given = read(os.environ, variables)
    if given.tls is not None and settings is None:
        chosen = config.resolve(flags, {"MODELPORT_PORT": str(TLS_PORT), **env}, settings)
    if path is not None:
        given = replace(given, repository=Path(path))
    return _serve(given, chosen, variables)


def _serve(given: Variables, settings: config.Settings, file: str | None) -> int:
    from modelport.packages import store
    from modelport.packages.find import find
    from modelport.server.lifecycle import Server, is_loopback
    from modelport.server.repository import Plan

    place = given.repository
    if not place.exists():
        raise ConfigError(f"there is nothing at {place}", hint="PREDICTION_API_MODEL_REPOSITORY_PATH")
    packages = [place] if place.is_file() else store.packages_in(place)
    pool = PoolSettings(given.workers, given.workers, given.workers, WAITING, TIMEOUT, TIMEOUT)
    manner = _with_tls(given, file)
    if len(packages) == 1:
        specs = find(str(packages[0]), settings)
        if len(specs) > 1:
            raise ConfigError(f"{packages[0]} holds several models: {', '.join(spec.name for spec in specs)}")
        card = {**(specs[0].card or {}), "deployment": {"deployment_id": given.deployment_id}}
        spec = replace(specs[0], pool=pool, card=card)
        from modelport.cli.announce import announce

        return Server([spec], "pps", settings, announce, replace(manner, single=True)).run()
    if packages:
        _log.warning("%d packages lie right in %s: each needs a folder of its own", len(packages), place)
    plan = Plan(place, given.ttl, given.cache_size, bool(given.preload), replace(pool, floor=1, cruise=given.workers))
    may_change = bool(settings.admin_key) or is_loopback(settings.host)
    settings = replace(settings, repository=settings.repository or may_change)
    return Server([], "pps", settings, _announce, replace(manner, plan=plan)).run()


def _with_tls(given: Variables, file: str | None) -> Manner:
    from modelport.server.lifecycle import Manner

    if given.tls is None:
        return Manner()
    from modelport.cli.pps import tls
    from modelport.cli.pps.variables import read

    context = tls.context(given.tls)

    def renew() -> None:
        try:
            now = read(os.environ, file).tls
            if now is not None:
                tls.load(context, now)
                _log.info("the certificate was read again")
        except ConfigError as fault:
            _log.error("the certificate stays as it is: %s", fault.describe())

    return Manner(tls=context, renew=renew)


def _announce(server: Server) -> None:
    """Where it is, and what it has found."""
    from modelport import __version__
    from modelport.cli.announce import places

    names = sorted(endpoint.spec.name for endpoint in server.plane.endpoints)
    print(f"Modelport {__version__} serves {len(names)} deployment(s) at {places(server)}")
    for endpoint in sorted(server.plane.endpoints, key=lambda one: one.spec.name)[:SHOWN]:
        print(f"  {endpoint.spec.name:24} {endpoint.state if endpoint.fault is None else endpoint.fault.describe()}")
    if len(names) > SHOWN:
        print(f"  and {len(names) - SHOWN} more")
    rows = "-H 'Content-Type: text/csv' --data-binary @data.csv"
    print(f"  try      curl -s {server.base}/deployments/{names[0] if names else 'ID'}/predictions {rows}", flush=True)

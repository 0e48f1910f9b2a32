"""``modelport serve PATH...``"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from modelport import config
from modelport.cli.options import with_settings
from modelport.core.model import ModelSpec

if TYPE_CHECKING:
    from modelport.server.side import Side


@with_settings
def serve(
    *paths: Annotated[str, Parameter(help="Model folders or files.")],
    settings: Annotated[str | None, Parameter(name="--config", help="A TOML file with settings.")] = None,
    **flags: Any,
) -> int:
    """Serve models: find their contract, start workers, answer their own platform's API and OIP.

    Example: modelport serve ./service --port 8080
    """
    from modelport.errors import ConfigError
    from modelport.packages.find import find_all

    chosen = config.resolve(flags, file=settings)
    if not paths:
        raise ConfigError("there is nothing to serve", hint="modelport serve PATH; modelport new dataiku DIR makes one")
    return run(find_all(paths, chosen), chosen)


def run(specs: Sequence[ModelSpec], settings: config.Settings, sides: Sequence[Side] = ()) -> int:
    """Serves these models until told to stop, with further listeners; the exit code."""
    from modelport.cli.announce import announce
    from modelport.monitoring import logs
    from modelport.server.lifecycle import Server

    logs.configure(settings.log_format, settings.log_level)
    return Server(specs, specs[0].contract, settings, announce, sides).run()

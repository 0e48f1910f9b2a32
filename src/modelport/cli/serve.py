"""``modelport serve PATH...``"""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from modelport import config
from modelport.cli.options import with_settings


@with_settings
def serve(
    *paths: Annotated[str, Parameter(help="Model folders or files.")],
    settings: Annotated[str | None, Parameter(name="--config", help="A TOML file with settings.")] = None,
    **flags: Any,
) -> int:
    """Serve models: find their contract, start workers, answer their own platform's API and OIP.

    Example: modelport serve ./service --port 8080
    """
    from modelport.cli.announce import announce
    from modelport.errors import ConfigError
    from modelport.monitoring import logs
    from modelport.packages.find import find_all
    from modelport.server.lifecycle import Server

    chosen = config.resolve(flags, file=settings)
    logs.configure(chosen.log_format, chosen.log_level)
    if not paths:
        raise ConfigError("there is nothing to serve", hint="modelport serve PATH; modelport new dataiku DIR makes one")
    specs = find_all(paths, chosen)
    return Server(specs, specs[0].contract, chosen, announce).run()

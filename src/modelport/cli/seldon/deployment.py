"""``modelport seldon deployment FILE``"""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from modelport import config
from modelport.cli.options import with_settings
from modelport.errors import ConfigError


@with_settings
def deployment(
    *files: Annotated[str, Parameter(help="SeldonDeployment files, YAML or JSON.")],
    settings: Annotated[str | None, Parameter(name="--config", help="A TOML file with settings.")] = None,
    **flags: Any,
) -> int:
    """Serve the predictors of SeldonDeployment files."""
    from modelport.cli.serve import run
    from modelport.packages.find import find_all

    chosen = config.resolve(flags, file=settings)
    if not files:
        raise ConfigError("there is nothing to serve", hint="modelport seldon deployment FILE")
    specs = find_all(files, chosen)
    strange = [spec.path for spec in specs if spec.graph is None and spec.contract != "seldon"]
    if strange:
        raise ConfigError(f"{strange[0]} is no SeldonDeployment", hint=f"modelport serve {strange[0]}")
    return run(specs, chosen)

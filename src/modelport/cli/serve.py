"""``modelport serve PATH...``"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from modelport import config
from modelport.cli.options import with_settings
from modelport.core.model import ModelSpec
from modelport.errors import ConfigError

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
    from modelport.packages.find import find_all

    chosen = config.resolve(flags, file=settings)
    if not paths:
        raise ConfigError("there is nothing to serve", hint="modelport serve PATH; modelport new dataiku DIR makes one")
    return run(find_all(paths, chosen), chosen)


def run(
    specs: Sequence[ModelSpec],
    settings: config.Settings,
    sides: Sequence[Side] = (),
    alone: bool = False,
    log: Path | None = None,
) -> int:
    """Serves these models until told to stop, with further listeners; the exit code.

    ``alone`` is as for ``Manner``, ``log`` a file to log to. Raises ``ConfigError`` for one that cannot be written.
    """
    from modelport.cli.announce import announce
    from modelport.monitoring import logs
    from modelport.server.lifecycle import Manner, Server

    with contextlib.ExitStack() as stack:
        stream = None if log is None else stack.enter_context(_opened(log))
        logs.configure(settings.log_format, settings.log_level, stream)
        return Server(specs, native_of(specs[0]), settings, announce, Manner(sides=sides, alone=alone)).run()


def native_of(spec: ModelSpec) -> str:
    """The protocol that owns the paths without names: for a package that tells its target, that of packages."""
    is_packed = spec.path.endswith(".mlpkg")
    return "pps" if is_packed and spec.card is not None and spec.card["target"]["type"] is not None else spec.contract


def _opened(file: Path) -> IO[str]:
    try:
        return file.open("a", encoding="utf-8", buffering=1)
    except OSError as fault:
        raise ConfigError(f"cannot write the log {file}: {fault.strerror}") from None

"""Command-line options made from the settings table."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

from cyclopts import Parameter

from modelport import config


def with_settings(function: Callable[..., int]) -> Callable[..., int]:
    """Gives ``function(*paths, config, **flags)`` one option a setting; an option that is not given is None."""
    own = [p for p in inspect.signature(function, eval_str=True).parameters.values() if p.kind is not p.VAR_KEYWORD]
    options = [
        inspect.Parameter(
            item.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=Annotated[item.type | None, Parameter(help=_help(item), show_default=False)],
            default=None,
        )
        for item in config.items()
    ]
    function.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]
    return function


def _help(item: config.Item) -> str:
    default: Any = item.default
    shown = "" if default == "" else f" Default {str(default).lower() if isinstance(default, bool) else default}."
    return f"{item.help}{shown} [{item.env}]"

"""Command-line options that several verbs have, and those made from the settings table."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from modelport import config
from modelport.cli import samples

Json = Annotated[bool, Parameter(name="--json", help="Print the data as JSON.", negative="")]
Verbose = Annotated[
    bool, Parameter(name="--verbose", help="Show what the model prints and logs meanwhile.", negative="")
]
Endpoint = Annotated[str | None, Parameter(name="--endpoint", help="Which of a folder's models.", show_default=False)]


@Parameter(name="*")
@dataclass(frozen=True)
class Asked:
    """What a model or a server is asked."""

    endpoint: Endpoint = None
    data: Annotated[
        str | None,
        Parameter(
            help="The request: its text, @FILE, or - for standard input.", allow_leading_hyphen=True, show_default=False
        ),
    ] = None
    content_type: Annotated[
        str | None,
        Parameter(help="What the request holds; by default what it looks like.", show_default=False),
    ] = None
    verb: Annotated[
        str | None, Parameter(help="The platform's word for what is asked, such as predict.", show_default=False)
    ] = None
    key: Annotated[str | None, Parameter(help="API key, for a server that wants one.", show_default=False)] = None

    @property
    def media_type(self) -> str:
        """What is said of the request, else what the name of its file says; JSON where nothing does."""
        suffix = Path((self.data or "").partition("@")[2]).suffix.lower()
        return self.content_type or (samples.CSV if suffix == ".csv" else samples.JSON)


USUAL = Asked()


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
    shown = (
        "" if default in ("", None) else f" Default {str(default).lower() if isinstance(default, bool) else default}."
    )
    return f"{item.help}{shown} [{item.env}]"

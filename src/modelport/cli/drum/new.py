"""``modelport drum new model``"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from modelport.cli import new
from modelport.errors import ConfigError

LANGUAGES = ("python", "r", "julia")


def model(
    directory: Annotated[
        str | None, Parameter(help="The folder to make; it must not be there yet, or be empty.", show_default=False)
    ] = None,
    /,
    *,
    language: Annotated[str, Parameter(help="The language of its hooks: python.")] = "python",
    code_dir: Annotated[str | None, Parameter(help="The folder, named the platform's way.", show_default=False)] = None,
) -> int:
    """Make a working code folder."""
    if language.lower() in LANGUAGES[1:]:
        raise ConfigError(f"models written in {language} are not supported here", hint="--language python")
    if language.lower() != LANGUAGES[0]:
        raise ConfigError(f"--language {language} is not known", hint="--language python")
    if (directory is None) == (code_dir is None):
        raise ConfigError("name one folder to make", hint="modelport drum new model --language python DIR")
    return new.new("drum", directory or code_dir or "")

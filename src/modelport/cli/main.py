"""``modelport``: the verbs, each loaded only when it is used."""

from __future__ import annotations

import sys

from cyclopts import App

from modelport import __version__
from modelport.errors import SetupError

app = App(
    name="modelport",
    help="Serve models written for other platforms, unchanged, behind those platforms' own APIs.",
    version=__version__,
    help_format="plaintext",
)
app.command("modelport.cli.serve:serve", name="serve", help="Serve models from folders and files.")


def main() -> None:
    """Runs the command line. Errors that a user can mend are told in a line or two, with exit code 2."""
    try:
        app()
    except SetupError as error:
        complain(error)
        sys.exit(2)


def complain(error: SetupError) -> None:
    """The cause, every fault, the model author's traceback where there is one, and what would help."""
    print(f"error: {error.message}", file=sys.stderr)
    for fault in error.faults:
        print(f"  - {fault}", file=sys.stderr)
    traceback = getattr(error, "traceback", "")
    if traceback:
        print(traceback.rstrip(), file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)


if __name__ == "__main__":
    main()

"""How an error that a user can mend is told."""

from __future__ import annotations

import sys

from modelport.errors import ModelportError


def complain(error: ModelportError) -> None:
    """The cause, every fault, the model author's traceback where there is one, and what would help."""
    print(f"error: {error.message}", file=sys.stderr)
    for fault in error.faults:
        print(f"  - {fault}", file=sys.stderr)
    traceback = getattr(error, "traceback", "")
    if traceback:
        print(traceback.rstrip(), file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)

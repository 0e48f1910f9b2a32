"""How the help of a verb is made up."""

from __future__ import annotations

from typing import Any


def help_of(line: str, more: str, examples: list[str]) -> dict[str, Any]:
    """One line, more, and examples, as ``App.command`` takes them."""
    shown = "\n".join(["Examples:", *(f"  {example}" for example in examples), ""])
    return {"help": f"{line}\n\n{' '.join(more.split())}", "help_epilogue": shown}

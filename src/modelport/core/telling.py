"""What clients are told of a failure inside a model: never where files are, and no more than was allowed."""

from __future__ import annotations

import re

MAX_TOLD = 2000
"""Characters of an exception's text that a client sees."""

_PATH = re.compile(r"(?:[A-Za-z]:)?(?:[/\\\\][\w.+@ -]*[\w.+@-]){2,}[/\\\\]?|(?<![\w<>])/[\w.+@-]+|[\w/.-]+\.py\b")
_TRACEBACK = "Traceback (most recent call last)"


def told(kind: str, text: str, detail: str, hidden: str) -> tuple[str, str]:
    """The type and the text for clients. ``detail`` is "none", "type" or "message": how much they may know;
    ``hidden`` is what they get instead of the text."""
    if detail == "message":
        text = text[:MAX_TOLD].partition(_TRACEBACK)[0].rstrip()
        return kind, without_paths(text) or "no message"  # cut first: the pattern is slow on long words
    return (kind if detail == "type" else "ModelError"), hidden


def without_paths(text: str) -> str:
    """The text, of which no line should be long, with a word in the place of each path."""
    return _PATH.sub("<path>", text)

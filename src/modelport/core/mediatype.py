"""What a Content-Type says of a body."""

from __future__ import annotations

OPEN = frozenset(
    [
        "", "text/plain", "application/octet-stream", "application/x-www-form-urlencoded", "binary/octet-stream",
        "application/vnd.ms-excel", "application/gzip", "application/x-gzip",
    ]
)  # fmt: skip
"""Media types that say nothing of what is inside; a browser may call CSV an Excel file."""


def parsed(content_type: str) -> tuple[str, str | None]:
    """The media type in lower case, empty where none is given, and the charset."""
    media_type, *parameters = (piece.strip() for piece in content_type.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset" and value.strip(' "'):
            return media_type.lower(), value.strip(' "')
    return media_type.lower(), None


def is_text(media_type: str) -> bool:
    """Whether a body of that type is text where nobody says in which charset."""
    return media_type.startswith(("text/", "application/json"))


def prefers(accept: str, one: str, other: str) -> bool:
    """Whether an Accept header wants ``one`` media type more than the ``other``; it may say nothing of either."""
    weights = {}
    for ranged in accept.lower().split(","):
        name, *parameters = (part.strip() for part in ranged.split(";"))
        weights[name] = _quality(parameters)
    return _weight(one, weights) > _weight(other, weights)


def _quality(parameters: list[str]) -> float:
    try:
        return next((float(parameter[2:]) for parameter in parameters if parameter.startswith("q=")), 1.0)
    except ValueError:
        return 0.0


def _weight(media_type: str, weights: dict[str, float]) -> float:
    """That of the closest range."""
    ranges = media_type, f"{media_type.partition('/')[0]}/*", "*/*"
    return next((weights[name] for name in ranges if name in weights), 0.0)

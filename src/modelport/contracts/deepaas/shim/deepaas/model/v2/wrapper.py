"""What a model is handed for a file."""

from __future__ import annotations

from typing import NamedTuple


class UploadedFile(NamedTuple):
    """``name`` is the argument's, ``filename`` the path of a copy that is there while the model runs,
    ``original_filename`` what the client called it."""

    name: str | None = None
    filename: str | None = None
    content_type: str | None = None
    original_filename: str | None = None

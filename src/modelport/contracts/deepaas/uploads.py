"""Files among the arguments: on disk while the model runs, and no longer."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from modelport.core.payload import Upload
from modelport.errors import ServiceError

BLOCK = 1 << 20
PLAIN = "application/octet-stream"


class Uploads:
    """Puts files on disk, into a folder of the worker's, and deletes that with ``close``."""

    def __init__(self) -> None:
        self._folder: str | None = None

    def kept(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments with an ``UploadedFile`` for each file, also for those in a list. Raises ``ServiceError``."""
        return {name: self._kept(name, value) for name, value in arguments.items()}

    def _kept(self, name: str, value: Any) -> Any:
        if isinstance(value, Upload):
            return uploaded_file()(name, self._written(value.data), value.content_type or PLAIN, value.filename)
        if isinstance(value, list) and any(isinstance(item, Upload) for item in value):
            return [self._kept(name, item) for item in value]
        return value

    def _written(self, data: Any) -> str:
        try:
            self._folder = self._folder or tempfile.mkdtemp(dir=os.environ.get("MODELPORT_SCRATCH"))
            number, path = tempfile.mkstemp(dir=self._folder)
            with os.fdopen(number, "wb") as file:
                view = memoryview(data)
                for at in range(0, len(view), BLOCK):
                    file.write(view[at : at + BLOCK])
        except OSError as fault:
            raise ServiceError(f"a file cannot be kept: {fault.strerror}") from None
        return path

    def close(self) -> None:
        """Also of what the model has put beside them."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def outlasting(self, pieces: Iterator[Any]) -> Iterator[Any]:
        """The pieces; the files, which ``close`` then leaves alone, go after the last of them."""
        rest = Uploads()
        rest._folder, self._folder = self._folder, None
        return _closing(rest, pieces)


def _closing(uploads: Uploads, pieces: Iterator[Any]) -> Iterator[Any]:
    with contextlib.closing(uploads):
        yield from pieces


def uploaded_file() -> Any:
    """The class that models know: the real package's, else the stand-in's."""
    from deepaas.model.v2.wrapper import UploadedFile

    return UploadedFile


def shown(name: str, value: Any) -> Any:
    """An argument as a training's record has it: of a file, what it is."""
    if isinstance(value, Upload):
        return [name, value.content_type or PLAIN, value.filename]
    return [shown(name, item) for item in value] if isinstance(value, list) else value

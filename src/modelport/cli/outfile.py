"""Where results go: standard output, or a file that is there only once it is complete."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any, Self

from modelport.errors import ConfigError, SetupError


class Output:
    """A file is written beside its place and moved there by ``keep``; without that nothing is left of it."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._staged: Path | None = None
        if path is None:
            self._file: Any = sys.stdout.buffer
            return
        if not path.exists() or path.is_file():
            self._path = path.resolve()
            self._staged = self._path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            self._file = (self._staged or path).open("wb")
        except OSError as fault:
            raise ConfigError(f"cannot write {path}: {fault.strerror}") from None

    def write(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except BrokenPipeError:
            raise
        except OSError as fault:
            raise SetupError(f"cannot write {self._path or 'standard output'}: {fault.strerror}") from None

    def keep(self) -> None:
        """It is complete."""
        try:
            self._file.flush()
            if self._staged is not None and self._path is not None:
                self._file.close()
                self._staged.replace(self._path)
        except BrokenPipeError:
            raise
        except OSError as fault:
            raise SetupError(f"cannot write {self._path or 'standard output'}: {fault.strerror}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        if self._staged is not None:
            self._staged.unlink(missing_ok=True)

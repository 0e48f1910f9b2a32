"""The name of each request, by which it is found in the log: the client's own where it gives one."""

from __future__ import annotations

import itertools
import os
import re

_GIVEN = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


class RequestIds:
    """Names that no other process gives out."""

    def __init__(self) -> None:
        self._count = itertools.count(1)
        self._boot = os.urandom(5).hex()

    def of(self, given: bytes | None) -> str:
        """The client's name for the request where that is one, else a new one."""
        if given is not None and _GIVEN.fullmatch(given):
            return given.decode()
        return f"{self._boot}-{next(self._count):x}"

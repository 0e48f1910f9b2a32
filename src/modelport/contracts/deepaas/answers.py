"""What a model returned, as an outcome: JSON, perhaps checked by a schema, or a body of the media type asked for."""

from __future__ import annotations

import io
import logging
import mmap
import os
import stat
from collections.abc import Iterator
from typing import Any

from modelport.contracts.deepaas.arguments import ANY, schema_of
from modelport.core.call import Outcome, Reply
from modelport.core.payload import Blob, Json
from modelport.errors import InvalidOutput, LoadError

PLATFORM = "deepaas"
JSON = "application/json"

log = logging.getLogger(__name__)


class ResponseSchema:
    """A model's ``schema``: a dict of fields, or a marshmallow class. ``name`` is what the document calls it."""

    def __init__(self, given: Any) -> None:
        import marshmallow

        if isinstance(given, dict):
            self.name, self._schema = "ModelPredictionResponse", schema_of(given)
        elif isinstance(given, type) and issubclass(given, marshmallow.Schema):
            self.name, self._schema = given.__name__, given()
        else:
            raise LoadError(
                f"the model's schema is {type(given).__name__}",
                hint="it must be None, a dict of fields, or a class that extends marshmallow.Schema",
            )
        self.fields: dict[str, Any] = dict(self._schema.fields)

    def check(self, value: Any) -> None:
        """Raises ``InvalidOutput``; what does not fit is logged, not told."""
        from marshmallow import ValidationError

        try:
            self._schema.load(value)
        except ValidationError as fault:
            log.error("what predict returned does not fit the model's schema: %s", fault.messages)
            raise InvalidOutput("ERROR validating model response, check server logs.") from None


def outcome(value: Any, accept: str | None, schema: ResponseSchema | None, is_own: bool) -> Outcome:
    """``accept`` is the media type that was asked for, where the model lets choose. An answer that comes piece by
    piece stays that way only for its own protocol, ``is_own``."""
    if accept in (None, JSON, ANY):
        if schema is not None:
            schema.check(value)
        return Outcome(payload=Json(value))
    assert accept is not None
    if is_own and isinstance(value, Iterator) and not hasattr(value, "read"):
        return Outcome(reply=Reply(200, [("content-type", accept)], map(_bytes, value)))
    data = _body(value, accept)
    charset = "utf-8" if isinstance(value, str) else None
    name = getattr(value, "name", None) if hasattr(value, "read") else None
    extras = {PLATFORM: {"filename": os.path.basename(name)}} if isinstance(name, str) else None
    return Outcome(payload=Blob(data, accept, charset), extras=extras)


def _body(value: Any, accept: str) -> Any:
    """The bytes; of a file all of it, wherever it was read to."""
    if hasattr(value, "read"):
        return _content(value)
    if isinstance(value, Iterator):
        return b"".join(map(_bytes, value))
    if isinstance(value, (bytes, bytearray, memoryview, str)):
        return _bytes(value)
    raise InvalidOutput(f"predict returned {type(value).__name__} where {accept} was asked for, which takes bytes")


def _bytes(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def _content(file: Any) -> Any:
    if hasattr(file, "getvalue"):
        return _bytes(file.getvalue())
    is_open = isinstance(file, (io.BufferedReader, io.BufferedRandom, io.FileIO, io.TextIOWrapper))
    if is_open and isinstance(file.name, str):
        if file.writable():
            file.flush()
        status = os.fstat(file.fileno())
        if stat.S_ISREG(status.st_mode) and status.st_size:
            return memoryview(mmap.mmap(file.fileno(), status.st_size, access=mmap.ACCESS_READ))
    return _bytes(file.read())

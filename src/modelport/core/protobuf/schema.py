"""A package's messages, by tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelport.core.protobuf.fields import Field
from modelport.core.protobuf.reading import Plan, Reader
from modelport.core.protobuf.writing import Writer


class Schema:
    """The messages of one package, by tables. Raises ``ValueError`` for a table that makes no sense.

    A field of another wire type than its table says is an error; if the schema is not ``strict`` it is a field that the
    table does not have, as the common implementations see it.
    """

    def __init__(
        self,
        package: str,
        messages: Mapping[str, Mapping[int, str]],
        enums: Mapping[str, Mapping[int, str]] | None = None,
        strict: bool = True,
    ) -> None:
        self.package = package
        self.enums = {name: dict(values) for name, values in (enums or {}).items()}
        self.messages: dict[str, list[Field]] = {
            name: [Field.read(number, text, messages, self.enums) for number, text in sorted(fields.items())]
            for name, fields in messages.items()
        }
        """The fields of each message, in the order of their numbers."""
        self._plans = {name: Plan(fields, strict) for name, fields in self.messages.items()}
        self._writer = Writer(self.messages, self.enums)

    def decode(self, name: str, body: Any) -> dict[str, Any]:
        """The message of that name in ``body``, any bytes-like. Fields that the table does not have are skipped.

        Raises ``InvalidBody``; ``BodyTooLarge`` for more messages within it than ``MAX_MESSAGES``.
        """
        return Reader(self._plans, self.enums, body).read(name)

    def encode(self, name: str, message: Mapping[str, Any]) -> bytes:
        """The message's bytes. None stands for a field that is not there, but in a ``google.protobuf.Value``.

        Repeated numbers may be any buffer or sequence. Raises ``ValueError`` for what does not fit its field.
        """
        return self._writer.write(name, message)

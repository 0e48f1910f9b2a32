"""Protocol buffers read into plain values and written from them, by tables: no protobuf library is needed.

A table maps a message's name to its fields, a field's number to what a ``.proto`` file would say of it::

    Schema("shop", {
        "Order": {
            1: "string customer",
            2: "repeated Order.Line lines",
            3: "map<string, google.protobuf.Value> notes",
            4: "int64 credit oneof payment",
            5: "string card oneof payment",
            6: "Priority priority",
        },
        "Order.Line": {1: "repeated double weights", 2: "bytes picture"},
    }, enums={"Priority": {0: "NORMAL", 1: "URGENT"}})

A message is a ``dict`` of the fields that are there. Numbers, ``str`` and ``bytes`` are Python's; enums are names, or
numbers where they have none; maps are dicts. Repeated numbers and truth values are one-dimensional typed buffers:
``memoryview`` s with a native format, which numpy takes without copying; they are read-only where they show the body
itself. Everything else repeated is a list. ``google.protobuf``'s Struct, Value and ListValue are plain values whose
numbers are floats. A message type that the table does not have, such as ``google.protobuf.Any``, is the ``bytes`` of
that message; a ``view`` is a ``bytes`` field shown as it lies in the body, not copied.
"""

from __future__ import annotations

from modelport.core.protobuf.fields import MAX_DEPTH, NUMBERS, PLAIN, Field
from modelport.core.protobuf.reading import MAX_MESSAGES, peek
from modelport.core.protobuf.schema import Schema

__all__ = ["MAX_DEPTH", "MAX_MESSAGES", "NUMBERS", "PLAIN", "Field", "Schema", "peek"]

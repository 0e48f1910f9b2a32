"""Bodies of DRUM's model server: rows in, predictions out as JSON or CSV; or text and bytes as they are."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from modelport.core import jsontext, mediatype, rowtext
from modelport.core.call import FUNCTION, Call, Outcome, Reply
from modelport.core.conversion import convert
from modelport.core.model import Description, ModelSpec
from modelport.core.payload import Blob, Column, Json, Payload, Table
from modelport.errors import InvalidInput, InvalidOutput, ModelportError
from modelport.protocols.drum import errors

PREDICT, TRANSFORM, UNSTRUCTURED = "predict", "transform", "unstructured"
"""The verbs."""

FIELD = "X"
"""The part of a form that holds the rows."""
PREDICTIONS = "Predictions"
"""The column of an answer that has only one, and no name for it."""
CSV, JSON = "text/csv", "application/json"
CHARSET = "utf8"
"""What an unstructured answer is marked with when the model names no charset, bytes too."""
MAX_NAMES = 20

_PRINTABLE = re.compile(r"[\x20-\x7e]+")


class DrumCodec:
    """The worker half of the protocol. What ``decode`` remembers is whether CSV is wanted."""

    marks = ()

    def decode(self, call: Call, body: Any, spec: ModelSpec, model: Description) -> tuple[Payload, Any]:
        media_type, charset = mediatype.parsed(call.headers.get("content-type", ""))
        if call.verb == UNSTRUCTURED:
            if spec.operation != FUNCTION:
                raise InvalidInput(f"{spec.name} takes rows", hint="POST them to /predict/")
            return Blob(body, media_type, charset), False
        if spec.operation == FUNCTION:
            raise InvalidInput(f"{spec.name} is unstructured: it takes no rows", hint="POST to /predictUnstructured/")
        if call.verb == TRANSFORM and model.details.get("targetType") != TRANSFORM:
            raise InvalidInput(f"{spec.name} predicts, it does not transform", hint="POST to /predict/")
        wants_csv = mediatype.prefers(call.headers.get("accept", ""), CSV, JSON)
        if media_type == "multipart/form-data":
            return _rows_of_form(body, call.headers["content-type"]), wants_csv
        return Blob(body, media_type, charset), wants_csv

    def encode(
        self, call: Call, memory: Any, outcome: Outcome, spec: ModelSpec, model: Description, seconds: float
    ) -> Reply:
        if isinstance(outcome.payload, Blob):
            return _blob(outcome.payload)
        try:
            if call.verb == UNSTRUCTURED and outcome.payload is not None:
                answer = convert(outcome.payload, "json")
                assert isinstance(answer, Json)
                return _json(jsontext.dumps(answer.value))
            answered = _answered(outcome, model)
            if memory:
                return Reply(
                    200, [("content-type", f"{CSV}; charset=utf-8")], rowtext.as_csv(answered.names, answered.columns)
                )
            return _json(b'{"predictions":%b}' % as_json(answered))
        except TypeError as fault:
            raise InvalidOutput(f"the answer has no JSON form: {fault}") from None

    def error(self, error: ModelportError, request_id: str) -> Reply:
        return errors.error(error, request_id)


codec = DrumCodec()


# --- requests --------------------------------------------------------------------------------------------


def _rows_of_form(body: Any, header: str) -> Blob:
    """The field ``X``, else the only file."""
    from modelport.core import multipart

    parts = multipart.parts(body, header)
    chosen = [part for part in parts if part.name == FIELD] or [part for part in parts if part.filename is not None]
    if len(chosen) != 1:
        names = ", ".join(repr(part.name[:80]) for part in parts[:MAX_NAMES]) or "nothing"
        raise InvalidInput(f"the form must hold the rows as the field {FIELD!r}, or as its only file; it has {names}")
    (part,) = chosen
    data: Any = part.data  # a view: the body is not copied
    return Blob(data, *mediatype.parsed(part.content_type or ""))


# --- answers ---------------------------------------------------------------------------------------------


class Answered(NamedTuple):
    """Columns of equal length. With ``is_bare`` there is one, whose values stand alone in JSON."""

    names: list[str]
    columns: list[Column]
    is_bare: bool


def _answered(outcome: Outcome, model: Description) -> Answered:
    target = model.details.get("targetType")
    if outcome.payload is not None:
        table = convert(outcome.payload, "table")
        assert isinstance(table, Table)
        is_bare = len(table.names) == 1 and target is None
        return Answered(list(map(str, table.names)), list(table.columns), is_bare)
    predictions = [] if outcome.predictions is None else outcome.predictions
    if outcome.probabilities or (model.labels and not len(predictions)):
        columns = outcome.probabilities or {label: [] for label in model.labels or ()}
        return Answered(list(map(str, columns)), list(columns.values()), False)
    if target == "textgeneration":
        return Answered([model.details.get("targetName") or PREDICTIONS], [predictions], False)
    return Answered([PREDICTIONS], [predictions], True)


def as_json(answered: Answered) -> bytes:
    """A JSON list: the bare values, or an object a row. Raises ``TypeError`` for what has no JSON form."""
    names, columns, is_bare = answered
    if is_bare:
        return jsontext.dumps(rowtext.writable(columns[0]))
    if not columns or not len(columns[0]):
        return b"[]"
    keys = [b"%b:" % jsontext.dumps(name) for name in names]
    body = rowtext.woven([b"},{" + keys[0], *(b"," + key for key in keys[1:])], list(map(rowtext.json_cells, columns)))
    return b"[%b}]" % body[2:]


def _blob(blob: Blob) -> Reply:
    """Text or bytes as the model wants them marked."""
    charset = blob.charset or CHARSET
    marked = blob.media_type if "charset=" in blob.media_type else f"{blob.media_type};charset={charset}"
    if not _PRINTABLE.fullmatch(marked):
        raise InvalidOutput(f"the model marks its answer as {marked[:100]!r}, which is no Content-Type")
    return Reply(200, [("content-type", marked)], blob.data)


def _json(body: bytes) -> Reply:
    return Reply(200, [("content-type", JSON)], body)

"""Bodies of DRUM's model server: rows in, predictions out as JSON or CSV; or text and bytes as they are."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from modelport.core import jsontext, mediatype
from modelport.core.call import FUNCTION, Call, Outcome, Reply
from modelport.core.conversion import convert
from modelport.core.model import Description, ModelSpec
from modelport.core.payload import Blob, Column, Json, Payload, Table, buffer_format, values
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
_QUOTED = re.compile(r'[",\r\n]')


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
        wants_csv = prefers_csv(call.headers.get("accept", ""))
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
                return Reply(200, [("content-type", f"{CSV}; charset=utf-8")], as_csv(answered))
            return _json(b'{"predictions":%b}' % as_json(answered))
        except TypeError as fault:
            raise InvalidOutput(f"the answer has no JSON form: {fault}") from None

    def error(self, error: ModelportError, request_id: str) -> Reply:
        return errors.error(error, request_id)


codec = DrumCodec()


# --- requests --------------------------------------------------------------------------------------------


def prefers_csv(accept: str) -> bool:
    """Whether CSV is wanted more than JSON, which whoever does not say, or wants neither, gets."""
    weights = {}
    for ranged in accept.lower().split(","):
        name, *parameters = (part.strip() for part in ranged.split(";"))
        weights[name] = _quality(parameters)
    return _weight(CSV, weights) > _weight(JSON, weights)


def _quality(parameters: list[str]) -> float:
    try:
        return next((float(parameter[2:]) for parameter in parameters if parameter.startswith("q=")), 1.0)
    except ValueError:
        return 0.0


def _weight(media_type: str, weights: dict[str, float]) -> float:
    """That of the closest range."""
    ranges = media_type, f"{media_type.partition('/')[0]}/*", "*/*"
    return next((weights[name] for name in ranges if name in weights), 0.0)


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
        return jsontext.dumps(_writable(columns[0]))
    if not columns or not len(columns[0]):
        return b"[]"
    keys = [b"%b:" % jsontext.dumps(name) for name in names]
    body = _woven([b"},{" + keys[0], *(b"," + key for key in keys[1:])], list(map(_json_cells, columns)))
    return b"[%b}]" % body[2:]


def as_csv(answered: Answered) -> bytes:
    """CSV with a header; what is missing is empty."""
    names, columns, _ = answered
    lone = len(names) == 1  # an empty line would be no row
    head = b",".join(_quoted(name) for name in names)
    if not columns or not len(columns[0]):
        return head + b"\n"
    cells = [_csv_cells(column, b'""' if lone else b"") for column in columns]
    return b"%b%b\n" % (head, _woven([b"\n", *(b"," for _ in names[1:])], cells))


def _woven(before: list[bytes], columns: list[list[bytes]]) -> bytes:
    """Cell by cell, row by row, each behind what stands before its column: no row is ever an object of its own."""
    rows, width = len(columns[0]), len(columns)
    pieces = [b""] * (2 * width * rows)
    for at, (separator, cells) in enumerate(zip(before, columns)):
        pieces[2 * at :: 2 * width] = [separator] * rows
        pieces[2 * at + 1 :: 2 * width] = cells
    return b"".join(pieces)


def _json_cells(column: Column) -> list[bytes]:
    if _is_numeric(column):
        return jsontext.dumps(_writable(column))[1:-1].split(b",")
    return [jsontext.dumps(value) for value in values(column)]


def _csv_cells(column: Column, empty: bytes) -> list[bytes]:
    if _is_numeric(column):
        cells = _json_cells(column)
        return [empty if cell == b"null" else cell for cell in cells] if b"null" in cells else cells
    return [_quoted(value) or empty for value in values(column)]


def _quoted(value: Any) -> bytes:
    """A cell of CSV; text in quotes where it needs them, the same for what only JSON can say."""
    if value is None or (isinstance(value, float) and value != value):  # noqa: PLR0124 - nan is not equal to itself
        return b""
    text = value if isinstance(value, str) else str(value) if isinstance(value, (bool, int, float)) else None
    if text is None:
        text = jsontext.dumps(value).decode().strip('"')
    if _QUOTED.search(text):
        text = '"{}"'.format(text.replace('"', '""'))
    return text.encode("utf-8", "replace")


def _is_numeric(column: Column) -> bool:
    """Whether each value is a number, so that in JSON text commas only stand between values."""
    if isinstance(column, list):
        return set(map(type, column)) <= {int, float}
    return buffer_format(column) not in (None, "BOOL")


def _writable(column: Column) -> Any:
    """The column as JSON is quickest made of it."""
    return column if jsontext.WRITES_ARRAYS and type(column).__module__ == "numpy" else values(column)


def _blob(blob: Blob) -> Reply:
    """Text or bytes as the model wants them marked."""
    charset = blob.charset or CHARSET
    marked = blob.media_type if "charset=" in blob.media_type else f"{blob.media_type};charset={charset}"
    if not _PRINTABLE.fullmatch(marked):
        raise InvalidOutput(f"the model marks its answer as {marked[:100]!r}, which is no Content-Type")
    return Reply(200, [("content-type", marked)], blob.data)


def _json(body: bytes) -> Reply:
    return Reply(200, [("content-type", JSON)], body)

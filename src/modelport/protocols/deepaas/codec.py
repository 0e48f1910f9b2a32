"""Requests and answers of the API: arguments from wherever they come, predictions as JSON or as any body."""

from __future__ import annotations

import json
import re
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, quote

from modelport.core import jsontext, mediatype
from modelport.core.call import Call, Outcome, Reply
from modelport.core.charset import decoded
from modelport.core.conversion import convert
from modelport.core.model import Description, ModelSpec
from modelport.core.payload import Args, Blob, Json, Payload, Table, Upload, values
from modelport.core.task import FAILURE
from modelport.errors import InvalidBody, InvalidOutput, ModelportError
from modelport.protocols.deepaas import errors

PLATFORM = "deepaas"
PREDICT, CHECK, TRAIN = "predict", "train", "train-now"
"""The verbs: a training's arguments are checked before it is begun."""
JSON = [("content-type", "application/json; charset=utf-8")]
MAX_FIELDS = 1000

_PRINTABLE = re.compile(r"[\x20-\x7e]+")
_UNFIT = re.compile(r'["\\\x00-\x1f\x7f]')


class DeepaasCodec:
    """The worker half of the API."""

    marks = ()

    def decode(self, call: Call, body: Any, spec: ModelSpec, model: Description) -> tuple[Payload, Any]:
        places = _places(call, body)
        if spec.contract == PLATFORM:
            return Args({}, places), None
        return _for_another(places, model), None

    def encode(
        self, call: Call, memory: Any, outcome: Outcome, spec: ModelSpec, model: Description, seconds: float
    ) -> Reply:
        payload = outcome.payload
        if isinstance(payload, Blob):
            return _blob(payload, outcome.extras.get(PLATFORM, {}).get("filename"))
        value = payload.value if isinstance(payload, Json) else _value(outcome)
        if FAILURE in outcome.extras:
            return Reply(500, JSON, jsontext.dumps(outcome.extras[FAILURE]), "model_raised")
        if call.verb == CHECK:
            return Reply(200, JSON, jsontext.dumps({name: _textual(item) for name, item in value.items()}))
        if call.verb == TRAIN:
            return Reply(200, JSON, jsontext.dumps(_textual(value)))
        if model.details.get("answer") is None:
            value = {"status": "OK", "predictions": value}
        return Reply(200, JSON, written(value))

    def error(self, error: ModelportError, request_id: str) -> Reply:
        return errors.error(error, request_id)


codec = DeepaasCodec()


# --- requests --------------------------------------------------------------------------------------------


def _places(call: Call, body: Any) -> dict[str, dict[str, Any]]:
    """What came, by where it came from."""
    header = call.headers.get("content-type", "")
    media_type, _ = mediatype.parsed(header)
    places: dict[str, dict[str, Any]] = {
        "query": _gathered(_pairs(call.query)),
        "headers": {name: [value] for name, value in call.headers.items()},
        "cookies": _cookies(call.headers.get("cookie")),
    }
    if media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json")):
        places["json"] = _object(body)
    elif media_type == "application/x-www-form-urlencoded":
        places["form"] = _gathered(_pairs(str(body, "utf-8", "replace")))
    elif media_type == "multipart/form-data":
        places["form"] = _gathered(_parts(body, header))
    return places


def _pairs(text: str) -> list[tuple[str, Any]]:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise InvalidBody(f"there are more than {MAX_FIELDS} fields") from None


def _gathered(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Each name with all its values, in order."""
    gathered: dict[str, Any] = {}
    for name, value in pairs:
        gathered.setdefault(name, []).append(value)
    return gathered


def _cookies(header: str | None) -> dict[str, Any]:
    if header is None:
        return {}
    try:
        return {name: [morsel.value] for name, morsel in SimpleCookie(header).items()}
    except CookieError:
        return {}


def _object(body: Any) -> dict[str, Any]:
    """What is no object names no arguments."""
    if not len(body):
        return {}
    try:
        value = jsontext.loads(body)
    except ValueError as fault:
        raise errors.BrokenJson(f"the body is not valid JSON: {fault}") from None
    return value if isinstance(value, dict) else {}


def _parts(body: Any, header: str) -> list[tuple[str, Any]]:
    from modelport.core import multipart

    if not len(body):  # a form that was left empty may come without its boundary
        return []
    return [(part.name, _part(part)) for part in multipart.parts(body, header)]


def _part(part: Any) -> Any:
    """A file, or the text of a field; bytes that are neither named nor text stay bytes."""
    if part.filename:
        return Upload(part.filename, part.content_type, part.data)
    media_type, charset = mediatype.parsed(part.content_type or "text/plain")
    if media_type.startswith("text/"):
        return decoded(part.data, charset or "utf-8")
    return bytearray(part.data)


def _for_another(places: dict[str, dict[str, Any]], model: Description) -> Payload:
    """For a model of another platform: a lone file as it is, where no arguments are wanted; else the arguments, which
    are one row for a model of rows."""
    merged = dict(places.get("json", {}))
    for place in ("form", "query"):
        merged.update({name: found[0] if len(found) == 1 else found for name, found in places.get(place, {}).items()})
    uploads = [value for value in merged.values() if isinstance(value, Upload)]
    if model.takes != "args" and len(merged) == len(uploads) == 1:
        return Blob(uploads[0].data, *mediatype.parsed(uploads[0].content_type or ""))
    arguments = {name: bytes(value.data) if isinstance(value, Upload) else value for name, value in merged.items()}
    return Table.from_records([arguments]) if model.takes in ("table", "tensors") else Args(arguments)


# --- answers ---------------------------------------------------------------------------------------------


def written(value: Any) -> bytes:
    """JSON as the platform writes it: a NaN stays one, and what has no form of its own there is refused.

    Raises ``InvalidOutput``.
    """
    try:
        _check(value)
        text = jsontext.dumps(value)
        if b"null" not in text:
            return text
        return json.dumps(value, default=_plain, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    except (TypeError, ValueError, RecursionError) as fault:
        raise InvalidOutput(f"what predict returned has no JSON form: {fault}") from None


def _plain(value: Any) -> Any:
    """The form of what the standard library's writer does not know: numbers and arrays of numpy, dates."""
    return jsontext.loads(jsontext.dumps(value)) if not hasattr(value, "tolist") else value.tolist()


def _check(value: Any) -> None:
    """Raises ``TypeError`` for what only looks like JSON: bytes and sets."""
    kind = type(value)
    if kind is dict:
        for inner in value.values():
            if type(inner) not in _SIMPLE:
                _check(inner)
    elif kind in (list, tuple):
        for inner in value:
            if type(inner) not in _SIMPLE:
                _check(inner)
    elif isinstance(value, (bytes, bytearray, memoryview, set, frozenset)):
        raise TypeError(f"{kind.__name__} is not serializable")


_SIMPLE = frozenset([str, int, float, bool, type(None)])


def _textual(value: Any) -> Any:
    """The value, or its text where it has no JSON form: a training is not lost for that."""
    try:
        return jsontext.loads(written(value))
    except (InvalidOutput, ValueError):
        return str(value)


def _value(outcome: Outcome) -> Any:
    """What another platform's model answered, a value a row; with the classes' probabilities an object a row."""
    if outcome.payload is not None:
        table = convert(outcome.payload, "table")
        assert isinstance(table, Table)
        return values(table.columns[0]) if len(table.names) == 1 else table.to_records()
    predictions = [] if outcome.predictions is None else values(outcome.predictions)
    if not outcome.probabilities:
        return predictions
    columns = [values(column) for column in outcome.probabilities.values()]
    labels = list(map(str, outcome.probabilities))
    return [
        {"prediction": prediction, "probabilities": dict(zip(labels, row))}
        for prediction, row in zip(predictions, zip(*columns))
    ]


def _blob(blob: Blob, filename: str | None) -> Reply:
    if not _PRINTABLE.fullmatch(blob.media_type):
        raise InvalidOutput(f"{blob.media_type[:100]!r} is no media type")
    headers = [("content-type", blob.media_type)]
    if filename is not None:
        headers.append(("content-disposition", _attached(filename)))
    return Reply(200, headers, blob.data)


def _attached(filename: str) -> str:
    plain = _UNFIT.sub("_", filename)
    if plain.isascii():
        return f'attachment; filename="{plain}"'
    return f"attachment; filename*=UTF-8''{quote(plain)}"

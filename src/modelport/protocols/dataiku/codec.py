"""Bodies of the Dataiku user API: predict, predict-multi, predict-simple, run."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from modelport.core import jsontext
from modelport.core.call import Call, Outcome, Reply
from modelport.core.conversion import content, convert
from modelport.core.model import Description, ModelSpec
from modelport.core.payload import Args, Blob, Json, Payload, Table, values
from modelport.errors import InvalidBody, InvalidInput, InvalidOutput, ModelportError, NotFound
from modelport.protocols.dataiku import errors

HEADERS = [("content-type", "application/json"), *errors.VERSIONS]
MAX_FAULTS = 20
"""How many faults of one request are listed."""


class DataikuCodec:
    """The worker half of the user API."""

    marks = errors.VERSIONS

    def decode(self, call: Call, body: Any, spec: ModelSpec, model: Description) -> tuple[Payload, Any]:
        if call.verb == "predict-simple":
            pairs = parse_qsl(call.query, keep_blank_values=True)
            return Table.from_records([dict(pairs)]), False
        asked = self._object(body)
        if call.verb == "run":
            return Args(asked), False
        self._check_options(asked, spec)
        if call.verb == "predict":
            features = asked.get("features")
            if not isinstance(features, dict):
                raise InvalidInput("the request has faults", faults=[_features_fault("features", asked)])
            return Table.from_records([features]), False
        return Table.from_records(self._items(asked)), True

    def _object(self, body: Any) -> dict[str, Any]:
        """The body's JSON object; an empty body is an empty object, as the client sends it."""
        if not len(body):
            return {}
        try:
            value = jsontext.loads(body)
        except ValueError as fault:
            raise InvalidBody(f"the body is not valid JSON: {fault}") from None
        if not isinstance(value, dict):
            raise InvalidBody(f"the body must be a JSON object, not {_json_type(value)}")
        return value

    def _items(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        items = asked.get("items")
        if not isinstance(items, list):
            what = "is missing" if "items" not in asked else f"must be a list, not {_json_type(items)}"
            raise InvalidInput("the request has faults", faults=[f"items {what}"])
        try:
            records = [item["features"] for item in items]
        except (KeyError, TypeError):
            records = [item.get("features") if isinstance(item, dict) else None for item in items]
        if set(map(type, records)) <= {dict}:
            return records
        faults = [
            _features_fault(f"items[{at}].features", items[at])
            for at, record in enumerate(records)
            if not isinstance(record, dict)
        ]
        more = [f"and {len(faults) - MAX_FAULTS} more"] if len(faults) > MAX_FAULTS else []
        raise InvalidInput("the request has faults", faults=faults[:MAX_FAULTS] + more)

    def _check_options(self, asked: dict[str, Any], spec: ModelSpec) -> None:
        explanations = asked.get("explanations")
        if isinstance(explanations, dict) and explanations.get("enabled"):
            raise InvalidInput("a Python prediction endpoint computes no explanations")
        dispatch = asked.get("dispatch")
        if dispatch is None:
            return
        if not isinstance(dispatch, dict):
            raise InvalidInput(
                "the request has faults", faults=[f"dispatch must be an object, not {_json_type(dispatch)}"]
            )
        forced = dispatch.get("forcedGeneration")
        if forced is not None and forced != spec.version:
            raise NotFound(f"generation {str(forced)[:100]!r} of {spec.service} is not loaded; {spec.version} is")

    def encode(
        self, call: Call, memory: Any, outcome: Outcome, spec: ModelSpec, model: Description, seconds: float
    ) -> Reply:
        answer: dict[str, Any]
        if call.verb == "run":
            answer = {"response": _value(outcome)}
        else:
            results = _results(outcome)
            answer = {"results": results} if memory else {"result": results[0]}
        answer["timing"] = {"wait": round(call.waited * 1000, 3), "prediction": round(seconds * 1000, 3)}
        service, name = spec.place
        answer["apiContext"] = {"serviceId": service, "endpointId": name, "serviceGeneration": spec.version}
        try:
            return Reply(200, HEADERS, jsontext.dumps(answer))
        except TypeError as fault:
            raise InvalidOutput(f"the answer has no JSON form: {fault}") from None

    def error(self, error: ModelportError, request_id: str) -> Reply:
        return errors.error(error, request_id)


codec = DataikuCodec()


def _value(outcome: Outcome) -> Any:
    if isinstance(outcome.payload, Json):
        return outcome.payload.value
    if isinstance(outcome.payload, Blob):
        return _content(outcome.payload)
    if outcome.payload is not None:
        answer = convert(outcome.payload, "json")
        return answer.value if isinstance(answer, Json) else None
    return None if outcome.predictions is None else values(outcome.predictions)


def _content(blob: Blob) -> Any:
    """The value of JSON, or the text. Bytes are refused: as base64 they could not be told from a text."""
    found = content(blob)
    if isinstance(found, bytes):
        raise InvalidOutput(
            f"the model answered {len(found)} bytes of {blob.media_type}, which have no JSON form",
            hint="ask it by a protocol that carries bytes",
        )
    return found.value if isinstance(found, Json) else found


def _results(outcome: Outcome) -> list[dict[str, Any]]:
    """One result object a row. A row without a prediction is ignored, and has no probabilities."""
    predictions = values(outcome.predictions) if outcome.predictions is not None else _rows(outcome)
    results: list[dict[str, Any]] = [
        {"ignored": True, "ignoreReason": "IGNORED_BY_MODEL"}
        if value is None or (isinstance(value, float) and value != value)  # noqa: PLR0124 - nan is not equal to itself
        else {"prediction": value, "ignored": False}
        for value in predictions
    ]
    if outcome.probabilities is not None:
        labels = [str(label) for label in outcome.probabilities]
        for result, row in zip(results, zip(*map(values, outcome.probabilities.values()))):
            if not result["ignored"]:
                result["probas"] = dict(zip(labels, row))
    if outcome.row_extras is not None:
        for result, extra in zip(results, outcome.row_extras):
            if extra is not None:
                result["customKeys"] = extra
    return results


def _rows(outcome: Outcome) -> list[Any]:
    """What another kind of model answered, a value a row: the one column's, or an object of all columns'."""
    if outcome.payload is None:
        return []
    if isinstance(outcome.payload, Blob):
        return [_content(outcome.payload)]
    table = convert(outcome.payload, "table")
    assert isinstance(table, Table)
    return values(table.columns[0]) if len(table.names) == 1 else list(table.to_records())


def _features_fault(where: str, holder: Any) -> str:
    if not isinstance(holder, dict):
        return f"{where.rpartition('.')[0]} must be an object, not {_json_type(holder)}"
    if "features" not in holder:
        return f"{where} is missing"
    return f"{where} must be an object, not {_json_type(holder['features'])}"


def _json_type(value: Any) -> str | None:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")

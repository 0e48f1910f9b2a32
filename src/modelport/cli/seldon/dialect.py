"""How components are asked by the verbs that try a model: with messages, or with rows made into one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelport.cli import samples
from modelport.cli.dialects import SAVED, Request, Row
from modelport.core import jsontext
from modelport.core.model import ModelSpec
from modelport.errors import ConfigError, InvalidBody

FILE = "request.json"
GIVEN = "\0message"
"""The key under which a query keeps a message that was given."""
PREDICT, FEEDBACK, AGGREGATE = "predict", "send-feedback", "aggregate"
VERBS = (PREDICT, "transform-input", "route", AGGREGATE, "transform-output", FEEDBACK)
"""In the order in which a component that has several is asked."""
OF_GRAPHS = {PREDICT: "/api/v1.0/predictions", FEEDBACK: "/api/v1.0/feedback"}
OF_ROWS = (PREDICT, "transform-input", "transform-output")


class SeldonDialect:
    """Messages are in request.json beside the component, one or a list; rows may be in data.csv instead."""

    name = "seldon"
    saving = f"put a message beside the component as {FILE}, or rows as data.csv"
    batching = "batching: {maxRequests: 32} in modelport.yaml, for clients of other platforms"

    def verbs(self, spec: ModelSpec) -> list[str]:
        return list(OF_GRAPHS) if spec.graph is not None else list(VERBS)

    def path(self, spec: ModelSpec, verb: str) -> str:
        return OF_GRAPHS[verb] if spec.graph is not None else f"/{verb}"

    def saved(self, spec: ModelSpec) -> list[Request]:
        messages = self._messages(spec)
        if messages:
            return [self._request(spec, message) for message in messages]
        return [self.ask(spec, [row]) for row in self.rows(spec)[:SAVED]]

    def worded(self, spec: ModelSpec, data: bytes, verb: str | None) -> Request:
        if verb is not None and verb not in self.verbs(spec):
            raise ConfigError(f"{spec.name} does not answer {verb!r}", hint=f"it answers {', '.join(self.verbs(spec))}")
        value = _value(data)
        request = Request(self._verb(spec), data) if value is None else self._request(spec, value)
        return request._replace(verb=verb or request.verb)

    def given(self, spec: ModelSpec, data: bytes) -> ModelSpec:
        value = _value(data)
        if not isinstance(value, (dict, list)):
            raise ConfigError("--data is no message", hint='{"data": {"ndarray": [[1, 2]]}}, or rows of CSV')
        return replace(spec, queries=[*spec.queries, {GIVEN: value}])

    def rows(self, spec: ModelSpec) -> list[Row]:
        if self._verb(spec) not in OF_ROWS:
            return []
        messages = self._messages(spec)
        if messages:
            return [row for message in messages for row in _rows(message)]
        sample = samples.sample_of(spec, True)
        return [] if sample is None else sample.rows()

    def takes_rows(self, spec: ModelSpec) -> bool:
        return True

    def ask(self, spec: ModelSpec, rows: list[Row]) -> Request:
        names = list((rows or self.rows(spec))[0])
        return Request(self._verb(spec), jsontext.dumps(_message(names, rows)))

    def answers(self, body: bytes) -> list[Any]:
        message = jsontext.loads(body)
        data = message.get("data")
        if data is None:
            return [next((message[key] for key in ("jsonData", "strData", "binData") if key in message), message)]
        return _nested(data["tensor"]) if "tensor" in data else list(data["ndarray"])

    def is_left_out(self, answer: Any) -> bool:
        return answer is None

    def fault(self, body: bytes) -> str:
        return str(jsontext.loads(body)["status"]["info"]).partition(" [request ")[0]

    def _request(self, spec: ModelSpec, message: Any) -> Request:
        """What a message looks like, else the component's first method, says what is asked."""
        verb = self._verb(spec)
        if isinstance(message, list) or (isinstance(message, dict) and "seldonMessages" in message):
            verb = AGGREGATE
        elif isinstance(message, dict) and {"reward", "truth"} & set(message):
            verb = FEEDBACK
        return Request(verb if verb in self.verbs(spec) else PREDICT, jsontext.dumps(message))

    def _verb(self, spec: ModelSpec) -> str:
        """What a component is asked first: of its methods, which are found without running it."""
        from modelport.contracts.seldon.detect import methods

        code = spec.options.get("code")
        if not code or spec.graph is not None:
            return PREDICT
        found = methods(str(Path(spec.root, code)), spec.options["component"].rpartition(".")[2])
        hooks = {verb: verb.replace("-", "_") for verb in VERBS}
        return next((verb for verb, hook in hooks.items() if {hook, f"{hook}_raw"} & found), PREDICT)

    def _messages(self, spec: ModelSpec) -> list[Any]:
        """Those given, else those of the file. Raises ``ConfigError`` for a file that holds none."""
        given = [query[GIVEN] for query in spec.queries if GIVEN in query]
        if given:
            return given
        file = Path(spec.root, FILE)
        try:
            value = jsontext.loads(file.read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, ValueError, InvalidBody) as fault:
            raise ConfigError(f"{file}: {fault}") from None
        return value if isinstance(value, list) else [value]


def _value(data: bytes) -> Any:
    """JSON, or the message that rows of CSV make; None for text that is neither."""
    try:
        return jsontext.loads(data)
    except (ValueError, InvalidBody):
        pass
    rows = samples.read_rows(data) if b"\n" in data else []
    return _message(list(rows[0]), rows) if rows else None


def _message(names: Sequence[str], rows: Sequence[Row]) -> dict[str, Any]:
    """Rows as the message that holds them; numbers for names are no names."""
    values = [[_plain(row.get(name)) for name in names] for row in rows]
    named = {} if list(names) == _numbers(len(names)) else {"names": list(names)}
    return {"data": {**named, "ndarray": values}}


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, samples.Number) else value


def _rows(message: Any) -> list[Row]:
    """The rows of a message that holds a matrix."""
    data = message.get("data") if isinstance(message, dict) else None
    if not isinstance(data, dict):
        return []
    try:
        values = _nested(data["tensor"]) if "tensor" in data else data.get("ndarray")
    except (LookupError, TypeError):
        return []
    if not isinstance(values, list) or not values or not all(isinstance(row, list) for row in values):
        return []
    names = data.get("names") or _numbers(len(values[0]))
    return [dict(zip(names, row, strict=False)) for row in values]


def _numbers(count: int) -> list[str]:
    return list(map(str, range(count)))


def _nested(tensor: dict[str, Any]) -> list[Any]:
    """The values of a tensor, row by row."""
    shape, values = tensor["shape"], list(tensor["values"])
    for size in reversed(shape[1:]):
        values = (
            [values[at : at + size] for at in range(0, len(values), size)] if size else [[]] * math.prod(shape[:-1])
        )
    return values

"""How each platform's questions are worded: what the verbs that try a model need to know of a protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from modelport import platforms
from modelport.cli import samples
from modelport.core import jsontext
from modelport.core.call import FUNCTION
from modelport.core.model import ModelSpec
from modelport.errors import ConfigError, InvalidBody

if TYPE_CHECKING:
    from modelport.pool.body import Body

Row = dict[str, Any]

JSON = MappingProxyType({"content-type": samples.JSON})


class Request(NamedTuple):
    """What a client would send: the protocol's word for it, the body, the query string, and headers that matter."""

    verb: str
    body: Body
    query: str = ""
    headers: Mapping[str, str] = JSON


class Dialect(Protocol):
    """``name`` is the protocol's. ``saving`` is what a user does for a model to have saved test queries, ``batching``
    for it to batch.

    Models that take rows are tried row by row; others only with what was saved.
    """

    name: str
    saving: str
    batching: str

    def verbs(self, spec: ModelSpec) -> list[str]: ...

    def path(self, spec: ModelSpec, verb: str) -> str:
        """Where a server answers that verb."""
        ...

    def saved(self, spec: ModelSpec) -> list[Request]:
        """The saved test queries."""
        ...

    def worded(self, spec: ModelSpec, data: bytes, verb: str | None) -> Request:
        """``data`` as a request; without a verb, the one that its form calls for."""
        ...

    def given(self, spec: ModelSpec, data: bytes) -> ModelSpec:
        """The model with one more test query. Raises ``ConfigError`` for what is none."""
        ...

    def rows(self, spec: ModelSpec) -> list[Row]:
        """The rows in the saved test queries; where a model takes none, the named arguments of each query."""
        ...

    def takes_rows(self, spec: ModelSpec) -> bool:
        """Whether several rows can be asked together."""
        ...

    def ask(self, spec: ModelSpec, rows: list[Row]) -> Request:
        """All of these rows together; exactly one, for a model that does not take rows."""
        ...

    def answers(self, body: bytes) -> list[Any]:
        """What was answered, one value a row (or the only value), without what differs from call to call."""
        ...

    def is_left_out(self, answer: Any) -> bool:
        """Whether this is the answer for a row that the model gave no prediction."""
        ...

    def fault(self, body: bytes) -> str:
        """What an error says. Raises ``ValueError`` or ``LookupError`` for what is none of this protocol's."""
        ...


class DataikuDialect:
    """predict, predict-multi and predict-simple for rows, run for functions."""

    name = "dataiku"
    saving = "add testQueries"
    batching = '"batching": {"maxRequests": 32}'

    def verbs(self, spec: ModelSpec) -> list[str]:
        from modelport.protocols.dataiku.routes import VERBS

        return [verb for _, verb in VERBS[spec.operation]]

    def path(self, spec: ModelSpec, verb: str) -> str:
        from modelport.protocols.dataiku.routes import BASE

        return "/".join((BASE, *spec.place, verb))

    def saved(self, spec: ModelSpec) -> list[Request]:
        return [self.worded(spec, jsontext.dumps(query), None) for query in _queries(spec)]

    def worded(self, spec: ModelSpec, data: bytes, verb: str | None) -> Request:
        if verb is not None and verb not in self.verbs(spec):
            raise ConfigError(f"{spec.name} does not answer {verb!r}", hint=f"it answers {', '.join(self.verbs(spec))}")
        if verb == "predict-simple":
            return Request(verb, b"", data.decode())
        if verb is None and spec.operation == FUNCTION:
            verb = "run"
        return Request(verb or ("predict-multi" if _has_items(data) else "predict"), data)

    def given(self, spec: ModelSpec, data: bytes) -> ModelSpec:
        return replace(spec, queries=[*spec.queries, json_object(data)])

    def rows(self, spec: ModelSpec) -> list[Row]:
        queries = [query for query in _queries(spec) if isinstance(query, dict)]
        if not self.takes_rows(spec):
            return queries
        items = [item for query in queries for item in query.get("items", [query])]
        return [item["features"] for item in items if isinstance(item, dict) and isinstance(item.get("features"), dict)]

    def takes_rows(self, spec: ModelSpec) -> bool:
        return spec.operation != FUNCTION

    def ask(self, spec: ModelSpec, rows: list[Row]) -> Request:
        if not self.takes_rows(spec):
            return Request("run", jsontext.dumps(rows[0]))
        return Request("predict-multi", jsontext.dumps({"items": [{"features": row} for row in rows]}))

    def answers(self, body: bytes) -> list[Any]:
        answer = jsontext.loads(body)
        if "results" in answer:
            return list(answer["results"])
        return [answer.get("result", answer.get("response"))]

    def is_left_out(self, answer: Any) -> bool:
        return isinstance(answer, dict) and answer.get("ignored") is True

    def fault(self, body: bytes) -> str:
        told = jsontext.loads(body)
        return f"{told['errorType']}: {told['message']}"


class DrumDialect:
    """Rows as CSV, or whatever an unstructured model takes; tried with what lies beside the model as data.csv."""

    name = "drum"
    saving = "put rows beside the model as data.csv"
    batching = "batching: {maxRequests: 32} in modelport.yaml"

    def verbs(self, spec: ModelSpec) -> list[str]:
        if spec.operation == FUNCTION:
            return ["unstructured"]
        return ["transform", "predict"] if spec.options.get("target") == "transform" else ["predict"]

    def path(self, spec: ModelSpec, verb: str) -> str:
        return {"unstructured": "/predictUnstructured/"}.get(verb, f"/{verb}/")

    def saved(self, spec: ModelSpec) -> list[Request]:
        rows = self.rows(spec)
        if rows:
            return [self.ask(spec, [row]) for row in rows[:SAVED]]
        sample = samples.sample_of(spec, self.takes_rows(spec))
        return [] if sample is None else [self._request(spec, sample)]

    def worded(self, spec: ModelSpec, data: bytes, verb: str | None) -> Request:
        if verb is not None and verb not in self.verbs(spec):
            raise ConfigError(f"{spec.name} does not answer {verb!r}", hint=f"it answers {', '.join(self.verbs(spec))}")
        request = self._request(spec, samples.told_apart(data, self.takes_rows(spec)))
        return request._replace(verb=verb or request.verb)

    def _request(self, spec: ModelSpec, sample: samples.Sample) -> Request:
        return Request(self.verbs(spec)[0], sample.data, headers={"content-type": sample.media_type})

    def given(self, spec: ModelSpec, data: bytes) -> ModelSpec:
        return replace(spec, queries=[samples.given(data, self.takes_rows(spec))])

    def rows(self, spec: ModelSpec) -> list[Row]:
        sample = samples.sample_of(spec, True) if self.takes_rows(spec) else None
        rows = [] if sample is None else sample.rows()
        is_other = len(rows) > 0 and len(rows[0]) == 1 and self.is_opaque(spec)  # separated by something else
        return [] if is_other else rows

    def takes_rows(self, spec: ModelSpec) -> bool:
        return spec.operation != FUNCTION

    def ask(self, spec: ModelSpec, rows: list[Row]) -> Request:
        names = list((rows or self.rows(spec))[0])
        cells = (cell for row in rows for cell in row.values())
        if any(isinstance(cell, str) and samples.is_number(cell) for cell in cells) and not self.is_opaque(spec):
            return self._request(spec, samples.Sample(samples.write_records(rows), samples.JSON))
        return self._request(spec, samples.Sample(samples.write_rows(names, rows), samples.CSV))

    def answers(self, body: bytes) -> list[Any]:
        answer = jsontext.loads(body)
        return list(answer["predictions"]) if isinstance(answer, dict) and "predictions" in answer else [answer]

    def is_left_out(self, answer: Any) -> bool:
        return answer is None

    def fault(self, body: bytes) -> str:
        told = str(jsontext.loads(body)["message"])
        return told.removeprefix("ERROR: ").partition(" [request ")[0]

    def takes_files(self, spec: ModelSpec) -> bool:
        """Whether a file can be asked: of its rows, or as it is."""
        return self.takes_rows(spec) or spec.contract == self.name

    def is_opaque(self, spec: ModelSpec) -> bool:
        """Whether the model's own code reads what it is sent, so that only it knows where a record ends."""
        if not self.takes_rows(spec):
            return True
        code = spec.options.get("code") if spec.contract == self.name else None
        if code is None:
            return False
        from modelport.contracts.drum.detect import ANY, hooks

        return not {"read_input_data", ANY}.isdisjoint(hooks(str(Path(spec.root, code))))

    def of_file(
        self, spec: ModelSpec, body: Body, content_type: str, query: str = "", said: str | None = None
    ) -> Request:
        """What is in a file, or whole records of it; ``content_type`` is what was ``said`` of it, or its looks.

        A model that takes no rows is told only what was said.
        """
        if self.takes_rows(spec):
            return Request("predict", body, query, {"content-type": content_type, "accept": "text/csv"})
        return Request("unstructured", body, query, {"content-type": said} if said else {})


SAVED = 4
"""So many rows of a file count as saved queries, each for itself."""


FILES = DrumDialect()
"""In which files are asked of a model of any platform."""


def _deepaas() -> Dialect:
    from modelport.cli.deepaas.dialect import DeepaasDialect

    return DeepaasDialect()


def _seldon() -> Dialect:
    from modelport.cli.seldon.dialect import SeldonDialect

    return SeldonDialect()


DIALECTS: dict[str, Callable[[], Dialect]] = {
    "dataiku": DataikuDialect,
    "deepaas": _deepaas,
    "drum": lambda: FILES,
    "seldon": _seldon,
}


def dialect_of(spec: ModelSpec) -> Dialect:
    """How to speak to a model in its own platform's protocol. Raises ``ConfigError`` where nobody knows."""
    known = platforms.PLATFORMS.get(spec.contract)
    if known is None or known.protocol not in DIALECTS:
        raise ConfigError(f"nothing is known of how to ask a model of {spec.contract}", hint="serve it, and use curl")
    return DIALECTS[known.protocol]()


def _queries(spec: ModelSpec) -> list[Any]:
    """Saved queries, taken out of the {"q": ...} that the platform stores them in."""
    return [query.get("q", query) for query in spec.queries]


def json_object(data: bytes) -> dict[str, Any]:
    """A test query as it was given. Raises ``ConfigError`` for what is none."""
    try:
        query = jsontext.loads(data)
    except ValueError as fault:
        raise ConfigError(f"--data is not valid JSON: {fault}") from None
    if not isinstance(query, dict):
        raise ConfigError("--data must be a JSON object", hint="the body of one request, as the platform has it")
    return query


def _has_items(data: bytes) -> bool:
    try:
        value = jsontext.loads(data)
    except (ValueError, InvalidBody):
        return False
    return isinstance(value, dict) and "items" in value

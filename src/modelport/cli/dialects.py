"""How each platform's questions are worded: what the verbs that try a model need to know of a protocol."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from modelport import platforms
from modelport.core import jsontext
from modelport.core.call import FUNCTION
from modelport.core.model import ModelSpec
from modelport.errors import ConfigError, InvalidBody

Row = dict[str, Any]


class Request(NamedTuple):
    """What a client would send: the protocol's word for it, the body, and the query string."""

    verb: str
    body: bytes
    query: str = ""


class Dialect(Protocol):
    """``name`` is the protocol's. Models that take rows are tried row by row; others only with what was saved."""

    name: str

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


class DataikuDialect:
    """predict, predict-multi and predict-simple for rows, run for functions."""

    name = "dataiku"

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


DIALECTS: dict[str, Dialect] = {"dataiku": DataikuDialect()}


def dialect_of(spec: ModelSpec) -> Dialect:
    """How to speak to a model in its own platform's protocol. Raises ``ConfigError`` where nobody knows."""
    known = platforms.PLATFORMS.get(spec.contract)
    if known is None or known.protocol not in DIALECTS:
        raise ConfigError(f"nothing is known of how to ask a model of {spec.contract}", hint="serve it, and use curl")
    return DIALECTS[known.protocol]


def _queries(spec: ModelSpec) -> list[Any]:
    """Saved queries, taken out of the {"q": ...} that the platform stores them in."""
    return [query.get("q", query) for query in spec.queries]


def _has_items(data: bytes) -> bool:
    try:
        value = jsontext.loads(data)
    except (ValueError, InvalidBody):
        return False
    return isinstance(value, dict) and "items" in value

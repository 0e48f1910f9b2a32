"""How a DEEPaaS model is asked by the verbs that try a model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import quote

from modelport.cli.dialects import Request, Row, json_object
from modelport.core import jsontext
from modelport.core.model import ModelSpec
from modelport.errors import ConfigError, InvalidArguments


class DeepaasDialect:
    """Arguments as JSON, which carries all but files."""

    name = "deepaas"
    saving = "testQueries in modelport.yaml"
    batching = "nothing: each request is a call"

    def verbs(self, spec: ModelSpec) -> list[str]:
        return ["predict"]

    def path(self, spec: ModelSpec, verb: str) -> str:
        return f"/v2/models/{quote(spec.name)}/{verb}/"

    def saved(self, spec: ModelSpec) -> list[Request]:
        return [self.ask(spec, [query]) for query in spec.queries]

    def worded(self, spec: ModelSpec, data: bytes, verb: str | None) -> Request:
        if verb not in (None, "predict"):
            raise ConfigError(f"{spec.name} does not answer {verb!r}", hint="it answers predict")
        return Request("predict", data)

    def given(self, spec: ModelSpec, data: bytes) -> ModelSpec:
        return replace(spec, queries=[*spec.queries, json_object(data)])

    def rows(self, spec: ModelSpec) -> list[Row]:
        return list(spec.queries)

    def takes_rows(self, spec: ModelSpec) -> bool:
        return False

    def ask(self, spec: ModelSpec, rows: list[Row]) -> Request:
        return Request("predict", jsontext.dumps(rows[0]))

    def answers(self, body: bytes) -> list[Any]:
        answer = jsontext.loads(body)
        is_wrapped = isinstance(answer, dict) and set(answer) == {"status", "predictions"}
        return [answer["predictions"] if is_wrapped else answer]

    def is_left_out(self, answer: Any) -> bool:
        return False

    def fault(self, body: bytes) -> str:
        text = body.decode()
        if text.startswith("{"):
            misfits: dict[str, Any] = jsontext.loads(body)
            return InvalidArguments(misfits).describe()
        return text.partition(": ")[2].partition(" [request ")[0] or text

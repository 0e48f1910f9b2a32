"""Bodies of the Portable Prediction Server: rows in as CSV or JSON, predictions out as either."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from modelport.core import jsontext, mediatype
from modelport.core.call import FUNCTION, Call, Outcome, Reply
from modelport.core.model import Description, ModelSpec
from modelport.core.payload import Column, Payload, Table
from modelport.errors import InvalidOutput, ModelportError, UnsupportedType
from modelport.protocols.pps import answer, errors, explain, query, rows, series
from modelport.protocols.pps.errors import Unprocessable
from modelport.protocols.pps.rows import CSV, JSON, Rows
from modelport.protocols.pps.target import Target, target_of

PREDICT = "predict"
"""The only verb."""
ENCODINGS = ("", "identity", "gzip")
TIME, HIT, REQUEST = "X-DataRobot-Execution-Time", "X-DataRobot-Model-Cache-Hit", "X-DataRobot-Request-ID"
TARGETS = ("regression", "binary", "multiclass", "anomaly", "textgeneration")

_LOADED = time.monotonic()
"""When this process was about to serve: its model is loaded before its codecs are."""


class Memory(NamedTuple):
    """What an answer needs to know of its request."""

    begun: float
    waited: float
    target: Target
    wanted: query.Wanted
    rows: Rows
    unfolded: explain.Unfolded | None
    plan: series.Plan | None
    wants_csv: bool


class PpsCodec:
    """The worker half of the protocol."""

    marks = ()

    def decode(self, call: Call, body: Any, spec: ModelSpec, model: Description) -> tuple[Payload, Any]:
        begun = time.monotonic()
        target = target_of(spec.card, model)
        if spec.operation == FUNCTION or target.kind not in TARGETS:
            raise Unprocessable(f"{spec.name} predicts nothing from rows, so it does not answer here")
        card = spec.card or {}
        explanations = card.get("explanations")
        is_series = card.get("timeSeries") is not None
        algorithm = None if is_series else explain.algorithm_of(explanations)
        wanted = query.read(call.query, query.About(target.kind, target.labels, algorithm, is_series))
        asked = series.read(wanted.series) if is_series else None
        if call.headers.get("content-encoding", "").strip().lower() not in ENCODINGS:
            raise UnsupportedType("Content-Encoding may be gzip only")
        given = rows.read(body, call.headers.get("content-type", ""))
        needed = [feature["name"] for feature in card.get("features") or ()]
        rows.check(given.names(), wanted.passthrough or (), needed)
        payload = given.payload(spec.limits.body, is_whole=is_series or wanted.explaining is not None)
        unfolded = plan = None
        if asked is not None:
            assert isinstance(payload, Table)
            plan, payload = series.plan(payload, given, card["timeSeries"], target.name, asked)
        elif wanted.explaining is not None and explanations:
            assert isinstance(payload, Table)
            unfolded = explain.unfold(payload, explanations)
            payload = explain.payload(unfolded)
        wants_csv = mediatype.prefers(call.headers.get("accept", ""), CSV, JSON)
        return payload, Memory(begun, call.waited, target, wanted, given, unfolded, plan, wants_csv)

    def encode(
        self, call: Call, memory: Memory, outcome: Outcome, spec: ModelSpec, model: Description, seconds: float
    ) -> Reply:
        wanted, target = memory.wanted, memory.target
        result = answer.predicted(outcome, target)
        explained = None
        if memory.unfolded is not None:
            whole, result = result, result.first(memory.unfolded.rows)
            explained = explain.explained(memory.unfolded, whole.scores, result, target, wanted)
        result = result.rounded(wanted.decimals)
        plan = memory.plan
        passed = _passed(memory, len(result.decided) if plan is None else plan.rows)
        try:
            if memory.wants_csv:
                more = [] if explained is None else explain.csv_columns(explained, target)
                more += [] if plan is None else series.csv_columns(plan)
                content_type, body = f"{CSV}; charset=utf-8", answer.as_csv(result, target, [*more, *passed])
            else:
                row_ids = range(len(result.decided)) if plan is None else [one.row for one in plan.forecasts]
                members = [*_members(explained, passed), *([] if plan is None else series.members(plan))]
                content_type, body = JSON, answer.as_json(result, target, row_ids, members)
        except TypeError as fault:
            raise InvalidOutput(f"the answer has no JSON form: {fault}") from None
        return Reply(200, [("content-type", content_type), *_told(memory, call)], body)

    def error(self, error: ModelportError, request_id: str) -> Reply:
        return errors.error(error, request_id)


codec = PpsCodec()


def _passed(memory: Memory, count: int) -> list[tuple[str, Column]]:
    """The columns that are passed through."""
    wanted = memory.wanted.passthrough
    names = list(dict.fromkeys(memory.rows.names())) if wanted is None else wanted
    if not names:
        return []
    columns = memory.rows.cells(names, count)
    if memory.plan is not None:
        columns = [[column[one.row] for one in memory.plan.forecasts] for column in columns]
    return list(zip(names, columns))


def _members(explained: explain.Explained | None, passed: list[tuple[str, Column]]) -> list[answer.Member]:
    """What a row's object has beside its prediction."""
    members = []
    if passed:
        members.append(answer.Member("passthroughValues", _objects(passed)))
    if explained is not None:
        members.append(answer.Member("predictionExplanations", list(map(jsontext.dumps, explained.items))))
        if explained.metadata is not None:
            cells = list(map(jsontext.dumps, explained.metadata))
            members.append(answer.Member("predictionExplanationMetadata", cells))
    return members


def _objects(columns: list[tuple[str, Column]]) -> list[bytes]:
    names = [name for name, _ in columns]
    return [jsontext.dumps(dict(zip(names, cells))) for cells in zip(*(column for _, column in columns))]


def _told(memory: Memory, call: Call) -> list[tuple[str, str]]:
    """The time that the request took, in milliseconds, and whether the model was loaded when it came."""
    now = time.monotonic()
    is_hit = memory.begun - memory.waited >= _LOADED
    return [(TIME, f"{(now - memory.begun) * 1000:.3f}"), (HIT, "true" if is_hit else "false"), (REQUEST, call.id)]

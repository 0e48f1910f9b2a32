"""The metrics of the platform's orchestrator: requests to a graph, and questions to its nodes."""

from __future__ import annotations

from modelport.core import statuses
from modelport.core.call import Call, Reply
from modelport.core.model import ModelSpec
from modelport.core.protocol import rpc_name
from modelport.core.timing import Series
from modelport.errors import Cancelled, ModelportError
from modelport.protocols.seldon import errors
from modelport.protocols.seldon.codec import (
    FEEDBACK,
    GRAPH_METADATA,
    HEALTH,
    METADATA,
    PLATFORM,
    PREDICT,
    UNIT_IMAGE,
)
from modelport.protocols.seldon.rpc_codec import REMOTE
from modelport.schemas.seldon import PACKAGE

SERVER, CLIENT = "seldon_api_executor_server_requests_seconds", "seldon_api_executor_client_requests_seconds"
SUMMARY = "_summary"
SERVICES = {
    PREDICT: "predictions",
    FEEDBACK: "feedback",
    HEALTH: "status",
    METADATA: "metadata",
    GRAPH_METADATA: "metadata",
}
"""What requests of each verb are counted as, over REST."""
READ = (HEALTH, METADATA, GRAPH_METADATA)
PROCEDURES = {
    PREDICT: "Model/Predict",
    "transform-input": "Transformer/TransformInput",
    "transform-output": "OutputTransformer/TransformOutput",
    "route": "Router/Route",
    "aggregate": "Combiner/Aggregate",
    FEEDBACK: "Model/SendFeedback",
}
"""What each verb of a node is over gRPC."""
CODES = frozenset({"OK", "UNKNOWN", *statuses.GRPC.values(), *map(statuses.grpc_of, range(400, 600))})
SPELT = {"OK": "OK", "CANCELLED": "Canceled"}
"""gRPC's codes in the words of Go that are not simply those of all others."""


class ExecutorTiming:
    """Both families have the same buckets and quantiles."""

    bounds = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
    quantiles = (0.5, 0.75, 0.9, 0.98, 0.99, 1)

    def request(self, spec: ModelSpec, call: Call, code: str) -> Series | None:
        if call.protocol == rpc_name(PLATFORM):
            return _series(SERVER, spec, call.path, "unary", _spelt(code))
        if call.protocol != PLATFORM or call.verb not in SERVICES:
            return None
        return _series(SERVER, spec, SERVICES[call.verb], _method(call.verb), code)

    def question(self, spec: ModelSpec, unit: str, verb: str, code: str) -> Series:
        if verb.startswith(REMOTE):
            procedure = PROCEDURES.get(verb.removeprefix(REMOTE))
            if procedure is None or code not in CODES:
                raise ValueError(f"no unit is asked to {verb[:100]!r}, or ends it with {code[:100]!r}")
            service, method, code = f"/{PACKAGE}.{procedure}", "unary", _spelt(code)
        elif verb in (*PROCEDURES, *READ) and len(code) == 3 and code.isdecimal():
            service, method = f"/{verb}", _method(verb)
        else:
            raise ValueError(f"no unit is asked to {verb[:100]!r}, or ends it with {code[:100]!r}")
        series = _series(CLIENT, spec, service, method, code)
        image, _, version = _image(spec, unit).rpartition(":")
        model = {"model_name": unit, "model_image": image, "model_version": version}
        return series._replace(labels={**series.labels, **model})

    def code(self, call: Call, end: Reply | ModelportError) -> str:
        is_remote = call.protocol == rpc_name(PLATFORM)
        if isinstance(end, Cancelled):
            return "CANCELLED" if is_remote else "499"
        if isinstance(end, ModelportError):
            error = end.of(call.unit) if call.unit else end
            end = errors.refusal(error, call.id) if is_remote else errors.error(error, call.id)
        code = statuses.code_of(end, is_remote)
        return code if not is_remote or code in CODES else "UNKNOWN"


timing = ExecutorTiming()


def _series(name: str, spec: ModelSpec, service: str, method: str, code: str) -> Series:
    labels = {
        "deployment_name": spec.options["deployment"],
        "predictor_name": spec.options["predictor"],
        "predictor_version": spec.options["predictor_version"],
        "service": service,
        "method": method,
        "code": code,
    }
    return Series(name, name + SUMMARY, labels)


def _method(verb: str) -> str:
    return "get" if verb in READ else "post"


def _spelt(code: str) -> str:
    return SPELT.get(code) or code.title().replace("_", "")


def _image(spec: ModelSpec, unit: str) -> str:
    """The image that the deployment names for a node."""
    assert spec.graph is not None
    part = spec.graph.together.get(unit) or spec.graph.apart.get(unit)
    return part.env.get(UNIT_IMAGE, "") if part is not None else ""

"""What the platform's wrapper does with each kind of message: reads it, calls the hook, writes the reply."""

from __future__ import annotations

import json
import logging
import os
from functools import cached_property, partial
from typing import Any, Callable, NamedTuple

from modelport.contracts.seldon import arrays, metadata, metrics, protojson
from modelport.contracts.seldon.arrays import BAD_DATA, Content
from modelport.contracts.seldon.hooks import ABSENT, Hooks, Response, response
from modelport.contracts.seldon.transports import (
    FEEDBACK,
    LIST,
    MESSAGE,
    REMOTE,
    REST,
    Transport,
    as_json,
    data_of,
    is_protobuf,
    protobuf_of,
)
from modelport.errors import ModelRejected
from modelport.schemas.seldon import SCHEMA

NO_IMAGE = "NOT_IMPLEMENTED:NOT_IMPLEMENTED"
BAD_METADATA = "MICROSERVICE_BAD_METADATA"
METHODS = {
    "predict": "predict",
    "transform_input": "inputtransform",
    "transform_output": "outputtransform",
    "route": "router",
    "aggregate": "aggregate",
}
"""What metrics call each hook."""

log = logging.getLogger(__name__)


class Place(NamedTuple):
    """Where a component is, as the platform told it: its name in a graph, and the image that it comes in, with which
    its metadata begins; that as messages name it, and whether they show metrics."""

    unit: str | None
    image: str
    shown_image: str
    shows_metrics: bool

    @classmethod
    def told(cls) -> Place:
        """By the environment."""
        image = os.environ.get("PREDICTIVE_UNIT_IMAGE", "")
        shows_metrics = os.environ.get("INCLUDE_METRICS_IN_CLIENT_RESPONSE", "true").lower() == "true"
        return cls(os.environ.get("PREDICTIVE_UNIT_ID"), image, image or NO_IMAGE, shows_metrics)


class Wrapper:
    """Answers messages: ``verbs`` has a method for each verb of the REST API, JSON values both ways, and ``remote`` one
    for each verb over gRPC, bytes both ways.

    ``said`` is metadata that goes before the component's own; ``place`` and ``tally`` are the environment's where not
    given.
    """

    def __init__(
        self, hooks: Hooks, said: dict[str, Any], place: Place | None = None, tally: metrics.Counts | None = None
    ) -> None:
        self.hooks = hooks
        self.place = place or Place.told()
        self._tally = tally or metrics.Tally()
        self._said = said
        answers: dict[str, Callable[[Transport, Any], Any]] = {
            "predict": self._predict,
            "transform-input": partial(self._transform, "transform_input"),
            "transform-output": partial(self._transform, "transform_output"),
            "route": self._route,
            "aggregate": self._aggregate,
            "send-feedback": self._send_feedback,
        }
        self.verbs: dict[str, Callable[[Any], Any]] = {
            **{verb: partial(answer, REST) for verb, answer in answers.items()},
            "health/status": self._health_status,
            "metadata": self._metadata,
        }
        self.remote: dict[str, Callable[[Any], bytes]] = {
            **{verb: partial(answer, REMOTE) for verb, answer in answers.items()},
            "metadata": self._remote_metadata,
            "graph-metadata": self._graph_metadata,
        }

    # --- by verb ---------------------------------------------------------------------------------------------

    def _predict(self, via: Transport, message: Any) -> Any:
        return self._respond("predict", via, message, lambda content: [])

    def pass_through(self, body: Any) -> Any:
        """A body that nobody has read, and an answer that goes out as it is."""
        answer = self.hooks.call("predict_raw", body)
        if not isinstance(answer, (bytes, bytearray, str)):
            kind = "nothing" if answer is ABSENT else type(answer).__name__
            raise TypeError(f"with PAYLOAD_PASSTHROUGH predict_raw must return bytes or str; it returned {kind}")
        return answer

    def _transform(self, hook: str, via: Transport, message: Any) -> Any:
        return self._respond(hook, via, message, lambda content: content.value)

    def _respond(self, hook: str, via: Transport, message: Any, without: Callable[[Content], Any]) -> Any:
        """What the hook answers; ``without`` gives the data of a component that does not have it."""
        reply = self.worded(hook, message, via)
        if reply is not ABSENT:
            return reply
        content = via.read(message)
        answer = self.hooks.respond(hook, content)
        answer = Response(without(content)) if answer is ABSENT else answer
        return self._reply(answer, content.form, content.meta, METHODS[hook], via)

    def _route(self, via: Transport, message: Any) -> Any:
        reply = self.worded("route", message, via)
        if reply is not ABSENT:
            return reply
        content = via.read(message)
        answer = self.hooks.demand("route", content)
        branch = answer.data
        if not isinstance(branch, int):
            text = f"Routing response must be int but got {branch}"[: arrays.MAX_SHOWN]
            raise ModelRejected(type(branch).__name__, text, 400, reason=BAD_DATA)
        return self._reply(answer._replace(data=[[branch]]), content.form, _puid(content.meta), METHODS["route"], via)

    def _aggregate(self, via: Transport, message: Any) -> Any:
        reply = self.worded("aggregate", message, via)
        if reply is not ABSENT:
            return reply
        contents = via.several(message)
        first = contents[0]
        hook = self.hooks.defined("aggregate")
        answer = response(hook([content.value for content in contents], [content.names for content in contents]))
        return self._reply(answer, first.form, _merged(contents), METHODS["aggregate"], via)

    def _send_feedback(self, via: Transport, message: Any) -> Any:
        """The message and its reply are what protobuf makes of them; only the arrays of request and truth are read."""
        feedback = via.feedback(message)
        self._tally.reward(feedback.get("reward", 0.0))
        reply = self._worded_feedback(feedback, message, via)
        if reply is not ABSENT:
            return reply
        request, truth = (feedback.get(side, {}) for side in ("request", "truth"))
        routing = feedback.get("response", {}).get("meta", {}).get("routing", {})
        features = arrays.read_array(data_of(request))
        answer = self.hooks.call(
            "send_feedback",
            features.value,
            features.names,
            feedback.get("reward", 0.0),
            arrays.read_array(data_of(truth)).value,
            routing=routing.get(self.place.unit or "0"),
        )
        answer = response(None if answer is ABSENT else answer)
        answer = answer._replace(data=arrays.as_array([] if answer.data is None else answer.data))
        form = features.form if "data" in request else None
        return self._reply(answer, form, _puid(request.get("meta")), "feedback", via)

    def _health_status(self, message: Any) -> Any:
        reply = self.hooks.call("health_status_raw")
        if reply is not ABSENT:
            return self._metered(reply, "health")
        status = self.hooks.call("health_status")
        if status is ABSENT:
            status = "not implemented - assuming healthy" if self.hooks.has("health_status") else "healthy"
        return self._reply(Response(status), None, None, "health", REST)

    def _metadata(self, message: Any) -> Any:
        if self.metadata is None:
            raise ModelRejected("InvalidMetadata", "Model metadata unavailable", 500, reason=BAD_METADATA)
        return self.metadata

    def _remote_metadata(self, message: Any) -> bytes:
        """Invalid metadata is an empty message."""
        kind = "SeldonModelMetadata"
        return SCHEMA.encode(kind, protojson.parse(self.metadata or {}, kind))

    def _graph_metadata(self, message: Any) -> bytes:
        raise ModelRejected("NotImplemented", "GraphMetadata not available on the Model level.", 501)

    # --- what the verbs share --------------------------------------------------------------------------------

    def worded(self, hook: str, message: Any, via: Transport) -> Any:
        """The reply of a hook that takes the whole message and words the whole reply; ``ABSENT`` without one."""
        kind = LIST if hook == "aggregate" else MESSAGE
        for name in (via.predict_hook,) if hook == "predict" else (f"{hook}_rest", f"{hook}_grpc"):
            if self.hooks.has(name):
                reply = self.hooks.call(name, via.whole(message, kind))
                if reply is not ABSENT:
                    return via.worded(reply)
        if not self.hooks.overrides(f"{hook}_raw"):
            return ABSENT
        reply = self.hooks.call(f"{hook}_raw", via.whole(message, kind))
        return reply if reply is ABSENT else via.worded(self._metered(reply, METHODS[hook]))

    def _worded_feedback(self, feedback: dict[str, Any], message: Any, via: Transport) -> Any:
        """The same of the feedback's hooks: one takes its JSON as text, the others take protobuf in any case."""
        if self.hooks.has("send_feedback_rest"):
            text = json.dumps(protojson.render(feedback, FEEDBACK), indent=2)
            reply = self.hooks.call("send_feedback_rest", text)
            if reply is not ABSENT:
                return via.worded(reply, is_feedback=True)
        if self.hooks.has("send_feedback_grpc"):
            reply = self.hooks.call("send_feedback_grpc", protobuf_of(message, FEEDBACK))
            if reply is not ABSENT:
                return via.worded(reply, is_feedback=True)
        if not self.hooks.overrides("send_feedback_raw"):
            return ABSENT
        reply = self.hooks.call("send_feedback_raw", protobuf_of(message, FEEDBACK))
        return reply if reply is ABSENT else via.worded(self._metered(reply, "feedback"), is_feedback=True)

    def _metered(self, reply: Any, method: str) -> Any:
        """A reply that the component worded itself, its metrics counted."""
        if is_protobuf(reply):
            return self._metered_protobuf(reply, method)
        meta = reply.get("meta") if isinstance(reply, dict) else None
        if not isinstance(meta, dict) or not meta.get("metrics"):
            return reply
        self._tally.count(meta["metrics"], method)
        shown = {"metrics": metrics.named(meta["metrics"], method)} if self.place.shows_metrics else {}
        return {**reply, "meta": {**{key: value for key, value in meta.items() if key != "metrics"}, **shown}}

    def _metered_protobuf(self, reply: Any, method: str) -> Any:
        counted = as_json(reply.meta).get("metrics") if hasattr(reply, "meta") else None
        if not counted:
            return reply
        self._tally.count(counted, method)
        if self.place.shows_metrics:
            return reply
        shown = type(reply)()
        shown.CopyFrom(reply)
        shown.meta.ClearField("metrics")
        return shown

    def measured(self, answer: Response, method: str) -> tuple[list[Any], list[Any]]:
        """The metrics of one answer and the component's own, counted. Raises ``ModelRejected`` for bad ones."""
        runtime = metrics.recorded(answer.metrics, method) if answer.metrics is not None else []
        self._tally.count(runtime, method)
        own = self.hooks.call("metrics")
        own = [] if own is ABSENT else metrics.recorded(own, method)
        self._tally.count(own, method)
        return runtime, own

    def _reply(self, answer: Response, form: str | None, base: Any, method: str, via: Transport) -> Any:
        """The message for an answer, beginning with the meta that ``base`` has."""
        base = {} if base is None else base
        runtime, own = self.measured(answer, method)
        part = via.write(answer.data, form, self.hooks.class_names)
        tags = base.get("tags", {})
        for more in (self.hooks.call("tags"), answer.tags):
            if more is not ABSENT and more:
                tags.update(more)
        reported = base.get("metrics", [])
        if self.place.shows_metrics and (own or runtime):
            reported.extend([*own, *runtime])
        path = {self.place.unit: self.place.shown_image} if self.place.unit else {}
        path = {**path, **base.get("requestPath", {})}
        meta = {"tags": tags, "metrics": reported, "puid": base.get("puid"), "requestPath": path}
        reply = {**part, "meta": {key: value for key, value in meta.items() if value}}
        return via.reply(reply, is_feedback=method == "feedback")

    @cached_property
    def metadata(self) -> dict[str, Any] | None:
        """What the component says of itself; None where that is invalid."""
        own = self.hooks.call("init_metadata")
        try:
            return metadata.complete({**(own if isinstance(own, dict) else {}), **self._said}, self.place.image)
        except ValueError as fault:
            log.error("the component's metadata is invalid: %s", fault)
            return None


def _puid(meta: Any) -> dict[str, Any]:
    """All that a routing or feedback keeps of the request's meta."""
    return {"puid": meta.get("puid")} if meta else {}


def _merged(contents: list[Content]) -> dict[str, Any]:
    """The meta of several messages as one."""
    meta: dict[str, Any] = {"tags": {}, "requestPath": {}, "metrics": [], **_puid(contents[0].meta)}
    for content in contents:
        for key in ("tags", "requestPath"):
            meta[key].update((content.meta or {}).get(key) or {})
        meta["metrics"].extend((content.meta or {}).get("metrics") or [])
    return meta

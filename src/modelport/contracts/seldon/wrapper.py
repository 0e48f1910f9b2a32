"""What the platform's wrapper does with each kind of message: reads it, calls the hook, writes the reply."""

from __future__ import annotations

import json
import logging
import os
from typing import Any, Callable

from modelport.contracts.seldon import arrays, metadata, metrics, protojson
from modelport.contracts.seldon.arrays import BAD_DATA, Content
from modelport.contracts.seldon.hooks import ABSENT, Hooks, Response, response
from modelport.errors import InvalidInput, ModelRejected

NO_IMAGE = "NOT_IMPLEMENTED:NOT_IMPLEMENTED"
BAD_METADATA = "MICROSERVICE_BAD_METADATA"

log = logging.getLogger(__name__)


class Wrapper:
    """Answers messages of the REST API, JSON values both ways; ``verbs`` has a method for each verb.

    ``said`` is metadata that goes before the component's own. The environment is read once, here.
    """

    def __init__(self, hooks: Hooks, said: dict[str, Any]) -> None:
        self._hooks = hooks
        self._unit = os.environ.get("PREDICTIVE_UNIT_ID")
        self._image = os.environ.get("PREDICTIVE_UNIT_IMAGE", "")
        self._shows_metrics = os.environ.get("INCLUDE_METRICS_IN_CLIENT_RESPONSE", "true").lower() == "true"
        self.metadata = self._complete_metadata(said)
        self.verbs: dict[str, Callable[[Any], Any]] = {
            "predict": self._predict,
            "transform-input": lambda message: self._transform("transform_input", "inputtransform", message),
            "transform-output": lambda message: self._transform("transform_output", "outputtransform", message),
            "route": self._route,
            "aggregate": self._aggregate,
            "send-feedback": self._send_feedback,
            "health/status": self._health_status,
            "metadata": self._metadata,
        }

    # --- by verb ---------------------------------------------------------------------------------------------

    def _predict(self, message: Any) -> Any:
        reply = self.raw("predict", message)
        if reply is not ABSENT:
            return reply
        content = arrays.read(message)
        answer = self._hooks.respond("predict", content)
        return self._reply(Response([]) if answer is ABSENT else answer, content.form, content.meta, "predict")

    def pass_through(self, body: Any) -> Any:
        """A body that nobody has read, and an answer that goes out as it is."""
        answer = self._hooks.call("predict_raw", body)
        if not isinstance(answer, (bytes, bytearray, str)):
            kind = "nothing" if answer is ABSENT else type(answer).__name__
            raise TypeError(f"with PAYLOAD_PASSTHROUGH predict_raw must return bytes or str; it returned {kind}")
        return answer

    def _transform(self, hook: str, method: str, message: Any) -> Any:
        reply = self.raw(hook, message)
        if reply is not ABSENT:
            return reply
        content = arrays.read(message)
        answer = self._hooks.respond(hook, content)
        answer = Response(content.value) if answer is ABSENT else answer
        return self._reply(answer, content.form, content.meta, method)

    def _route(self, message: Any) -> Any:
        reply = self.raw("route", message)
        if reply is not ABSENT:
            return reply
        content = arrays.read(message)
        answer = self._hooks.demand("route", content)
        branch = answer.data
        if not isinstance(branch, int):
            text = f"Routing response must be int but got {branch}"[: arrays.MAX_SHOWN]
            raise ModelRejected(type(branch).__name__, text, 400, reason=BAD_DATA)
        return self._reply(answer._replace(data=[[branch]]), content.form, _puid(content.meta), "router")

    def _aggregate(self, message: Any) -> Any:
        reply = self.raw("aggregate", message)
        if reply is not ABSENT:
            return reply
        messages = message.get("seldonMessages") if isinstance(message, dict) else message
        if not isinstance(messages, list):
            raise arrays.wrong_type(message)
        contents = [arrays.read(item) for item in messages]
        first = contents[0]
        hook = self._hooks.defined("aggregate")
        answer = response(hook([content.value for content in contents], [content.names for content in contents]))
        return self._reply(answer, first.form, _merged(contents), "aggregate")

    def _send_feedback(self, message: Any) -> Any:
        """The message and its reply are what protobuf makes of them; only the arrays of request and truth are read."""
        try:
            feedback = protojson.parse(message, "Feedback")
        except ValueError as fault:
            raise InvalidInput(f"Invalid JSON: {fault}") from None
        reply = self._raw_feedback(feedback)
        if reply is not ABSENT:
            return reply
        request, truth = (feedback.get(side, {}) for side in ("request", "truth"))
        routing = feedback.get("response", {}).get("meta", {}).get("routing", {})
        features = arrays.read_array(_data(request))
        answer = self._hooks.call(
            "send_feedback",
            features.value,
            features.names,
            feedback.get("reward", 0.0),
            arrays.read_array(_data(truth)).value,
            routing=routing.get(self._unit or "0"),
        )
        answer = response(None if answer is ABSENT else answer)
        answer = answer._replace(data=arrays.as_array([] if answer.data is None else answer.data))
        form = features.form if "data" in request else None
        return protojson.write(arrays.listed(self._reply(answer, form, _puid(request.get("meta")), "feedback")))

    def _raw_feedback(self, feedback: dict[str, Any]) -> Any:
        reply = self._hooks.call("send_feedback_rest", json.dumps(feedback, indent=2))
        if reply is not ABSENT:
            return protojson.write(reply)
        if self._hooks.overrides("send_feedback_raw"):
            raise ModelRejected(
                "NotImplemented", "send_feedback_raw takes a protobuf message, which is not supported", 500
            )
        return ABSENT

    def _health_status(self, message: Any) -> Any:
        reply = self._hooks.call("health_status_raw")
        if reply is not ABSENT:
            return self._without_metrics(reply)
        status = self._hooks.call("health_status")
        if status is ABSENT:
            status = "not implemented - assuming healthy" if self._hooks.has("health_status") else "healthy"
        return self._reply(Response(status), None, None, "health")

    def _metadata(self, message: Any) -> Any:
        if self.metadata is None:
            raise ModelRejected("InvalidMetadata", "Model metadata unavailable", 500, reason=BAD_METADATA)
        return self.metadata

    # --- what the verbs share --------------------------------------------------------------------------------

    def raw(self, hook: str, message: Any) -> Any:
        """The reply of a hook that takes the whole message and words the whole reply; ``ABSENT`` without one."""
        reply = self._hooks.call(f"{hook}_rest", message)
        if reply is not ABSENT:
            return reply
        reply = self._hooks.call(f"{hook}_raw", message)
        return reply if reply is ABSENT else self._without_metrics(reply)

    def _without_metrics(self, reply: Any) -> Any:
        if self._shows_metrics or not isinstance(reply, dict) or not isinstance(reply.get("meta"), dict):
            return reply
        return {**reply, "meta": {key: value for key, value in reply["meta"].items() if key != "metrics"}}

    def _reply(self, answer: Response, form: str | None, base: Any, method: str) -> dict[str, Any]:
        """The message for an answer, beginning with the meta that ``base`` has."""
        base = {} if base is None else base
        runtime = metrics.recorded(answer.metrics, method) if answer.metrics is not None else []
        own = self._hooks.call("metrics")
        own = [] if own is ABSENT else metrics.recorded(own, method)
        reply = arrays.write(answer.data, form, self._hooks.class_names)
        tags = base.get("tags", {})
        for more in (self._hooks.call("tags"), answer.tags):
            if more is not ABSENT and more:
                tags.update(more)
        reported = base.get("metrics", [])
        if self._shows_metrics and (own or runtime):
            reported.extend([*own, *runtime])
        path = {self._unit: self._image or NO_IMAGE} if self._unit else {}
        path = {**path, **base.get("requestPath", {})}
        meta = {"tags": tags, "metrics": reported, "puid": base.get("puid"), "requestPath": path}
        return {**reply, "meta": {key: value for key, value in meta.items() if value}}

    def _complete_metadata(self, said: dict[str, Any]) -> dict[str, Any] | None:
        own = self._hooks.call("init_metadata")
        try:
            return metadata.complete({**(own if isinstance(own, dict) else {}), **said}, self._image)
        except ValueError as fault:
            log.error("the component's metadata is invalid: %s", fault)
            return None


def _puid(meta: Any) -> dict[str, Any]:
    """All that a routing or feedback keeps of the request's meta."""
    return {"puid": meta.get("puid")} if meta else {}


def _data(message: dict[str, Any]) -> dict[str, Any]:
    """The ``data`` of a message that went through protobuf, where lists without items are left out."""
    data: dict[str, Any] = message.get("data", {})
    return {**data, "tensor": {"shape": [], "values": [], **data["tensor"]}} if "tensor" in data else data


def _merged(contents: list[Content]) -> dict[str, Any]:
    """The meta of several messages as one."""
    meta: dict[str, Any] = {"tags": {}, "requestPath": {}, "metrics": [], **_puid(contents[0].meta)}
    for content in contents:
        for key in ("tags", "requestPath"):
            meta[key].update((content.meta or {}).get(key) or {})
        meta["metrics"].extend((content.meta or {}).get("metrics") or [])
    return meta

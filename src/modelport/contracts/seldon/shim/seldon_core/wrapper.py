"""A component's servers in the same process, for unit tests and for who starts them by hand.

They answer through what the real server's workers use: the wrapper, and the protocol's routes, codec and errors. Those
are looked up by name, as a worker does it: this package is on top of both, as user code is.
"""

from __future__ import annotations

import importlib
import os
from concurrent import futures
from types import SimpleNamespace
from typing import Any

from modelport.contracts.seldon.adapter import PLATFORM, Component
from modelport.core.call import Call, Reply
from modelport.core.model import ModelSpec
from modelport.core.protocol import Codec, Marked, Particular, Question, Route
from modelport.errors import ModelportError, ModelRaised
from modelport.schemas.seldon import SERVICES
from seldon_core import seldon_methods

ANNOTATION_GRPC_MAX_MSG_SIZE = "seldon.io/grpc-max-message-size"
METRICS_ENDPOINT = os.environ.get("PREDICTIVE_UNIT_METRICS_ENDPOINT", "/metrics")
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8; charset=utf-8"

VERBS = {
    "Predict": "predict",
    "TransformInput": "transform-input",
    "TransformOutput": "transform-output",
    "Route": "route",
    "Aggregate": "aggregate",
    "SendFeedback": "send-feedback",
    "Metadata": "metadata",
    "ModelMetadata": "metadata",
    "GraphMetadata": "graph-metadata",
}
"""What each method of the gRPC services asks of a component."""


class _Rest:
    """The real server's road of a request, all of it in one process."""

    def __init__(self, user_model: Any, seldon_metrics: Any) -> None:
        self._component = Component("model", seldon_methods.wrapped(user_model, seldon_metrics))
        protocol: Any = importlib.import_module("modelport.protocols.seldon.routes").protocol
        self._habits: Particular = protocol
        self._codec: Codec = importlib.import_module(protocol.codec).codec
        self._spec = ModelSpec(name="model", contract=PLATFORM, root=os.curdir)
        served: Any = SimpleNamespace(spec=self._spec, failure=None, state="ready", reason="")
        routes: list[Route] = protocol.routes(None, [served])
        self._routes = {(route.method, route.path): route for route in routes}

    def answer(self, method: str, question: Question) -> Reply:
        call = Call("", PLATFORM, "", question.headers, question.query, question.path)
        route = self._routes.get((method, question.path))
        try:
            if route is None:
                raise self._habits.refuse(method, question.path)
            if route.answer is not None:
                reply: Any = route.answer(question)
            else:
                reply = self._ask(call._replace(verb=route.verb), question.body)
        except ModelportError as error:
            reply = self._codec.error(error, call.id)
        except Exception as fault:
            reply = self._codec.error(ModelRaised(type(fault).__name__, str(fault)), call.id)
        sent = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in question.headers.items()]
        marks = self._habits.marks(Marked(sent, question.path))
        return Reply(reply.status, [*reply.headers, *marks], reply.body)

    def _ask(self, call: Call, body: bytes) -> Reply:
        description = self._component.description
        payload, memory = self._codec.decode(call, body, self._spec, description)
        outcome = self._component.call(payload, call)
        if outcome.reply is not None:
            return outcome.reply
        reply: Reply = self._codec.encode(call, memory, outcome, self._spec, description, 0.0)
        return reply


def get_rest_microservice(user_model: Any, seldon_metrics: Any) -> Any:
    """An application of Flask that serves the component."""
    import flask

    app = flask.Flask("seldon_core.wrapper", static_folder=None)
    server = _Rest(user_model, seldon_metrics)

    def answer(path: str) -> Any:
        asked = flask.request
        headers = {name.lower(): value for name, value in asked.headers.items()}
        question = Question(asked.path, asked.query_string.decode("latin-1"), headers, asked.get_data())
        reply = server.answer(asked.method, question)
        return flask.Response(reply.body, reply.status, reply.headers)

    app.add_url_rule("/", "root", answer, defaults={"path": ""}, methods=METHODS, provide_automatic_options=False)
    app.add_url_rule("/<path:path>", "all", answer, methods=METHODS, provide_automatic_options=False)
    return app


def get_metrics_microservice(seldon_metrics: Any) -> Any:
    """An application of Flask that tells Prometheus what was counted."""
    import flask
    from prometheus_client import generate_latest

    app = flask.Flask("seldon_core.metrics", static_folder=None)
    app.add_url_rule(
        METRICS_ENDPOINT,
        "metrics",
        lambda: flask.Response(
            generate_latest(seldon_metrics), headers={"content-type": METRICS_TYPE, "access-control-allow-origin": "*"}
        ),
    )
    return app


class SeldonModelGRPC:
    """A servicer of all the platform's services at once: each method takes a message and a context."""

    def __init__(self, user_model: Any, seldon_metrics: Any) -> None:
        self.user_model = user_model
        self.seldon_metrics = seldon_metrics
        self._wrapper = seldon_methods.wrapped(user_model, seldon_metrics)

    def _answer(self, verb: str, request: Any, reply: str) -> Any:
        return seldon_methods.remote(self._wrapper, verb, request, reply)


def _method(verb: str, reply: str) -> Any:
    def answer(self: SeldonModelGRPC, request: Any, context: Any) -> Any:
        return self._answer(verb, request, reply)

    return answer


for _methods in SERVICES.values():
    for _name, _shape in _methods.items():
        setattr(SeldonModelGRPC, _name, _method(VERBS[_name], _shape.response))


def get_grpc_server(
    user_model: Any, seldon_metrics: Any, annotations: Any = None, trace_interceptor: Any = None, num_threads: int = 1
) -> Any:
    """A gRPC server with the component in it, neither bound to a port nor started."""
    import grpc

    from seldon_core.proto import prediction_pb2_grpc

    size = (annotations or {}).get(ANNOTATION_GRPC_MAX_MSG_SIZE)
    kinds = ("grpc.max_message_length", "grpc.max_send_message_length", "grpc.max_receive_message_length")
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=num_threads),
        interceptors=[] if trace_interceptor is None else [trace_interceptor],
        options=[] if size is None else [(kind, int(size)) for kind in kinds],
    )
    servicer = SeldonModelGRPC(user_model, seldon_metrics)
    for service in SERVICES:
        getattr(prediction_pb2_grpc, f"add_{service}Servicer_to_server")(servicer, server)
    return server

"""What components have of Flask, where they use it: ``flask.request`` during a call, and handlers of errors."""

from __future__ import annotations

import contextlib
import sys
from contextlib import AbstractContextManager
from typing import Any

from modelport.contracts.seldon.hooks import known
from modelport.core import jsontext
from modelport.core.call import Call, Reply
from modelport.errors import LoadError

READS = ("health/status", "metadata")
"""Verbs that come without a body."""


class Flasked:
    """An application that serves nothing: it lends its context to calls, and has the component's error handlers."""

    def __init__(self, component: Any) -> None:
        import flask

        class Request(flask.Request):  # type: ignore[misc, unused-ignore]
            """A request whose body was read already, wherever in it the message was."""

            def get_json(self, *_: Any, **__: Any) -> Any:
                return self.environ["modelport.message"]

            def get_data(self, *_: Any, **__: Any) -> Any:
                message = self.environ["modelport.message"]
                return message if isinstance(message, bytes) else jsontext.dumps(message)

        self._app: Any = flask.Flask("component", static_folder=None)
        self._app.request_class = Request
        blueprint = getattr(component, "model_error_handler", None)
        self._has_handlers = blueprint is not None
        if blueprint is not None:
            if not isinstance(blueprint, flask.Blueprint):
                raise LoadError(f"model_error_handler is {type(blueprint).__name__}; a flask.Blueprint was expected")
            self._app.register_blueprint(blueprint)
        # the platform's own handlers, which go before a blueprint's for the same types
        for kind in (Exception, known("SeldonMicroserviceException", "flask_utils")):
            if kind:
                self._app.register_error_handler(kind, _unhandled)

    def context(self, call: Call, message: Any) -> AbstractContextManager[Any]:
        headers = {name: value for name, value in call.headers.items() if name != "content-length"}
        context: AbstractContextManager[Any] = self._app.test_request_context(
            call.path or "/",
            method="GET" if call.verb in READS else "POST",
            query_string=call.query,
            headers=headers,
            environ_overrides={"modelport.message": message},
        )
        return context

    def handle(self, fault: Exception) -> Reply | None:
        """The component's own answer to its error; None where it has no handler for it. Within the context, and while
        the exception is being handled."""
        if not self._has_handlers:
            return None
        answer = self._app.handle_user_exception(fault)
        if answer is fault:
            return None
        answered = self._app.process_response(self._app.make_response(answer))
        return Reply(answered.status_code, list(answered.headers.items()), answered.get_data())


def _unhandled(fault: Exception) -> Any:
    return fault


def of(component: Any) -> Flasked | None:
    """None for a component whose code does not import Flask."""
    return Flasked(component) if "flask" in sys.modules else None


def nothing() -> AbstractContextManager[Any]:
    """The context of calls to components without Flask."""
    return contextlib.nullcontext()

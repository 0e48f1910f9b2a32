"""Errors with a status of their own, and requests and answers by Flask, which is imported only when it is used."""

from __future__ import annotations

import json
from typing import Any


class SeldonMicroserviceException(Exception):
    """Answers with this message, HTTP status and reason. ``payload`` is for the component's own use."""

    status_code = 400

    def __init__(
        self, message: Any, status_code: Any = None, payload: Any = None, reason: str = "MICROSERVICE_BAD_DATA"
    ) -> None:
        super().__init__()
        self.message = message
        if status_code is not None:
            self.status_code = status_code
        self.payload = payload
        self.reason = reason

    def to_dict(self) -> dict[str, Any]:
        """The body of the answer."""
        return {"status": {"status": 1, "info": self.message, "code": -1, "reason": self.reason}}


def get_request(skip_decoding: bool = False) -> Any:
    """The message of the current request of Flask; its body as bytes with ``skip_decoding``."""
    from flask import request

    if skip_decoding:
        return request.get_data()
    text = request.form.get("json") or request.args.get("json")
    message = json.loads(text) if text else request.get_json(silent=True)
    if message is None:
        raise SeldonMicroserviceException("Can't find JSON in data")
    return message


def jsonify(response: Any, skip_encoding: bool = False) -> Any:
    """An answer of Flask; text or bytes that are JSON already with ``skip_encoding``."""
    import flask

    if skip_encoding:
        return flask.current_app.response_class(response, mimetype="application/json")
    return flask.jsonify(response)

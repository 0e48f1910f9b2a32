"""Answers that user code words itself."""

from __future__ import annotations

import json
from typing import Any


class DkuCustomApiException(Exception):
    """Answers with this message and HTTP status."""

    def __init__(self, message: str, http_status_code: int = 500) -> None:
        super().__init__(message)
        self.message = message
        self.http_status_code = http_status_code


class _Headers:
    """A list of (name, value); assigning replaces, ``add`` keeps what is there."""

    def __init__(self, items: Any = ()) -> None:
        self.items = [(str(name), str(value)) for name, value in items]

    def __setitem__(self, name: str, value: Any) -> None:
        self.items = [item for item in self.items if item[0].lower() != name.lower()]
        self.add(name, value)

    def __getitem__(self, name: str) -> str:
        for known, value in self.items:
            if known.lower() == name.lower():
                return value
        raise KeyError(name)

    def __contains__(self, name: str) -> bool:
        return any(known.lower() == name.lower() for known, _ in self.items)

    def add(self, name: str, value: Any) -> None:
        self.items.append((str(name), str(value)))


class DkuCustomHttpResponse:
    """An answer that goes out as it is: ``status``, ``body`` (bytes) and ``headers``."""

    def __init__(self, status: int = 200, body: Any = b"", headers: Any = None) -> None:
        self.status = status
        self.body = body.encode("utf-8") if isinstance(body, str) else bytes(body)
        pairs = headers.items() if hasattr(headers, "items") else headers or ()
        self.headers = _Headers(pairs)

    def add_header(self, name: str, value: Any) -> None:
        self.headers.add(name, value)

    @classmethod
    def _of_type(cls, body: Any, content_type: str) -> DkuCustomHttpResponse:
        return cls(200, body, [("Content-Type", content_type)])

    @classmethod
    def create_text_response(cls, text: str, content_type: str = "text/plain; charset=utf-8") -> DkuCustomHttpResponse:
        return cls._of_type(text, content_type)

    @classmethod
    def create_json_response(cls, obj: Any, content_type: str = "application/json") -> DkuCustomHttpResponse:
        return cls._of_type(json.dumps(obj), content_type)

    @classmethod
    def create_binary_response(
        cls, data: bytes, content_type: str = "application/octet-stream"
    ) -> DkuCustomHttpResponse:
        return cls._of_type(data, content_type)

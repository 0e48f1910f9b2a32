"""Logs: one line an event, for people on a terminal and as JSON elsewhere. Never a body, a header or a query."""

from __future__ import annotations

import datetime
import json
import logging
import re
import sys
from collections.abc import Mapping
from typing import IO, Any

_EXTRAS = ("request", "model", "worker", "protocol", "method", "path", "status", "seconds", "client", "code")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")  # also those of Unicode
# All in linear time: a model may print a line of any length and content, and the server waits meanwhile.
_IS = r"(?:[\"']?\s*[:=]\s*|[\"']\s*,\s*)(?:b(?=[\"']))?"
_HEADERS = re.compile(rf"(?i)((?:authorization|cookie){_IS})([\"'])?(?(2)(?:(?!\2).)*|.+)")
_SECRETS = re.compile(
    rf"(?i)((?:api_?key|(?<![a-z])[a-z]+[-_]key|token|passw(?:or)?d|secret){_IS})([\"'])?"
    r"(?(2)(?:(?!\2).)*|[^\s\"',;&]+)"
)
_TOKENS = re.compile(r"(?i)\b(bearer\s+|basic\s+(?=[a-z+/]*[0-9=]))[\w.~+/=-]{6,}")
_USERINFO = re.compile(r"(\w://)[^/\s@]+@")

_access = logging.getLogger("modelport.access")


def note(method: str, path: str, status: int | str, seconds: float, about: Mapping[str, Any]) -> None:
    """The line in the access log for an answered request."""
    told = {**about, "status": status, "seconds": round(seconds, 6)}
    _access.info("%s %s %s %.1f ms", method, path[:200], status, seconds * 1000, extra=told)


def clean(text: str) -> str:
    """Without control characters (so that nothing forges a line) and without what looks like a secret."""
    text = _CONTROL.sub("", text)
    if ":" in text or "=" in text or "," in text:
        text = _USERINFO.sub(r"\1***@", _SECRETS.sub(r"\1\2***", _HEADERS.sub(r"\1\2***", text)))
    return _TOKENS.sub(r"\1***", text) if "earer" in text or "asic" in text else text


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, object] = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": clean(record.getMessage()),
        }
        for name in _EXTRAS:
            value = getattr(record, name, None)
            if value not in (None, "", 0):
                line[name] = clean(value) if isinstance(value, str) else value
        if record.exc_info:
            line["error"] = clean(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False, default=str)


def _continued(text: str) -> str:
    """With every line but the first set in, so that none passes for an entry of its own."""
    return text.replace("\n", "\n    ")


class HumanFormatter(logging.Formatter):
    """Time, level, where it comes from, what happened."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        model = getattr(record, "model", "")
        request = getattr(record, "request", "")
        tag = " ".join(part for part in (model, request) if part)
        text = f"{moment} {record.levelname[0]} {f'[{tag}] ' if tag else ''}{_continued(record.getMessage())}"
        if record.exc_info:
            text += _continued("\n" + self.formatException(record.exc_info))
        return clean(text)


def configure(form: str = "auto", level: str = "info", stream: IO[str] | None = None) -> None:
    """Sets up logging for this process. ``form`` is "human", "json" or "auto": human on a terminal."""
    stream = stream or sys.stderr
    if form == "auto":
        form = "human" if stream.isatty() else "json"
    handler = logging.StreamHandler(stream)
    handler.setFormatter(HumanFormatter() if form == "human" else JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("modelport").setLevel(level.upper())

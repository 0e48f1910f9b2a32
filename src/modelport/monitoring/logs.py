"""Logs: one line an event, for people on a terminal and as JSON elsewhere. Never a body, a header or a query."""

from __future__ import annotations

import datetime
import json
import logging
import re
import sys
from typing import IO

_EXTRAS = ("request", "model", "worker", "protocol", "method", "path", "status", "seconds", "client", "code")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x1b]")
_SECRETS = re.compile(
    r"(?i)((?:authorization|proxy-authorization|x-api-key|api[-_]?key|cookie|set-cookie|[a-z]+-key|token|password)"
    r"[\"']?\s*[:=]\s*[\"']?(?:basic\s+|bearer\s+)?)[^\s\"',;&]+"
)
_USERINFO = re.compile(r"(\w+://)[^/\s@]+@")

access = logging.getLogger("modelport.access")


def clean(text: str) -> str:
    """Without control characters (so that nothing forges a line) and without what looks like a secret."""
    return _USERINFO.sub(r"\1***@", _SECRETS.sub(r"\1***", _CONTROL.sub("", text)))


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


class HumanFormatter(logging.Formatter):
    """Time, level, where it comes from, what happened."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        model = getattr(record, "model", "")
        request = getattr(record, "request", "")
        tag = " ".join(part for part in (model, request) if part)
        text = f"{moment} {record.levelname[0]} {f'[{tag}] ' if tag else ''}{record.getMessage()}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
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

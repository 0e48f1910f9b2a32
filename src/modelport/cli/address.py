"""Where a request goes: a URL taken apart, and what a user gives as its body."""

from __future__ import annotations

import sys
import urllib.parse
from pathlib import Path
from typing import NamedTuple

from modelport.errors import ConfigError


class Address(NamedTuple):
    """``target`` is the path with the query, as the request line has it."""

    is_tls: bool
    host: str
    port: int
    target: str


def is_url(text: str) -> bool:
    """Whether this is a server's address and not a path."""
    return text.lower().startswith(("http://", "https://"))


def parse(url: str) -> Address:
    """Raises ``ConfigError`` for what is no URL of a server."""
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError as fault:
        raise ConfigError(f"{url} is no URL: {fault}") from None
    is_tls = parts.scheme.lower() == "https"
    if not parts.hostname or not url.isascii() or any(character.isspace() for character in url):
        raise ConfigError(f"{url} is no URL", hint="http://HOST:PORT/PATH")
    target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
    return Address(is_tls, parts.hostname, port or (443 if is_tls else 80), target)


def read_data(data: str) -> bytes:
    """JSON as given, the content of @FILE, or standard input for "-". Raises ``ConfigError``."""
    if data == "-":
        return sys.stdin.buffer.read()
    if not data.startswith("@"):
        return data.encode()
    try:
        return Path(data[1:]).read_bytes()
    except OSError as fault:
        raise ConfigError(f"cannot read {data[1:]}: {fault.strerror}") from None

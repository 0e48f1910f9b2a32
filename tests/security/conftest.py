"""Servers with something to protect."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from tests.harness import Running, function, serving, write_service

KEY = "plain-key-4f1d9c"
HASHED_KEY = "hashed-key-b7e204"
HASH = "sha256:" + hashlib.sha256(HASHED_KEY.encode()).hexdigest()
ADMIN_KEY = "admin-key-92ac55"

FUNCTIONS = """
import os

def echo(**data):
    return data

def surroundings():
    with open("/proc/self/environ", "rb") as file:
        first = file.read().decode()
    with open("/proc/self/cmdline", "rb") as file:
        command = file.read().decode()
    return {"environ": dict(os.environ), "first": first, "command": command}

def say(lines):
    import sys
    for line in lines:
        print(line)
        print(line, file=sys.stderr)
    os.write(2, "\\n".join(lines).encode() + b"\\n")
    raise ValueError(lines[0])
"""


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Service "svc" with API keys, one of them as its hash: "fn" (echoes), "surroundings", "say"."""
    folder = write_service(
        tmp_path_factory.mktemp("guarded") / "svc",
        function(function="echo"),
        function("surroundings", function="surroundings"),
        function("say", function="say"),
        code={"functions.py": FUNCTIONS},
        authMethod="API_KEYS",
        apiKeys=[KEY, HASH],
    )
    env = {"MODELPORT_ADMIN_KEY": ADMIN_KEY, "MODELPORT_REPOSITORY": "true"}
    with serving(folder, env=env) as server:
        yield server


def bearer(key: str = KEY) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}

"""An example to look at: ``python -m modelport.cli.demo [--once] [--port N]``.

Makes the example service in ./demo, serves it and says what to try. With ``--once``: asks one question, stops.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib.metadata
import os
import shlex
import shutil
import signal
import sys
from pathlib import Path

from modelport import __version__, config
from modelport.cli.announce import announce, example_of
from modelport.cli.complain import complain
from modelport.cli.new import INSTALL, TEMPLATES, scaffold
from modelport.errors import SetupError
from modelport.monitoring import logs
from modelport.packages.find import find
from modelport.server.lifecycle import Server, bind

PLATFORM = "dataiku"
FOLDER = Path("demo", "example")
SHOWN = "iris"


def main() -> int:
    """Runs the demo; the exit code."""
    parser = argparse.ArgumentParser(prog="demo", description="Serve an example service and say what to try.")
    parser.add_argument("--once", action="store_true", help="ask one question on a free port, stop, exit 0")
    parser.add_argument("--port", type=int, default=None, help="port to serve on (default: 8080 if it is free)")
    given = parser.parse_args()
    try:
        folder = example()
        port = given.port if given.port is not None else 0 if given.once else _usual_or_free()
        quiet = {"log_level": "warning"} if given.once else {}
        settings = config.resolve({"port": port, "host": "127.0.0.1", "log_format": "human", **quiet})
        logs.configure(settings.log_format, settings.log_level)
        once = Once()
        specs = find(str(folder), settings)
        code = Server(specs, specs[0].contract, settings, once.announce if given.once else _announce).run()
        return once.code if given.once else code
    except SetupError as error:
        complain(error)
        return 2
    except KeyboardInterrupt:
        return 130


def example() -> Path:
    """The example's folder, made when it is not there or is of another version."""
    stamp = FOLDER / ".made"
    wanted = _fingerprint()
    if stamp.is_file():
        if stamp.read_text() == wanted:
            return FOLDER
        shutil.rmtree(FOLDER)
    print(f"Making the example in {FOLDER} ...", flush=True)
    if not scaffold(PLATFORM, FOLDER):
        shutil.rmtree(FOLDER)
        raise SetupError("the example's models cannot be trained: scikit-learn is not installed", hint=INSTALL)
    stamp.write_text(wanted)
    return FOLDER


def _fingerprint() -> str:
    """Changes with what the example is made of, and with what reads its models."""
    made_of = [path.read_bytes() for path in sorted((TEMPLATES / PLATFORM).iterdir()) if path.is_file()]
    try:
        reader = importlib.metadata.version("scikit-learn")
    except importlib.metadata.PackageNotFoundError:
        reader = ""
    versions = f"{__version__} {reader} {sys.version_info[:2]}"
    return hashlib.sha256(b"|".join([versions.encode(), *made_of])).hexdigest()


def _usual_or_free() -> int:
    usual = config.Settings().port
    try:
        bind("127.0.0.1", usual).close()
    except SetupError:
        print(f"Port {usual} is taken; taking another.")
        return 0
    return usual


def _announce(server: Server) -> None:
    announce(server)
    print("\nPaste one of the curl lines into another terminal, or ask without a server:")
    for command in (f"check {FOLDER}", f"call {FOLDER} --endpoint {SHOWN}", f"bench {FOLDER} --endpoint {SHOWN}"):
        print(f"  {_program()} {command}")
    print(f"The models' own code is in {FOLDER}/. Ctrl-C stops.", flush=True)


def _program() -> str:
    """How a shell calls ``modelport``: by its path when it is not on PATH."""
    if shutil.which("modelport"):
        return "modelport"
    beside = Path(sys.executable).with_name("modelport")
    return os.path.relpath(beside) if beside.exists() else f"{sys.executable} -m modelport"


class Once:
    """Asks one question as soon as the models are loaded, and has the server stopped. ``code`` is how it went."""

    def __init__(self) -> None:
        self.code = 1

    def announce(self, server: Server) -> None:
        self._task = asyncio.get_running_loop().create_task(self._ask(server))

    async def _ask(self, server: Server) -> None:
        try:
            endpoint = server.plane.find(SHOWN)
            command = example_of(server, endpoint)
            if endpoint.state != "ready" or command is None:
                print(f"{SHOWN} is not ready: {endpoint.reason}", file=sys.stderr)
                return
            ran = await asyncio.to_thread(_paste, command)
            self.code = 0 if ran else 1
        finally:
            os.kill(os.getpid(), signal.SIGTERM)


def _paste(command: str) -> bool:
    """Does what the curl command says, without needing curl; whether the answer was good."""
    from modelport.cli.call import ask_server

    words = shlex.split(command)
    url, data = next(word for word in words if word.startswith("http")), words[words.index("-d") + 1]
    print(f"question  {command}", flush=True)
    answer = ask_server(url, data.encode())
    print(f"answer    {answer.status} {answer.body.decode()}", flush=True)
    return answer.status == 200


if __name__ == "__main__":
    sys.exit(main())

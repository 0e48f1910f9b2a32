"""``modelport deepaas cli``"""

from __future__ import annotations

import argparse
import json
import logging
import mimetypes
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from modelport import config
from modelport.cli.complain import complain
from modelport.cli.deepaas.options import HERE, Models
from modelport.errors import ConfigError, LoadError

if TYPE_CHECKING:
    from modelport.cli.local import LocalModel
    from modelport.core.call import Reply
    from modelport.core.model import ModelSpec

METHODS = ("get_metadata", "warm", "predict", "train")
HELP = ("--help", "-h")
OUTPUT = "deepaas_method_output"


def cli(
    *words: Annotated[
        str,
        Parameter(
            help="Perhaps a package's folder; the function, get_metadata without one; its arguments.",
            allow_leading_hyphen=True,
            show_default=False,
        ),
    ],
    models: Models = HERE,
) -> int:
    """Call one of a model's functions."""
    import uvloop

    from modelport.monitoring import logs

    if set(words) & set(HELP) and not set(words) & set(METHODS):
        from modelport.cli.deepaas import app

        app.help_print(["cli"])
        return 0
    folder, method, rest = _parted(list(words))
    settings = config.resolve({"log_level": "warning"})
    logs.configure("human", settings.log_level)
    logging.getLogger("modelport.worker").setLevel(logging.INFO)  # what the model prints
    spec = models.find_one(folder, settings)
    try:
        return uvloop.run(_call(spec, settings, method, rest))
    except LoadError as error:
        complain(error)
        return 1


def _parted(words: list[str]) -> tuple[str | None, str, list[str]]:
    """The folder, the function, and what it is told."""
    folder = words.pop(0) if words and words[0] not in METHODS and not words[0].startswith("-") else None
    method = words.pop(0) if words and words[0] in METHODS else METHODS[0]
    if words and method in METHODS[:2] and not words[0].startswith((f"--{OUTPUT}", *HELP)):
        raise ConfigError(f"{words[0]!r} is none of the functions", hint=f"they are {', '.join(METHODS)}")
    return folder, method, words


async def _call(spec: ModelSpec, settings: config.Settings, method: str, words: list[str]) -> int:
    from modelport.cli.deepaas.asking import parameters
    from modelport.cli.local import loaded

    async with loaded(spec, settings) as model:  # which has warmed it
        takes = parameters(model.description, method) if method in ("predict", "train") else []
        given = _parser(spec.name, method, takes).parse_args(words)
        output = Path(given.__dict__.pop(OUTPUT)) if getattr(given, OUTPUT) else None
        if method in METHODS[:2]:
            metadata = model.description.details["metadata"] if method == METHODS[0] else None
            _show(json.dumps(metadata, indent=2).encode(), "application/json", output)
            return 0
        return await _run(
            model, method, [(parameter, getattr(given, parameter["name"])) for parameter in takes], output
        )


async def _run(model: LocalModel, method: str, pairs: list[tuple[Any, Any]], output: Path | None) -> int:
    from modelport.cli.deepaas.asking import request, typed
    from modelport.protocols.deepaas.codec import CHECK, PREDICT, TRAIN

    said = [(parameter, typed(parameter, text)) for parameter, text in pairs if text is not None]
    begin = time.time()
    arguments = b"{}"
    if method == "train":
        checked = await model.ask(request(CHECK, said))
        if checked.code is not None:
            return _failed(model, checked)
        arguments = checked.body
    reply = await model.ask(request(TRAIN if method == "train" else PREDICT, said))
    if reply.code is not None:
        return _train_failed(model, reply) if method == "train" else _failed(model, reply)
    body, media_type = reply.body, dict(reply.headers)["content-type"].partition(";")[0]
    if method == "train":
        body = _training(arguments, body, begin)
    _show(body, media_type, output)
    return 0


def _training(arguments: bytes, result: bytes, begin: float) -> bytes:
    """What the API would tell of it."""
    import uuid

    from modelport.core.task import DONE, Task
    from modelport.protocols.deepaas.routes import training

    task = Task(uuid.uuid4().hex, DONE, arguments, begin, time.time(), result)
    return training(task)


def _train_failed(model: LocalModel, reply: Reply) -> int:
    """A training's own failure comes with its traceback."""
    try:
        told = json.loads(reply.body)
        print(f"{told['traceback'].rstrip()}\nerror: {told['type']}: {told['message']}", file=sys.stderr)
    except (ValueError, LookupError, TypeError):
        return _failed(model, reply)
    return 1


def _failed(model: LocalModel, reply: Reply) -> int:
    print(f"error: {model.dialect.fault(reply.body)}", file=sys.stderr)
    return 1


def _show(body: bytes, media_type: str, output: Path | None) -> None:
    """The answer, on standard output or in a file, whose name gets the suffix of what it is."""
    if output is None:
        sys.stdout.buffer.write(body if body.endswith(b"\n") else body + b"\n")
        sys.stdout.flush()
        return
    suffix = mimetypes.guess_extension(media_type) or ""
    path = output if output.suffix == suffix else output.with_name(output.name + suffix)
    try:
        path.write_bytes(body)
    except OSError as fault:
        raise ConfigError(f"cannot write {path}: {fault.strerror}") from None
    print(f"wrote {path}", file=sys.stderr)


def _parser(model: str, method: str, takes: list[dict[str, Any]]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"modelport deepaas cli ... {method}", description=f"{method} of {model}")
    for parameter in takes:
        said = [parameter.get("description", ""), f"type: {parameter.get('type', 'object')}"]
        said += [f"default: {parameter['default']}"] if "default" in parameter else []
        said += [f"choices: {parameter['enum']}"] if "enum" in parameter else []
        text = "; ".join(filter(None, said)).replace("%", "%%")
        name = parameter["name"]
        required = parameter["required"]
        parser.add_argument(f"--{name}", dest=name, required=required, help=text, metavar="VALUE")
    parser.add_argument(f"--{OUTPUT}", metavar="FILE", help="write the answer into this file")
    return parser

"""A worker's life: take the spec, prepare the process, load the model, serve until the front hangs up."""

from __future__ import annotations

import gc
import os
import socket
import sys
from typing import Any

from modelport.core import frames
from modelport.core.board import Board
from modelport.core.model import Description, Limits, ModelSpec
from modelport.errors import ModelportError
from modelport.worker import beside, capture, imports
from modelport.worker.link import Link
from modelport.worker.loop import Loop

YOUNG_OBJECTS = 50_000
"""New objects between two looks for cycles: more than the usual 700, for a large request is many objects at once."""


def main(stream_fd: int, side_fd: int, board_fd: int) -> None:
    """Serves on two inherited Unix sockets: the stream of frames, and the side channel for descriptors.

    The third descriptor is the memory of a ``Board``.
    """
    for fd in (stream_fd, side_fd):
        os.set_inheritable(fd, False)
    link = Link(socket.socket(fileno=stream_fd), socket.socket(fileno=side_fd))
    board = Board(board_fd)
    os.close(board_fd)
    order = link.receive()
    if order is None:
        return
    spec = ModelSpec.from_dict(order.meta["spec"])
    os.environ["MODELPORT_SELF"] = order.meta["base"]
    if order.meta["data"]:
        os.environ["MODELPORT_DATA"] = order.meta["data"]
    capture.start(link)
    limit_memory(spec.limits)
    try:
        contract = imports.find(order.meta["contract"])
        imports.prepare(spec, contract.shims())
        if order.meta.get("beside"):
            model, work = None, contract.beside(spec)
        else:
            model, work = contract.load(spec), None
        codecs = {name: imports.find(f"{module}:codec") for name, module in order.meta["codecs"].items()}
    except BaseException as fault:
        link.send(frames.FAILED, failure(fault))
        return
    gc.collect()
    gc.freeze()  # what the model loaded stays: no collection need look at it again
    gc.set_threshold(YOUNG_OBJECTS)
    description = model.description if model is not None else Description("", "")
    link.send(frames.READY, {"description": description.to_dict(), "python": sys.version.split()[0]})
    if model is None:
        beside.run(link, work)
        return
    Loop(link, spec, model, codecs, board, order.meta["detail"]).run()


def limit_memory(limits: Limits) -> None:
    """Bounds the address space, so that a greedy model gets a ``MemoryError`` and nobody else does."""
    if limits.memory:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))


def failure(fault: BaseException) -> dict[str, Any]:
    """What the front is told of a model that did not load: plain data, the user's frames first."""
    if isinstance(fault, ModelportError):
        traceback = getattr(fault, "traceback", "")
        return {"type": fault.type_name, "message": fault.describe(), "hint": fault.hint, "traceback": traceback}
    hint = None
    if isinstance(fault, ModuleNotFoundError):
        hint = f"install {fault.name!r} into {sys.executable}, or name the right interpreter as environment"
    elif isinstance(fault, MemoryError):
        hint = "the model needs more than its memory limit"
    return {
        "type": type(fault).__name__,
        "message": str(fault) or type(fault).__name__,
        "hint": hint,
        "traceback": imports.user_traceback(fault),
    }

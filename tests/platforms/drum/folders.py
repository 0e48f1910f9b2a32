"""Code folders on disk, and models loaded from them in this process."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from modelport.config import Settings
from modelport.contracts.drum.adapter import contract
from modelport.core.call import Call, Outcome
from modelport.core.contract import Model
from modelport.core.model import ModelSpec
from modelport.core.payload import Blob
from modelport.packages.find import find


def write_folder(folder: Path, custom: str | None = None, metadata: str | None = None, **files: str | bytes) -> Path:
    """A code folder; ``files`` are named by their stem, or by their name with ``__`` for the dot."""
    folder.mkdir(parents=True, exist_ok=True)
    if custom is not None:
        (folder / "custom.py").write_text(textwrap.dedent(custom))
    if metadata is not None:
        (folder / "model-metadata.yaml").write_text(textwrap.dedent(metadata))
    for name, content in files.items():
        file = folder / name.replace("__", ".")
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            file.write_text(textwrap.dedent(content))
    return folder


def read(folder: Path, target: str | None = None, **options: Any) -> ModelSpec:
    """What is known of the folder before it is loaded."""
    given = {"options": options, **({"target": target} if target else {})}
    (spec,) = find(str(folder), Settings(), given)
    return spec


def load(folder: Path, target: str | None = None, **options: Any) -> Model:
    """The model, loaded here. Its ``custom`` module and environment are this process's: one at a time."""
    return contract.load(read(folder, target, **options))


def ask(
    model: Model, body: str | bytes, media_type: str = "text/csv", charset: str | None = None, query: str = ""
) -> Outcome:
    """The outcome for a body as a client would post it."""
    data = body.encode() if isinstance(body, str) else body
    call = Call("1", "drum", "predict", {}, query, "/predict/")
    return model.call(Blob(data, media_type, charset), call)

"""``modelport deepaas predict``"""

from __future__ import annotations

import mimetypes
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from modelport import config
from modelport.cli.complain import complain
from modelport.cli.deepaas.options import HERE, Folder, Models
from modelport.errors import ConfigError, LoadError

if TYPE_CHECKING:
    from modelport.core.call import Reply
    from modelport.core.model import ModelSpec


def predict(
    folder: Folder = None,
    /,
    *,
    source: Annotated[str, Parameter(name="--input-file", alias="-i", help="The file, or the URL.")],
    output: Annotated[Path, Parameter(name="--output", alias="-o", help="The folder for the answer.")],
    content_type: Annotated[
        str | None,
        Parameter(
            name="--content-type", alias=("-ct", "-c"), help="The media type that is wanted.", show_default=False
        ),
    ] = None,
    url: Annotated[bool, Parameter(name="--url", help="The input is a URL.", negative="")] = False,
    models: Models = HERE,
) -> int:
    """Ask a model about a file, or a URL."""
    import uvloop

    from modelport.monitoring import logs

    settings = config.resolve({"log_level": "warning"})
    logs.configure("human", settings.log_level)
    if not url and not Path(source).is_file():
        raise ConfigError(f"there is no file {source}", hint="--url for the address of one")
    spec = models.find_one(folder, settings)
    try:
        reply = uvloop.run(_ask(spec, settings, source if url else Path(source), content_type))
    except LoadError as error:
        complain(error)
        return 1
    if reply.code is not None:
        from modelport.cli.dialects import dialect_of

        print(f"error: {dialect_of(spec).fault(reply.body)}", file=sys.stderr)
        return 1
    _keep(reply, source, output)
    return 0


async def _ask(spec: ModelSpec, settings: config.Settings, source: str | Path, wanted: str | None) -> Reply:
    from modelport.cli.deepaas.asking import parameters, request
    from modelport.cli.local import loaded

    async with loaded(spec, settings) as model:
        takes = parameters(model.description, "predict")
        given = [(_argument(takes, source), source)]
        if wanted is not None:
            accept = next((parameter for parameter in takes if parameter["name"] == "accept"), None)
            if accept is None:
                raise ConfigError(f"{spec.name} does not let choose between media types", hint="leave out -ct")
            given.append((accept, wanted))
        return await model.ask(request("predict", given))


def _argument(takes: list[dict[str, Any]], source: str | Path) -> dict[str, Any]:
    """Where a file goes, or a URL; the required one before others."""
    kind, what = ("type", "file") if isinstance(source, Path) else ("format", "url")
    found = [parameter for parameter in takes if parameter.get(kind) == what]
    if not found:
        names = ", ".join(parameter["name"] for parameter in takes) or "nothing"
        raise ConfigError(f"the model takes no {what}", hint=f"it takes {names}; see modelport deepaas cli")
    return next((parameter for parameter in found if parameter["required"]), found[0])


def _keep(reply: Reply, source: str, folder: Path) -> None:
    media_type = dict(reply.headers)["content-type"].partition(";")[0]
    stem = Path(source.partition("?")[0].rstrip("/")).stem or "answer"
    path = folder / f"{stem}{mimetypes.guess_extension(media_type) or ''}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(reply.body)
    except OSError as fault:
        raise ConfigError(f"cannot write {path}: {fault.strerror}") from None
    print(path)

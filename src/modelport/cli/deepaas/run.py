"""``modelport deepaas run``"""

from __future__ import annotations

import configparser
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from cyclopts import Parameter

from modelport import config
from modelport.cli.deepaas.options import HERE, Folder, Models
from modelport.cli.options import with_settings
from modelport.errors import ConfigError

PORT = 5000
UNLIMITED = 1 << 62
USUAL_LIMIT = 1 << 30
"""Bytes of a request where nobody says: the platform has no limit, and models that take archives."""


def _option(name: str, what: str, **more: Any) -> Parameter:
    return Parameter(name=name, help=what, show_default=False, **more)


def _switch(name: str, what: str) -> Parameter:
    return _option(f"--{name}", what, negative=f"--no{name}")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Platform:
    """The options of deepaas-run; an ini file has them by these names."""

    listen_ip: Annotated[str | None, _option("--listen-ip", "Address to listen on. Default 127.0.0.1.")] = None
    listen_port: Annotated[int | None, _option("--listen-port", f"Port; 0 takes a free one. Default {PORT}.")] = None
    base_path: Annotated[str | None, _option("--base-path", "What goes before every path, such as /api.")] = None
    workers: Annotated[int | None, _option("--workers", "Processes of each model. Default 1.", alias="-p")] = None
    warm: Annotated[bool | None, _switch("warm", "Call warm() at the start, as is the default.")] = None
    train_endpoint: Annotated[bool | None, _switch("train-endpoint", "Offer training, as is the default.")] = None
    predict_endpoint: Annotated[bool | None, _switch("predict-endpoint", "Offer predictions, as is the default.")] = (
        None
    )
    doc_endpoint: Annotated[bool | None, _switch("doc-endpoint", "Offer the page at /api, as is the default.")] = None
    debug_endpoint: Annotated[bool | None, _switch("debug-endpoint", "Show the log at /v2/debug/.")] = None
    client_max_size: Annotated[
        int | None, _option("--client-max-size", "Largest request in bytes, 0 without limit. Default 1 GiB.")
    ] = None
    debug: Annotated[bool | None, _option("--debug", "Log more.", alias="-d", negative="--nodebug")] = None
    log_file: Annotated[str | None, _option("--log-file", "Log into this file.")] = None
    log_dir: Annotated[str | None, _option("--log-dir", "The folder of --log-file.")] = None
    use_json: Annotated[bool | None, _switch("use-json", "Log in JSON.")] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Files:
    """Where options may be read from; the command line goes before them."""

    config_file: Annotated[
        list[str] | None, _option("--config-file", "An ini file with options; later ones win.", negative="")
    ] = None
    config_dir: Annotated[str | None, _option("--config-dir", "A folder of such files, *.conf.")] = None
    settings: Annotated[str | None, _option("--config", "A TOML file with Modelport's own settings.")] = None

    def read(self) -> dict[str, Any]:
        """The options in the files. Raises ``ConfigError`` with every fault."""
        places = [Path(file) for file in self.config_file or []]
        if self.config_dir is not None:
            places += sorted(Path(self.config_dir).glob("*.conf"))
        known = get_type_hints(Platform) | {"model_name": str | None}
        faults: list[str] = []
        found: dict[str, Any] = {}
        for place in places:
            parser = configparser.ConfigParser(interpolation=None, strict=False)
            try:
                parser.read_string(place.read_text())
            except (OSError, ValueError, configparser.Error) as fault:
                faults.append(f"{place}: {getattr(fault, 'strerror', None) or ' '.join(str(fault).split())}")
            found.update({name: value for name, value in parser.defaults().items() if name in known})
        typed = {name: _typed(name, value, known[name], faults) for name, value in found.items()}
        if faults:
            raise ConfigError("the options cannot be read", faults=faults)
        return typed


def _typed(name: str, value: str, kind: Any, faults: list[str]) -> Any:
    try:
        if kind == int | None:
            return int(value)
        return configparser.ConfigParser.BOOLEAN_STATES[value.lower()] if kind == bool | None else value
    except (ValueError, KeyError):
        faults.append(f"{name} cannot be {value!r}")
        return None


@with_settings
def run(
    folder: Folder = None,
    /,
    *,
    models: Models = HERE,
    platform: Platform = Platform(),
    files: Files = Files(),
    **flags: Any,
) -> int:
    """Serve the models that are installed, or those of a folder."""
    from modelport.cli.serve import run as serve

    said = files.read()
    name = said.pop("model_name", None)
    options = {**said, **{key: value for key, value in asdict(platform).items() if value is not None}}
    if name and models.model_name is None:
        models = replace(models, model_name=name)
    _check(options)
    env = {"MODELPORT_EXIT_ON_LOAD_ERROR": "true", **os.environ}
    chosen = config.resolve({**flags, **_settings(options, flags)}, env, files.settings)
    if "max_body" not in flags and "MODELPORT_MAX_BODY" not in env and "client_max_size" not in options:
        chosen = replace(chosen, max_body=USUAL_LIMIT)
    offered = {"train": "train_endpoint", "predict": "predict_endpoint", "docs": "doc_endpoint", "warm": "warm"}
    given = {key: options[name] for key, name in offered.items() if name in options}
    specs = models.find(folder, chosen, {**given, "debug": options.get("debug_endpoint", False)})
    workers = options.get("workers", 1)
    specs = [replace(spec, pool=replace(spec.pool, floor=workers, cruise=workers, ceil=workers)) for spec in specs]
    log = options.get("log_file")
    return serve(specs, chosen, alone=True, log=Path(options.get("log_dir", ""), log) if log else None)


def _check(options: dict[str, Any]) -> None:
    faults = []
    if options.get("base_path") and not options["base_path"].startswith("/"):
        faults.append("base-path must start with a /")
    if options.get("workers", 1) < 1:
        faults.append(f"--workers must be 1 or more, not {options['workers']}")
    if options.get("client_max_size", 0) < 0:
        faults.append("--client-max-size must be 0 or more")
    if faults:
        raise ConfigError("the options have faults", faults=faults)


def _settings(options: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """The platform's options as Modelport's settings; those given by Modelport's own names stay."""
    size = options.get("client_max_size")
    named = {
        "host": options.get("listen_ip"),
        "port": options.get("listen_port", None if "MODELPORT_PORT" in os.environ else PORT),
        "url_prefix": options.get("base_path"),
        "max_body": UNLIMITED if size == 0 else size,
        "log_level": "debug" if options.get("debug") else None,
        "log_format": "json" if options.get("use_json") else None,
    }
    return {name: value for name, value in named.items() if value is not None and flags.get(name) is None}

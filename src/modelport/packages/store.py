"""A folder of packages: each lies in a subfolder, whose name is what it is served as, perhaps with a config.yml."""

from __future__ import annotations

import errno
import logging
import mmap
import os
import re
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from modelport.core import multipart
from modelport.errors import ConfigError, InvalidBody, InvalidInput, ModelportError, NotFound, StorageFull
from modelport.packages import archive
from modelport.packages.archive import BadPackage, Contents
from modelport.packages.manifest import explain

CONFIG = "config.yml"
MAX_CONFIG = 1 << 20
UPLOAD = ".upload-"
"""What the names of half an upload begin with."""
FIELD = "file"
"""The part of a form that holds a package."""
ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")

Stamp = tuple[tuple[str, int, int, int], ...]

_log = logging.getLogger("modelport.packages")


class AssociationId(BaseModel):
    """The column by which predictions are joined with what came true."""

    model_config = ConfigDict(extra="allow")
    column_name: str | None = None
    allow_missing_values: bool = False


class Config(BaseModel):
    """``config.yml``."""

    model_config = ConfigDict(extra="allow")
    deployment_id: str | None = None
    association_id_settings: AssociationId = AssociationId()


class Deployment(NamedTuple):
    """One subfolder. ``contents`` is None where there is a ``fault``: then that is what clients are told."""

    name: str
    file: Path
    contents: Contents | None
    config: Config
    fault: ModelportError | None


def check_id(name: str) -> None:
    """Raises ``InvalidInput`` for what cannot be a subfolder."""
    if not ID.fullmatch(name):
        raise InvalidInput(f"{name[:200]!r} is no id: letters, digits, '.', '_' and '-' may be in it, 128 at most")


def packages_in(folder: Path) -> list[Path]:
    """The package files right in a folder."""
    try:
        return sorted(
            Path(entry.path)
            for entry in os.scandir(folder)
            if entry.name.endswith(archive.SUFFIX) and not entry.name.startswith(".") and entry.is_file()
        )
    except OSError:
        return []


def names(root: Path) -> list[str]:
    """The subfolders that could hold a package."""
    try:
        return sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and ID.fullmatch(entry.name))
    except OSError as fault:
        _log.error("cannot look into %s: %s", root, fault.strerror)
        return []


def stamp(root: Path, name: str) -> Stamp:
    """Changes when the package or the configuration of a subfolder does; empty where there is no package."""
    folder = root / name
    found = packages_in(folder)
    marks = []
    for file in [*found, folder / CONFIG] if found else []:
        try:
            seen = file.stat()
        except OSError:
            continue
        marks.append((file.name, seen.st_ino, seen.st_size, seen.st_mtime_ns))
    return tuple(marks)


def read(root: Path, name: str) -> Deployment | None:
    """What is in a subfolder; None where there is no package."""
    folder = root / name
    found = packages_in(folder)
    if not found:
        return None
    try:
        config = _config(folder / CONFIG)
        if len(found) > 1:
            raise BadPackage(f"{name} holds {len(found)} packages; one was expected")
        return Deployment(name, found[0], archive.read(found[0]), config, None)
    except ModelportError as fault:
        _log.warning("%s: %s", name, fault.describe())
        return Deployment(name, found[0], None, Config(), fault)


def _config(file: Path) -> Config:
    """Raises ``ConfigError``."""
    try:
        with file.open("rb") as opened:
            text = opened.read(MAX_CONFIG).decode()
        config = Config.model_validate(yaml.safe_load(text) or {})
    except FileNotFoundError:
        return Config()
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as fault:
        raise ConfigError(f"{file.name} cannot be read: {' '.join(str(fault).split())[:300]}") from None
    except ValidationError as fault:
        raise ConfigError(f"{file.name} has faults", faults=explain(fault)) from None
    unknown = [*(config.model_extra or ()), *(config.association_id_settings.model_extra or ())]
    if unknown:
        _log.warning("%s: unknown: %s", file, ", ".join(map(str, unknown)))
    return config


# --- changes ---------------------------------------------------------------------------------------------


def put(root: Path, name: str, body: Any, content_type: str, cache: Path, limit: int) -> bool:
    """Stores a package, as such or as the part ``file`` of a form; True where there was none.

    ``body`` is bytes, or has a ``fileno`` and a ``size``. Until everything is checked, what was there before stays.
    Raises ``BadPackage``, ``InvalidBody``, ``StorageFull``.
    """
    folder = root / name
    if folder.is_symlink():
        raise InvalidInput(f"{name} is a link")
    had = packages_in(folder)
    try:
        is_new_folder = not folder.exists()
        folder.mkdir(exist_ok=True)
        try:
            _put(
                folder,
                had[0] if len(had) == 1 else folder / f"{name}{archive.SUFFIX}",
                body,
                content_type,
                cache,
                limit,
            )
        except BaseException:
            if is_new_folder:
                folder.rmdir()
            raise
    except OSError as fault:
        if fault.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageFull("there is no room for the package") from None
        raise ModelportError(f"the package cannot be stored: {fault.strerror}") from None
    for other in had if len(had) > 1 else ():
        other.unlink(missing_ok=True)
    return not had


def _put(folder: Path, target: Path, body: Any, content_type: str, cache: Path, limit: int) -> None:
    descriptor, staging = tempfile.mkstemp(prefix=UPLOAD, dir=folder)
    place = Path(staging)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _copy(body, content_type, file)
            file.flush()
            os.fsync(file.fileno())
        archive.unpack(place, cache, limit)
        place.chmod(0o644)
        place.replace(target)
    finally:
        place.unlink(missing_ok=True)
    _sync(folder)


def _copy(body: Any, content_type: str, file: Any) -> None:
    is_form = content_type.lower().startswith("multipart/form-data")
    if not hasattr(body, "fileno"):
        file.write(_part(body, content_type) if is_form else body)
    elif is_form:
        with mmap.mmap(body.fileno(), body.size, prot=mmap.PROT_READ) as whole, memoryview(whole) as view:
            found = _part(view, content_type)
            file.write(found)
            found.release()
    else:
        for chunk in body.chunks():
            file.write(chunk)


def _part(body: Any, content_type: str) -> Any:
    for part in multipart.parts(body, content_type):
        if part.name == FIELD:
            return part.data
    raise InvalidBody(f"the form must hold the package as {FIELD!r}")


def remove(root: Path, name: str) -> None:
    """Removes the packages of a subfolder, and the subfolder where nothing else is in it. Raises ``NotFound``."""
    folder = root / name
    found = packages_in(folder)
    if not found or folder.is_symlink():
        raise NotFound(f"deployment {name!r} not found")
    for file in found:
        file.unlink(missing_ok=True)
    if {entry.name for entry in os.scandir(folder)} <= {CONFIG}:
        (folder / CONFIG).unlink(missing_ok=True)
        folder.rmdir()
    _sync(root)


def sweep(root: Path) -> None:
    """Removes what uploads left that a killed process had begun."""
    for left in root.glob(f"*/{UPLOAD}*"):
        left.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

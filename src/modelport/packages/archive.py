"""Package files: a zip whose first entry, modelport.json, tells of the model and of every file behind it.

An archive may come from anywhere, so nothing of it is believed: bounds are checked before anything is read, names
before anything is written, hashes before anything is used, and what is unpacked is seen whole or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import struct
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Any, Literal, NamedTuple

from pydantic import ConfigDict, Field, ValidationError

from modelport.errors import InvalidInput, SetupError
from modelport.packages.card import Card
from modelport.packages.manifest import explain

SUFFIX = ".mlpkg"
FIRST = "modelport.json"
FOLDER = "model/"
FORMAT: Literal["modelport/1"] = "modelport/1"

MAX_FILES = 20_000
MAX_DIRECTORY = 16 << 20
"""Bytes of the table of entries at an archive's end."""
MAX_CONTENTS = 16 << 20
"""Bytes of modelport.json."""
MAX_NAME, MAX_PART = 1000, 255
"""Bytes of a path, and of a name in it."""
CHUNK = 1 << 20

_END, _LOCATOR, _END64 = b"PK\5\6", b"PK\6\7", b"PK\6\6"
_ENCRYPTED = 1
_EPOCH = (1980, 1, 1, 0, 0, 0)


class BadPackage(InvalidInput, SetupError):
    """A file that is no package, or not one that can be trusted."""

    code = "bad_package"


class Contents(Card):
    """modelport.json: the card, whose platform's code it is (``runtime``), and the SHA-256 of each file."""

    model_config = ConfigDict(extra="ignore")
    format: Literal["modelport/1"]
    runtime: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
    createdAt: str | None = None
    files: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]]

    @property
    def card(self) -> dict[str, Any]:
        """The part that is told to whoever serves the model."""
        return {name: value for name, value in self.plain().items() if name in Card.model_fields}


class Opened(NamedTuple):
    """A package that was checked and unpacked. ``digest`` is that of modelport.json, hence of everything."""

    folder: Path
    contents: Contents
    digest: str


# --- reading ---------------------------------------------------------------------------------------------


def read(path: Path) -> Contents:
    """What a package says of itself; its files are not looked at. Raises ``BadPackage``."""
    with _opened(path) as archive:
        return _contents(archive, path)[0]


def unpack(path: Path, cache: Path, limit: int) -> Opened:
    """The package's files below ``cache``, in a folder named after their content, with every hash verified.

    ``limit`` is the bytes that they may have in all. Raises ``BadPackage``, and ``SetupError`` where the cache cannot
    be written.
    """
    with _opened(path) as archive:
        contents, digest = _contents(archive, path)
        entries = _entries(archive, contents, path, limit)
        folder = cache / digest
        if _holds(folder, contents):
            return Opened(folder / FOLDER, contents, digest)
        try:
            cache.mkdir(mode=0o700, parents=True, exist_ok=True)
            staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=cache))
        except OSError as fault:
            raise _unwritable(cache, fault) from None
        try:
            for entry in entries:
                _extract(archive, entry, staging / entry.filename, contents.files[entry.filename], path)
            _settle(staging, folder, contents)
        except OSError as fault:
            raise _unwritable(cache, fault) from None
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return Opened(folder / FOLDER, contents, digest)


def sweep(cache: Path) -> None:
    """Removes what a process left that was killed while it unpacked."""
    for left in cache.glob(".staging-*"):
        shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive, within bounds. Whatever is wrong with it while it is open becomes ``BadPackage``."""
    try:
        with path.open("rb") as file:
            _check_directory(file, path)
            with zipfile.ZipFile(file) as archive:
                yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError, struct.error) as fault:
        raise BadPackage(f"{path.name} is damaged, or no zip archive: {fault}") from None
    except FileNotFoundError:
        raise BadPackage(f"there is no package {path.name}") from None
    except OSError as fault:
        raise BadPackage(f"{path.name} cannot be read: {fault.strerror or fault}") from None


def _check_directory(file: IO[bytes], path: Path) -> None:
    """The table of entries is read in one go, so its size must be known to be small before."""
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - (22 + 0xFFFF))
    file.seek(start)
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) < at + 22:
        raise BadPackage(f"{path.name} is damaged, or no zip archive: it has no end")
    count, length = struct.unpack_from("<HI", tail, at + 10)
    if at >= 20 and tail[at - 20 : at - 16] == _LOCATOR:
        (place,) = struct.unpack_from("<Q", tail, at - 12)
        file.seek(min(place, size))
        record = file.read(56)
        if len(record) < 56 or record[:4] != _END64:
            raise BadPackage(f"{path.name} is damaged: its end points nowhere")
        count, length = struct.unpack_from("<QQ", record, 32)
    if count > MAX_FILES or length > MAX_DIRECTORY:
        raise BadPackage(f"{path.name} has {count} files; {MAX_FILES} at most are unpacked")
    file.seek(0)


def _contents(archive: zipfile.ZipFile, path: Path) -> tuple[Contents, str]:
    entries = archive.infolist()
    first = min(entries, key=lambda entry: entry.header_offset, default=None)
    if first is None or first.filename != FIRST or first.header_offset:
        raise BadPackage(
            f"{path.name} does not begin with {FIRST}: it is no package of this server, and other products' files of "
            "the same name cannot be read",
            hint="modelport pack DIR -o FILE makes a package",
        )
    _check_entry(first, path)
    if first.file_size > MAX_CONTENTS:
        raise BadPackage(f"{path.name}: {FIRST} is over {MAX_CONTENTS} bytes")
    with archive.open(first) as file:
        raw = file.read(MAX_CONTENTS + 1)
    try:
        contents = Contents.model_validate(json.loads(raw))
    except ValidationError as fault:
        raise BadPackage(f"{path.name}: {FIRST} has faults", faults=explain(fault)[:20]) from None
    except (ValueError, RecursionError) as fault:
        raise BadPackage(f"{path.name}: {FIRST} is not JSON: {fault}") from None
    _check_names(contents, path)
    return contents, hashlib.sha256(raw).hexdigest()


def _check_names(contents: Contents, path: Path) -> None:
    """Every path stays below the folder, and is the only one of its spelling, also where case does not count."""
    files, folders = set[str](), set[str]()
    for name in contents.files:
        parts = name.split("/")
        is_plain = name.startswith(FOLDER) and name.isprintable() and "\\" not in name and ":" not in name
        if not is_plain or {"", ".", ".."} & set(parts):
            raise BadPackage(f"{path.name} has a file {name[:200]!r}, which is no path below {FOLDER}")
        if len(name.encode()) > MAX_NAME or any(len(part.encode()) > MAX_PART for part in parts):
            raise BadPackage(f"{path.name} has a file with too long a name: {name[:80]!r}…")
        spelled = unicodedata.normalize("NFC", name).casefold()
        if spelled in files:
            raise BadPackage(f"{path.name} has {name[:200]!r} twice, in upper and lower case or in two spellings")
        files.add(spelled)
        above = spelled.split("/")
        folders.update("/".join(above[:depth]) for depth in range(1, len(above)))
    if files & folders:
        raise BadPackage(f"{path.name} has {min(files & folders)[:200]!r} as a file and as a folder")


def _check_entry(entry: zipfile.ZipInfo, path: Path) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG) or entry.is_dir():
        raise BadPackage(f"{path.name}: {entry.filename[:200]!r} is no plain file")
    if entry.flag_bits & _ENCRYPTED:
        raise BadPackage(f"{path.name}: {entry.filename[:200]!r} is encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BadPackage(f"{path.name}: {entry.filename[:200]!r} is neither stored nor deflated")


def _entries(archive: zipfile.ZipFile, contents: Contents, path: Path, limit: int) -> list[zipfile.ZipInfo]:
    """Those of the listed files, each exactly once."""
    entries = [entry for entry in archive.infolist() if entry.filename != FIRST]
    names = [entry.filename for entry in entries]
    if len(archive.infolist()) != len(set(names)) + 1:
        raise BadPackage(f"{path.name} has two entries of one name")
    strange = sorted(set(names) ^ contents.files.keys())
    if strange:
        what = "is not listed" if strange[0] in names else "is missing"
        raise BadPackage(f"{path.name}: {strange[0][:200]!r} {what} (by {FIRST})")
    for entry in entries:
        _check_entry(entry, path)
    total = sum(entry.file_size for entry in entries)
    if total > limit:
        raise BadPackage(f"{path.name} holds {total} bytes; {limit} at most are unpacked", hint="--max-package")
    return entries


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, place: Path, digest: str, path: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    known = hashlib.sha256()
    with archive.open(entry) as source, place.open("xb") as file:
        while data := source.read(CHUNK):
            known.update(data)
            file.write(data)
    if known.hexdigest() != digest:
        raise BadPackage(f"{path.name}: {entry.filename[:200]!r} is not what {FIRST} says (its hash differs)")


def _settle(staging: Path, folder: Path, contents: Contents) -> None:
    """Gives what was unpacked its name. What has it already stays if it is right, else it goes."""
    (staging / FOLDER).mkdir(exist_ok=True)
    for _ in range(2):
        try:
            staging.rename(folder)
        except OSError:
            if _holds(folder, contents):
                return
            shutil.rmtree(folder)
        else:
            return
    staging.rename(folder)


def _holds(folder: Path, contents: Contents) -> bool:
    """Whether each file is there as it should be."""
    try:
        return (folder / FOLDER).is_dir() and all(
            hashed(folder / name) == digest for name, digest in contents.files.items()
        )
    except OSError:
        return False


def _unwritable(cache: Path, fault: OSError) -> SetupError:
    return SetupError(f"packages cannot be unpacked into {cache}: {fault.strerror or fault}", hint="--cache-dir DIR")


def hashed(file: Path) -> str:
    """The SHA-256 of a plain file, in hexadecimal. Raises ``OSError``, also for links."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


# --- writing ---------------------------------------------------------------------------------------------

LEFT_OUT = ("__pycache__", ".git")
"""What a folder may hold and a package does without."""


def write(folder: Path, runtime: str, card: Card, target: Path) -> Contents:
    """Packs a folder; the same files and card make the same bytes. Raises ``SetupError``.

    Nothing is seen under the target's name before it is whole.
    """
    files = {FOLDER + name: folder / name for name in _files(folder, target)}
    if len(files) > MAX_FILES:
        raise SetupError(f"{folder} has {len(files)} files; {MAX_FILES} at most go into a package")
    digests = {name: hashed(file) for name, file in files.items()}
    plain = {**card.plain(), "format": FORMAT, "runtime": runtime, "createdAt": _moment(), "files": digests}
    if plain["modelId"] is None:
        plain["modelId"] = hashlib.sha256(_json(plain)).hexdigest()[:24]
    contents = Contents.model_validate(plain)
    _check_names(contents, target)
    raw = _json({"format": FORMAT, **plain})
    staging = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(staging, "x") as archive:
            _put(archive, FIRST, raw)
            for name, file in files.items():
                _put(archive, name, file)
        staging.replace(target)
    except OSError as fault:
        raise SetupError(f"cannot write {target}: {fault.strerror or fault}") from None
    finally:
        staging.unlink(missing_ok=True)
    return contents


def _files(folder: Path, target: Path) -> list[str]:
    found = []
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT)
        for name in (*names, *folders):
            place = Path(top, name)
            if place.is_symlink() or not (place.is_file() or place.is_dir()):
                raise SetupError(f"{place} is no plain file", hint="packages hold no links: put a copy in its place")
        found += [str(Path(top, name).relative_to(folder)) for name in names if Path(top, name) != target.resolve()]
    return sorted(name for name in found if not name.endswith(".pyc"))


def _json(plain: dict[str, Any]) -> bytes:
    return json.dumps(plain, indent=1, ensure_ascii=False).encode() + b"\n"


def _moment() -> str | None:
    """The time that reproducible builds are given; any other would make each package a different one."""
    import datetime

    stated = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not stated.isdecimal():
        return None
    return datetime.datetime.fromtimestamp(int(stated), datetime.UTC).isoformat().replace("+00:00", "Z")


def _put(archive: zipfile.ZipFile, name: str, source: bytes | Path) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    entry.file_size = len(source) if isinstance(source, bytes) else source.stat().st_size
    with archive.open(entry, "w") as file:
        if isinstance(source, bytes):
            file.write(source)
            return
        with source.open("rb") as opened:
            shutil.copyfileobj(opened, file, CHUNK)

"""Packages: the same bytes each time, and nothing of a hostile one ever reaches the disk or a worker."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelport.config import Settings
from modelport.errors import SetupError
from modelport.packages import archive
from modelport.packages.archive import BadPackage
from modelport.packages.card import Card
from modelport.packages.find import find

LIMIT = 1 << 20
CODE = "def score(data, model, **kwargs):\n    return data\n"
FILES = {"model/custom.py": CODE.encode(), "model/deep/er/data.csv": b"a,b\n1,2\n"}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def contents(files: dict[str, bytes], **more: Any) -> bytes:
    listed = {name: digest(data) for name, data in files.items()}
    return json.dumps({"format": "modelport/1", "runtime": "drum", "files": listed, **more}).encode()


def entry(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


def write(place: Path, files: dict[str, bytes] = FILES, first: bytes | None = None, **more: Any) -> Path:
    with zipfile.ZipFile(place, "w") as made:
        made.writestr("modelport.json", contents(files, **more) if first is None else first)
        for name, data in files.items():
            made.writestr(entry(name), data, zipfile.ZIP_DEFLATED)
    return place


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "in" / "m.mlpkg"


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()


def outside(tmp_path: Path) -> dict[str, str]:
    """Everything that is on disk around the cache."""
    return {str(file): digest(file.read_bytes()) for file in tmp_path.rglob("*") if file.is_file()}


def refused(place: Path, tmp_path: Path) -> str:
    """The message; nothing was written anywhere, nor left in the cache."""
    before = outside(tmp_path)
    with pytest.raises(BadPackage) as caught:
        archive.unpack(place, tmp_path / "cache", LIMIT)
    assert outside(tmp_path) == before
    assert list((tmp_path / "cache").glob("*")) == []
    assert "\n" not in caught.value.describe()
    return caught.value.describe()


# --- the good ones ---------------------------------------------------------------------------------------


def test_what_was_packed_is_unpacked_with_a_card(tmp_path: Path, place: Path) -> None:
    opened = archive.unpack(write(place, target={"name": "y", "type": "regression"}), tmp_path / "cache", LIMIT)
    found = {str(file.relative_to(opened.folder)): file.read_bytes() for file in opened.folder.rglob("*.*")}
    assert found == {name.removeprefix("model/"): data for name, data in FILES.items()}
    assert opened.contents.card["target"]["name"] == "y"
    assert "files" not in opened.contents.card


def test_the_same_package_is_unpacked_once(tmp_path: Path, place: Path) -> None:
    write(place)
    first = archive.unpack(place, tmp_path / "cache", LIMIT)
    stamp = (first.folder / "custom.py").stat().st_ino
    again = archive.unpack(place, tmp_path / "cache", LIMIT)
    assert again.folder == first.folder
    assert (again.folder / "custom.py").stat().st_ino == stamp


@pytest.mark.parametrize("harm", ["changed", "removed", "linked"])
def test_what_was_changed_in_the_cache_is_not_used(tmp_path: Path, place: Path, harm: str) -> None:
    write(place)
    file = archive.unpack(place, tmp_path / "cache", LIMIT).folder / "custom.py"
    file.unlink()
    if harm == "changed":
        file.write_text("raise SystemExit")
    elif harm == "linked":
        (tmp_path / "same.py").write_text(CODE)
        file.symlink_to(tmp_path / "same.py")
    again = archive.unpack(place, tmp_path / "cache", LIMIT).folder / "custom.py"
    assert again.read_text() == CODE
    assert not again.is_symlink()


def test_leftovers_of_a_killed_process_are_swept(tmp_path: Path) -> None:
    (tmp_path / "cache" / ".staging-x" / "model").mkdir(parents=True)
    archive.sweep(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_packing_makes_the_same_bytes_from_the_same_files(tmp_path: Path) -> None:
    made = []
    for number in range(2):
        folder = tmp_path / f"folder{number}"
        for name in ("b.py", "a/c.py", "__pycache__/b.pyc", ".git/config"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(name)
            os.utime(folder / name, (number * 1000, number * 1000))
        archive.write(folder, "drum", Card(), tmp_path / f"{number}.mlpkg")
        made.append((tmp_path / f"{number}.mlpkg").read_bytes())
    assert made[0] == made[1]
    opened = archive.read(tmp_path / "0.mlpkg")
    assert sorted(opened.files) == ["model/a/c.py", "model/b.py"]
    assert opened.createdAt is None
    assert len(str(opened.modelId)) == 24


def test_the_time_of_a_reproducible_build_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    archive.write(tmp_path / "in", "drum", Card(), tmp_path / "m.mlpkg")
    assert archive.read(tmp_path / "m.mlpkg").createdAt == "1970-01-02T00:00:00Z"


def test_a_folder_with_links_is_not_packed(tmp_path: Path) -> None:
    (tmp_path / "in" / "link.py").symlink_to("/etc/hostname")
    with pytest.raises(SetupError, match=r"link\.py is no plain file"):
        archive.write(tmp_path / "in", "drum", Card(), tmp_path / "m.mlpkg")
    assert list(tmp_path.glob("*.mlpkg*")) + list(tmp_path.glob(".*")) == []


def test_a_package_is_found_like_a_folder(tmp_path: Path, place: Path) -> None:
    write(place, target={"name": "y", "type": "regression"}, modelId="m1")
    (spec,) = find(str(place), Settings(cache_dir=str(tmp_path / "cache")))
    assert (spec.name, spec.contract, spec.version, spec.path) == ("m", "drum", "m1", str(place))
    assert spec.options["target"] == "regression"
    assert spec.card is not None
    assert spec.card["target"]["name"] == "y"


# --- the bad ones ----------------------------------------------------------------------------------------

NAMES = [
    "../evil.py", "model/../../evil.py", "/etc/evil", "model//x", "model/./x", "model/", "model", "other/x.py",
    "model\\..\\evil.py", "model/C:evil", "model/a\nb", "model/a\x00b", "model/" + "x" * 256,
    "model/" + "x/" * 600 + "y",    "model/\u202ex", "C:\\evil.py",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_paths_that_lead_elsewhere_are_refused(tmp_path: Path, place: Path, name: str) -> None:
    refused(write(place, {**FILES, name: b"x"}), tmp_path)
    refused(write(place, FILES, contents({**FILES, name: b"x"})), tmp_path)


@pytest.mark.parametrize(
    "files",
    [
        {"model/a.py": b"", "model/A.py": b""},
        {"model/\u00e9": b"", "model/e\u0301": b""},
        {"model/a": b"", "model/a/b": b""},
        {"model/A": b"", "model/a/b": b""},
    ],
)
def test_names_that_some_disk_takes_for_one_are_refused(tmp_path: Path, place: Path, files: dict[str, bytes]) -> None:
    refused(write(place, files), tmp_path)


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFDIR])
def test_links_and_devices_are_refused(tmp_path: Path, place: Path, mode: int) -> None:
    files = {"model/custom.py": b"/etc/passwd"}
    with zipfile.ZipFile(place, "w") as made:
        made.writestr("modelport.json", contents(files))
        made.writestr(entry("model/custom.py", mode | 0o777), b"/etc/passwd")
    assert "no plain file" in refused(place, tmp_path)


def test_an_entry_twice_is_refused(tmp_path: Path, place: Path) -> None:
    with zipfile.ZipFile(place, "w") as made:
        made.writestr("modelport.json", contents(FILES))
        for name, data in [*FILES.items(), ("model/custom.py", b"evil")]:
            with pytest.warns(UserWarning, match="Duplicate") if data == b"evil" else nothing():
                made.writestr(entry(name), data)
    assert "two entries" in refused(place, tmp_path)


class nothing:  # noqa: N801
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


@pytest.mark.parametrize("name", list(FILES))
def test_a_wrong_hash_is_refused(tmp_path: Path, place: Path, name: str) -> None:
    listed = contents({**FILES, name: FILES[name] + b" "})
    assert "hash" in refused(write(place, FILES, listed), tmp_path)


def test_files_and_list_must_agree(tmp_path: Path, place: Path) -> None:
    assert "not listed" in refused(write(place, {**FILES, "model/x": b""}, contents(FILES)), tmp_path)
    assert "missing" in refused(write(place, FILES, contents({**FILES, "model/x": b""})), tmp_path)


def test_a_bomb_is_refused_before_it_unfolds(tmp_path: Path, place: Path) -> None:
    zeros = bytes(LIMIT + 1)
    assert place.parent.exists()
    assert str(LIMIT) in refused(write(place, {"model/zeros": zeros}), tmp_path)
    assert place.stat().st_size < 10_000


def test_a_size_that_lies_is_found_out(tmp_path: Path, place: Path) -> None:
    """The entry says 5 bytes, and unfolds to a million."""
    zeros = bytes(1_000_000)
    write(place, {"model/zeros": zeros})
    raw = place.read_bytes().replace(struct.pack("<I", len(zeros)), struct.pack("<I", 5))
    place.write_bytes(raw)
    refused(place, tmp_path)


def test_a_million_entries_are_refused_unread(tmp_path: Path, place: Path) -> None:
    write(place)
    raw = bytearray(place.read_bytes())
    at = raw.rfind(b"PK\5\6")
    struct.pack_into("<HHI", raw, at + 8, 0xFFFE, 0xFFFE, 0x7FFFFFFF)
    place.write_bytes(raw)
    assert "files" in refused(place, tmp_path)


def test_a_million_entries_of_a_large_archive_are_refused_unread(tmp_path: Path, place: Path) -> None:
    write(place)
    raw = place.read_bytes()
    at = raw.rfind(b"PK\5\6")
    record = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 10**6, 10**6, 50 * 10**6, 0)
    locator = b"PK\6\7" + struct.pack("<IQI", 0, at, 1)
    place.write_bytes(raw[:at] + record + locator + raw[at:])
    assert "1000000 files" in refused(place, tmp_path)


FIRSTS: list[bytes] = [
    b"", b"[]", b"{", b"\xff", b"null", b"[" * 100_000,
    json.dumps({"format": "modelport/2", "runtime": "drum", "files": {}}).encode(),
    json.dumps({"format": "modelport/1", "runtime": "../x", "files": {}}).encode(),
    json.dumps({"format": "modelport/1", "runtime": "drum", "files": {"model/x": "zz"}}).encode(),
    json.dumps({"format": "modelport/1", "runtime": "drum", "files": {}, "target": {"type": "odd"}}).encode(),
]  # fmt: skip


@pytest.mark.parametrize("first", FIRSTS, ids=range(len(FIRSTS)))
def test_a_broken_description_is_refused(tmp_path: Path, place: Path, first: bytes) -> None:
    assert "modelport.json" in refused(write(place, {}, first), tmp_path)


def test_the_description_must_come_first(tmp_path: Path, place: Path) -> None:
    """So that a file of another product with the same suffix is told apart at once."""
    with zipfile.ZipFile(place, "w") as made:
        made.writestr("model/custom.py", CODE)
        made.writestr("modelport.json", contents({"model/custom.py": CODE.encode()}))
    assert "cannot be read" in refused(place, tmp_path)
    place.write_bytes(b"#!/bin/sh\n" + write(place).read_bytes())
    assert "modelport.json" in refused(place, tmp_path)


def test_cut_and_flipped_archives_are_refused(tmp_path: Path, place: Path) -> None:
    """Each length, and each bit of a byte in twenty; what still opens has all of its files as they were."""
    raw = write(place).read_bytes()
    for length in range(0, len(raw), 7):
        place.write_bytes(raw[:length])
        refused(place, tmp_path)
    for at in range(0, len(raw), 5):
        broken = bytearray(raw)
        broken[at] ^= 1 << (at % 8)
        place.write_bytes(broken)
        try:
            opened = archive.unpack(place, tmp_path / "other", LIMIT)
        except BadPackage:
            continue
        assert {name: digest((opened.folder.parent / name).read_bytes()) for name in FILES} == {
            name: digest(data) for name, data in FILES.items()
        }


@pytest.mark.parametrize(
    "make", [lambda place: None, lambda place: place.mkdir(), lambda place: place.write_bytes(b"")], ids=range(3)
)
def test_what_is_no_archive_is_refused(tmp_path: Path, place: Path, make: Callable[[Path], Any]) -> None:
    make(place)
    refused(place, tmp_path)


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, place: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="cannot be unpacked") as caught:
        archive.unpack(write(place), tmp_path / "file" / "cache", LIMIT)
    assert caught.value.hint == "--cache-dir DIR"


@pytest.mark.parametrize(
    ("card", "fault"),
    [
        ({"target": {"type": "binary", "classLabels": ["a", "b"]}}, "positiveClass"),
        ({"target": {"type": "binary", "classLabels": ["a", "b", "c"], "positiveClass": "a"}}, "two classLabels"),
        ({"target": {"type": "multiclass", "classLabels": ["a", "a"]}}, "different"),
        ({"target": {"type": "regression", "classLabels": ["a", "b"]}}, "no classLabels"),
        ({"target": {"threshold": 2}}, "less than or equal"),
        ({"features": [{"name": "a"}, {"name": "a"}]}, "twice"),
        ({"features": [{"name": "a", "type": "odd"}]}, "type"),
        ({"timeSeries": {"dateColumn": "d", "featureDerivationWindow": [0, 1], "forecastWindow": [1, 2]}}, "below 0"),
        ({"timeSeries": {"dateColumn": "d", "featureDerivationWindow": [-2, 0], "forecastWindow": [3, 2]}}, "as much"),
        ({"odd": 1}, "odd"),
    ],
)
def test_cards_that_do_not_fit_are_refused(card: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Card.model_validate(card)

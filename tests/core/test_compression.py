"""Compressed bodies: unpacked within the limit, or refused."""

from __future__ import annotations

import gzip
import time
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport.core.compression import MAX_MEMBERS, decompress
from modelport.errors import BodyTooLarge, InvalidBody

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "identity": bytes,
}
PACKED = ["gzip", "x-gzip", "deflate"]


@given(plain=st.binary(max_size=300), encoding=st.sampled_from(sorted(PACKERS)), spare=st.integers(0, 5))
def test_round_trip_up_to_the_limit(plain: bytes, encoding: str, spare: int) -> None:
    packed = PACKERS[encoding](plain)
    assert decompress(packed, encoding, len(plain) + spare) == plain
    assert decompress(memoryview(packed), f" {encoding.upper()} ", len(plain)) == plain


@given(plain=st.binary(min_size=1, max_size=300), encoding=st.sampled_from(PACKED), data=st.data())
def test_over_the_limit(plain: bytes, encoding: str, data: st.DataObject) -> None:
    limit = data.draw(st.integers(0, len(plain) - 1))
    with pytest.raises(BodyTooLarge):
        decompress(PACKERS[encoding](plain), encoding, limit)


@given(plain=st.binary(min_size=1, max_size=300), encoding=st.sampled_from(PACKED), data=st.data())
def test_cut_short(plain: bytes, encoding: str, data: st.DataObject) -> None:
    packed = PACKERS[encoding](plain)
    with pytest.raises(InvalidBody):
        decompress(packed[: data.draw(st.integers(0, len(packed) - 1))], encoding, 1000)


@given(parts=st.lists(st.binary(max_size=30), min_size=1, max_size=5))
def test_gzip_files_in_a_row_are_one(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    packed = b"".join(map(gzip.compress, parts))
    assert decompress(packed, "gzip", len(whole)) == whole
    if whole:
        with pytest.raises(BodyTooLarge):
            decompress(packed, "gzip", len(whole) - 1)


@pytest.mark.parametrize("encoding", PACKED)
def test_more_behind_the_end_is_refused(encoding: str) -> None:
    with pytest.raises(InvalidBody):
        decompress(PACKERS[encoding](b"a") + b"more", encoding, 1000)


@given(garbage=st.binary(max_size=60), encoding=st.sampled_from(PACKED))
def test_garbage(garbage: bytes, encoding: str) -> None:
    with pytest.raises(InvalidBody):
        decompress(b"\0" + garbage, encoding, 1000)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "gzip,deflate", "", "x" * 1000])
def test_unknown_encodings(encoding: str) -> None:
    with pytest.raises(InvalidBody, match="not supported") as caught:
        decompress(b"", encoding, 1000)
    assert len(caught.value.message) < 120


def test_a_bomb_costs_no_more_than_the_limit() -> None:
    bomb = gzip.compress(b"\0" * (256 << 20), 9)
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            decompress(bomb, "gzip", 1 << 20)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_endless_empty_members_are_refused_quickly() -> None:
    begin = time.perf_counter()
    with pytest.raises(InvalidBody, match="more behind"):
        decompress(gzip.compress(b"") * (MAX_MEMBERS * 100), "gzip", 1000)
    assert time.perf_counter() - begin < 1

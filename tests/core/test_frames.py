"""Frames cut out of a stream, wherever it was cut before."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport.core import frames
from modelport.core.frames import HEAD, MAX_META, SPOOLED, BrokenFrame, Frame, FrameBuffer, pack
from tests.core.strategies import json_values

messages = st.lists(
    st.tuples(
        st.integers(0, 255),
        json_values,
        st.binary(max_size=50),
        st.integers(0, 65535),
        st.none() | st.integers(0, 2**63),
    ),
    min_size=1,
    max_size=5,
)


def packed(message: tuple[int, Any, bytes, int, int | None]) -> bytes:
    kind, meta, body, following, spooled = message
    return b"".join(pack(kind, meta, body, following=following, spooled=spooled))


def expected(message: tuple[int, Any, bytes, int, int | None]) -> Frame:
    kind, meta, body, following, spooled = message
    if spooled is None:
        return Frame(kind, 0, following, meta, body, 0)
    return Frame(kind, SPOOLED, following, meta, b"", spooled)


@given(sent=messages, cuts=st.lists(st.floats(0, 1), max_size=8))
def test_frames_come_out_as_they_went_in(sent: list[Any], cuts: list[float]) -> None:
    stream = b"".join(map(packed, sent))
    at = sorted({0, len(stream), *(int(cut * len(stream)) for cut in cuts)})
    buffer = FrameBuffer(100)
    got = [frame for start, end in itertools.pairwise(at) for frame in buffer.feed(stream[start:end])]
    assert got == [expected(message) for message in sent]


@given(sent=messages)
def test_byte_by_byte(sent: list[Any]) -> None:
    buffer = FrameBuffer(100)
    stream = b"".join(map(packed, sent))
    got = [frame for at in range(len(stream)) for frame in buffer.feed(stream[at : at + 1])]
    assert got == [expected(message) for message in sent]


@given(pieces=st.lists(st.binary(max_size=60), max_size=6))
def test_garbage_breaks_the_link_and_nothing_else(pieces: list[bytes]) -> None:
    buffer = FrameBuffer(1000)
    with contextlib.suppress(BrokenFrame):
        for piece in pieces:
            buffer.feed(piece)


@given(meta=st.binary(min_size=1, max_size=30), cut=st.booleans())
def test_a_broken_meta_is_a_broken_frame(meta: bytes, cut: bool) -> None:
    meta = b"\xff" + meta  # no JSON begins like that
    stream = HEAD.pack(frames.REPLY, 0, 0, len(meta), 0) + meta
    buffer = FrameBuffer(1000)
    if cut:
        assert buffer.feed(stream[:5]) == []
        stream = stream[5:]
    with pytest.raises(BrokenFrame, match="unreadable meta"):
        buffer.feed(stream)


@pytest.mark.parametrize(
    ("flags", "meta", "body"),
    [(0, 0, 101), (0, 0, 2**64 - 1), (0, MAX_META + 1, 0), (SPOOLED, 2**32 - 1, 0)],
)
@pytest.mark.parametrize("cut", [0, 3])
def test_too_large_an_announcement_is_refused_before_it_comes(flags: int, meta: int, body: int, cut: int) -> None:
    head = HEAD.pack(frames.REPLY, flags, 0, meta, body)
    buffer = FrameBuffer(100)
    assert buffer.feed(head[:cut]) == []
    with pytest.raises(BrokenFrame, match="over the limit"):
        buffer.feed(head[cut:])


def test_the_limit_itself_is_allowed() -> None:
    (frame,) = FrameBuffer(100).feed(b"".join(pack(frames.REPLY, None, b"x" * 100)))
    assert frame.body == b"x" * 100

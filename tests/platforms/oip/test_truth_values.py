"""The quick look for truth values in a request finds every one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from modelport.protocols.oip.codec import _has_booleans

PIECES = st.sampled_from([b"true", b"false", b"tru", b"alse", b"u", b"l", b"e", b",", b"[1.5", b'"null"', b"uu", b"ll"])


@given(st.lists(PIECES, max_size=40).map(b"".join))
def test_no_truth_value_is_missed(text: bytes) -> None:
    assert _has_booleans(text) or (b"true" not in text and b"false" not in text)


@given(st.lists(st.floats(allow_nan=False), max_size=50).map(lambda values: repr(values).encode()))
def test_numbers_are_none(text: bytes) -> None:
    assert not _has_booleans(b'{"inputs":[{"name":"x","shape":[9],"datatype":"FP64","data":' + text + b"}]}")


def test_a_text_full_of_their_letters_is_not_searched_to_the_end() -> None:
    assert _has_booleans(b"u" * 1000)

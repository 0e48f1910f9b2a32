"""Forms of several parts: what common clients send is read byte for byte, and what is broken is refused."""

from __future__ import annotations

import contextlib
import mmap
import tempfile
import time
import tracemalloc
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests import Request
from urllib3.filepost import encode_multipart_formdata

from modelport.core.multipart import MAX_FALSE, MAX_HEAD, MAX_PARTS, Part, parts
from modelport.errors import InvalidBody

FORM = "multipart/form-data; boundary=b"
DISPOSITION = b'Content-Disposition: form-data; name="X"'


def form(*pieces: bytes, boundary: bytes = b"b") -> bytes:
    return b"".join(b"--" + boundary + b"\r\n" + piece + b"\r\n" for piece in pieces) + b"--" + boundary + b"--\r\n"


def one(body: bytes, content_type: str = FORM) -> Part:
    (part,) = parts(body, content_type)
    return part


def field(disposition: str | bytes) -> Part:
    text = disposition if isinstance(disposition, bytes) else disposition.encode()
    return one(form(b"Content-Disposition: " + text + b"\r\n\r\ndata"))


# --- what clients send -----------------------------------------------------------------------------------

# What looks like a delimiter, or nearly.
contents = st.lists(st.sampled_from([b"\r\n", b"--", b"b", b"--b", b"\r\n--", b"\r\n--b", b"\n", b"\0\xff", b"a"])).map(
    b"".join
)
words = st.text(
    st.characters(codec="utf-8", exclude_categories=["C"], exclude_characters='"\\'), min_size=1, max_size=8
)
files = st.lists(st.tuples(words, st.none() | words, contents, st.sampled_from([None, "text/csv", "a/b"])), max_size=4)
boundaries = st.text(st.sampled_from("b-'()+_./=?0"), min_size=1, max_size=70).filter(lambda b: b.strip() == b)


@given(fields=files, boundary=boundaries)
def test_what_urllib3_makes(fields: list[Any], boundary: str) -> None:
    encoded = [(name, (filename, data, kind)) for name, filename, data, kind in fields]
    if any(f"\r\n--{boundary}" in f"\r\n{data.decode('latin-1')}\r\n" for *_, data, _ in fields):
        return  # a client chooses a boundary that its data does not hold
    body, _ = encode_multipart_formdata(encoded, boundary=boundary)
    got = parts(memoryview(body), f'multipart/form-data; boundary="{boundary}"')
    assert [(part.name, part.filename, bytes(part.data), part.content_type) for part in got] == fields


@given(fields=st.lists(st.tuples(words, words, contents), min_size=1, max_size=4))
def test_what_requests_and_httpx_make(fields: list[Any]) -> None:
    pairs: Any = [(name, (filename, data, "text/csv")) for name, filename, data in fields]
    one_way = Request("POST", "http://h/", files=pairs).prepare()
    other = httpx2.Request("POST", "http://h/", files=pairs)
    assert isinstance(one_way.body, bytes)
    for body, content_type in (
        (one_way.body, one_way.headers["Content-Type"]),
        (other.read(), other.headers["content-type"]),
    ):
        got = parts(body, content_type)
        assert [(part.name, part.filename, bytes(part.data)) for part in got] == fields
        assert {part.content_type for part in got} == {"text/csv"}


@pytest.mark.parametrize(
    ("disposition", "name", "filename"),
    [
        ('form-data; name="X"', "X", None),
        ("form-data; name=X; filename=a.csv", "X", "a.csv"),
        ('FORM-DATA ;NAME = "X" ; FileName="a;b=c.csv" ;', "X", "a;b=c.csv"),
        ('form-data; name="X"; filename=""', "X", ""),
        ('form-data; name=""', "", None),
        ('form-data; name="X"; filename="ü ß.csv"', "X", "ü ß.csv"),
        ('form-data; name="X"; filename="ü.csv"'.encode("latin-1"), "X", "ü.csv"),
        (r'form-data; name="X"; filename="a \"b\" \\c.csv"', "X", r'a "b" \c.csv'),
        (r'form-data; name="X"; filename="C:\data\new.csv"', "X", r"C:\data\new.csv"),
        ('form-data; name="a\\"; filename="b"', "a\\", "b"),
        ('form-data; name="X"; filename="x.csv"; filename*=UTF-8\'\'%e2%82%ac%20r.csv', "X", "€ r.csv"),
        ("form-data; name=\"X\"; filename*=iso-8859-1'en'%A3.csv; filename=x.csv", "X", "£.csv"),
        ("form-data; name*=utf-8''%C3%A9", "é", None),
        ('form-data;\r\n name="X";\r\n\tfilename="f"', "X", "f"),
    ],
)
def test_names(disposition: str | bytes, name: str, filename: str | None) -> None:
    part = field(disposition)
    assert (part.name, part.filename, bytes(part.data)) == (name, filename, b"data")


def test_what_is_around_the_parts_is_left_out() -> None:
    piece = DISPOSITION + b"\r\ncontent-type: text/csv; charset=latin-1\r\nX-Other: y\r\n\r\na\r\n"
    body = b"preamble --b\r\n" + form(piece).replace(b"--b\r\n", b"--b \t\r\n") + b"epilogue\r\n--b\r\n"
    part = one(body)
    assert (bytes(part.data), part.content_type) == (b"a\r\n", "text/csv; charset=latin-1")


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data; boundary=b",
        'Multipart/Form-Data;charset=utf-8; BOUNDARY="b"',
        "multipart/form-data;boundary=b;",
    ],
)
def test_content_types(content_type: str) -> None:
    assert bytes(one(form(DISPOSITION + b"\r\n\r\n"), content_type).data) == b""


def test_no_parts_are_no_fault() -> None:
    assert parts(b"--b--", FORM) == []


def test_a_large_part_is_a_view() -> None:
    content = b"\r\n--c" * 2_000_000
    body = form(DISPOSITION + b"\r\n\r\n" + content, DISPOSITION.replace(b"X", b"Y") + b"\r\n\r\nend")
    with tempfile.TemporaryFile() as file:
        file.write(body)
        file.flush()
        mapped = memoryview(mmap.mmap(file.fileno(), len(body), access=mmap.ACCESS_READ))
        tracemalloc.start()
        try:
            first, second = parts(mapped, FORM)
            assert tracemalloc.get_traced_memory()[1] < 2 << 20
        finally:
            tracemalloc.stop()
        assert first.data == content
        assert bytes(second.data) == b"end"


@pytest.mark.parametrize("shift", range(-6, 7))
def test_a_delimiter_across_two_windows(shift: int) -> None:
    head = DISPOSITION + b"\r\n\r\n"
    content = b"x" * ((1 << 18) - len(head) - 5 + shift)
    assert len(one(form(head + content)).data) == len(content)


# --- what is broken --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "words"),
    [
        ("text/csv", "multipart/form-data was expected, not 'text/csv'"),
        ("multipart/mixed; boundary=b", "was expected"),
        ("", "was expected"),
        ("multipart/form-data", "names no boundary"),
        ('multipart/form-data; boundary=""', "names no boundary"),
        (f"multipart/form-data; boundary={'b' * 300}", "boundary that is none"),
        ("multipart/form-data; boundary=ü", "boundary that is none"),
        ('multipart/form-data; boundary="b', "cannot be read"),
        ("multipart/form-data; boundary=c", "does not hold the boundary"),
        ("multipart/form-data; (x)", "cannot be read"),
    ],
)
def test_broken_content_types(content_type: str, words: str) -> None:
    with pytest.raises(InvalidBody, match=words) as caught:
        parts(form(DISPOSITION + b"\r\n\r\n1"), content_type)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "does not hold the boundary"),
        (b"--b", "does not hold the boundary"),
        (b"--bc\r\n", "does not hold the boundary"),
        (b"x--b\r\n", "does not hold the boundary"),
        (b"--b\r\n", "cut short in part 1"),
        (b"--b\r\n" + DISPOSITION + b"\r\n\r\n1\r\n--b", "cut short in part 1"),
        (b"--b\r\n" + DISPOSITION + b"\r\n\r\n1\r\n--b-", "cut short in part 1"),
        (form(DISPOSITION + b"\r\n\r\n1")[:-6] + b"--bb--", "cut short in part 1"),
        (form(DISPOSITION + b"\r\n\r\n1", DISPOSITION + b"\r\n\r\n2")[:-9], "cut short in part 2"),
        (b"--b\r\n--b--", "part 1 has headers without end"),
        (form(DISPOSITION + b"\r\n1"), "part 1 has headers without end"),
        (form(b"\r\n1"), "part 1 has no name"),
        (form(b"Content-Type: text/csv\r\n\r\n1"), "part 1 has no name"),
        (form(DISPOSITION + b"\r\n\r\n1", b"Content-Disposition: form-data\r\n\r\n1"), "part 2 has no name"),
        (form(b'Content-Disposition: attachment; name="X"\r\n\r\n1'), "part 1 has no name"),
        (form(b"Content-Disposition\r\n\r\n1"), "header without a colon"),
        (form(DISPOSITION + b"\r\nContent-Transfer-Encoding: base64\r\n\r\nMQ=="), "encoded as 'base64'"),
        (form(b'Content-Disposition: form-data; name="X\r\n\r\n1'), "cannot be read"),
        (form(b"Content-Disposition: form-data; name=X; filename*=x\r\n\r\n1"), "UTF-8''name"),
        (form(b"Content-Disposition: form-data; name=X; filename*=utf-16''x\r\n\r\n1"), "UTF-8''name"),
        (form(b"Content-Disposition: form-data; name=X; filename*=utf-8''%ff\r\n\r\n1"), "is not utf-8"),
        (form(DISPOSITION + b"\r\nX: " + b"x" * MAX_HEAD + b"\r\n\r\n1"), "of more than 16384 bytes"),
        (form(*[DISPOSITION + b"\r\n\r\n1"] * (MAX_PARTS + 1)), "more than 1000 parts"),
    ],
)
def test_broken_bodies(body: bytes, words: str) -> None:
    with pytest.raises(InvalidBody, match=words) as caught:
        parts(body, FORM)
    assert len(caught.value.message) < 200


def test_as_many_parts_as_may_be() -> None:
    assert len(parts(form(*[DISPOSITION + b"\r\n\r\n1"] * MAX_PARTS), FORM)) == MAX_PARTS


@given(body=st.binary(max_size=200), data=st.data())
def test_any_bytes_are_read_or_refused(body: bytes, data: st.DataObject) -> None:
    whole = form(DISPOSITION + b"\r\n\r\n" + body)
    at = data.draw(st.integers(0, len(whole)))
    for broken in (whole[:at], whole[:at] + body + whole[at:], body):
        with contextlib.suppress(InvalidBody):
            assert all(isinstance(part.name, str) for part in parts(broken, FORM))


@given(header=st.text(st.sampled_from("form-data;= \"\\'*nameboundary\t%"), max_size=60))
def test_any_header_is_read_or_refused(header: str) -> None:
    for content_type in (header, f"multipart/form-data;{header}", f"multipart/form-data; boundary=b;{header}"):
        with contextlib.suppress(InvalidBody):
            parts(b"--b--", content_type)
    with contextlib.suppress(InvalidBody):
        field(f"form-data; name=X;{header}")


@pytest.mark.parametrize("near", [b"\r\n--", b"----", b"x--b", b"a--b"])
def test_nearly_delimiters_cost_no_more_than_their_size(near: bytes) -> None:
    content = near * 500_000
    body = form(DISPOSITION + b"\r\n\r\n" + content)
    begin = time.perf_counter()
    assert len(one(body).data) == len(content)
    assert time.perf_counter() - begin < 2


def test_lines_that_begin_with_the_boundary_have_a_bound() -> None:
    some = b"\r\n--bx" * MAX_FALSE
    assert one(form(DISPOSITION + b"\r\n\r\n" + some)).data == some
    begin = time.perf_counter()
    for end in (b"", b"\r\n--b--"):
        with pytest.raises(InvalidBody, match="too many lines"):
            parts(b"--b\r\n" + DISPOSITION + b"\r\n\r\n" + some * 1000 + end, FORM)
    assert time.perf_counter() - begin < 2


@pytest.mark.parametrize("text", ['name="' + "\\" * 16_000, "a=b;" * 4_000, ";" * 16_000, " " * 16_000, '"' * 16_000])
def test_odd_headers_cost_no_more_than_their_size(text: str) -> None:
    begin = time.perf_counter()
    with contextlib.suppress(InvalidBody):
        field(f"form-data; {text}")
    assert time.perf_counter() - begin < 1

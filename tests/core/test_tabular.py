"""Tables as they travel: what pandas would make of them, and a precise word where they are none."""

from __future__ import annotations

import contextlib
import datetime
import gzip
import io
import json
import math
import mmap
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.io
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from pyarrow import ipc

from modelport.core import claims, csvtext, tabular
from modelport.core.dataframe import Frames
from modelport.core.payload import Blob, Table, buffer_format, values
from modelport.core.tabular import read_frame, read_table, table_of
from modelport.errors import BodyTooLarge, ConfigError, InvalidBody, InvalidInput, Unconvertible
from tests.core.strategies import same

CSV = "text/csv"
FILE = "application/vnd.apache.arrow.file"
STREAM = "application/vnd.apache.arrow.stream"
MATRIX = b"%%MatrixMarket matrix coordinate real general\n"
UNTOLD = ["", "text/plain", "application/octet-stream", "application/x-www-form-urlencoded"]


def csv(body: str | bytes, media_type: str = CSV, charset: str | None = None) -> Any:
    return read_frame(Blob(body.encode() if isinstance(body, str) else body, media_type, charset))


def arrow(frame: pd.DataFrame | pa.Table, is_file: bool = False, compression: str | None = None) -> bytes:
    table = frame if isinstance(frame, pa.Table) else pa.Table.from_pandas(frame)
    sink = pa.BufferOutputStream()
    make = ipc.new_file if is_file else ipc.new_stream
    with make(sink, table.schema, options=ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def matrix(of: Any, **how: Any) -> bytes:
    sink = io.BytesIO()
    scipy.io.mmwrite(sink, of, **how)
    return sink.getvalue()


def refused(body: bytes, media_type: str = CSV, charset: str | None = None, **how: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        read_frame(Blob(body, media_type, charset), **how)
    assert len(caught.value.message) < 320
    return caught.value


# --- CSV -------------------------------------------------------------------------------------------------

names = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=8).filter(
    lambda name: bool(name.strip())
)
cells = {
    "float": st.floats(allow_infinity=False),
    "int": st.integers(-(2**63), 2**63 - 1),
    "bool": st.booleans(),
    "text": st.text(st.sampled_from('abé,;"\n -/()'), max_size=6).map(lambda text: f"x{text}"),
    "text or null": st.none() | st.sampled_from(["x", "y z", "ü"]),
}


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    kinds = draw(st.dictionaries(names, st.sampled_from(sorted(cells)), min_size=1, max_size=4))
    rows = draw(st.integers(1, 5))
    columns = {}
    for name, kind in kinds.items():
        column = draw(st.lists(cells[kind], min_size=rows, max_size=rows))
        columns[name] = pd.Series(column, dtype="str" if kind.startswith("text") else kind)
    return pd.DataFrame(columns)


@given(frame=frames())
def test_a_frame_survives_csv(frame: pd.DataFrame) -> None:
    body = frame.to_csv(index=False).encode()
    assert_frame_equal(read_frame(Blob(body, CSV)), pd.read_csv(io.BytesIO(body)))
    if frame.isna().any().any():
        return  # a column of missing values alone has no type to survive
    assert_frame_equal(read_frame(Blob(body, CSV)), frame, rtol=1e-15, check_column_type=False)


@given(frame=frames(), is_file=st.booleans(), compression=st.sampled_from([None, "lz4", "zstd"]))
def test_a_frame_survives_arrow(frame: pd.DataFrame, is_file: bool, compression: str | None) -> None:
    body = arrow(frame, is_file, compression)
    for media_type in (FILE, STREAM, *UNTOLD):
        assert_frame_equal(read_frame(Blob(memoryview(body), media_type)), frame, check_column_type=False)


@given(frame=frames())
def test_a_frame_survives_a_table(frame: pd.DataFrame) -> None:
    table = table_of(frame)
    back = Frames().build(table)
    assert len(table) == len(frame)
    assert list(back.columns) == list(frame.columns)
    assert same(table_of(back).to_records(), table.to_records())
    typed = frame.notna().any().to_numpy()
    assert_frame_equal(back.loc[:, typed], frame.loc[:, typed], check_column_type=False)


@pytest.mark.parametrize("name", ["a (b)/c", " a ", '"q"', "x,y", "é#%", "line\nbreak", "a.b[c]{d}", "=1+1", "0"])
def test_odd_names_are_kept(name: str) -> None:
    body = pd.DataFrame({name: [1.0], "z": [2.0]}).to_csv(index=False)
    assert list(csv(body).columns) == [name, "z"]


@pytest.mark.parametrize("media_type", [CSV, *UNTOLD, "application/csv", "application/vnd.ms-excel", "TEXT/CSV"])
@pytest.mark.parametrize("as_view", [False, True])
def test_csv_is_what_nothing_else_is(media_type: str, as_view: bool) -> None:
    body: Any = b"a,b\n1,x\n2,y\n"
    blob = Blob(memoryview(body) if as_view else body, media_type)
    assert read_frame(blob).to_dict("list") == {"a": [1, 2], "b": ["x", "y"]}


def test_a_spooled_body_is_read_where_it_lies() -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(20_000, 10))).rename(columns=str)
    body = frame.to_csv(index=False).encode()
    with tempfile.TemporaryFile() as file:
        file.write(body)
        file.flush()
        mapped = memoryview(mmap.mmap(file.fileno(), len(body), access=mmap.ACCESS_READ))
        read_frame(Blob(b"a\n1\n", CSV))
        tracemalloc.start()
        try:
            got = read_frame(Blob(mapped, CSV))  # type: ignore[arg-type]
            assert tracemalloc.get_traced_memory()[1] < len(body) + frame.size * 8 * 1.2
        finally:
            tracemalloc.stop()
    assert_frame_equal(got, frame)


def test_what_is_missing_is_a_nan() -> None:
    frame = csv("a,b,c\n1,,NA\n,x,\n")
    assert frame.isna().to_numpy().tolist() == [[False, True, True], [True, False, True]]
    assert [dtype.kind for dtype in frame.dtypes] == ["f", "O", "f"]


def test_quoted_newlines_and_quotes() -> None:
    assert csv('a,b\n"x\ny","say ""hi"", please"\n').iloc[0].tolist() == ["x\ny", 'say "hi", please']


@pytest.mark.parametrize("mark", ["\ufeff", ""])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_marks_and_line_ends(mark: str, ends: str) -> None:
    frame = csv(f'{mark}"a,b",c{ends}1,2{ends}')
    assert frame.to_dict("list") == {"a,b": [1], "c": [2]}


@pytest.mark.parametrize("charset", ["utf-8", "UTF8", "latin-1", "cp1252", "utf-16", "utf-16-le", "utf-32"])
def test_charsets(charset: str) -> None:
    frame = csv("größe,ort\n1,Köln\n".encode(charset), charset=charset)
    assert frame.to_dict("list") == {"größe": [1], "ort": ["Köln"]}


@pytest.mark.parametrize("charset", ["klingon", "a\0b", "", "é", "base64", "rot13", "idna", "punycode", "x" * 300])
def test_unknown_charsets(charset: str) -> None:
    assert "is not known" in refused(b"a\n1\n", charset=charset).message


@pytest.mark.parametrize(
    ("body", "charset", "words"),
    [
        ("a,b\nx,1\nü,2\n".encode("latin-1"), None, "at byte 8, in line 3"),
        ("é\n1\n".encode("latin-1"), None, "at byte 0, in line 1"),
        ("a\nü\n".encode("latin-1"), "ascii", "at byte 2, in line 2"),
        ("a\nb\n".encode("utf-16") + b"x", "utf-16", "at byte 10, in line 3"),
        (b'a\n"b\nc"\n\xc3\n', "utf-8", "at byte 8, in line 4"),
    ],
)
def test_bytes_that_are_no_text(body: bytes, charset: str | None, words: str) -> None:
    error = refused(body, charset=charset)
    assert words in error.message
    assert "charset=" in (error.hint or "")


@pytest.mark.parametrize("charset", [None, "utf-8"])
def test_nul_bytes(charset: str | None) -> None:
    error = refused(b"a,b\n1,2\n3,\x004\n", charset=charset)
    assert "NUL byte at byte 10, in line 3" in error.message
    assert "UTF-16" in str(refused("a\n1\n".encode("utf-16")).hint)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"\n", "no header line"),
        (b" \r\n\n", "no header line"),
        (b"\xef\xbb\xbf", "no header line"),
        (b"a,b\n1,2\n1,2,3\n", "line 3"),
        (b"a,b\n1,2,3\n4,5,6\n", "line 2 has 3 fields, the header 2"),
        (b"a,b\n0,2,3\n1,5,6\n", "line 2 has 3 fields, the header 2"),
        (b'a,b\n"x\ny",2\n\n"4,",5,6\n', "Expected 2 fields in line 4, saw 3"),
        (b'a,b\n"x"",1\n,2\n3', "EOF inside string"),
        (b'a,b\n"1,2\n', "EOF inside string"),
        (b"," * (claims.MAX_COLUMNS + 1), "columns"),
    ],
)
def test_what_is_no_table(body: bytes, words: str) -> None:
    with pytest.raises((InvalidInput, BodyTooLarge), match=words):
        csv(body)


@pytest.mark.parametrize(
    ("body", "want"),
    [
        ("a,b\n1,2,\n3,4,\n", [[1, 2], [3, 4]]),
        ("a,b\n1,\n\n3,\n", [[1, None], [3, None]]),
        ('a,b\n"1,2",\n3,\n', [["1,2", None], ["3", None]]),
        ('a,b\n5" pipe,\n3,4\n', [['5" pipe', None], ["3", 4]]),
        ("a\n1\n\n2\n", [[1], [2]]),
        ("a,b,c\n1,2,3\n4\n", [[1, 2, 3], [4, None, None]]),
    ],
    ids=[
        "a delimiter at each end",
        "null at the end",
        "quoted",
        "a stray quote",
        "a blank line",
        "a row that ends early",
    ],
)
def test_what_only_looks_ragged(body: str, want: list[list[Any]]) -> None:
    frame = csv(body)
    assert frame.astype(object).where(frame.notna(), None).to_numpy().tolist() == want


def test_a_header_alone_is_no_rows() -> None:
    frame = csv("a,b\n")
    assert (list(frame.columns), len(frame)) == (["a", "b"], 0)
    assert len(table_of(frame)) == 0


def test_names_given_twice_are_told_apart_as_pandas_does() -> None:
    assert list(csv("a,a,,\n1,2,3,4\n").columns) == ["a", "a.1", "Unnamed: 2", "Unnamed: 3"]


def test_mixed_columns_come_without_a_warning() -> None:
    rows = "1\n" * 600_000 + "x\n"
    assert set(map(type, csv(f"a\n{rows}")["a"])) == {str}


def test_tab_separated_values() -> None:
    assert csv("a\tb,c\n1\t2\n", "text/tab-separated-values").to_dict("list") == {"a": [1], "b,c": [2]}
    assert "line 3" in refused(b"a\tb\n1\t2\n1\t2\t3\n", "text/tab-separated-values").message


@given(body=st.binary(max_size=60), media_type=st.sampled_from([CSV, "", STREAM, "text/mtx", "application/json"]))
def test_any_bytes_are_read_or_refused(body: bytes, media_type: str) -> None:
    for start in (
        b"",
        b"a,b\n",
        b"ARROW1\0\0",
        b"\xff\xff\xff\xff",
        b"%%MatrixMarket matrix coordinate real general\n",
    ):
        with contextlib.suppress(InvalidInput, InvalidBody, BodyTooLarge):
            read_frame(Blob(start + body, media_type), limit=1 << 20)


# --- tables that are larger than their bodies ---------------------------------------------------------------


def too_large(body: bytes, media_type: str = CSV) -> str:
    for read in (read_frame, read_table):
        with pytest.raises(BodyTooLarge) as caught:
            read(Blob(body, media_type))
    return caught.value.message


MANY = b",".join(b"c%d" % number for number in range(1000))
SHORT = b"1\n" * 10_000


@pytest.mark.parametrize(
    "head",
    [
        MANY + b"\n",
        MANY + b",\r\n",
        b"\n  \r\n" + MANY + b"\n",
        b'"a\nb",' + MANY + b"\n",
        b'\xef\xbb\xbf"a\n",' + MANY + b"\n",
        b'x","\n",' + MANY + b"\n",
        b'"a ""b""",' + MANY + b"\n\n",
        MANY + b"\n" + b"," * 1000 + b"\n",
        MANY + b'\n"a\nb"\n',
    ],
    ids=["plain", "CRLF", "blank first", "quoted line end", "mark", "odd quote", "quotes", "delimiter at end", "text"],
)
def test_rows_that_end_early_have_a_bound(head: bytes) -> None:
    """pandas fills them up before anybody can count them."""
    assert "over 4194304 cells" in too_large(head + SHORT)
    assert "over 4194304 cells" in too_large((head + SHORT).replace(b",", b"\t"), "text/tab-separated-values")


@pytest.mark.parametrize("head", [b"a\n", b'"a"\n', b'"\n"\n'])
def test_a_first_row_that_is_far_wider_than_the_header_is_refused_at_once(head: bytes) -> None:
    error = refused(head + b"1" + b",1" * 90_000 + b"\n" + b"1\n" * 100_000)
    assert "fields, the header 1" in error.message or "longer than the header" in error.message


@pytest.mark.parametrize("head", [b"", b'"\n",'])
def test_columns_of_one_name_have_a_bound(head: bytes) -> None:
    begin = time.perf_counter()
    assert "have the name of another" in too_large(head + b"a," * 20_000 + b"a\n1\n")
    assert time.perf_counter() - begin < 10


@pytest.mark.parametrize(
    ("rows", "columns", "end"), [(100_000, 10, b"\n"), (10_000, 500, b"\r\n"), (5_000, 1000, b"\n"), (4, 8_000, b"\n")]
)
@pytest.mark.parametrize("quote", [b"", b'"'])
@pytest.mark.parametrize("cell", [b"", b"1"])
def test_long_and_wide_tables_are_read(rows: int, columns: int, end: bytes, quote: bytes, cell: bytes) -> None:
    header = b",".join(b"%bc, %d%b" % (quote, number, quote) if quote else b"c%d" % number for number in range(columns))
    body = header + end + (b",".join([cell or quote * 2] * columns) + end) * rows
    assert read_frame(Blob(body, CSV)).shape == (rows, columns)


def test_text_of_many_lines_is_no_rows() -> None:
    row = b'"' + b"line\n" * 200 + b'"' + b",1" * 999 + b"\n"
    assert read_frame(Blob(b",".join(b"c%d" % n for n in range(1000)) + b"\n" + row * 100, CSV)).shape == (100, 1000)


def test_csv_without_pandas_has_the_same_bound() -> None:
    with pytest.raises(BodyTooLarge, match="over 4194304 cells"):
        csvtext.read_plainly(MANY + b"\n" + SHORT, ",")


def test_json_records_have_a_bound() -> None:
    rows = ",".join(f'{{"{number}": 1}}' for number in range(3000))
    assert "over 4194304 cells" in too_large(f"[{rows}]".encode(), "application/json")
    record = ",".join(f'"{number}": "x"' for number in range(claims.MAX_COLUMNS + 1))
    assert "at most 100000" in too_large(f"{{{record}}}".encode(), "application/json")
    names = ",".join(f'"{number}"' for number in range(claims.MAX_COLUMNS + 1))
    assert "at most 100000" in too_large(f'{{"columns": [{names}], "data": []}}'.encode(), "application/json")


def test_uneven_json_records_are_read() -> None:
    rows = [{"id": number, **{str(number * at % 997): at for at in range(40)}} for number in range(6000)]
    frame = read_frame(Blob(json.dumps(rows).encode(), "application/json"))
    assert frame.shape == (6000, 998)


@pytest.mark.parametrize("is_file", [False, True])
def test_arrow_without_bytes_has_a_bound(is_file: bool) -> None:
    nulls = pa.nulls(100_000)
    wide = pa.table({str(number): nulls for number in range(100)})
    lists = pa.table({"a": pa.FixedSizeListArray.from_arrays(pa.nulls(10_000_000), 1_000_000)})
    many = pa.table({str(number): pa.nulls(0) for number in range(claims.MAX_COLUMNS + 1)})
    for table, words in ((wide, "claims 10000000 cells"), (lists, "claims 10000010 cells"), (many, "100001 columns")):
        assert words in too_large(arrow(table, is_file), FILE if is_file else STREAM)


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_dense_arrow_is_read(compression: str | None) -> None:
    truths = np.zeros((500_000, 10), dtype=bool)
    table = pa.table({str(at): truths[:, at] for at in range(10)})
    assert read_frame(Blob(arrow(table, compression=compression), STREAM)).shape == truths.shape


def test_sparse_matrices_have_a_bound() -> None:
    outline = "coordinate real general\n1000000 90000 1\n1 1 1.0\n"
    assert "over 4194304 cells" in too_large(f"%%MatrixMarket matrix {outline}".encode(), "text/mtx")
    documents = matrix(scipy.sparse.random(600, 9_000, 0.002, "coo", random_state=0), precision=2)
    assert read_frame(Blob(documents, "text/mtx")).shape == (600, 9_000)
    with pytest.raises(BodyTooLarge):
        read_table(Blob(documents, "text/mtx"))


# --- gzip ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("media_type", [CSV, "application/gzip", *UNTOLD, STREAM, "application/json", "text/mtx"])
def test_gzip_is_seen_whatever_the_media_type(media_type: str) -> None:
    bodies = {
        STREAM: arrow(pd.DataFrame({"a": [1, 2]})),
        "application/json": b'[{"a":1},{"a":2}]',
        "text/mtx": matrix(scipy.sparse.coo_matrix([[1], [2]])),
    }
    frame = read_frame(Blob(gzip.compress(bodies.get(media_type, b"a\n1\n2\n")), media_type))
    assert frame.iloc[:, 0].tolist() == [1, 2]


def test_gzip_has_a_bound() -> None:
    packed = gzip.compress(b"a\n" + b"1\n" * 1000)
    assert len(read_frame(Blob(packed, CSV), limit=2002)) == 1000
    with pytest.raises(BodyTooLarge, match="over 2001 bytes"):
        read_frame(Blob(packed, CSV), limit=2001)
    with pytest.raises(InvalidBody):
        read_frame(Blob(packed[:-9], CSV))


# --- Arrow -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_file", [False, True])
def test_arrow_types(is_file: bool) -> None:
    moment = datetime.datetime(2024, 2, 29, 12, 30)  # noqa: DTZ001 - Arrow has both kinds
    frame = pd.DataFrame(
        {
            "i": pd.array([1, None], dtype="Int64"),
            "s": ["é", None],
            "t": pd.to_datetime([moment, None]),
            "c": pd.Categorical(["u", "v"]),
            "b": [True, False],
        }
    )
    got = read_frame(Blob(arrow(frame, is_file), ""))
    assert_frame_equal(got, frame)
    assert table_of(got).to_records() == [
        {"i": 1, "s": "é", "t": pd.Timestamp(moment), "c": "u", "b": True},
        {"i": None, "s": None, "t": None, "c": "v", "b": False},
    ]


def test_arrow_of_several_batches_and_no_rows() -> None:
    table = pa.concat_tables([pa.table({"a": [1]}), pa.table({"a": [2]})])
    assert read_frame(Blob(arrow(table), ""))["a"].tolist() == [1, 2]
    assert len(read_frame(Blob(arrow(table.slice(0, 0)), ""))) == 0


@pytest.mark.parametrize("is_file", [False, True])
@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_compressed_arrow_has_a_bound(is_file: bool, compression: str) -> None:
    dictionary = pa.array(["x" * 100_000]).dictionary_encode()
    for table in (pa.table({"a": np.zeros(1_000_000)}), pa.table({"a": dictionary})):
        body = arrow(table, is_file, compression)
        assert len(read_frame(Blob(body, STREAM))) == len(table)
        with pytest.raises(BodyTooLarge, match="over 100000 bytes once decompressed"):
            read_frame(Blob(body, STREAM), limit=100_000)


def test_rows_without_bytes_have_a_bound() -> None:
    nulls = pa.Array.from_buffers(pa.null(), 1_000_000_000, [None])
    body = arrow(pa.table({"a": nulls}))
    assert len(body) < 1000
    with pytest.raises(BodyTooLarge, match="claims 1000000000 rows"):
        read_frame(Blob(body, STREAM))


@pytest.mark.parametrize("is_file", [False, True])
@given(data=st.data())
def test_damaged_arrow(is_file: bool, data: st.DataObject) -> None:
    whole = arrow(pd.DataFrame({"a": [1.0, 2.0], "s": ["x", "y"]}), is_file, data.draw(st.sampled_from([None, "lz4"])))
    at = data.draw(st.integers(0, len(whole) - 1))
    for body in (whole[:at], whole[:at] + data.draw(st.binary(min_size=1, max_size=4)) + whole[at + 4 :]):
        with contextlib.suppress(InvalidInput, InvalidBody, BodyTooLarge):
            table_of(read_frame(Blob(body, FILE if is_file else STREAM), limit=1 << 20))


def test_arrow_that_is_none() -> None:
    assert "not readable as Arrow: " in refused(b"a,b\n1,2\n", STREAM).message
    assert "not readable as Arrow: " in refused(b"ARROW1\0\0", "").message


# --- MatrixMarket ----------------------------------------------------------------------------------------

SPARSE = scipy.sparse.coo_matrix(np.array([[0, 1.5, 0], [2.5, 0, 0]]))


@pytest.fixture
def columns(tmp_path: Path) -> str:
    path = tmp_path / "columns.txt"
    path.write_text("a (1)\nb/c\ncolumn d\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("media_type", ["text/mtx", *UNTOLD])
def test_a_sparse_matrix(media_type: str, columns: str) -> None:
    frame = read_frame(Blob(memoryview(matrix(SPARSE)), media_type), columns)  # type: ignore[arg-type]
    assert list(frame.columns) == ["a (1)", "b/c", "column d"]
    assert all(isinstance(dtype, pd.SparseDtype) for dtype in frame.dtypes)
    assert frame.to_numpy().tolist() == SPARSE.toarray().tolist()
    assert [list(column) for column in table_of(frame).columns] == SPARSE.toarray().T.tolist()
    assert list(read_frame(Blob(matrix(SPARSE), media_type)).columns) == [0, 1, 2]


def test_a_dense_matrix(columns: str) -> None:
    frame = read_frame(Blob(matrix(SPARSE.toarray()), "text/mtx"), columns)
    assert frame.to_dict("list") == {"a (1)": [0, 2.5], "b/c": [1.5, 0], "column d": [0, 0]}


def test_a_matrix_of_another_width(columns: str) -> None:
    error = refused(matrix(SPARSE.tocsc()[:, :2]), "text/mtx", sparse_columns=columns)
    assert "has 2 columns, and the model's file of column names has 3" in error.message


@pytest.mark.parametrize(
    ("outline", "error"),
    [
        ("coordinate real general\n3 3 1\n9 9 1.0", InvalidInput),
        ("coordinate real general\n3 3 5\n1 1 1.0", InvalidInput),
        ("coordinate real general\n-3 3 1\n1 1 1.0", InvalidInput),
        ("coordinate real general\n3 3 1\n1 1 x", InvalidInput),
        ("coordinate complex general\n1 1 1\n1 1 1 2", InvalidInput),
        ("coordinate real", InvalidInput),
        ("coordinate real general\n9000000000 3 1\n1 1 1.0", BodyTooLarge),
        ("coordinate real general\n3 9000000000 1\n1 1 1.0", BodyTooLarge),
        ("coordinate real general\n3 3 9000000000\n1 1 1.0", BodyTooLarge),
        ("array real general\n90000 90000\n1.0", BodyTooLarge),
    ],
)
def test_what_is_no_matrix(outline: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        read_frame(Blob(f"%%MatrixMarket matrix {outline}\n".encode(), "text/mtx"))


def test_column_names_that_are_gone(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="column names cannot be read"):
        read_frame(Blob(matrix(SPARSE), "text/mtx"), str(tmp_path / "none.txt"))


# --- JSON ------------------------------------------------------------------------------------------------

ROWS = [{"a": 1, "b": "x"}, {"a": 2, "b": None}]


@pytest.mark.parametrize(
    "value",
    [
        '[{"a": 1, "b": "x"}, {"a": 2, "b": null}]',
        '{"data": [{"a": 1, "b": "x"}, {"a": 2, "b": null}]}',
        '{"records": [{"a": 1, "b": "x"}, {"a": 2, "b": null}]}',
        '{"columns": ["a", "b"], "index": [7, 8], "data": [[1, "x"], [2, null]]}',
    ],
)
def test_json_rows(value: str) -> None:
    blob = Blob(value.encode(), "application/json", "utf-8")
    assert read_table(blob).to_records() == ROWS
    frame = read_frame(blob)
    assert frame["a"].tolist() == [1, 2]
    assert frame["b"].isna().tolist() == [False, True]


def test_one_json_record_and_nulls_as_nan() -> None:
    frame = read_frame(Blob(b'{"a": null, "b": 1, "c": "x"}', "application/json"))
    assert [dtype.kind for dtype in frame.dtypes] == ["f", "i", "O"]
    assert math.isnan(frame["a"][0])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[1]", "an object a row"),
        (b'"x"', "an object a row"),
        (b'[{"a": 1}, 2]', "an object a row"),
        (b"{", "not JSON"),
        (b'["\xff"]', "at byte 2"),
        (b'{"columns": ["a"], "data": [[1], [1, 2]]}', r"data\[1\] has 2 values for 1 columns"),
        (b'{"columns": ["a"], "data": [1]}', r"data\[0\] has no list for 1 columns"),
        (b'{"columns": [["a"]], "data": [[1]]}', "columns must be names"),
    ],
)
def test_json_that_is_no_rows(body: bytes, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        read_frame(Blob(body, "application/json"))


# --- frames as tables ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "datatype"),
    [
        ("float64", "FP64"), ("float32", "FP32"), ("float16", "FP32"), ("int64", "INT64"), ("int8", "INT8"),
        ("uint16", "UINT16"), ("bool", "BOOL"), (">f8", "FP64"), (">i4", "INT32"),
    ],
)  # fmt: skip
def test_one_number_type_is_one_block(dtype: str, datatype: str) -> None:
    frame = pd.DataFrame(np.array([[1, 0], [0, 1], [1, 1]]).astype(dtype), columns=["a", "b"])
    table = table_of(frame)
    assert table.block is not None
    assert (table.block.datatype, table.block.shape) == (datatype, (3, 2))
    assert [values(column) for column in table.columns] == [[1, 0, 1], [0, 1, 1]]
    assert Frames().build(table).to_numpy().tolist() == [[1, 0], [0, 1], [1, 1]]


def test_columns_of_several_types() -> None:
    day = datetime.date(2024, 1, 2)
    frame = pd.DataFrame(
        {
            "f": [1.5, math.nan],
            "i": [1, 2],
            "b": [True, False],
            "s": ["a", None],
            "n": pd.array([1, None], dtype="Int8"),
            "w": pd.array([1, 2], dtype="Int8"),
            "c": pd.Categorical([1, 2]),
            "g": pd.Categorical(["x", None]),
            "t": pd.to_datetime(["2024-01-02", None], utc=True),
            "o": [[1, 2], {"k": day}],
        },
        index=["p", "q"],
    )
    table = table_of(frame)
    assert table.block is None
    kinds = dict(zip(table.names, map(buffer_format, table.columns), strict=True))
    numbers = {"f": "FP64", "i": "INT64", "b": "BOOL", "w": "INT8", "c": "INT64"}
    assert kinds == {name: numbers.get(str(name)) for name in frame.columns}
    second = table.to_records()[1]
    assert math.isnan(second.pop("f"))
    assert second == {
        "i": 2, "b": False, "s": None, "n": None, "w": 2, "c": 2, "g": None, "t": None, "o": {"k": day},
    }  # fmt: skip
    assert table.to_records()[0]["t"] == pd.Timestamp("2024-01-02", tz="UTC")


def test_names_twice_no_columns_and_no_rows() -> None:
    twice = pd.DataFrame([[1, "x"]], columns=["a", "a"])
    assert [values(column) for column in table_of(twice).columns] == [[1], ["x"]]
    assert len(table_of(pd.DataFrame(index=range(3)))) == 3
    empty = table_of(pd.DataFrame({"a": np.zeros(0), "b": np.zeros(0)}))
    assert (len(empty), [len(column) for column in empty.columns]) == (0, [0, 0])


# --- without pandas --------------------------------------------------------------------------------------

plain_cells = st.sampled_from(
    ["1", "-2", "2.5", "1e3", "", "NA", "nan", "x", "é", "True", "false", "inf", " 3", "1_0", "x,y", 'q"', "9" * 18]
)


@given(width=st.integers(2, 3), data=st.data())
def test_csv_without_pandas_is_the_same(width: int, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.lists(plain_cells, min_size=width, max_size=width), min_size=1, max_size=4))
    header = data.draw(st.lists(st.sampled_from(["a", "b", "", "a.1"]), min_size=width, max_size=width))
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in [header, *rows]]
    body = "\n".join(quoted).encode()
    plain = csvtext.read_plainly(body, ",")
    frame = read_frame(Blob(body, CSV))
    assert plain.names == tuple(frame.columns)
    for have, (_, series) in zip(plain.columns, frame.items(), strict=True):
        if series.dtype.kind == "O" and set(map(type, series)) & {bool}:
            continue  # truth values and nulls side by side stay what they were written as
        want = [None if isinstance(cell, float) and math.isnan(cell) else cell for cell in series.astype(object)]
        got = [None if isinstance(cell, float) and math.isnan(cell) else cell for cell in values(have)]
        assert same(got, want)


def test_names_without_pandas_are_told_apart_alike() -> None:
    body = b"a,a,a.1,,a\n1,2,3,4,5\n"
    assert csvtext.read_plainly(body, ",").names == tuple(csv(body).columns)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"a,b\n1\n1,2,3\n", "line 3 has 3 fields, the header 2"),
        (b"\n", "no header line"),
        (b"a\n\xff", "at byte 2, in line 2"),
        (b"a\n\0", "NUL"),
    ],
)
def test_csv_without_pandas_is_refused_alike(body: bytes, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        csvtext.read_plainly(body, ",")


ALONE = """
import sys
for name in ("pandas", "numpy", "scipy", "pyarrow"):
    sys.modules[name] = None
from modelport.core.conversion import convert
from modelport.core.payload import Blob
from modelport.errors import InvalidInput
print(convert(Blob(b"a,b\\n1,x\\n2,\\n", "text/csv"), "table").to_records())
print(convert(Blob(b'[{"a": 1}]', "application/json"), "table").to_records())
for body in (b"ARROW1\\0\\0", b"%%MatrixMarket"):
    try:
        convert(Blob(body, ""), "table")
    except InvalidInput as error:
        print(error.message)
"""


def test_an_environment_without_pandas() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        "[{'a': 1, 'b': 'x'}, {'a': 2, 'b': None}]",
        "[{'a': 1}]",
        *["this body needs pandas, which the model's environment does not have"] * 2,
    ], done.stderr


@pytest.mark.parametrize(("library", "body"), [("pyarrow", arrow(pd.DataFrame({"a": [1]}))), ("scipy", matrix(SPARSE))])
def test_a_library_that_is_missing(monkeypatch: pytest.MonkeyPatch, library: str, body: bytes) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.setitem(sys.modules, name, None)
    assert f"pip install {library}" in str(refused(body, "").hint)


def test_what_may_be_a_table() -> None:
    assert isinstance(read_table(Blob(b"a\n1\n", CSV)), Table)
    for media_type in ["image/png", "text/html", "application/xml", "application/pdf"]:
        for read in (read_frame, read_table):
            with pytest.raises(Unconvertible, match=f"takes a table, and {media_type} is none"):
                read(Blob(b"a\n1\n", media_type))
    assert tabular.LIMIT >= 1 << 26

"""One kind of payload as another: faithfully, or refused naming both sides."""

from __future__ import annotations

import datetime
import json
import math
import time
from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport.core.call import Call, Outcome
from modelport.core.conversion import MAX_EMPTY, WAYS, convert
from modelport.core.model import Description, ModelSpec
from modelport.core.payload import Args, Blob, Json, Payload, Table, Tensor, Tensors, kind_of, raw_buffer, values
from modelport.errors import InvalidInput, InvalidOutput, Unconvertible
from modelport.protocols.dataiku import codec as dataiku
from modelport.protocols.oip import codec as oip
from tests.core.strategies import DATATYPES, block, cells, elements, json_values, pack, records, same, tensors

KINDS = ["table", "tensors", "blob", "json", "args"]

# What converts, source by source; everything else is refused.
EXPECTED = {
    "table": {"table", "tensors", "json", "args"},
    "tensors": {"table", "tensors", "blob", "json", "args"},
    "blob": {"table", "tensors", "blob", "json", "args"},
    "json": {"table", "blob", "json", "args"},
    "args": {"table", "blob", "json", "args"},
}

SAMPLES: dict[str, Payload] = {
    "table": Table.from_records([{"a": 1, "b": "x"}]),
    "tensors": Tensors([Tensor("a", "BYTES", (1,), ["x"])]),
    "blob": Blob(b'{"a": 1}', "application/json", "utf-8"),
    "json": Json({"a": 1}),
    "args": Args({"a": 1}),
}


def test_the_matrix() -> None:
    for source in KINDS:
        for target in KINDS:
            if target in EXPECTED[source]:
                assert kind_of(convert(SAMPLES[source], target)) == target
                told = "converts"
            else:
                with pytest.raises(Unconvertible, match=f"takes {target}, and {source} cannot"):
                    convert(SAMPLES[source], target)
                told = "refused"
            print(f"{source:8} -> {target:8} {told}")
    assert {(source, target) for source in KINDS for target in EXPECTED[source] if source != target} == WAYS


@given(rows=records(min_rows=1))
def test_a_table_survives_json(rows: list[dict[str, Any]]) -> None:
    there = convert(Table.from_records(rows), "json")
    back = convert(there, "table")
    assert isinstance(back, Table)
    assert same(back.to_records(), rows)


@given(row=st.dictionaries(st.text(max_size=4), cells["anything"], max_size=4))
def test_arguments_survive_a_table(row: dict[str, Any]) -> None:
    back = convert(convert(Args(row), "table"), "args")
    assert isinstance(back, Args)
    assert same(back.values, row)


@given(value=json_values)
def test_json_survives_a_blob(value: Any) -> None:
    back = convert(convert(Json(value), "blob"), "json")
    assert isinstance(back, Json)
    assert same(back.value, value)


@given(rows=records(min_rows=1))
def test_a_table_survives_tensors(rows: list[dict[str, Any]]) -> None:
    try:
        there = convert(Table.from_records(rows), "tensors")
    except Unconvertible:
        return  # which columns those are: test_payload
    assert isinstance(there, Tensors)
    back = convert(there, "table")
    if not there.items:
        return
    assert isinstance(back, Table)
    number = {tensor.name: tensor.datatype == "FP64" for tensor in there.items}
    want = [
        {name: (math.nan if cell is None else float(cell)) if number[name] else cell for name, cell in row.items()}
        for row in rows
    ]
    assert same(back.to_records(), want)


@given(rows=st.lists(st.lists(st.floats(allow_nan=False), min_size=2, max_size=2), min_size=1, max_size=4))
def test_columns_of_a_block_become_contiguous_tensors(rows: list[list[float]]) -> None:
    there = convert(block(["a", "b"], rows), "tensors")
    assert isinstance(there, Tensors)
    for at, tensor in enumerate(there.items):
        assert memoryview(tensor.data).contiguous
        assert tensor.flat() == [row[at] for row in rows]


@pytest.mark.parametrize("datatype", DATATYPES)
@given(data=st.data(), width=st.integers(1, 3), rows=st.integers(0, 3))
def test_a_matrix_becomes_columns(datatype: str, data: st.DataObject, width: int, rows: int) -> None:
    flat = data.draw(st.lists(elements(datatype), min_size=rows * width, max_size=rows * width))
    held: Any = flat if datatype == "BYTES" else raw_buffer(pack(flat, datatype), datatype)
    names = [f"c{i}" for i in range(width)]
    matrix = Tensors([Tensor("m", datatype, (rows, width), held)])
    table = convert(matrix, "table", names)
    assert isinstance(table, Table)
    assert table.names == tuple(names)
    assert [values(column) for column in table.columns] == [flat[i::width] for i in range(width)]
    assert len(table) == rows


@given(tensor=tensors(["INT64", "BOOL", "BYTES", "FP16", "FP64"]))
def test_tensors_as_arguments_are_nested_lists(tensor: Tensor) -> None:
    arguments = convert(Tensors([tensor]), "args")
    assert isinstance(arguments, Args)
    want = tensor.flat()[0] if tensor.size == 1 and len(tensor.shape) < 2 else tensor.nested()
    assert same(arguments.values, {tensor.name: want})


MOMENT = datetime.datetime(2021, 8, 24, 15, 1, 19, tzinfo=datetime.UTC)


def column(data: list[Any], hint: Any = None) -> Table:
    parameters = {} if hint is None else {"content_type": hint}
    table = convert(Tensors([Tensor("a", "BYTES", (len(data), 1), data, parameters)]), "table")
    assert isinstance(table, Table)
    return table


@pytest.mark.parametrize(
    ("hint", "sent", "got"),
    [
        (None, ["é", None, b"b", b"\xff"], ["é", None, "b", b"\xff"]),
        ("str", ["é", None, b"b"], ["é", None, "b"]),
        ("base64", ["/w==", None, b"YQ=="], [b"\xff", None, b"a"]),
        ("datetime", ["2021-08-24T15:01:19Z", b"2021-08-24T15:01:19+00:00", None], [MOMENT, MOMENT, None]),
        ("datetime", ["2021-08-24T15:01:19"], [MOMENT.replace(tzinfo=None)]),
        ("np", ["a"], ["a"]),
        ("pd", ["a"], ["a"]),
        ("nonsense", ["a"], ["a"]),
        (["str"], ["a"], ["a"]),
        (7, ["a"], ["a"]),
    ],
    ids=repr,
)  # fmt: skip
def test_content_type_hints(hint: Any, sent: list[Any], got: list[Any]) -> None:
    assert same(values(column(sent, hint).columns[0]), got)


@pytest.mark.parametrize(
    ("hint", "sent"),
    [
        ("base64", "*"),
        ("base64", "YQ"),
        ("base64", "é"),
        ("datetime", "yesterday"),
        ("datetime", b"\xff"),
        ("str", b"\xff"),
    ],
)
def test_hints_that_do_not_hold(hint: str, sent: Any) -> None:
    with pytest.raises(InvalidInput, match=f"input 'a' is not {hint}: "):
        column([sent], hint)


@pytest.mark.parametrize("kind", ["table", "args", "json"])
@pytest.mark.parametrize("shape", [(0, 2**40), (2**40, 0), (2**20 + 1, 0), (2, 0, 2**40), (2**20, 2**20, 0)])
def test_an_empty_tensor_makes_no_heap_of_nothing(kind: str, shape: tuple[int, ...]) -> None:
    begin = time.perf_counter()
    with pytest.raises((InvalidInput, Unconvertible)):
        convert(Tensors([Tensor("a", "FP64", shape, array("d"))]), kind)
    assert time.perf_counter() - begin < 0.5


def test_an_empty_tensor_of_a_usual_shape_is_fine() -> None:
    table = convert(Tensors([Tensor("a", "FP64", (0, 4), array("d"))]), "table", ["a", "b", "c", "d"])
    assert isinstance(table, Table)
    assert len(table) == 0
    table = convert(Tensors([Tensor("a", "BYTES", (3, 0), [])]), "table")
    assert isinstance(table, Table)
    assert len(table) == 3
    assert MAX_EMPTY >= 3 * 224 * 224


def test_columns_of_different_lengths_are_named() -> None:
    inputs = Tensors([Tensor("a", "FP64", (1,), array("d", [1])), Tensor("b", "FP64", (2,), array("d", [1, 2]))])
    with pytest.raises(InvalidInput, match=r"'a' 1, 'b' 2"):
        convert(inputs, "table")


def test_a_matrix_of_another_width_is_refused() -> None:
    matrix = Tensors([Tensor("m", "FP64", (1, 3), array("d", [1, 2, 3]))])
    with pytest.raises(InvalidInput, match="has 3 columns, the model takes 2: a, b"):
        convert(matrix, "table", ["a", "b"])


@pytest.mark.parametrize("value", [1, "a", None, [1], [{}, 1]])
def test_json_that_is_no_rows(value: Any) -> None:
    with pytest.raises(Unconvertible, match="JSON must be an object, or a list of objects"):
        convert(Json(value), "table")


def tabular(body: bytes, media_type: str = "text/csv", kind: str = "table", charset: str | None = None) -> Any:
    return convert(Blob(body, media_type, charset), kind)


def test_csv_becomes_a_table() -> None:
    body = "a,b (c),d\n1,é,\n2,NA,1.5\n".encode("latin-1")
    (first, second) = tabular(body, charset="latin-1").to_records()
    assert math.isnan(first.pop("d"))
    assert (first, second) == ({"a": 1, "b (c)": "é"}, {"a": 2, "b (c)": None, "d": 1.5})
    assert tabular(b"a,b\n1.5,2.5\n").block.datatype == "FP64"


def test_csv_becomes_tensors() -> None:
    tensors = tabular(b"a,b\n1,x\n2,y\n", kind="tensors")
    assert [(tensor.name, tensor.datatype, tensor.flat()) for tensor in tensors.items] == [
        ("a", "INT64", [1, 2]),
        ("b", "BYTES", ["x", "y"]),
    ]


@given(rows=records(min_rows=1))
def test_json_records_become_a_table(rows: list[dict[str, Any]]) -> None:
    blob = convert(Json(rows), "blob")
    there = convert(blob, "table")
    assert isinstance(there, Table)
    want = convert(convert(blob, "json"), "table")
    assert isinstance(want, Table)
    assert same(there.to_records(), want.to_records())


@given(row=st.dictionaries(st.text(max_size=4), json_values, max_size=4))
def test_arguments_survive_a_blob(row: dict[str, Any]) -> None:
    there = convert(Args(row), "blob")
    assert isinstance(there, Blob)
    assert (there.media_type, there.charset) == ("application/json", "utf-8")
    back = convert(there, "args")
    assert isinstance(back, Args)
    assert same(back.values, row)


@pytest.mark.parametrize(
    ("blob", "kind", "words"),
    [
        (Blob(b"", "image/png"), "table", "takes a table, and image/png is none"),
        (Blob(b"", "image/png"), "tensors", "takes a table, and image/png is none"),
        (Blob(b"a\n1", "text/csv"), "args", "text/csv is not JSON"),
        (Blob(b"[1]", "application/json"), "args", "JSON must be an object"),
    ],
)
def test_blobs_that_are_something_else(blob: Blob, kind: str, words: str) -> None:
    with pytest.raises(Unconvertible, match=words):
        convert(blob, kind)


def test_arguments_that_have_no_json_form() -> None:
    with pytest.raises(Unconvertible, match="no JSON form"):
        convert(Args({"a": object()}), "blob")


@pytest.mark.parametrize(
    ("sent", "hint", "data", "media_type", "charset"),
    [
        ("é", None, "é".encode(), "text/plain", "utf-8"),
        ("é", "str", "é".encode(), "text/plain", "utf-8"),
        ("é", "text/csv; charset=latin-1", "é".encode(), "text/csv", "utf-8"),
        ("{}", "application/json", b"{}", "application/json", "utf-8"),
        (b"\xff", None, b"\xff", "application/octet-stream", None),
        (b"a", None, b"a", "application/octet-stream", None),
        (b"a", "str", b"a", "text/plain", "utf-8"),
        (b"a", "Text/CSV", b"a", "text/csv", "utf-8"),
        (b"\xe9", 'text/csv; header=present; Charset="latin-1"', b"\xe9", "text/csv", "latin-1"),
        (memoryview(b"\x89PNG"), "image/png", b"\x89PNG", "image/png", None),
        ("/w==", "base64", b"\xff", "application/octet-stream", None),
        ("2021-08-24T15:01:19Z", "datetime", b"2021-08-24T15:01:19Z", "text/plain", "utf-8"),
        ("a", "nonsense", b"a", "text/plain", "utf-8"),
        ("a", ["text/csv"], b"a", "text/plain", "utf-8"),
    ],
)
@pytest.mark.parametrize("shape", [(1,), (1, 1), ()])
def test_one_element_becomes_a_blob(
    sent: Any, hint: Any, data: bytes, media_type: str, charset: str | None, shape: tuple[int, ...]
) -> None:
    parameters = {} if hint is None else {"content_type": hint}
    blob = convert(Tensors([Tensor("a", "BYTES", shape, [sent], parameters)]), "blob")
    assert isinstance(blob, Blob)
    assert (blob.data, blob.media_type, blob.charset) == (data, media_type, charset)


@pytest.mark.parametrize(
    "tensors_",
    [
        [],
        [Tensor("a", "FP64", (1,), array("d", [1.0]))],
        [Tensor("a", "BYTES", (2,), ["x", "y"])],
        [Tensor("a", "BYTES", (0,), [])],
        [Tensor("a", "BYTES", (1,), [None])],
        [Tensor("a", "BYTES", (1,), ["x"]), Tensor("b", "BYTES", (1,), ["y"])],
    ],
)
def test_tensors_that_are_no_one_element(tensors_: list[Tensor]) -> None:
    with pytest.raises(Unconvertible, match="takes one text or one sequence of bytes"):
        convert(Tensors(tensors_), "blob")


SPEC = ModelSpec("m", "any", "/nowhere", version="1")
MODEL = Description("blob", "any")


def by_oip(blob: Blob, is_binary: bool = False) -> tuple[dict[str, Any], bytes]:
    call = Call("an-id", "oip", "infer", {}, "", "/")
    asked = oip.Asked("an-id", None, all_binary=is_binary)
    reply = oip.codec.encode(call, asked, Outcome(payload=blob), SPEC, MODEL, 0.0)
    size = int(dict(reply.headers).get(oip.LENGTH_HEADER, len(reply.body)))
    (output,) = json.loads(reply.body[:size])["outputs"]
    return output, reply.body[size:]


def by_dataiku(blob: Blob, verb: str = "run") -> Any:
    call = Call("an-id", "dataiku", verb, {}, "", "/")
    reply = dataiku.codec.encode(call, verb == "predict-multi", Outcome(payload=blob), SPEC, MODEL, 0.0)
    return json.loads(reply.body)


@pytest.mark.parametrize(
    ("blob", "text"),
    [
        (Blob("é".encode(), "text/plain", "utf8"), "é"),
        (Blob("é".encode("latin-1"), "text/csv", "latin-1"), "é"),
        (Blob(b'{"a": 1}', "application/json", "utf-8"), '{"a": 1}'),
    ],
)
def test_a_text_as_the_outcome_by_oip(blob: Blob, text: str) -> None:
    outline = {"name": "response", "datatype": "BYTES", "shape": [1]}
    output, _ = by_oip(blob)
    assert output == {**outline, "data": [text], "parameters": {"content_type": blob.media_type}}
    output, raw = by_oip(blob, is_binary=True)
    assert raw[4:].decode() == text
    assert output["parameters"] == {"content_type": blob.media_type, "binary_data_size": len(raw)}


@pytest.mark.parametrize("charset", [None, "utf-8", "klingon"])
def test_bytes_as_the_outcome_by_oip(charset: str | None) -> None:
    blob = Blob(b"\x89PNG", "image/png", charset)
    output, raw = by_oip(blob, is_binary=True)
    assert raw == b"\x04\0\0\0\x89PNG"
    assert output["parameters"]["content_type"] == "image/png"
    with pytest.raises(Unconvertible) as caught:
        by_oip(blob)
    assert "binary_data: true" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("blob", "value"),
    [
        (Blob("é".encode("latin-1"), "text/csv", "latin-1"), "é"),
        (Blob(b'{"a": [1]}', "application/json", None), {"a": [1]}),
        (Blob(b"[1]", "application/vnd.x+json", "utf8"), [1]),
        (Blob(b"not json", "text/plain", "utf8"), "not json"),
    ],
)
def test_a_text_as_the_outcome_by_dataiku(blob: Blob, value: Any) -> None:
    assert by_dataiku(blob)["response"] == value
    assert by_dataiku(blob, "predict")["result"] == {"prediction": value, "ignored": False}
    assert by_dataiku(blob, "predict-multi")["results"] == [{"prediction": value, "ignored": False}]


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        (Blob(b"\x89PNG", "image/png", None), "4 bytes of image/png, which have no JSON form"),
        (Blob(b"\xff", "text/plain", "utf-8"), "called its answer text in utf-8, and it is not"),
        (Blob(b"x", "text/plain", "klingon"), "called its answer text in klingon, and it is not"),
        (Blob(b"{", "application/json", "utf-8"), "called its answer application/json, and it is no JSON"),
    ],
)
@pytest.mark.parametrize("verb", ["run", "predict"])
def test_bytes_as_the_outcome_by_dataiku(blob: Blob, words: str, verb: str) -> None:
    with pytest.raises(InvalidOutput, match=words):
        by_dataiku(blob, verb)

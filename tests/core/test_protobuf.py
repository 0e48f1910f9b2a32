"""The table-driven reader and writer of protocol buffers, beside the real library."""

from __future__ import annotations

import contextlib
import struct
import subprocess
import sys
from typing import Any

import pytest
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, empty_pb2, message_factory, struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from modelport.core import protobuf
from modelport.core.descriptors import KNOWN, Method, ProtoFile
from modelport.core.protobuf import NUMBERS, Schema, integers
from modelport.core.protobuf import rows as short
from modelport.errors import BodyTooLarge, InvalidBody

SCALARS = [*NUMBERS, "string", "bytes"]
SCHEMA = Schema(
    "modelport.tests",
    {
        "One": {at + 1: f"{kind} the_{kind}" for at, kind in enumerate(SCALARS)} | {100: "Colour colour"},
        "Many": {at + 1: f"repeated {kind} the_{kind}" for at, kind in enumerate(SCALARS)}
        | {2000: "repeated Colour colour", 3000: "repeated One ones"},
        "Maps": {
            1: "map<string, double> numbers",
            2: "map<int64, One> ones",
            3: "map<bool, string> texts",
            4: "map<string, google.protobuf.Value> tags",
            5: "map<string, Colour> colours",
            6: "map<string, google.protobuf.Any> things",
        },
        "Choice": {
            1: "bool flag oneof which",
            2: "string text oneof which",
            3: "Choice.Inner inner oneof which",
            4: "google.protobuf.ListValue list oneof which",
            5: "Colour colour oneof which",
            6: "int32 other",
        },
        "Choice.Inner": {1: "int64 n", 2: "Choice choice"},
        "Known": {
            1: "google.protobuf.Value value",
            2: "google.protobuf.Struct struct",
            3: "google.protobuf.ListValue list",
            4: "google.protobuf.Any thing",
            5: "view seen",
        },
    },
    enums={"Colour": {0: "RED", 1: "GREEN", 7: "BLUE"}},
)
SHOP = {"Buy": Method("One", "Many"), "Talk": Method("Choice", "google.protobuf.Empty", is_stream=True)}
FILE = ProtoFile("modelport/tests.proto", SCHEMA, {"Shop": SHOP})


def real_classes() -> dict[str, Any]:
    """The same messages by the real library, from the descriptor that the tables make."""
    pool = descriptor_pool.DescriptorPool()
    for file in (*KNOWN, FILE):
        pool.AddSerializedFile(file.descriptor())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"modelport.tests.{name}"))
        for name in SCHEMA.messages
    } | {"pool": pool}


REAL = real_classes()
BOUNDS = {kind: integers.RANGES[kind] for kind in integers.RANGES}
BOUNDS.update(fixed32=BOUNDS["uint32"], fixed64=BOUNDS["uint64"], sfixed32=BOUNDS["int32"], sfixed64=BOUNDS["int64"])
COLOURS = ["RED", "GREEN", "BLUE", 3, -5]


def scalars(kind: str) -> st.SearchStrategy[Any]:
    if kind in BOUNDS:
        return st.integers(*BOUNDS[kind])
    if kind in ("double", "float"):
        return st.floats(width=64 if kind == "double" else 32, allow_nan=False)
    return {"bool": st.booleans(), "string": st.text(max_size=6), "bytes": st.binary(max_size=6)}[kind]


ones = st.fixed_dictionaries(
    {}, optional={f"the_{kind}": scalars(kind) for kind in SCALARS} | {"colour": st.sampled_from(COLOURS)}
)
many = st.fixed_dictionaries(
    {},
    optional={f"the_{kind}": st.lists(scalars(kind), max_size=100) for kind in SCALARS}
    | {"colour": st.lists(st.sampled_from(COLOURS), max_size=80), "ones": st.lists(ones, max_size=3)},
)
values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
maps = st.fixed_dictionaries(
    {},
    optional={
        "numbers": st.dictionaries(st.text(max_size=4), scalars("double"), max_size=4),
        "ones": st.dictionaries(scalars("int64"), ones, max_size=3),
        "texts": st.dictionaries(st.booleans(), st.text(max_size=4)),
        "tags": st.dictionaries(st.text(max_size=4), values, max_size=3),
        "colours": st.dictionaries(st.text(max_size=4), st.sampled_from(COLOURS), max_size=3),
    },
)
choices = st.deferred(
    lambda: st.one_of(
        st.just({}),
        st.fixed_dictionaries({"flag": st.booleans()}),
        st.fixed_dictionaries({"text": st.text(max_size=4)}),
        st.fixed_dictionaries({"colour": st.sampled_from(COLOURS)}),
        st.fixed_dictionaries({"list": st.lists(values, max_size=3)}),
        st.fixed_dictionaries(
            {"inner": st.fixed_dictionaries({"n": st.integers(-9, 9)}, optional={"choice": choices})}
        ),
    )
)


def plain(message: Any) -> Any:
    """A message of the real library as the reader would give it, but with lists for buffers."""
    if message.DESCRIPTOR.name == "Value":
        return _plain_value(message)
    if message.DESCRIPTOR.name == "ListValue":
        return _plain_list(message)
    if message.DESCRIPTOR.name == "Struct":
        return {key: _plain_value(item) for key, item in message.fields.items()}
    found = {}
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            inner = field.message_type.fields_by_name["value"]
            found[field.name] = {key: _plain_item(inner, item) for key, item in value.items()}
        elif field.is_repeated:
            found[field.name] = [_plain_item(field, item) for item in value]
        else:
            found[field.name] = _plain_item(field, value)
    return found


def _plain_item(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        if field.message_type.full_name == "google.protobuf.Any":
            return value.SerializeToString()
        return plain(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known is not None else value
    return value


def _plain_value(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind in (None, "null_value"):
        return None
    inner = getattr(value, kind)
    if kind == "struct_value":
        return {key: _plain_value(item) for key, item in inner.fields.items()}
    return _plain_list(inner) if kind == "list_value" else inner


def _plain_list(value: Any) -> list[Any]:
    return [_plain_value(item) for item in value.values]


def listed(value: Any) -> Any:
    """What was read, with lists for buffers."""
    if isinstance(value, memoryview):
        return value.tolist()
    if isinstance(value, dict):
        return {key: listed(item) for key, item in value.items()}
    return [listed(item) for item in value] if isinstance(value, list) else value


@given(ones)
def test_single_fields(message: dict[str, Any]) -> None:
    written = SCHEMA.encode("One", message)
    real = REAL["One"].FromString(written)
    assert listed(SCHEMA.decode("One", real.SerializeToString())) == plain(real)
    assert listed(SCHEMA.decode("One", written)) == plain(real)
    for name, value in message.items():
        number = getattr(real, name)
        assert number == ({"RED": 0, "GREEN": 1, "BLUE": 7}.get(value, value) if name == "colour" else value)


@given(many)
@pytest.mark.parametrize("with_numpy", [True, False])
def test_repeated_fields(with_numpy: bool, message: dict[str, Any]) -> None:
    saved = sys.modules.get("numpy")
    try:
        if not with_numpy:
            sys.modules.pop("numpy", None)
        else:
            import numpy as np  # noqa: F401
        written = SCHEMA.encode("Many", message)
        real = REAL["Many"].FromString(written)
        assert listed(SCHEMA.decode("Many", real.SerializeToString())) == plain(real)
        again = SCHEMA.decode("Many", written)
        assert REAL["Many"].FromString(SCHEMA.encode("Many", again)) == real
        for name, value in message.items():
            if name not in ("ones", "colour"):
                assert list(getattr(real, name)) == value
                assert listed(again.get(name, [])) == value
    finally:
        if saved is not None:
            sys.modules["numpy"] = saved


@given(maps)
def test_maps(message: dict[str, Any]) -> None:
    real = REAL["Maps"].FromString(SCHEMA.encode("Maps", message))
    assert listed(SCHEMA.decode("Maps", real.SerializeToString())) == plain(real)
    assert dict(real.numbers) == message.get("numbers", {})
    assert dict(real.texts) == message.get("texts", {})
    assert {key: _plain_value(value) for key, value in real.tags.items()} == message.get("tags", {})
    assert set(real.ones) == set(message.get("ones", {}))


@given(choices)
def test_a_choice_is_there_with_its_default_too(message: dict[str, Any]) -> None:
    real = REAL["Choice"].FromString(SCHEMA.encode("Choice", message))
    assert (real.WhichOneof("which") or "") == next(iter(message), "")
    assert listed(SCHEMA.decode("Choice", real.SerializeToString())) == plain(real)


@given(values, st.dictionaries(st.text(max_size=3), values, max_size=3), st.lists(values, max_size=30))
def test_plain_values(value: Any, members: dict[str, Any], items: list[Any]) -> None:
    message = {"value": value, "struct": members, "list": items}
    real = REAL["Known"].FromString(SCHEMA.encode("Known", message))
    assert (_plain_value(real.value), _plain_list(real.list)) == (value, items)
    assert SCHEMA.decode("Known", real.SerializeToString()) == message


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=20))
def test_a_list_of_numbers_takes_the_short_way(numbers: list[float]) -> None:
    real = REAL["Known"]()
    for number in numbers:
        real.list.values.add().number_value = number
    assert SCHEMA.decode("Known", real.SerializeToString())["list"] == numbers
    assert SCHEMA.encode("Known", {"list": numbers}) == real.SerializeToString()


@st.composite
def tables(draw: st.DrawFn) -> list[list[Any]]:
    """Rows of numbers, most of them alike; one cell or one row may be another thing."""
    width = draw(st.integers(1, 12))
    row = st.lists(st.floats(allow_nan=False), min_size=width, max_size=width)
    rows: list[list[Any]] = draw(st.lists(row, min_size=1, max_size=30))
    if draw(st.booleans()):
        at = draw(st.integers(0, len(rows) - 1))
        rows[at] = draw(st.sampled_from([[], [None] * width, ["x"] * width, rows[at][:-1], [rows[at]], [True] * width]))
    return rows


@given(tables())
def test_rows_of_numbers_take_the_short_way(rows: list[list[Any]]) -> None:
    real = REAL["Known"]()
    real.list.extend(rows)
    assert SCHEMA.decode("Known", real.SerializeToString())["list"] == rows
    assert SCHEMA.encode("Known", {"list": rows}) == real.SerializeToString()


@given(tables(), st.data())
def test_damaged_rows_take_the_short_way_only_if_it_leads_there(rows: list[list[Any]], data: st.DataObject) -> None:
    real = struct_pb2.ListValue()
    real.extend(rows)
    body = bytearray(real.SerializeToString())
    for _ in range(data.draw(st.integers(0, 2))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    read = short.read(memoryview(body))
    if read is not None:
        again = struct_pb2.ListValue()
        again.extend(read)
        assert again.SerializeToString() == struct_pb2.ListValue.FromString(bytes(body)).SerializeToString()


@pytest.mark.parametrize("at", range(10))
def test_a_row_that_is_no_longer_than_the_others(at: int) -> None:
    """Seven letters take as many bytes as a number."""
    rows: list[list[Any]] = [[float(row), 0.5] for row in range(10)]
    rows[at] = [1.0, "letters"]
    real = REAL["Known"]()
    real.list.extend(rows)
    assert SCHEMA.decode("Known", real.SerializeToString())["list"] == rows


def test_a_small_body_cannot_claim_many_rows() -> None:
    head = b"\x1a\x7f\x0a\xff\xff\xff\xff\x07\x32\xff\xff\xff\xff\x07"
    with pytest.raises(InvalidBody):
        SCHEMA.decode("Known", head + bytes(0x7F - len(head) + 2))


def test_numbers_lie_in_the_body_uncopied() -> None:
    import numpy as np

    body = SCHEMA.encode("Many", {"the_double": np.arange(5.0), "the_float": np.arange(3, dtype="f4")})
    read = SCHEMA.decode("Many", body)
    assert read["the_double"].obj is body
    assert np.frombuffer(read["the_double"]).tolist() == [0, 1, 2, 3, 4]
    assert read["the_float"].format == "f"
    assert SCHEMA.decode("Known", SCHEMA.encode("Known", {"seen": b"abc"}))["seen"] == b"abc"


@pytest.mark.parametrize("kind", ["int32", "int64", "uint32", "uint64", "sint64", "bool", "double", "fixed32"])
def test_numbers_in_arrays_of_other_types(kind: str) -> None:
    import numpy as np

    for given_type in ("i1", "u2", "i4", "i8", "u8", ">i4", "?"):
        numbers = (np.arange(90) % 2).astype(given_type)
        body = SCHEMA.encode("Many", {f"the_{kind}": numbers})
        assert list(getattr(REAL["Many"].FromString(body), f"the_{kind}")) == numbers.tolist()


NUMBER = {field.type: field.number for field in SCHEMA.messages["Many"]}


def test_unpacked_and_mixed() -> None:
    tag = integers.varint(NUMBER["int64"] << 3)
    body = b"".join(tag + integers.varint(n) for n in (1, 300, 5))
    body += integers.varint(NUMBER["int64"] << 3 | 2) + b"\x02\x07\x08"
    assert SCHEMA.decode("Many", body)["the_int64"].tolist() == [1, 300, 5, 7, 8]
    assert list(REAL["Many"].FromString(body).the_int64) == [1, 300, 5, 7, 8]
    body = b"".join(integers.varint(NUMBER["double"] << 3 | 1) + struct.pack("<d", n) for n in (0.5, 1.5))
    assert SCHEMA.decode("Many", body)["the_double"].tolist() == [0.5, 1.5]


def test_a_message_that_comes_twice_is_one() -> None:
    one = SCHEMA.encode("Choice", {"inner": {"n": 5}}) + SCHEMA.encode("Choice", {"inner": {"choice": {"other": 2}}})
    assert SCHEMA.decode("Choice", one) == {"inner": {"n": 5, "choice": {"other": 2}}}
    assert plain(REAL["Choice"].FromString(one)) == SCHEMA.decode("Choice", one)
    other = one + SCHEMA.encode("Choice", {"text": "x"})
    assert SCHEMA.decode("Choice", other) == {"text": "x"}


def test_fields_of_another_wire_type_are_skipped_where_that_is_wanted() -> None:
    body = b"\x08\x01\x12\x01x"  # numbers where text is, then text
    tables = {"Message": {1: "string one", 2: "string two"}}
    assert Schema("own", tables, strict=False).decode("Message", body) == {"two": "x"}
    with pytest.raises(InvalidBody, match="one is of another wire type"):
        Schema("own", tables).decode("Message", body)


def test_unknown_fields_are_skipped() -> None:
    alien = Schema("alien", {"Alien": {50: "string a", 51: "double b", 52: "float c", 53: "int64 d", 6: "int32 other"}})
    body = alien.encode("Alien", {"a": "x", "b": 1.0, "c": 2.0, "d": -1, "other": 4})
    group = integers.varint(60 << 3 | 3) + b"\x08\x01" + integers.varint(60 << 3 | 4)
    assert SCHEMA.decode("Choice", group + body + group) == {"other": 4}
    assert REAL["Choice"].FromString(group + body + group).other == 4


def nested(depth: int) -> bytes:
    """Choices within choices."""
    body = b""
    for _ in range(depth):
        body = b"\x12" + integers.varint(len(body)) + body
        body = b"\x1a" + integers.varint(len(body)) + body
    return body


HOSTILE = {
    "a tag cut off": b"\xff",
    "a number cut off": b"\x30\xff",
    "a number that is too long": b"\x30" + b"\xff" * 11,
    "a huge length": b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    "a length past the end": b"\x12\x05abc",
    "text that is not UTF-8": b"\x12\x02\xff\xfe",
    "a wrong wire type": b"\x10\x01",
    "a field without number": b"\x02\x00",
    "an unknown wire type": b"\x3f",
    "an end without its group": b"\x7c",
    "a group without end": b"\x7b\x08\x01",
    "a group with another's end": b"\x7b\x84\x01",
    "groups within groups": b"\x7b" * 5000,
    "messages within messages": nested(60),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_bodies(what: str) -> None:
    with pytest.raises(InvalidBody):
        SCHEMA.decode("Choice", HOSTILE[what])


def deep_list(depth: int) -> bytes:
    body = b""
    for _ in range(depth):
        body = b"\x32" + integers.varint(len(body)) + body
        body = b"\x0a" + integers.varint(len(body)) + body
    return b"\x1a" + integers.varint(len(body)) + body


def test_deep_values() -> None:
    assert SCHEMA.decode("Known", deep_list(45))
    assert REAL["Known"].FromString(deep_list(45))
    with pytest.raises(InvalidBody, match="nested deeper"):
        SCHEMA.decode("Known", deep_list(51))
    with pytest.raises(InvalidBody, match="nested deeper"):
        SCHEMA.decode("Known", deep_list(100_000))
    value: list[Any] = []
    for _ in range(200):
        value = [value]
    with pytest.raises(ValueError, match="nested deeper"):
        SCHEMA.encode("Known", {"value": value})


def test_wrong_wire_types_in_plain_values() -> None:
    for body in (b"\x0a\x02\x10\x01", b"\x0a\x05\x0d1234", b"\x1a\x02\x08\x01", b"\x12\x02\x08\x01"):
        with pytest.raises(InvalidBody, match="wire type"):
            SCHEMA.decode("Known", body)


def test_a_number_cut_off_in_a_packed_field() -> None:
    for kind, size in (("double", 7), ("float", 5), ("fixed64", 9)):
        with pytest.raises(InvalidBody, match="cut off"):
            SCHEMA.decode("Many", integers.varint(NUMBER[kind] << 3 | 2) + bytes([size]) + bytes(size))
    for length in (3, 100):
        cut = integers.varint(NUMBER["int64"] << 3 | 2) + bytes([length]) + b"\x01" * (length - 1) + b"\x80"
        with pytest.raises(InvalidBody, match="cut off"):
            SCHEMA.decode("Many", cut)
        long = b"\xff" * 11 + b"\x01" * (length - 1)
        with pytest.raises(InvalidBody, match="10 bytes"):
            SCHEMA.decode("Many", integers.varint(NUMBER["int64"] << 3 | 2) + bytes([len(long)]) + long)


def test_a_body_of_very_many_messages_is_refused() -> None:
    one = integers.varint(NUMBER["One"] << 3 | 2) + b"\x00"
    with pytest.raises(BodyTooLarge, match="1048576 messages"):
        SCHEMA.decode("Many", one * (protobuf.MAX_MESSAGES + 1))


@given(st.binary(max_size=60), st.sampled_from(list(SCHEMA.messages)))
def test_any_bytes_are_read_or_refused(body: bytes, name: str) -> None:
    with contextlib.suppress(InvalidBody):
        SCHEMA.decode(name, body)


@given(many, st.data())
def test_a_body_cut_anywhere_is_read_or_refused(message: dict[str, Any], data: st.DataObject) -> None:
    body = SCHEMA.encode("Many", message)
    with contextlib.suppress(InvalidBody):
        SCHEMA.decode("Many", body[: data.draw(st.integers(0, len(body)))])


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ({"the_int32": 1 << 31}, "One.the_int32: 2147483648 is not a int32"),
        ({"the_uint64": -1}, "One.the_uint64: -1 is not a uint64"),
        ({"the_int64": 1.5}, "One.the_int64"),
        ({"the_string": 5}, "One.the_string"),
        ({"the_bytes": "text"}, "One.the_bytes"),
        ({"the_double": "x"}, "One.the_double"),
        ({"colour": "PURPLE"}, "One.colour: 'PURPLE' is not a Colour"),
        ({"the_string": "\ud800"}, "One.the_string"),
    ],
)
def test_what_does_not_fit_its_field(message: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault.replace("(", "\\(")):
        SCHEMA.encode("One", message)


def test_a_table_that_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="does not describe a field"):
        Schema("x", {"A": {1: "string"}})
    with pytest.raises(ValueError, match="no type 'strin'"):
        Schema("x", {"A": {1: "strin name"}})


def test_descriptors_say_what_the_tables_say() -> None:
    service = REAL["pool"].FindServiceByName("modelport.tests.Shop")
    assert [method.name for method in service.methods] == ["Buy", "Talk"]
    assert service.methods_by_name["Talk"].output_type.full_name == "google.protobuf.Empty"
    assert service.methods_by_name["Talk"].client_streaming
    assert FILE.imports == [
        "google/protobuf/struct.proto",
        "google/protobuf/any.proto",
        "google/protobuf/empty.proto",
    ]
    assert "modelport.tests.Shop.Buy" in FILE.symbols
    one = REAL["One"].DESCRIPTOR
    assert one.fields_by_name["the_int32"].json_name == "theInt32"
    assert one.fields_by_name["colour"].enum_type.values_by_name["BLUE"].number == 7


def test_the_files_of_google_are_as_the_library_has_them() -> None:
    for module, file in zip((any_pb2, empty_pb2, struct_pb2), KNOWN, strict=True):
        real = descriptor_pb2.FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
        ours = descriptor_pb2.FileDescriptorProto.FromString(file.descriptor())
        real.ClearField("options")
        for described in (real, ours):
            for message in described.message_type:
                for field in (*message.field, *(field for entry in message.nested_type for field in entry.field)):
                    field.ClearField("json_name")
        assert ours == real


def test_it_needs_no_protobuf_library() -> None:
    code = "import sys, modelport.core.descriptors; print(any(n.startswith('google') for n in sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


@pytest.mark.parametrize("kind", ["int64", "uint64", "int32", "sint64"])
def test_integers_where_their_size_changes(kind: str) -> None:
    low, high = BOUNDS[kind]
    edges = [n + d for bits in range(0, 64, 7) for n in (1 << bits, -1 << bits) for d in (-1, 0, 1)]
    numbers = [n for n in edges if low <= n <= high] * 3
    real = REAL["Many"].FromString(SCHEMA.encode("Many", {f"the_{kind}": numbers}))
    assert list(getattr(real, f"the_{kind}")) == numbers
    assert SCHEMA.decode("Many", real.SerializeToString())[f"the_{kind}"].tolist() == numbers


def test_a_long_row_of_integers_is_read_in_pieces() -> None:
    import numpy as np

    numbers = np.arange(200_000) * 977  # of one to four bytes each
    body = SCHEMA.encode("Many", {"the_int64": numbers})
    assert len(body) > 2 * integers.CHUNK
    assert (np.frombuffer(SCHEMA.decode("Many", body)["the_int64"], "i8") == numbers).all()
    endless = integers.varint(NUMBER["int64"] << 3 | 2) + integers.varint(integers.CHUNK * 2)
    with pytest.raises(InvalidBody, match="10 bytes"):
        SCHEMA.decode("Many", endless + b"\xff" * (integers.CHUNK * 2 - 1) + b"\x01")

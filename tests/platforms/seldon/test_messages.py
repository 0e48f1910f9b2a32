"""The platform's messages by our tables, against the protobuf library's own reading and writing of them."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from modelport.contracts.seldon import protojson
from modelport.schemas.seldon import SCHEMA
from tests.platforms.seldon.remote import pb

TEXT = st.text(max_size=8)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SINGLE = st.floats(width=32, allow_nan=False, allow_infinity=False)
INT32 = st.integers(-(1 << 31), (1 << 31) - 1)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object with any of these members."""
    return st.fixed_dictionaries({}, optional=fields)


def one(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object with one of these members, or none."""
    return st.one_of(
        st.just({}), *(value.map(lambda given, name=name: {name: given}) for name, value in fields.items())
    )


def both(*objects: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*objects).map(lambda parts: {key: value for part in parts for key, value in part.items()})


METRIC = some(
    key=TEXT, type=st.sampled_from(["COUNTER", "GAUGE", "TIMER"]), value=SINGLE, tags=st.dictionaries(TEXT, TEXT)
)
META = some(
    puid=TEXT,
    tags=st.dictionaries(TEXT, VALUES, max_size=3),
    routing=st.dictionaries(TEXT, INT32, max_size=3),
    requestPath=st.dictionaries(TEXT, TEXT, max_size=3),
    metrics=st.lists(METRIC, max_size=3),
)
DATA = both(
    some(names=st.lists(TEXT, max_size=3)),
    one(
        tensor=some(shape=st.lists(INT32, max_size=3), values=st.lists(NUMBERS, max_size=4)),
        ndarray=st.lists(VALUES, max_size=3),
    ),
)
STATUS = some(code=INT32, info=TEXT, reason=TEXT, status=st.sampled_from(["SUCCESS", "FAILURE"]))
MESSAGE = both(
    some(status=STATUS, meta=META),
    one(data=DATA, binData=st.sampled_from(["", "AAH/", "_-8"]), strData=TEXT, jsonData=VALUES),
)
FEEDBACK = some(request=MESSAGE, response=MESSAGE, reward=SINGLE, truth=MESSAGE)


@given(FEEDBACK)
def test_messages_become_what_the_library_makes_of_them(told: dict[str, Any]) -> None:
    ours, theirs = protojson.parse(told, "Feedback"), json_format.ParseDict(told, pb.Feedback())
    assert pb.Feedback.FromString(SCHEMA.encode("Feedback", ours)) == theirs
    assert protojson.write(told, "Feedback") == json_format.MessageToDict(theirs)


@given(FEEDBACK)
def test_messages_are_read_as_the_library_reads_them(told: dict[str, Any]) -> None:
    theirs = json_format.ParseDict(told, pb.Feedback())
    read = SCHEMA.decode("Feedback", theirs.SerializeToString())
    assert protojson.render(read, "Feedback") == json_format.MessageToDict(theirs)
    assert pb.Feedback.FromString(SCHEMA.encode("Feedback", read)) == theirs

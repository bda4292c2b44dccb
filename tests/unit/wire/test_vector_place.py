"""The place of a vector in the bytes of a request is that of the content which a parser takes."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from vecdb._pb.v1 import search_service_pb2 as pb
from vecdb.wire.search_requests import tag, varint
from vecdb.wire.vector_place import place_of_query

DATA = st.binary(min_size=1, max_size=200)
UNKNOWN = st.one_of(
    st.builds(
        lambda number, value: varint(number << 3) + varint(value), st.integers(20, 5000), st.integers(0, 2**64 - 1)
    ),
    st.builds(lambda number, value: tag(number) + varint(len(value)) + value, st.integers(20, 5000), DATA),
    st.builds(lambda number: varint(number << 3 | 1) + b"12345678", st.integers(20, 5000)),
    st.builds(lambda number: varint(number << 3 | 5) + b"1234", st.integers(20, 5000)),
)
"""Fields that this version does not know."""


@st.composite
def queries(draw: st.DrawFn) -> bytes:
    """A `query` field, with its parts in any order."""
    data = draw(st.lists(DATA.map(lambda one: tag(3) + varint(len(one)) + one), max_size=2))
    parts = [*data, *draw(st.lists(UNKNOWN, max_size=2)), draw(st.sampled_from([b"", b"\x08\x01"]))]
    content = b"".join(draw(st.permutations(parts)))
    return tag(pb.SearchRequest.QUERY_FIELD_NUMBER) + varint(len(content)) + content


BODIES = st.lists(st.one_of(queries(), UNKNOWN, st.just(b"\x0a\x04docs"), st.just(b"\x20\x01")), max_size=5).map(
    b"".join
)


def parsed(body: bytes) -> pb.SearchRequest | None:
    """The message, None when the bytes are none."""
    try:
        return pb.SearchRequest.FromString(body)
    except DecodeError:
        return None


@given(BODIES)
def test_what_lies_there_is_what_a_parser_takes(body: bytes) -> None:
    message, place = parsed(body), place_of_query(body)
    assert message is not None
    if place is None:
        assert message.query.WhichOneof("components") is None
        return
    assert body[place.start : place.stop] == message.query.data
    # other bytes at the place are another vector, and nothing else is different
    other = bytes(byte ^ 0xFF for byte in message.query.data)
    changed = parsed(body[: place.start] + other + body[place.stop :])
    assert changed is not None
    assert changed.query.data == other
    changed.query.data = message.query.data
    assert changed == message


@given(st.binary(max_size=60))
def test_bytes_that_are_no_message_have_a_place_inside_them_or_none(body: bytes) -> None:
    place = place_of_query(body)
    assert place is None or 0 <= place.start <= place.stop <= len(body)
    if place is not None and parsed(body) is not None:
        assert body[place.start : place.stop] == pb.SearchRequest.FromString(body).query.data

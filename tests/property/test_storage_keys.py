"""Keys keep the order and the type of whatever they are made from."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from vecdb.config import INT_ID_MAX
from vecdb.storage import keys

ints = st.integers(0, INT_ID_MAX)
texts = st.text(min_size=1, max_size=64).filter(lambda text: not any("\ud800" <= char <= "\udfff" for char in text))
ids = st.one_of(ints, texts, st.uuids())
u32 = st.integers(0, 2**32 - 1)
u16 = st.integers(0, 2**16 - 1)
u8 = st.integers(0, 255)


@given(ids)
def test_an_id_survives_the_way_through_its_key(record_id: int | str | UUID) -> None:
    back = keys.id_from_key(keys.id_key(record_id))
    assert (back, type(back)) == (record_id, type(record_id))


@given(ids, ids)
def test_different_ids_have_different_keys(one: int | str | UUID, other: int | str | UUID) -> None:
    same = type(one) is type(other) and one == other
    assert (keys.id_key(one) == keys.id_key(other)) == same


@given(ints, ints)
def test_int_ids_sort_as_numbers(one: int, other: int) -> None:
    assert (keys.id_key(one) < keys.id_key(other)) == (one < other)


@given(texts, texts)
def test_str_ids_sort_by_code_points(one: str, other: str) -> None:
    assert (keys.id_key(one) < keys.id_key(other)) == (one < other)


chunk_parts = st.tuples(u32, u16, u32, u8, u32)


@given(chunk_parts, chunk_parts)
def test_keys_sort_as_the_tuples_of_their_parts(
    one: tuple[int, int, int, int, int], other: tuple[int, int, int, int, int]
) -> None:
    assert (keys.chunk_key(*one) < keys.chunk_key(*other)) == (one < other)
    assert (keys.tail_key(*one[:3]) < keys.tail_key(*other[:3])) == (one[:3] < other[:3])
    assert (keys.record_key(*one[:1], one[4]) < keys.record_key(*other[:1], other[4])) == (
        (one[0], one[4]) < (other[0], other[4])
    )


@given(st.binary(min_size=1, max_size=20), st.binary(max_size=20))
def test_the_stop_of_a_prefix_divides_what_has_it_from_what_follows(prefix: bytes, rest: bytes) -> None:
    stop = keys.prefix_stop(prefix)
    if stop is None:
        assert prefix.strip(b"\xff") == b""
    else:
        assert prefix + rest < stop
        assert (rest >= stop) == (rest > prefix and not rest.startswith(prefix))

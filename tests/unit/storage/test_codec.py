"""Values: checksums that cover place and payload, and the round trips of every kind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import numpy as np
import pytest

from vecdb.errors import CorruptionError, InvalidMetadataError
from vecdb.storage import codec, keys
from vecdb.storage.keys import Table

KEY = keys.record_key(3, 9)
ID_KEY = keys.id_key("doc")
HEAD = b"\0\x04" + bytes(8)


def test_a_sealed_value_opens_without_a_copy() -> None:
    sealed = codec.seal(Table.STATE, KEY, b"payload")
    assert codec.open_value(Table.STATE, KEY, sealed).obj is sealed


def test_a_value_found_under_another_key_is_noticed() -> None:
    sealed = codec.seal(Table.STATE, KEY, b"payload")
    with pytest.raises(CorruptionError, match="state"):
        codec.open_value(Table.STATE, keys.record_key(3, 10), sealed)


def test_a_value_found_in_another_table_is_noticed() -> None:
    sealed = codec.seal(Table.STATE, KEY, b"payload")
    with pytest.raises(CorruptionError, match="dead, collection 3, block 9"):
        codec.open_value(Table.DEAD, KEY, sealed)


@pytest.mark.parametrize("value", [b"", b"\0\0\0", bytes(4), bytes(4096)])
def test_zeros_and_stumps_are_not_values(value: bytes) -> None:
    with pytest.raises(CorruptionError):
        codec.open_value(Table.STATE, KEY, value)


def test_a_record_comes_back_whole() -> None:
    metadata = {"n": None, "b": True, "i": -(2**63), "u": 2**64 - 1, "f": 0.1, "s": "é", "l": [1, {"x": []}]}
    assert codec.decode_record(KEY, codec.encode_record(KEY, ID_KEY, metadata, 1)) == ("doc", metadata)


def test_a_datetime_comes_back_as_the_same_instant_with_a_zone() -> None:
    given = datetime(2024, 2, 29, 23, 59, 59, 123_456, tzinfo=timezone(timedelta(hours=-7)))
    _, metadata = codec.decode_record(KEY, codec.encode_record(KEY, ID_KEY, {"at": given}, 1))
    assert metadata["at"] == given
    assert metadata["at"].tzinfo == UTC


def test_the_id_is_read_without_the_metadata() -> None:
    payload = len(ID_KEY).to_bytes(2, "big") + bytes(8) + ID_KEY + b"\xc1 no msgpack"
    assert codec.decode_record_id(KEY, codec.seal(Table.RECORDS, KEY, payload)) == "doc"


def test_version_and_expiry_come_back_with_the_record_and_without() -> None:
    value = codec.encode_record(KEY, ID_KEY, {"n": 1}, 2**63 - 1, -1)
    assert codec.decode_whole_record(KEY, value) == ("doc", {"n": 1}, 2**63 - 1, -1)
    never = codec.encode_record(KEY, ID_KEY, {}, 7)
    assert codec.decode_record_heads([KEY, KEY], [value, never]) == [(2**63 - 1, -1), (7, codec.NEVER)]


@pytest.mark.parametrize("expires", [codec.NEVER + 1, 2**63 - 1])
def test_an_expiry_beyond_all_datetimes_is_corruption(expires: int) -> None:
    value = codec.encode_record(KEY, ID_KEY, {}, 1, expires)
    with pytest.raises(CorruptionError, match="no possible time"):
        codec.decode_whole_record(KEY, value)
    with pytest.raises(CorruptionError, match="no possible time"):
        codec.decode_record_heads([KEY], [value])


def test_many_ids_are_read_in_order() -> None:
    record_keys = keys.record_keys(1, range(5))
    items = codec.encode_records(record_keys, [keys.id_key(number) for number in range(5)], [{}] * 5, 1)
    assert codec.decode_record_ids(record_keys, [value for _, value in items]) == [0, 1, 2, 3, 4]


def test_reading_only_ids_still_checks_the_whole_value() -> None:
    value = bytearray(codec.encode_record(KEY, ID_KEY, {"text": "sound"}, 1))
    value[-1] ^= 1
    with pytest.raises(CorruptionError):
        codec.decode_record_ids([KEY], [bytes(value)])


@pytest.mark.parametrize("metadata", [{"x": 2**64}, {"x": object()}])
def test_metadata_that_cannot_be_stored_is_refused(metadata: dict[str, Any]) -> None:
    with pytest.raises(InvalidMetadataError):
        codec.encode_record(KEY, ID_KEY, metadata, 1)


def test_metadata_that_contains_itself_is_refused() -> None:
    metadata: dict[str, Any] = {}
    metadata["self"] = metadata
    with pytest.raises(InvalidMetadataError):
        codec.encode_record(KEY, ID_KEY, metadata, 1)


def test_packed_records_are_the_ids_and_the_metadata_as_stored() -> None:
    metadata = [{"n": n, "text": "x" * n} for n in range(5)]
    record_keys, id_keys = keys.record_keys(1, range(5)), [keys.id_key(n) for n in range(5)]
    values = [value for _, value in codec.encode_records(record_keys, id_keys, metadata, 7)]
    ids, packed = codec.decode_packed_records(record_keys, [memoryview(value) for value in values])
    assert ids == [0, 1, 2, 3, 4]
    assert [msgspec.msgpack.decode(one) for one in packed] == metadata


@pytest.mark.parametrize("place", range(27))
def test_a_damaged_byte_of_a_packed_record_is_corruption(place: int) -> None:
    value = bytearray(codec.encode_record(KEY, keys.id_key("a"), {"text": "word"}, 7))
    value[place] ^= 1
    with pytest.raises(CorruptionError):
        codec.decode_packed_records([KEY], [bytes(value)])


@pytest.mark.parametrize("size", [0, 1, 4, 13])
def test_a_packed_record_that_is_cut_short_is_corruption(size: int) -> None:
    value = codec.encode_record(KEY, keys.id_key("a"), {}, 7)[:size]
    with pytest.raises(CorruptionError):
        codec.decode_packed_records([KEY], [value])


@pytest.mark.parametrize(
    "payload", [b"", bytes(9), HEAD + ID_KEY, HEAD + ID_KEY + b"\x01", b"\x80\x04" + bytes(8) + ID_KEY]
)
def test_a_sound_checksum_over_no_record_is_corruption(payload: bytes) -> None:
    with pytest.raises(CorruptionError):
        codec.decode_record(KEY, codec.seal(Table.RECORDS, KEY, payload))


def test_a_slot_comes_back_from_the_ids_table() -> None:
    key = keys.id_table_key(1, ID_KEY)
    [(_, value)] = codec.encode_slots([key], [12_345])
    assert codec.decode_slot(key, value) == 12_345


def test_a_slot_beyond_all_slots_is_corruption() -> None:
    with pytest.raises(CorruptionError):
        codec.decode_slot(KEY, codec.seal(Table.IDS, KEY, b"\xff\xff\xff\xff"))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_vectors_come_back_bit_for_bit(dtype: type[np.floating[Any]], rng: np.random.Generator) -> None:
    rows = rng.standard_normal((7, 5)).astype(dtype)
    tail_keys = keys.tail_keys(1, 0, range(7))
    values = [value for _, value in codec.encode_vectors(tail_keys, rows)]
    back = codec.decode_vectors(tail_keys, values, 5, dtype)
    assert back.dtype == rows.dtype
    assert np.array_equal(back, rows)


def test_every_second_row_of_an_array_is_stored_as_it_looks(rng: np.random.Generator) -> None:
    rows = rng.random((8, 6), dtype=np.float32)[::2, ::2]
    tail_keys = keys.tail_keys(1, 0, range(4))
    values = [value for _, value in codec.encode_vectors(tail_keys, rows)]
    assert np.array_equal(codec.decode_vectors(tail_keys, values, 3, np.float32), rows)


def test_a_vector_of_another_dimension_is_corruption(rng: np.random.Generator) -> None:
    [(key, value)] = codec.encode_vectors([keys.tail_key(1, 0, 0)], rng.random((1, 4), dtype=np.float32))
    with pytest.raises(CorruptionError):
        codec.decode_vectors([key], [value], 5, np.float32)


def test_no_vectors_make_an_empty_array() -> None:
    assert codec.decode_vectors([], [], 4, np.float32).shape == (0, 4)


def test_a_bitmap_comes_back_writable(rng: np.random.Generator) -> None:
    key = keys.dead_key(1, 0)
    words = rng.integers(0, 2**63, 128, dtype=np.uint64)
    back = codec.decode_bitmap(key, codec.encode_bitmap(key, words))
    back[0] ^= np.uint64(1)
    assert np.array_equal(back[1:], words[1:])


class Point(msgspec.Struct):
    """A struct as the engine stores them."""

    x: int
    y: str = ""


def test_a_struct_comes_back_as_its_type() -> None:
    value = codec.encode_struct(Table.CATALOG, b"docs", Point(1, "a"))
    assert codec.decode_struct(Table.CATALOG, b"docs", value, Point) == Point(1, "a")


def test_a_struct_of_another_type_is_corruption() -> None:
    value = codec.encode_struct(Table.CATALOG, b"docs", {"x": "not a number"})
    with pytest.raises(CorruptionError, match="catalog"):
        codec.decode_struct(Table.CATALOG, b"docs", value, Point)

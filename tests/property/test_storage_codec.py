"""Values survive their encoding, and no change to a sealed value goes unnoticed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from vecdb.config import SLOTS_MAX
from vecdb.engine.clock import micros
from vecdb.errors import CorruptionError
from vecdb.storage import codec, keys
from vecdb.storage.chunks import ChunkKind, check_chunk, encode_chunk
from vecdb.storage.keys import Table

zones = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
instants = st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1), timezones=zones)  # noqa: DTZ001
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), texts, instants
)
metadata = st.dictionaries(
    texts,
    st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4)),
    max_size=6,
)
ids = st.one_of(st.integers(0, 2**64 - 1), texts.filter(bool), st.uuids())
slots = st.integers(0, SLOTS_MAX)


@given(slots, ids, metadata, st.integers(1, 2**63 - 1), instants | st.none())
def test_a_record_survives_the_way_through_its_value(
    slot: int, record_id: Any, fields: dict[str, Any], version: int, expires_at: datetime | None
) -> None:
    key = keys.record_key(1, slot)
    expires = codec.NEVER if expires_at is None else micros(expires_at)
    value = codec.encode_record(key, keys.id_key(record_id), fields, version, expires)
    assert codec.decode_record(key, value) == (record_id, fields)
    assert codec.decode_whole_record(key, value) == (record_id, fields, version, expires)
    assert codec.decode_record_heads([key], [memoryview(value)]) == [(version, expires)]
    assert codec.decode_record_id(key, value) == record_id
    assert codec.decode_record_ids([key], [memoryview(value)]) == [record_id]


@given(instants)
def test_an_instant_comes_back_with_a_zone(instant: datetime) -> None:
    key = keys.record_key(1, 1)
    _, fields = codec.decode_record(key, codec.encode_record(key, keys.id_key(1), {"at": instant}, 1))
    assert fields["at"] == instant
    assert fields["at"].utcoffset() == UTC.utcoffset(None)


@given(st.binary(min_size=1, max_size=30), st.binary(max_size=60), st.data())
def test_no_change_to_a_sealed_value_goes_unnoticed(key: bytes, payload: bytes, data: st.DataObject) -> None:
    sealed = bytearray(codec.seal(Table.STATE, key, payload))
    assert bytes(codec.open_value(Table.STATE, key, bytes(sealed))) == payload
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptionError):
        codec.open_value(Table.STATE, key, bytes(sealed))


@given(st.binary(min_size=1, max_size=60), st.data())
def test_no_cut_of_a_sealed_value_goes_unnoticed(payload: bytes, data: st.DataObject) -> None:
    sealed = codec.seal(Table.STATE, b"key", payload)
    cut = data.draw(st.integers(0, len(sealed) - 1))
    with pytest.raises(CorruptionError):
        codec.open_value(Table.STATE, b"key", sealed[:cut])


@given(st.sampled_from(Table), st.binary(max_size=200), st.binary(min_size=1, max_size=30))
def test_random_bytes_are_corruption_for_every_reader(table: Table, value: bytes, key: bytes) -> None:
    for read in (
        lambda: codec.open_value(table, key, value),
        lambda: codec.decode_slot(key, value),
        lambda: codec.decode_record(key, value),
        lambda: codec.decode_whole_record(key, value),
        lambda: codec.decode_record_heads([key], [value]),
        lambda: codec.decode_record_id(key, value),
        lambda: codec.decode_record_ids([key], [value]),
        lambda: codec.decode_vectors([key], [value], 3, np.float32),
        lambda: codec.decode_bitmap(key, value),
        lambda: codec.decode_struct(table, key, value, dict),
        lambda: check_chunk(key, value),
    ):
        with pytest.raises(CorruptionError):
            read()


@given(st.sampled_from(Table), st.binary(max_size=80), st.binary(min_size=1, max_size=30))
@example(Table.CATALOG, b"\x81\xa2\x00\x80", b"\x00")  # a dict with a key that is no UTF-8
def test_sealed_nonsense_is_corruption_or_a_value(table: Table, payload: bytes, key: bytes) -> None:
    """A sound checksum does not make sound content: readers may not raise anything else."""
    for read in (
        lambda value: codec.decode_slot(key, value),
        lambda value: codec.decode_record(key, value),
        lambda value: codec.decode_record_id(key, value),
        lambda value: codec.decode_record_ids([key], [value]),
        lambda value: codec.decode_bitmap(key, value),
        lambda value: codec.decode_struct(table, key, value, dict),
    ):
        for sealed in (codec.seal(kind, key, payload) for kind in Table):
            try:
                read(sealed)
            except CorruptionError:
                continue


arrays = st_numpy.arrays(st.sampled_from([np.float32, np.float16]), st.tuples(st.integers(1, 6), st.integers(1, 9)))


@given(arrays, slots)
def test_vectors_survive_bit_for_bit(rows: np.ndarray[Any, Any], first: int) -> None:
    tail_keys = keys.tail_keys(1, 0, range(first, first + len(rows)))
    values = [value for _, value in codec.encode_vectors(tail_keys, rows)]
    back = codec.decode_vectors(tail_keys, values, rows.shape[1], rows.dtype)
    assert back.tobytes() == rows.tobytes()


@given(arrays, st.data())
def test_no_change_to_the_rows_of_a_chunk_goes_unnoticed(rows: np.ndarray[Any, Any], data: st.DataObject) -> None:
    key = keys.chunk_key(1, 0, 1, ChunkKind.VECTORS, 0)
    value = bytearray(encode_chunk(key, ChunkKind.VECTORS, 0, rows))
    assert check_chunk(key, bytes(value)) == len(rows)
    bit = data.draw(st.integers(0, (48 + rows.nbytes) * 8 - 1))
    value[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptionError):
        check_chunk(key, bytes(value))

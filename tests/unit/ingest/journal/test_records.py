"""What the tables of a journal hold is spelled so that it comes back as it was, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.ingest.journal.given import IDENTITY
from vecdb.errors import CorruptionError
from vecdb.ingest.journal import records
from vecdb.ingest.journal.config import MESSAGE_CHARS_MAX
from vecdb.ingest.journal.records import Counters, Head, PartRecord
from vecdb.ingest.journal.states import Failure, ItemState, ItemWrite
from vecdb.storage.keys import id_key
from vecdb.types import RecordId

texts = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=60)
ids = st.integers(0, 2**64 - 1) | texts | st.uuids()
u32, u64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)


@given(ids, st.lists(ids, max_size=5).map(tuple), st.binary(max_size=32), u32, u32, u64, u64)
def test_items_come_back(
    item_id: RecordId,
    chunks: tuple[RecordId, ...],
    content_hash: bytes,
    part: int,
    epoch: int,
    number: int,
    version: int,
) -> None:
    head = Head(records.id_type(item_id), part, epoch, number, version, len(content_hash))
    item = ItemWrite(item_id, "part", content_hash, chunks, version)
    payload = records.encode_item(item, part, epoch, number, content_hash)
    assert records.item_head(payload) == head
    state = records.decode_item(records.item_key(item_id), memoryview(payload), "part", epoch)
    assert state == ItemState(item_id, "part", content_hash, chunks, version)
    assert [type(one) for one in (state.id, *state.chunks)] == [type(one) for one in (item_id, *chunks)]


@given(ids, st.integers(0, 300))
def test_numbered_chunks_take_a_few_bytes_however_many_there_are(item_id: RecordId, count: int) -> None:
    chunks = tuple(f"{item_id}#{ordinal}" for ordinal in range(count))
    payload = records.encode_item(ItemWrite(item_id, "part", b"", chunks), 1, 2, 3, b"")
    assert len(payload) < 40
    assert records.decode_item(records.item_key(item_id), payload, "", 2).chunks == chunks


@given(ids, ids)
def test_the_key_of_an_item_is_the_text_of_its_id(first: RecordId, second: RecordId) -> None:
    assert (records.item_key(first) == records.item_key(second)) == (str(first) == str(second))


@given(st.text(max_size=900), st.text(max_size=900))
def test_parts_have_keys_of_their_own_that_lmdb_takes(first: str, second: str) -> None:
    assert (records.part_key(first) == records.part_key(second)) == (first == second)
    assert 1 <= len(records.part_key(first)) <= 511


@given(u32, u64, st.none() | texts, st.text())
def test_parts_come_back(epoch: int, items: int, fingerprint: str | None, key: str) -> None:
    part = PartRecord(epoch, items, fingerprint, key)
    assert records.decode_part(records.encode_part(part)) == part


def test_the_identity_comes_back() -> None:
    assert records.decode_identity(records.encode_identity(IDENTITY)) == IDENTITY


@given(st.none() | ids, st.text(), st.text(), st.binary(max_size=16), st.floats(1, 1e10))
def test_failures_come_back(
    item_id: RecordId | None, part: str, message: str, content_hash: bytes, time: float
) -> None:
    failure = Failure(
        id=item_id, part=part, position="a:1", reason="R", message=message, content_hash=content_hash, time=time
    )
    assert records.decode_failure(records.encode_failure(failure, 7)) == (7, failure)


def test_long_messages_are_cut() -> None:
    failure = Failure(id=1, part="a", position="a", reason="R", message="m" * 10_000)
    assert len(records.decode_failure(records.encode_failure(failure, 1))[1].message) == MESSAGE_CHARS_MAX


@pytest.mark.parametrize(
    ("decode", "payload"),
    [
        (records.decode_counters, msgspec.msgpack.encode({"next_thing": 1})),
        (records.decode_counters, b"\xc1"),
        (records.decode_identity, msgspec.msgpack.encode({"destination": "x"})),
        (records.decode_part, msgspec.msgpack.encode([1, 2])),
        (records.decode_failure, msgspec.msgpack.encode([1, {"id": id_key(1)}])),
    ],
)
def test_a_value_of_another_form_is_damage(decode: Callable[[bytes], object], payload: bytes) -> None:
    with pytest.raises(CorruptionError, match="unknown form"):
        decode(payload)


def test_a_run_of_an_unknown_end_is_damage() -> None:
    with pytest.raises(CorruptionError, match="unknown way"):
        records.decode_run(1, msgspec.msgpack.encode([0.0, None, "lost", {}, ""]))


def test_counters_come_back() -> None:
    counters = Counters(next_item=1, next_part=2, next_run=3, epoch=4, position=5)
    assert records.decode_counters(records.encode_counters(counters)) == counters

"""Checks the id column of a segment: what is written is read back, and a wrong byte or slot is noticed."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vecdb
from vecdb.config import ID_COLUMN_BYTES_MAX
from vecdb.engine.ids import encode_id_rows, read_ids
from vecdb.errors import CorruptionError
from vecdb.index.scratch import GATHER_ROWS
from vecdb.kernels.column import Column
from vecdb.storage.keys import id_key
from vecdb.types import RecordId

IDS: list[RecordId] = ["a", "ü" * 20, 0, 2**64 - 1, uuid.UUID(int=7)]

short_ids = st.one_of(
    st.text(min_size=1, max_size=15).filter(lambda text: text.isprintable()),
    st.integers(min_value=0, max_value=2**64 - 1),
    st.uuids(),
)


def row_numbers(rows: Iterable[int]) -> npt.NDArray[np.int32]:
    """Rows as kernels return them."""
    return np.array(list(rows), dtype=np.int32)


def slot_numbers(slots: Iterable[int]) -> npt.NDArray[np.uint32]:
    """Slots as kernels return them."""
    return np.array(list(slots), dtype=np.uint32)


@given(st.lists(short_ids, min_size=1, max_size=40))
def test_ids_come_back_as_they_were(ids: list[RecordId]) -> None:
    slots = list(range(5, 5 + len(ids)))
    rows = encode_id_rows([id_key(record_id) for record_id in ids], slots)
    assert rows is not None
    assert rows.shape[1] % 8 == 0
    assert read_ids(Column.from_array(rows), row_numbers(range(len(ids))), slot_numbers(slots)) == ids


def test_a_column_over_several_chunks_reads_the_right_rows() -> None:
    keys = [id_key(number) for number in range(40)]
    rows = encode_id_rows(keys, range(40))
    assert rows is not None
    column = Column.from_chunks([np.ascontiguousarray(rows[start : start + 8]) for start in range(0, 40, 8)])
    assert read_ids(column, row_numbers([39, 0, 8, 7]), slot_numbers([39, 0, 8, 7])) == [39, 0, 8, 7]


def test_every_flipped_bit_of_an_id_is_noticed_or_harmless() -> None:
    rows = encode_id_rows([id_key("record-7")], [7])
    assert rows is not None
    for byte in range(3 + len(id_key("record-7"))):
        for bit in range(8):
            damaged = rows.copy()
            damaged[0, byte] ^= 1 << bit
            with pytest.raises(CorruptionError, match="slot 7"):
                read_ids(Column.from_array(damaged), row_numbers([0]), slot_numbers([7]))


def test_an_id_read_for_another_slot_is_noticed() -> None:
    rows = encode_id_rows([id_key("a")], [1])
    assert rows is not None
    with pytest.raises(CorruptionError, match="slot 2"):
        read_ids(Column.from_array(rows), row_numbers([0]), slot_numbers([2]))


def test_ids_too_long_for_a_column_make_none() -> None:
    assert encode_id_rows([id_key("x" * (ID_COLUMN_BYTES_MAX - 1))], [0]) is not None
    assert encode_id_rows([id_key("x" * ID_COLUMN_BYTES_MAX)], [0]) is None


@pytest.mark.parametrize("suffix", ["", "x" * 100])
def test_hits_are_named_alike_with_and_without_metadata(suffix: str, rng: np.random.Generator) -> None:
    vectors = rng.standard_normal((600, 16)).astype(np.float32)
    config = vecdb.EngineConfig(background=False, progress=False, tail_rows_index=100)
    with vecdb.open(":memory:", config=config) as db:
        docs = db.create_collection("docs", dim=16)
        ids: list[RecordId] = [*IDS, *(f"{number}{suffix}" for number in range(595))]
        docs.upsert(ids, vectors)
        docs.delete(ids[100:200])
        docs.optimize()
        docs.upsert(ids[:3], vectors[:3])
        docs.optimize()
        for query in vectors[:20]:
            assert docs.search(query, with_metadata=False).ids == docs.search(query).ids
        assert docs.search_batch(vectors[:50])[7].ids == docs.search(vectors[7]).ids


def test_more_ids_than_one_call_gathers_come_in_order() -> None:
    keys = [id_key(number) for number in range(GATHER_ROWS + 100)]
    rows = encode_id_rows(keys, range(len(keys)))
    assert rows is not None
    wanted = list(range(len(keys)))[::-1]
    assert read_ids(Column.from_array(rows), row_numbers(wanted), slot_numbers(wanted)) == wanted

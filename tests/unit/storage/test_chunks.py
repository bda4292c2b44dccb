"""Chunks: columns written, found in place, checked, and their space used again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.unit.storage.filling import column_items
from vecdb.config import CHUNK_BYTES_TARGET, INDEX_COMMIT_BYTES
from vecdb.errors import CorruptionError
from vecdb.kernels.column import Column
from vecdb.storage import codec, keys
from vecdb.storage.chunks import (
    CHUNK_HEADER_BYTES,
    ChunkKind,
    check_chunk,
    chunk_count,
    encode_chunk,
    open_column,
    rows_per_chunk,
)
from vecdb.storage.environment import Environment
from vecdb.storage.keys import Table

PLACE = (1, 0, 7)


def write_column(environment: Environment, kind: ChunkKind, array: np.ndarray[Any, Any]) -> list[bytes]:
    written = []
    for key, value in column_items(*PLACE, kind, array):
        with environment.write() as transaction:
            transaction.put(Table.CHUNKS, key, value)
        written.append(key)
    return written


def read_column(column: Column, like: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.array([column.read_row(row, like.dtype) for row in range(column.rows)]).reshape(like.shape)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((1,), "u4"), ((1, 3), "f4"), ((5,), "f4"), ((700, 384), "f4"), ((700, 384), "f2"), ((40, 32_768), "i1")],
)
def test_a_column_is_read_back_row_by_row(
    memory: Environment, rng: np.random.Generator, shape: tuple[int, ...], dtype: str
) -> None:
    array = rng.integers(0, 100, shape).astype(dtype)
    write_column(memory, ChunkKind.VECTORS, array)
    with memory.begin_read() as transaction:
        stride = array.nbytes // len(array)
        column = open_column(transaction, *PLACE, ChunkKind.VECTORS, len(array), stride)
        assert np.array_equal(read_column(column, array), array)


def test_the_first_row_of_every_chunk_starts_a_cache_line(memory: Environment) -> None:
    array = np.zeros((6_000, 448), dtype=np.int8)
    write_column(memory, ChunkKind.CODES, array)
    with memory.begin_read() as transaction:
        column = open_column(transaction, *PLACE, ChunkKind.CODES, 6_000, 448)
        assert len(column.table) == 2
        assert not np.any(column.table % 64)


def test_a_column_keeps_its_transaction_alive(memory: Environment) -> None:
    array = np.arange(1_000, dtype=np.uint32)
    write_column(memory, ChunkKind.SLOTS, array)
    column = open_column(memory.begin_read(), *PLACE, ChunkKind.SLOTS, 1_000, 4)
    memory.close()
    assert np.array_equal(read_column(column, array), array)


def test_an_empty_column_has_no_chunks(memory: Environment) -> None:
    assert write_column(memory, ChunkKind.UPPER_ROWS, np.zeros(0, dtype=np.int32)) == []
    with memory.begin_read() as transaction:
        assert open_column(transaction, *PLACE, ChunkKind.UPPER_ROWS, 0, 4).rows == 0


@pytest.mark.parametrize(
    "stride", [1, 4, 100, 1_536, CHUNK_BYTES_TARGET - 1, CHUNK_BYTES_TARGET, 3 * CHUNK_BYTES_TARGET]
)
def test_a_full_chunk_is_the_largest_power_of_two_of_rows_that_fits(stride: int) -> None:
    rows = rows_per_chunk(stride)
    assert rows & (rows - 1) == 0
    assert rows == 1 or rows * stride <= CHUNK_BYTES_TARGET
    assert 2 * rows * stride > CHUNK_BYTES_TARGET
    assert chunk_count(rows + 1, stride) == 2
    assert chunk_count(rows, stride) == 1


@pytest.fixture
def stored(memory: Environment, rng: np.random.Generator) -> tuple[Environment, list[bytes]]:
    """An environment with a column of three chunks, and the chunks' keys."""
    array = rng.integers(0, 9, (3 * rows_per_chunk(65_536) - 5, 65_536)).astype(np.int8)
    return memory, write_column(memory, ChunkKind.CODES, array)


def reopen(environment: Environment, rows: int = 3 * 32 - 5, stride: int = 65_536) -> Column:
    with environment.begin_read() as transaction:
        return open_column(transaction, *PLACE, ChunkKind.CODES, rows, stride)


@pytest.mark.parametrize("chunk", [0, 1, 2])
def test_a_missing_chunk_is_corruption(stored: tuple[Environment, list[bytes]], chunk: int) -> None:
    environment, chunks = stored
    with environment.write() as transaction:
        transaction.delete(Table.CHUNKS, chunks[chunk])
    with pytest.raises(CorruptionError, match="CODES"):
        reopen(environment)


@pytest.mark.parametrize(("rows", "stride"), [(32, 65_536), (96, 65_536), (91, 65_535), (91, 32_768)])
def test_chunks_of_another_shape_are_corruption(
    stored: tuple[Environment, list[bytes]], rows: int, stride: int
) -> None:
    with pytest.raises(CorruptionError):
        reopen(stored[0], rows, stride)


def test_a_chunk_under_the_key_of_its_neighbour_is_corruption(stored: tuple[Environment, list[bytes]]) -> None:
    environment, chunks = stored
    with environment.write() as transaction:
        first, second = (transaction.get(Table.CHUNKS, key) for key in chunks[:2])
        assert first is not None
        assert second is not None
        transaction.put(Table.CHUNKS, chunks[0], second)
        transaction.put(Table.CHUNKS, chunks[1], first)
    with pytest.raises(CorruptionError, match="header"):
        reopen(environment)


def test_a_short_value_stored_inline_is_corruption(stored: tuple[Environment, list[bytes]]) -> None:
    environment, chunks = stored
    with environment.write() as transaction:
        transaction.put(Table.CHUNKS, chunks[0], b"short")
    with pytest.raises(CorruptionError):
        reopen(environment)


def test_damaged_rows_are_found_when_opening_with_a_check(stored: tuple[Environment, list[bytes]]) -> None:
    environment, chunks = stored
    with environment.write() as transaction:
        value = transaction.get(Table.CHUNKS, chunks[1])
        assert value is not None
        damaged = bytearray(value)
        damaged[500_000] ^= 1
        transaction.put(Table.CHUNKS, chunks[1], damaged)
    assert reopen(environment).rows == 91
    with environment.begin_read() as read, pytest.raises(CorruptionError, match="checksum"):
        open_column(read, *PLACE, ChunkKind.CODES, 91, 65_536, check=True)


def test_every_flipped_bit_of_a_header_is_noticed_by_opening_or_checking() -> None:
    key = keys.chunk_key(*PLACE, ChunkKind.NORMS, 0)
    value = encode_chunk(key, ChunkKind.NORMS, 0, np.arange(100, dtype=np.float32))
    assert check_chunk(key, value) == 100
    unnoticed = []
    for bit in range(CHUNK_HEADER_BYTES * 8):
        damaged = bytearray(value)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            check_chunk(key, bytes(damaged))
        except CorruptionError:
            continue
        unnoticed.append(bit)
    assert unnoticed == []


def test_a_flipped_bit_of_a_row_is_noticed_by_checking(rng: np.random.Generator) -> None:
    key = keys.chunk_key(*PLACE, ChunkKind.NORMS, 0)
    value = bytearray(encode_chunk(key, ChunkKind.NORMS, 0, np.arange(100, dtype=np.float32)))
    value[CHUNK_HEADER_BYTES + int(rng.integers(0, 400))] ^= 16
    with pytest.raises(CorruptionError, match="checksum"):
        check_chunk(key, bytes(value))


def test_a_chunk_is_not_sound_under_another_key() -> None:
    key = keys.chunk_key(*PLACE, ChunkKind.NORMS, 0)
    value = encode_chunk(key, ChunkKind.NORMS, 0, np.arange(100, dtype=np.float32))
    with pytest.raises(CorruptionError):
        check_chunk(keys.chunk_key(1, 0, 8, ChunkKind.NORMS, 0), value)


def rewrite_segment(environment: Environment, segment: int, rows: int) -> int:
    """Write a segment as a merge does: in transactions of INDEX_COMMIT_BYTES between commits of users."""
    batch: list[tuple[bytes, bytes]] = []
    written = 0
    for kind, stride in ((ChunkKind.VECTORS, 1_536), (ChunkKind.CODES, 448), (ChunkKind.LINKS, 128)):
        for item in column_items(1, 0, segment, kind, np.zeros((rows, stride), dtype=np.uint8)):
            batch.append(item)
            written += len(item[1])
            if sum(len(value) for _, value in batch) >= INDEX_COMMIT_BYTES:
                commit_between_users(environment, batch)
                batch = []
    commit_between_users(environment, batch)
    return written


def commit_between_users(environment: Environment, batch: list[tuple[bytes, bytes]]) -> None:
    with environment.write() as transaction:
        transaction.put_many(Table.CHUNKS, batch)
    for slot in range(3):
        key = keys.record_key(1, slot)
        with environment.write() as transaction:
            transaction.put(Table.RECORDS, key, codec.seal(Table.RECORDS, key, bytes(300)))


def test_merging_over_and_over_uses_the_freed_space_again(memory: Environment) -> None:
    live = rewrite_segment(memory, 0, 6_000)
    for number in range(1, 13):
        live = rewrite_segment(memory, number, 6_000 + number % 3 * 500)
        prefix = keys.segment_prefix(1, 0, number - 1)
        removed = 1
        while removed:
            with memory.write() as transaction:
                stop = keys.prefix_stop(prefix)
                removed = transaction.delete_range(Table.CHUNKS, prefix, stop, INDEX_COMMIT_BYTES)
    assert memory.file_bytes() < 3 * live

"""Records read past LMDB are those that LMDB gives, or none; whatever the pages hold, nothing else is read."""

from __future__ import annotations

import ctypes
import mmap
import os
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from tests import oracle
from vecdb.config import RECORD_BUFFER_BYTES, RECORD_LOOKUPS_MAX
from vecdb.kernels.native import kernels
from vecdb.storage import codec, keys
from vecdb.storage.environment import Environment
from vecdb.storage.keys import Table
from vecdb.storage.meta import Tree
from vecdb.storage.pagefile import BIG_DATA, PageFile, leaf_entries
from vecdb.storage.record_reader import RecordReader
from vecdb.types import Metadata, RecordId

MAP_BYTES = 1 << 30
RECORDS = 3_000
COLLECTION = 2
SOUND = 400
"""Damaged copies that are read in one test."""


def id_of(number: int) -> RecordId:
    """Ids of every kind."""
    return (f"doc-{number}", number, uuid.UUID(int=number))[number % 3]


def metadata_of(number: int) -> Metadata:
    """Short and long, plain and nested; some of them fill pages of their own."""
    long = "x" * (3_000 + number % 5_000) if number % 50 == 0 else "y" * (number % 300)
    return {
        "number": number,
        "text": long,
        "at": datetime(2024, 1, 1 + number % 28, tzinfo=UTC),
        "tags": ["a", {"b": 1}],
    }


def fill(environment: Environment) -> None:
    """Records of three collections, in several commits."""
    for collection in (1, COLLECTION, 3):
        slots = range(RECORDS if collection == COLLECTION else 100)
        for start in range(0, len(slots), 700):
            part = slots[start : start + 700]
            record_keys = keys.record_keys(collection, part)
            id_keys = [keys.id_key(id_of(slot)) for slot in part]
            with environment.write() as transaction:
                ends = [codec.NEVER if slot % 4 else 10**15 + slot for slot in part]
                items = codec.encode_records(record_keys, id_keys, [metadata_of(slot) for slot in part], 1, ends)
                transaction.put_many(Table.RECORDS, items)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    with Environment.open_directory(tmp_path_factory.mktemp("records") / "db", map_bytes=MAP_BYTES) as opened:
        fill(opened)
        yield opened


def as_slots(*numbers: int) -> npt.NDArray[np.uint32]:
    return np.array(numbers, dtype=np.uint32)


def test_records_are_those_that_were_written(environment: Environment, rng: np.random.Generator) -> None:
    with environment.begin_read() as transaction:
        reader = transaction.open_records()
        for count in (1, 2, 10, 37, RECORD_LOOKUPS_MAX, RECORD_LOOKUPS_MAX + 1, 1_000):
            slots = rng.permutation(RECORDS)[:count].astype(np.uint32)
            found = reader.read(COLLECTION, slots)
            assert found is not None
            assert found[0] == [id_of(slot) for slot in slots.tolist()]
            assert found[1] == [metadata_of(slot) for slot in slots.tolist()]


def test_the_first_and_the_last_record_of_each_collection_are_found(environment: Environment) -> None:
    with environment.begin_read() as transaction:
        for collection, last in ((1, 99), (COLLECTION, RECORDS - 1), (3, 99)):
            found = transaction.open_records().read(collection, as_slots(0, last))
            assert found is not None
            assert found[0] == [id_of(0), id_of(last)]


def test_the_same_record_may_be_asked_for_twice(environment: Environment) -> None:
    with environment.begin_read() as transaction:
        found = transaction.open_records().read(COLLECTION, as_slots(7, 7))
        assert found is not None
        assert found[0] == [id_of(7)] * 2
        assert found[1][0] is not found[1][1]


@pytest.mark.parametrize(
    ("collection", "slots"),
    [(COLLECTION, [RECORDS]), (COLLECTION, [0, 2**32 - 1]), (0, [0]), (9, [0]), (COLLECTION, [])],
)
def test_what_is_not_there_is_not_answered(environment: Environment, collection: int, slots: list[int]) -> None:
    with environment.begin_read() as transaction:
        assert transaction.open_records().read(collection, as_slots(*slots)) is None


def test_more_records_than_fit_are_left_to_lmdb(environment: Environment) -> None:
    long = range(0, RECORDS, 50)
    assert sum(len(str(metadata_of(slot))) for slot in long) > RECORD_BUFFER_BYTES
    with environment.begin_read() as transaction:
        reader = transaction.open_records()
        assert reader.read(COLLECTION, np.array(long, dtype=np.uint32)) is None


def test_an_empty_table_answers_nothing(tmp_path: Path) -> None:
    with Environment.open_directory(tmp_path / "db", map_bytes=MAP_BYTES) as empty, empty.begin_read() as transaction:
        assert transaction.open_records().read(1, as_slots(0)) is None


def test_a_transaction_goes_on_seeing_its_own_state(tmp_path: Path) -> None:
    with Environment.open_directory(tmp_path / "db", map_bytes=MAP_BYTES) as opened:
        fill(opened)
        with opened.begin_read() as before:
            reader = before.open_records()
            for round_number in range(4):
                with opened.write() as transaction:
                    changed = [{"round": round_number}] * RECORDS
                    id_keys = [keys.id_key(id_of(slot)) for slot in range(RECORDS)]
                    items = codec.encode_records(keys.record_keys(COLLECTION, range(RECORDS)), id_keys, changed, 2)
                    transaction.put_many(Table.RECORDS, items)
            found = reader.read(COLLECTION, as_slots(1, 50, 2_999))
            assert found is not None
            assert found[1] == [metadata_of(1), metadata_of(50), metadata_of(2_999)]
            with opened.begin_read() as after:
                newer = after.open_records().read(COLLECTION, as_slots(1, 50))
                assert newer is not None
                assert newer[1] == [{"round": 3}] * 2


# --- damage ---------------------------------------------------------------------------------------------------------


class Image(NamedTuple):
    """A copy of a data file in memory, with pages around it that nobody may touch."""

    content: npt.NDArray[np.uint8]
    file: PageFile
    tree: Tree
    block: mmap.mmap

    def reader(self) -> RecordReader:
        """A reader of the copy."""
        return RecordReader(int(self.content.ctypes.data), self.file, self.tree)


@pytest.fixture(scope="module")
def image(environment: Environment) -> Iterator[Image]:
    with environment.begin_read() as transaction:
        file, tree = transaction.page_file(), transaction.tree(Table.RECORDS)
        size, guard = (file.last_page + 1) * file.page_size, 64 * mmap.PAGESIZE
        block = mmap.mmap(-1, size + 2 * guard)
        whole = np.frombuffer(block, dtype=np.uint8)
        content = whole[guard : guard + size]
        content[:] = np.frombuffer(os.pread(file.fd, size, 0), dtype=np.uint8)
        protect(whole[:guard], 0)
        protect(whole[guard + size :], 0)
        yield Image(content, file, tree, block)
        protect(whole[:guard], mmap.PROT_READ | mmap.PROT_WRITE)
        protect(whole[guard + size :], mmap.PROT_READ | mmap.PROT_WRITE)


def protect(part: npt.NDArray[np.uint8], rights: int) -> None:
    """Let nobody read or write some pages, or allow it again."""
    libc: Any = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(part.ctypes.data), ctypes.c_size_t(len(part)), rights) == 0


def table_pages(image: Image) -> npt.NDArray[np.int64]:
    """Pages that the look-ups of all records meet, those of long values apart."""
    leaves = {
        entry.page for entry in leaf_entries(image.file, Table.RECORDS.label, image.tree) if entry.flags != BIG_DATA
    }
    return np.array(sorted({image.tree.root, *leaves}))


def test_a_copy_of_the_file_is_read_as_the_file(image: Image) -> None:
    found = image.reader().read(COLLECTION, as_slots(3, 50, 1_234))
    assert found is not None
    assert found[1] == [metadata_of(3), metadata_of(50), metadata_of(1_234)]


@pytest.mark.parametrize("kind", ["byte", "word", "head", "page"])
def test_damaged_pages_give_the_record_or_nothing(image: Image, kind: str, rng: np.random.Generator) -> None:
    reader, pages, size = image.reader(), table_pages(image), image.file.page_size
    slots = np.sort(rng.permutation(RECORDS)[:20]).astype(np.uint32)
    want = [metadata_of(slot) for slot in slots.tolist()]
    answered = 0
    for _ in range(SOUND):
        page = int(rng.choice(pages)) * size
        length = {"byte": 1, "word": 2, "head": 16, "page": size}[kind]
        start = (
            page if kind in {"head", "page"} else page + 2 * int(rng.integers(0, 200 if kind == "word" else size // 2))
        )
        kept = image.content[start : start + length].copy()
        image.content[start : start + length] = rng.integers(0, 256, length)
        for slot, one in zip(slots, want, strict=True):
            found = reader.read(COLLECTION, slot.reshape(1))
            assert found is None or found == ([id_of(int(slot))], [one])
            answered += found is not None
        image.content[start : start + length] = kept
    assert answered > 0


def test_page_numbers_beyond_the_file_lead_nowhere(image: Image) -> None:
    for root in (0, 1, image.file.last_page + 1, 2**40, 2**62):
        reader = RecordReader(int(image.content.ctypes.data), image.file, replace(image.tree, root=root))
        assert reader.read(COLLECTION, as_slots(3)) is None


# --- the kernel and its twin ----------------------------------------------------------------------------------------


def test_the_kernel_copies_what_its_twin_does(image: Image, environment: Environment, rng: np.random.Generator) -> None:
    slots = rng.permutation(RECORDS)[:20].astype(np.uint32)
    record_keys = keys.record_keys(COLLECTION, slots.tolist())
    with environment.begin_read() as transaction:
        values = [bytes(value) for value in transaction.get_many(Table.RECORDS, record_keys) if value is not None]
    want = oracle.gather_records(record_keys, values, codec.SEEDS[Table.RECORDS])
    assert want is not None
    work, target = np.zeros(60, dtype=np.int64), np.zeros(RECORD_BUFFER_BYTES, dtype=np.uint8)
    enough = len(want) + 10 * len(slots)  # what ids take beyond their keys is not told beforehand, nor which expire
    for room in (len(want) - 1, enough):
        end = kernels.gather_records(
            image.content.ctypes.data,
            image.file.page_size,
            image.file.last_page,
            image.tree.root,
            image.tree.depth,
            COLLECTION,
            slots.ctypes.data,
            len(slots),
            codec.SEEDS[Table.RECORDS],
            work.ctypes.data,
            target.ctypes.data,
            room,
        )
        assert end == (len(want) if room == enough else -1)
    assert target[: len(want)].tobytes() == want

"""The walk of B-trees by file reads: it accepts what LMDB writes and names the page of what LMDB cannot write."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lmdb.verify
import numpy as np
import pytest

from tests.unit.storage.filling import fill, put_struct
from vecdb.errors import CorruptionError
from vecdb.storage import inspection, keys
from vecdb.storage.environment import Environment
from vecdb.storage.keys import Table
from vecdb.storage.meta import Meta, newest_meta, read_metas
from vecdb.storage.pagefile import PageFile, leaf_entries, read_tables
from vecdb.storage.pages import walk
from vecdb.storage.transactions import ReadTransaction


@pytest.fixture
def filled(directory: Path) -> Path:
    fill(directory)
    return directory


def page_of(path: Path, table: Table, *, leaf: bool) -> int:
    """A page of the table: its root, or its first leaf."""
    with Environment.open_directory(path, mode="r") as environment, environment.begin_read() as transaction:
        tree = transaction.tree(table)
        return first_leaf(transaction, table) if leaf else tree.root


def first_leaf(transaction: ReadTransaction, table: Table) -> int:
    file = transaction.page_file()
    return next(entry.page for entry in leaf_entries(file, table.label, transaction.tree(table)) if entry.value)


def edit(path: Path, offset: int, change: Callable[[bytes], bytes], size: int) -> None:
    with (path / "data.mdb").open("r+b") as file:
        file.seek(offset)
        old = file.read(size)
        file.seek(offset)
        file.write(change(old))


def check(path: Path) -> int:
    with Environment.open_directory(path, mode="r") as environment, environment.begin_read() as transaction:
        return environment.check_structure(transaction)


def test_a_fresh_database_has_sound_pages(environment: Environment) -> None:
    with environment.begin_read() as transaction:
        assert environment.check_structure(transaction) >= 1


def test_the_walk_counts_what_lmdb_counts(filled: Path) -> None:
    with Environment.open_directory(filled) as environment, environment.begin_read() as transaction:
        trees = {table.label: transaction.tree(table) for table in Table}
        counts, _ = walk(transaction.page_file(), trees)
        for table in Table:
            assert counts[table.label].entries == transaction.count(table)
            assert counts[table.label].leaf_pages == trees[table.label].leaf_pages
            assert counts[table.label].overflow_pages == trees[table.label].overflow_pages


def test_the_slow_reader_of_one_tree_agrees_with_lmdb(filled: Path) -> None:
    with Environment.open_directory(filled) as environment, environment.begin_read() as transaction:
        for table in Table:
            entries = list(leaf_entries(transaction.page_file(), table.label, transaction.tree(table)))
            stored = list(transaction.items(table))
            assert [(entry.key, entry.size) for entry in entries] == [(key, len(value)) for key, value in stored]
            inline = [entry.value for entry in entries if entry.value is not None]
            assert inline == [bytes(v) for e, (_, v) in zip(entries, stored, strict=True) if e.value is not None]


def test_a_range_of_one_tree_is_read_from_start_to_stop(filled: Path) -> None:
    with Environment.open_directory(filled) as environment, environment.begin_read() as transaction:
        start, stop = keys.record_key(1, 333), keys.record_key(1, 777)
        entries = leaf_entries(transaction.page_file(), "records", transaction.tree(Table.RECORDS), start, stop)
        assert [keys.slot_from_key(entry.key) for entry in entries] == list(range(333, 777))


def test_random_histories_leave_pages_that_pass(environment: Environment, rng: np.random.Generator) -> None:
    for _ in range(30):
        with environment.write() as transaction:
            for number in rng.choice(2_000, 60, replace=False).tolist():
                key = keys.id_table_key(1, keys.id_key(f"{number:x}" * (1 + number % 40)))
                if rng.random() < 0.4:
                    transaction.delete(Table.IDS, key)
                else:
                    transaction.put(Table.IDS, key, bytes(int(rng.choice([4, 500, 1_900, 2_100, 9_000]))))
        with environment.begin_read() as read:
            environment.check_structure(read)
    assert lmdb.verify.verify(str(environment.path)) == []  # type: ignore[no-untyped-call]


def test_a_pinned_state_can_be_checked_while_others_write(environment: Environment) -> None:
    with environment.write() as transaction:
        transaction.put_many(Table.RECORDS, [(keys.record_key(1, slot), bytes(300)) for slot in range(2_000)])
    with environment.begin_read() as pinned:
        for number in range(6):
            with environment.write() as transaction:
                transaction.delete_range(Table.RECORDS, keys.record_key(1, number * 300), None)
        assert environment.check_structure(pinned) > 150


# --- damage of each kind ---------------------------------------------------------------------------------------------

PAGE = 4_096


def flip(old: bytes) -> bytes:
    return bytes(byte ^ 0x55 for byte in old)


@pytest.mark.parametrize(
    ("place", "size", "leaf", "problem"),
    [
        (0, 8, True, "is not the tree page"),
        (10, 2, True, "is not the tree page"),
        (12, 2, True, "impossible bounds"),
        (14, 2, True, "impossible bounds"),
        (16, 2, True, "outside the page|overlap"),
        (0, 8, False, "is not the tree page"),
        (18, 2, False, "outside the page|overlap"),
    ],
)
def test_a_damaged_page_header_is_named(filled: Path, place: int, size: int, leaf: bool, problem: str) -> None:
    page = page_of(filled, Table.RECORDS, leaf=leaf)
    edit(filled, page * PAGE + place, flip, size)
    with pytest.raises(CorruptionError, match=f"table records, page {page}: .*({problem})"):
        check(filled)


def test_a_page_of_zeros_is_named(filled: Path) -> None:
    page = page_of(filled, Table.IDS, leaf=True)
    edit(filled, page * PAGE, lambda old: bytes(len(old)), PAGE)
    with pytest.raises(CorruptionError, match=f"table ids, page {page}"):
        check(filled)


def test_a_page_in_place_of_another_is_noticed(filled: Path) -> None:
    one, other = page_of(filled, Table.IDS, leaf=True), page_of(filled, Table.RECORDS, leaf=True)
    raw = (filled / "data.mdb").read_bytes()[other * PAGE : (other + 1) * PAGE]
    edit(filled, one * PAGE, lambda _: raw, PAGE)
    with pytest.raises(CorruptionError):
        check(filled)


def node_offset(path: Path, page: int, index: int) -> int:
    """File offset of a node of a page."""
    raw = (path / "data.mdb").read_bytes()
    return page * PAGE + int(struct.unpack_from("<H", raw, page * PAGE + 16 + 2 * index)[0])


def test_a_child_beyond_the_file_is_noticed(filled: Path) -> None:
    page = page_of(filled, Table.RECORDS, leaf=False)
    edit(filled, node_offset(filled, page, 1), lambda _: b"\xff\xff\x01\x00", 4)
    with pytest.raises(CorruptionError, match="outside the file"):
        check(filled)


def test_two_references_to_one_page_are_noticed(filled: Path) -> None:
    page = page_of(filled, Table.RECORDS, leaf=False)
    first, second = node_offset(filled, page, 0), node_offset(filled, page, 1)
    raw = (filled / "data.mdb").read_bytes()
    edit(filled, second, lambda _: raw[first : first + 6], 6)
    with pytest.raises(CorruptionError):
        check(filled)


def test_keys_out_of_order_are_noticed(filled: Path) -> None:
    page = page_of(filled, Table.RECORDS, leaf=True)
    edit(filled, node_offset(filled, page, 3) + 8 + 7, lambda _: b"\xff", 1)
    with pytest.raises(CorruptionError, match=r"order|separators"):
        check(filled)


def test_a_key_beyond_its_parents_separator_is_noticed(filled: Path) -> None:
    page = page_of(filled, Table.RECORDS, leaf=False)
    # The separator of the second child is raised, so that the child's first keys lie below it.
    edit(filled, node_offset(filled, page, 1) + 8 + 6, lambda _: b"\x02", 1)
    with pytest.raises(CorruptionError, match=r"order|separators"):
        check(filled)


def test_a_value_size_beyond_the_page_is_noticed(filled: Path) -> None:
    page = page_of(filled, Table.STATE, leaf=True)
    edit(filled, node_offset(filled, page, 0), lambda _: b"\xff\x0f", 2)
    with pytest.raises(CorruptionError):
        check(filled)


def overflow_page(path: Path, table: Table) -> int:
    with Environment.open_directory(path, mode="r") as environment, environment.begin_read() as transaction:
        file = transaction.page_file()
        return next(e.page for e in leaf_entries(file, table.label, transaction.tree(table)) if e.value is None)


@pytest.mark.parametrize("place", [0, 10, 12])
def test_a_damaged_overflow_run_is_noticed(filled: Path, place: int) -> None:
    page = overflow_page(filled, Table.CHUNKS)
    edit(filled, page * PAGE + place, lambda _: b"\x00", 1)
    with pytest.raises(CorruptionError, match="overflow run"):
        check(filled)


def meta_offset(path: Path) -> int:
    """File offset of the newest meta page."""
    fd = (path / "data.mdb").open("rb")
    with fd:
        metas = read_metas(fd.fileno())
        return metas.index(newest_meta(metas)) * PAGE


@pytest.mark.parametrize("place", [0, 10, 16, 20, 40, 44, 46, 80, 88, 92, 94, 96, 104, 128, 136, 144])
def test_a_damaged_meta_page_is_noticed(filled: Path, place: int) -> None:
    edit(filled, meta_offset(filled) + place, flip, 1)
    with pytest.raises(CorruptionError):
        check(filled)


def test_a_meta_page_that_claims_to_be_older_than_it_is_does_not_bring_back_the_past(filled: Path) -> None:
    with Environment.open_directory(filled) as environment:
        for number in range(3):  # small commits, after which both meta pages name the same last page
            with environment.write() as transaction:
                put_struct(transaction, Table.STATE, b"state", {"seq": number})
    offset = meta_offset(filled) + 144
    edit(filled, offset, lambda old: struct.pack("<Q", struct.unpack("<Q", old)[0] - 2), 8)
    with pytest.raises(CorruptionError, match="consecutive"):
        check(filled)


def test_a_meta_page_read_while_a_commit_replaces_it_is_read_again(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a read holds the root of the commit under way beside the id of the one before."""
    reads = []

    def torn_once(fd: int) -> tuple[Meta, Meta]:
        metas = read_metas(fd)
        newest = newest_meta(metas)
        reads.append(newest.txn_id)
        if len(reads) > 1:
            return metas
        first, second = (meta if meta is newest else replace(meta, main=newest.main) for meta in metas)
        return first, second

    monkeypatch.setattr(inspection, "read_metas", torn_once)
    assert check(filled) >= 1
    assert len(reads) > 1


def test_a_lost_page_is_noticed(filled: Path) -> None:
    """A last page that is too high makes pages belong to nothing; LMDB never loses one."""
    offset = meta_offset(filled) + 136
    edit(filled, offset, lambda old: struct.pack("<Q", struct.unpack("<Q", old)[0] + 1), 8)
    with (filled / "data.mdb").open("ab") as file:
        file.write(bytes(PAGE))
    with pytest.raises(CorruptionError, match="account for 1 pages"):
        check(filled)


def test_a_page_both_free_and_used_is_noticed(filled: Path) -> None:
    with Environment.open_directory(filled, mode="r") as environment, environment.begin_read() as transaction:
        free = transaction.meta().free.root
        used = transaction.tree(Table.STATE).root
    raw = (filled / "data.mdb").read_bytes()
    node = node_offset(filled, free, 0)
    list_offset = node + 8 + 8
    count = struct.unpack_from("<Q", raw, list_offset)[0]
    numbers = sorted({*struct.unpack_from(f"<{count}Q", raw, list_offset + 8)} - {0}, reverse=True)
    numbers[-1] = used
    packed = struct.pack(f"<{count}Q", *sorted(numbers, reverse=True))
    edit(filled, list_offset + 8, lambda _: packed, len(packed))
    with pytest.raises(CorruptionError, match=r"in use|twice|account"):
        check(filled)


def test_a_database_that_lacks_a_table_is_noticed(filled: Path) -> None:
    with lmdb.open(str(filled), map_size=1 << 32, max_dbs=16) as env, env.begin(write=True) as transaction:
        transaction.drop(env.open_db(b"tail", txn=transaction))
    with pytest.raises(CorruptionError, match="tables"):
        check(filled)


def test_a_table_with_foreign_flags_is_noticed(filled: Path) -> None:
    with Environment.open_directory(filled, mode="r") as environment, environment.begin_read() as transaction:
        meta = transaction.meta()
        file = PageFile.at(environment._shared.fd, meta)
        assert len(read_tables(file, meta.main)) == len(Table)
        entry = next(e for e in leaf_entries(file, "main", meta.main) if e.key == b"tail")
    edit(filled, entry.page * PAGE + entry.offset + 4, lambda _: b"\x04\x00", 2)
    with pytest.raises(CorruptionError, match="shape"):
        check(filled)

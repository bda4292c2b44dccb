"""Decides which B-trees to check when: the small ones at every opening, all of them on request.

Promises: after `check_opening` LMDB may use the checked tables through the map; after `check_all` it may use every
table.
Invariants: a file shorter than LMDB's last page is accepted only when every page in use lies within it. (LMDB leaves it
so when a transaction allocated pages at the end and freed them again.)
Concurrency: pure functions over an open read transaction.
"""

from __future__ import annotations

import os
import time

import numpy as np

from vecdb.config import LMDB_OPEN_ATTEMPTS_MAX, META_RETRY_S, OPEN_WALK_PAGES_MAX
from vecdb.errors import CorruptionError
from vecdb.storage.keys import Table, TableSet
from vecdb.storage.meta import EMPTY_ROOT, Meta, Tree, newest_meta, read_metas
from vecdb.storage.pagefile import PageFile, free_lists, free_pages, read_tables
from vecdb.storage.pages import FREE, MAIN, check_cover, walk
from vecdb.storage.transactions import ReadTransaction

__all__ = ["check_all", "check_file", "check_opening", "check_succession", "count_free_pages"]


def check_opening(transaction: ReadTransaction, *, write: bool) -> None:
    """Check the main tree and as many tables as OPEN_WALK_PAGES_MAX allows; all of them when the file is short.

    With `write`, the lists of free pages as well: a damaged one would let LMDB overwrite pages in use.
    """
    meta, file = transaction.meta(), transaction.page_file()
    short = os.fstat(file.fd).st_size < meta.file_bytes
    try:
        walk(file, {MAIN: meta.main, FREE: meta.free})
        check_succession(file, meta)
        trees: dict[str, Tree] = {}
        budget = OPEN_WALK_PAGES_MAX
        for table in transaction.layout.opening_order:
            tree = transaction.tree(table)
            pages = tree.branch_pages + tree.leaf_pages
            if short or pages <= budget:
                trees[table.label] = tree
                budget -= pages
        walk(file, trees, check_runs=False)
        if write:
            free_pages(file, meta)
    except CorruptionError as error:
        if short:
            raise _truncated(file, meta, error) from None
        raise


def check_all(transaction: ReadTransaction) -> int:
    """Check every tree, every overflow run and that no page is lost or used twice; return the number of pages."""
    return _check_state(transaction.page_file(), transaction.meta(), transaction.layout.tables)


def check_succession(file: PageFile, meta: Meta) -> None:
    """Check that this state follows the one on the other meta page: damage must not bring back the past.

    Every commit replaces the root page of the main tree, and so frees the root of the state before. A writer at work
    may be replacing that very meta page, and half of it can be read, so damage must be met several times in a row.
    """
    freed = next((pages for txn_id, pages in free_lists(file, meta) if txn_id == meta.txn_id), None)
    for _ in range(LMDB_OPEN_ATTEMPTS_MAX):
        before = next((other for other in read_metas(file.fd) if other.txn_id == meta.txn_id - 1), None)
        if before is None or before.main.root == EMPTY_ROOT:
            # A writer has committed since, or this is the first transaction.
            return
        if freed is not None and before.main.root in freed:
            return
        time.sleep(META_RETRY_S)
    raise CorruptionError(
        "data.mdb: the meta pages are not of two consecutive transactions, so one of them is damaged; "
        "restore a backup of the database",
        file="data.mdb",
    )


def check_file(fd: int) -> int:
    """Check a database's whole data file that nobody has open: meta pages, then as `check_all`."""
    meta = newest_meta(read_metas(fd))
    return _check_state(PageFile.at(fd, meta), meta, Table)


def _check_state(file: PageFile, meta: Meta, tables: type[TableSet]) -> int:
    walk(file, {MAIN: meta.main, FREE: meta.free})
    check_succession(file, meta)
    trees = {MAIN: meta.main, FREE: meta.free}
    trees |= {table.label: tree for table, tree in read_tables(file, meta.main, tables).items()}
    counts, runs = walk(file, trees)
    check_cover(file, meta, runs)
    return sum(count.pages for count in counts.values())


def count_free_pages(transaction: ReadTransaction) -> int:
    """Pages that later writes can use again."""
    return int(np.size(free_pages(transaction.page_file(), transaction.meta())))


def _truncated(file: PageFile, meta: Meta, error: CorruptionError) -> CorruptionError:
    return CorruptionError(
        f"data.mdb is truncated: it has {os.fstat(file.fd).st_size} of {meta.file_bytes} bytes and pages in use are "
        f"missing ({error}); restore a backup of the database",
        file="data.mdb",
    )

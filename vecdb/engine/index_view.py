"""Holds the metadata indexes that a View answers filters from: addresses of the blocks, in place in the map.

Promises: opening an index reads one key and one header per block and copies nothing; a commit changes the table of
addresses by the blocks it wrote. Addresses stay valid as long as the View is alive: its transaction pins the blocks it
lists, and a block that did not change stays where it is.
Concurrency: immutable, but for `orders`, which threads may find out twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vecdb.config import BLOCK_SLOTS, EXPIRY_INDEX
from vecdb.engine import bitmap
from vecdb.engine.index_writing import parts_of
from vecdb.index.columns import ColumnTable
from vecdb.storage import blocks, keys
from vecdb.storage.keys import Table

if TYPE_CHECKING:
    from vecdb.engine.state import CollectionState, IndexState
    from vecdb.engine.terms import TermOrder
    from vecdb.storage.transactions import ReadTransaction


@dataclass(frozen=True, slots=True)
class IndexView:
    """One metadata index: its state and a table of blocks for each of its columns.

    What grows, and goes on to the next View: `orders`, the order of its terms if it was asked for (see `term_order`).
    """

    state: IndexState
    tables: tuple[ColumnTable, ...]
    orders: dict[int, TermOrder] = field(default_factory=dict, compare=False, repr=False)


class Answer(NamedTuple):
    """What an index says of a condition: slots that match, and slots (None: none) that only their records can decide.

    The two are disjoint.
    """

    bits: bitmap.Words
    doubtful: bitmap.Words | None = None


def block_count(next_slot: int) -> int:
    """Blocks that hold the slots below `next_slot`."""
    return -(-next_slot // BLOCK_SLOTS)


def load_indexes(txn: ReadTransaction, collection: int, state: CollectionState) -> tuple[IndexView, ...]:
    """Open all indexes of a collection that are ready."""
    return tuple(_load(txn, collection, index, state.next_slot) for index in state.indexes if index.ready)


def advanced_indexes(
    txn: ReadTransaction,
    collection: int,
    before: tuple[IndexView, ...],
    state: CollectionState,
    touched: Iterable[int],
) -> tuple[IndexView, ...]:
    """The indexes after a commit that wrote blocks `touched` of each; new ones are opened, dropped ones forgotten."""
    if not state.indexes:
        return ()
    known = {view.state.number: view for view in before}
    changed = sorted(set(touched))
    found = []
    for index in state.indexes:
        if not index.ready:
            continue
        view = known.get(index.number)
        opened = _load(txn, collection, index, state.next_slot) if view is None else None
        found.append(opened or _advanced(txn, collection, known[index.number], index, state.next_slot, changed))
    return tuple(found)


def load_expiry(txn: ReadTransaction, collection: int, state: CollectionState) -> ColumnTable | None:
    """Open the column that says when records expire, None while none does."""
    return _load_table(txn, collection, EXPIRY_INDEX, 0, state.next_slot) if state.expiring else None


def advanced_expiry(
    txn: ReadTransaction, collection: int, before: ColumnTable | None, state: CollectionState, touched: Iterable[int]
) -> ColumnTable | None:
    """The column of expiries after a commit that wrote blocks `touched`."""
    if before is None or not state.expiring:
        return load_expiry(txn, collection, state)
    return _advanced_table(txn, collection, EXPIRY_INDEX, 0, before, state.next_slot, touched)


def _load(txn: ReadTransaction, collection: int, index: IndexState, next_slot: int) -> IndexView:
    parts = range(parts_of(index))
    return IndexView(index, tuple(_load_table(txn, collection, index.number, part, next_slot) for part in parts))


def _load_table(txn: ReadTransaction, collection: int, index: int, part: int, next_slot: int) -> ColumnTable:
    return ColumnTable(blocks.open_blocks(txn, collection, index, part, block_count(next_slot)))


def _advanced(
    txn: ReadTransaction, collection: int, view: IndexView, index: IndexState, next_slot: int, touched: list[int]
) -> IndexView:
    tables = (
        _advanced_table(txn, collection, index.number, part, table, next_slot, touched)
        for part, table in enumerate(view.tables)
    )
    return IndexView(index, tuple(tables), view.orders)


def _advanced_table(
    txn: ReadTransaction,
    collection: int,
    index: int,
    part: int,
    table: ColumnTable,
    next_slot: int,
    touched: Iterable[int],
) -> ColumnTable:
    addresses = np.zeros(block_count(next_slot), dtype=np.int64)
    addresses[: len(table.addresses)] = table.addresses
    for block in touched:
        key = keys.column_key(collection, index, part, block)
        value = txn.get(Table.COLUMNS, key)
        addresses[block] = 0 if value is None else blocks.block_address(key, value)
    return ColumnTable(addresses)

"""Checks that the metadata indexes of a collection say what its records say.

Promises: every live record is compared with every ready index, and with the column of expiries. Nothing is changed.
Concurrency: reads one transaction, under a lock of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vecdb.engine.index_values import Entry, encoder
from vecdb.engine.loading import items_under
from vecdb.engine.terms import TermReader
from vecdb.filters.paths import has_elements, resolver
from vecdb.storage import codec, keys
from vecdb.storage.blocks import EXCEPTION, LIST, MISSING, SCALAR
from vecdb.storage.keys import Table

if TYPE_CHECKING:
    from vecdb.engine.index_view import IndexView
    from vecdb.engine.tail import Slots
    from vecdb.engine.view import CollectionView
    from vecdb.index.columns import ColumnTable
    from vecdb.storage.transactions import ReadTransaction

UNKNOWN = -1
"""Stands for the code of a term that the dictionary lacks."""


def index_problems(txn: ReadTransaction, view: CollectionView) -> list[str]:
    """What does not agree: one entry for each index, naming the first slot. A few microseconds a record and index."""
    if not view.indexes and view.expiry is None:
        return []
    slots, records, expiries = [], [], []
    for key, value in items_under(txn, Table.RECORDS, keys.collection_prefix(view.schema.number)):
        _, metadata, _, expires = codec.decode_whole_record(key, value)
        slots.append(keys.slot_from_key(key))
        records.append(metadata)
        expiries.append(expires)
    wanted = np.array(slots, dtype=np.uint32)
    found = []
    for index in view.indexes:
        expected = list(map(_reading(txn, view, index), records))
        found += _differences(f"{index.state.kind} index of {index.state.path!r}", wanted, expected, index.tables)
    if view.expiry is not None:
        moments = [Entry(MISSING) if one == codec.NEVER else Entry(SCALAR, (one,)) for one in expiries]
        found += _differences("column of expiries", wanted, moments, (view.expiry,))
    return [f"collection {view.schema.name!r}: {problem}" for problem in found]


def _reading(txn: ReadTransaction, view: CollectionView, index: IndexView) -> Callable[[Any], Entry]:
    terms = TermReader(txn, threading.Lock(), view.schema.number, index.state.number)

    def code(text: str) -> int:
        known = terms.code(text)
        return UNKNOWN if known is None else known

    encode = encoder(index.state.kind, many=has_elements(index.state.path), codes=code)
    resolve = resolver(index.state.path)
    return lambda metadata: encode(resolve(metadata))


def _differences(name: str, slots: Slots, expected: Sequence[Entry], tables: tuple[ColumnTable, ...]) -> list[str]:
    states = np.array([entry.state for entry in expected], dtype=np.uint8)
    wrong = np.zeros(len(slots), dtype=np.bool_)
    for part, table in enumerate(tables):
        keys_found, states_found = table.gather(slots)
        # Where an index says that the record must be looked at, it is never wrong: older ones say so of some lists.
        known = (states_found != EXCEPTION) | (states == EXCEPTION)
        scalars = [entry.keys[part] if entry.state == SCALAR else 0 for entry in expected]
        wrong |= known & ((states_found != states) | (keys_found != np.array(scalars, dtype=np.int64)))
        lists = np.flatnonzero(known & (states == LIST))
        elements, starts = table.lists(slots[lists])
        for position, first, stop in zip(lists.tolist(), starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            wrong[position] |= elements[first:stop].tolist() != list(expected[position].keys[part :: len(tables)])
    if not wrong.any():
        return []
    return [f"the {name} does not hold what the record at slot {slots[wrong][0]} says ({int(wrong.sum())} such)"]

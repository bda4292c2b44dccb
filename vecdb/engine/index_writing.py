"""Keeps metadata indexes up to date inside the commit that changes records, and builds them over those already there.

An index is blocks of BLOCK_SLOTS slots; a commit reads, changes and writes the blocks that its records fall into.
Promises: blocks change in the transaction of the records, so no View sees one without the other. Building takes one
small commit for a few blocks at a time; commits in between keep up what is built, and the builder does the rest.
Invariants: block b of an index with b < `built`, or of a ready one, holds every live record of its slots. Entries of
dead slots may be left: nothing asks for them.
Concurrency: run by the thread that commits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from vecdb.config import BLOCK_SLOTS, EXPIRY_INDEX, INDEX_BUILD_BLOCKS
from vecdb.engine.index_values import Encoder, Entry, encoder
from vecdb.engine.terms import TermWriter
from vecdb.filters.paths import has_elements, resolver
from vecdb.storage import blocks, codec, keys
from vecdb.storage.keys import Table

if TYPE_CHECKING:
    from vecdb.engine.commit import Change, Commit
    from vecdb.engine.schema import CollectionSchema
    from vecdb.engine.state import IndexState
    from vecdb.storage.transactions import WriteTransaction
    from vecdb.types import Metadata

PARTS = {"geo": 2}
"""Columns of an index: a place has a latitude and a longitude."""


def parts_of(index: IndexState) -> int:
    """Number of columns of an index."""
    return PARTS.get(index.kind, 1)


def write_indexes(commit: Commit, number: int, change: Change) -> None:
    """Bring the indexes of a collection up to the records that this commit has put."""
    state = commit.states[number]
    if not state.indexes or not change.records:
        return
    records: dict[int, Metadata] = {}
    for slots, metadata in change.records:
        records.update(zip(slots.tolist(), map(msgspec.msgpack.decode, metadata), strict=True))
    for index in state.indexes:
        due = {slot: record for slot, record in records.items() if index.ready or slot // BLOCK_SLOTS < index.built}
        state = state.with_index(put_entries(commit.txn, number, index, due))
    commit.states[number] = state


def write_expiry(commit: Commit, number: int, change: Change) -> None:
    """Keep when records expire as one more column, from the first record of a collection that does."""
    if not change.expiring:
        return
    entries = {
        slot: Entry(blocks.MISSING) if expires == codec.NEVER else Entry(blocks.SCALAR, (expires,))
        for slots, moments in change.expiring
        for slot, expires in zip(slots.tolist(), moments.tolist(), strict=True)
    }
    for block, mine in _by_block(sorted(entries.items())):
        _change_block(commit.txn, keys.column_key(number, EXPIRY_INDEX, 0, block), mine)
    commit.states[number] = msgspec.structs.replace(commit.states[number], expiring=True)


def put_entries(
    txn: WriteTransaction, collection: int, index: IndexState, records: Mapping[int, Metadata]
) -> IndexState:
    """Store what the records (by slot) hold at the path of an index; returns the state with the codes given out."""
    terms = TermWriter(txn, collection, index.number, index.next_code)
    encode, resolve = _encoder(index, terms), resolver(index.path)
    entries = [(slot, encode(resolve(metadata))) for slot, metadata in sorted(records.items())]
    for block, mine in _by_block(entries):
        parts = parts_of(index)
        for part in range(parts):
            _change_block(txn, keys.column_key(collection, index.number, part, block), mine, part, parts)
    return msgspec.structs.replace(index, next_code=terms.next_code)


def _encoder(index: IndexState, terms: TermWriter) -> Encoder:
    return encoder(index.kind, many=has_elements(index.path), codes=terms.code)


def _by_block(entries: Sequence[tuple[int, Entry]]) -> Iterator[tuple[int, list[tuple[int, Entry]]]]:
    """Entries of each block, their slots counted from its first."""
    found: dict[int, list[tuple[int, Entry]]] = {}
    for slot, entry in entries:
        found.setdefault(slot // BLOCK_SLOTS, []).append((slot % BLOCK_SLOTS, entry))
    yield from found.items()


def _change_block(
    txn: WriteTransaction, key: bytes, entries: Sequence[tuple[int, Entry]], part: int = 0, parts: int = 1
) -> None:
    """Write entries into a block of column `part` of an index of so many."""
    value = txn.get(Table.COLUMNS, key)
    block = blocks.Block() if value is None else blocks.check_block(key, value)
    for slot, entry in entries:
        block.states[slot], block.texts[slot] = entry.state, entry.text
        block.lists.pop(slot, None)
        block.keys[slot] = entry.keys[part] if entry.state == blocks.SCALAR else 0
        if entry.state == blocks.LIST:
            block.lists[slot] = np.array(entry.keys[part::parts], dtype=np.int64)
    txn.put(Table.COLUMNS, key, blocks.seal_block(key, blocks.encode_block(block)))


# --- building ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BuildBlocks:
    """Builds the next few blocks of an index over the records already stored; the last such build makes it ready."""

    schema: CollectionSchema
    number: int

    def apply(self, commit: Commit) -> int:
        """Build; returns how many blocks are built now, 0 when the index is ready or gone."""
        state = commit.state(self.schema.number, self.schema.name)
        index = next((one for one in state.indexes if one.number == self.number), None)
        if index is None or index.ready:
            return 0
        stop = index.built + INDEX_BUILD_BLOCKS
        records = _stored(commit.txn, self.schema.number, index.built * BLOCK_SLOTS, stop * BLOCK_SLOTS)
        index = put_entries(commit.txn, self.schema.number, index, records)
        index = msgspec.structs.replace(index, built=stop, ready=stop * BLOCK_SLOTS >= state.next_slot)
        commit.states[self.schema.number] = commit.states[self.schema.number].with_index(index)
        commit.change(self.schema.number)
        return index.built


def _stored(txn: WriteTransaction, collection: int, first: int, stop: int) -> dict[int, Metadata]:
    """Metadata of the records of slots first..stop-1."""
    start, end = keys.record_key(collection, first), keys.record_key(collection, stop)
    items = list(txn.items(Table.RECORDS, start, end))
    _, metadata = codec.decode_records([key for key, _ in items], [value for _, value in items])
    return {keys.slot_from_key(key): one for (key, _), one in zip(items, metadata, strict=True)}

"""Finds and removes records that have expired: reads leave them out at once, this gives their space back.

Promises: a record is removed only if it has expired by the clock of the commit, whatever was asked.
Concurrency: RemoveExpired is run by the thread that commits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import msgspec
import numpy as np

from vecdb.engine import clock
from vecdb.engine.expiry import has_expired
from vecdb.engine.filtering import live_words
from vecdb.engine.index_values import LEAST_KEY
from vecdb.engine.operations import kill_slots
from vecdb.index.columns import slots_of_bits
from vecdb.storage import codec, keys
from vecdb.storage.keys import Table

if TYPE_CHECKING:
    from vecdb.engine.commit import Commit
    from vecdb.engine.schema import CollectionSchema
    from vecdb.engine.tail import Slots
    from vecdb.engine.view import CollectionView


def expired_slots(collection: CollectionView, limit: int) -> Slots:
    """The first slots of records that have expired and are still stored."""
    if collection.expiry is None:
        return np.zeros(0, dtype=np.uint32)
    words = collection.expiry.match_range(LEAST_KEY, clock.now_micros(), live_words(collection))
    return slots_of_bits(words)[:limit]


@dataclass(frozen=True, slots=True)
class RemoveExpired:
    """Deletes the records at some slots, those of them that are there and have expired."""

    FREES_ROOM: ClassVar[bool] = True

    schema: CollectionSchema
    slots: Slots

    def apply(self, commit: Commit) -> int:
        """Remove ids and records, kill the slots; returns how many."""
        number = self.schema.number
        state = commit.state(number, self.schema.name)
        record_keys = keys.record_keys(number, self.slots.tolist())
        gone = []
        values = commit.txn.get_many(Table.RECORDS, record_keys)
        for slot, key, value in zip(self.slots.tolist(), record_keys, values, strict=True):
            if value is None:
                continue
            record_id, _, _, expires = codec.decode_whole_record(key, value)
            if has_expired(expires, commit.now):
                commit.txn.delete(Table.IDS, keys.id_table_key(number, keys.id_key(record_id)))
                gone.append(slot)
        kill_slots(commit, self.schema, np.array(gone, dtype=np.uint32))
        commit.states[number] = msgspec.structs.replace(state, live=state.live - len(gone))
        return len(gone)

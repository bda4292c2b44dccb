"""Holds a commit while it is filled: what operations read and change, and what they are.

Promises: a Commit belongs to one storage transaction; when that is aborted, the Commit is dropped with all it gathered.
Invariants: every record of one commit gets one version, the seq of the commit; its time stands still.
Concurrency: used by one thread at a time, the one that holds the write lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
import numpy.typing as npt

from vecdb.engine.schema import CollectionSchema
from vecdb.engine.state import COUNTERS_KEY, CollectionState, Counters
from vecdb.engine.tail_rows import TailRows
from vecdb.errors import CollectionNotFoundError, ConflictError
from vecdb.storage import codec
from vecdb.storage.keys import Table

if TYPE_CHECKING:
    from vecdb.checks.metadata import Packed
    from vecdb.engine.tail import Slots
    from vecdb.engine.view import View
    from vecdb.storage.transactions import WriteTransaction


@dataclass(slots=True)
class Change:
    """What one commit did to one collection, gathered for the log and for the next View.

    `records` has the metadata of all slots put, in the order of the operations, for the metadata indexes; `rewritten`
    those of them that had a record before, which an update changed in place; `filled` the slots of records that got a
    vector of one more field and stayed as they are otherwise. `expiring` tells, in the order of the
    operations, when slots expire: those put that do, and those whose expiry an update changed in place (codec.NEVER: no
    longer). A slot may be killed later in the same commit.
    """

    killed: list[Slots] = field(default_factory=list)
    filled: list[Slots] = field(default_factory=list)
    appended: dict[int, list[TailRows]] = field(default_factory=dict)
    records: list[tuple[Slots, Sequence[Packed]]] = field(default_factory=list)
    rewritten: list[Slots] = field(default_factory=list)
    expiring: list[tuple[Slots, npt.NDArray[np.int64]]] = field(default_factory=list)

    def killed_slots(self) -> Slots:
        """All slots killed, ascending."""
        return np.sort(np.concatenate(self.killed)) if self.killed else np.zeros(0, dtype=np.uint32)

    def rewritten_slots(self) -> Slots:
        """All slots rewritten in place."""
        return np.unique(np.concatenate(self.rewritten)) if self.rewritten else np.zeros(0, dtype=np.uint32)


@dataclass(slots=True)
class Commit:
    """The transaction being filled: what operations read from and write to. `now` decides what has expired."""

    txn: WriteTransaction
    view: View
    states: dict[int, CollectionState]
    schemas: dict[int, CollectionSchema]
    now: int
    changes: dict[int, Change] = field(default_factory=dict)
    catalog_changed: bool = False

    @property
    def changed(self) -> bool:
        """Whether an operation changed what a View shows; without, the commit takes no seq."""
        return bool(self.changes) or self.catalog_changed

    @property
    def seq(self) -> int:
        """Seq of the commit."""
        return self.view.seq + self.changed

    @property
    def version(self) -> int:
        """Version of the records it writes: its seq, since a record written is a change."""
        return self.view.seq + 1

    def state(self, collection: int, name: str) -> CollectionState:
        """State of a collection as of the operations before this one."""
        found = self.states.get(collection)
        if found is None:
            raise CollectionNotFoundError(f"collection {name!r} does not exist (any more)", collection=name)
        return found

    def current(self, prepared: CollectionSchema, fields: Iterable[int] = ()) -> CollectionSchema:
        """The schema as of the operations before this one, for an operation that was prepared by an older one.

        ConflictError when one of the fields that it writes (by number) no longer is what its name stood for then.
        """
        self.state(prepared.number, prepared.name)
        now = self.schemas[prepared.number]
        if now is prepared:
            return now
        for number in fields:
            field = prepared.numbered(number)
            if field is not None and now.numbered(number) != field:
                raise ConflictError(
                    f"field {field.name!r} of collection {prepared.name!r} was dropped, switched or given a model "
                    "while this write was on its way; nothing of it was stored: look at the field, then repeat it",
                    collection=prepared.name,
                    field=field.name,
                )
        return now

    def change(self, collection: int) -> Change:
        """Change record of a collection, made on first use."""
        return self.changes.setdefault(collection, Change())

    def counters(self) -> Counters:
        """Database-wide counters."""
        value = self.txn.get(Table.STATE, COUNTERS_KEY)
        return Counters() if value is None else codec.decode_struct(Table.STATE, COUNTERS_KEY, value, Counters)

    def put_counters(self, counters: Counters) -> None:
        """Store the database-wide counters."""
        self.txn.put(Table.STATE, COUNTERS_KEY, codec.encode_struct(Table.STATE, COUNTERS_KEY, counters))


class Operation(Protocol):
    """One caller's write."""

    def apply(self, commit: Commit) -> int:
        """Do it inside `commit`; returns the number of records concerned."""
        ...


def frees_room(operation: Operation) -> bool:
    """Whether an operation is there to make room, so that it may use what is kept for that on a full disk."""
    return bool(getattr(operation, "FREES_ROOM", False))


class RecordOperation(Operation, Protocol):
    """One caller's write to the records of one collection."""

    @property
    def records(self) -> int:
        """Number of ids named."""
        ...

    @property
    def vector_bytes(self) -> int:
        """Bytes of the vectors given."""
        ...

    def detached(self) -> Self:
        """Return the operation with copies of all that the caller may still change."""
        ...


@dataclass(frozen=True, slots=True)
class AllOrNothing:
    """Operations that are stored together or not at all: one that fails has the whole transaction aborted.

    Hence it needs a commit of its own.
    """

    operations: Sequence[Operation]

    def apply(self, commit: Commit) -> int:
        """Do one after the other; returns the records concerned, over all."""
        return sum(operation.apply(commit) for operation in self.operations)

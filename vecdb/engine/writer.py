"""Commits writes: groups operations of concurrent callers into one transaction, then publishes the next View.

Promises: `submit` returns when the operation is committed (fsynced under durability="fsync") and visible to every later
search of the process; it raises when the operation has left no trace. Callers that wait while a commit is under way
share the next one. An interrupt (Ctrl-C) concerns the interrupted caller alone: its operation is stored whole or not at
all, and what is stored is visible.
A transaction of several operations commits alone, since it is aborted when one of them fails.
Invariants: one commit = one seq = one log entry; the View published is the state just committed, never an older one.
In one commit one caller at most puts a record, so `if_version` never mistakes another's record for the caller's own.
Concurrency: any number of callers; the one holding the write lock commits for all that queued before it took it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vecdb.config import DEAD_BLOCK_SLOTS, GROUP_OPERATIONS_MAX, LOG_ENTRIES_KEPT
from vecdb.engine import bitmap, clock
from vecdb.engine.bulk_operations import put_ids
from vecdb.engine.commit import AllOrNothing, Commit, Operation, frees_room
from vecdb.engine.index_writing import write_expiry, write_indexes
from vecdb.engine.state import COUNTERS_KEY, Counters, LogEntry, collection_key
from vecdb.errors import StorageError, StorageFullError, StoragePoisonedError, VecDBError
from vecdb.storage import codec, keys
from vecdb.storage.keys import Table

if TYPE_CHECKING:
    from vecdb.engine.publisher import Publisher
    from vecdb.storage.environment import Environment
    from vecdb.storage.transactions import WriteTransaction

BLOCK_WORDS = DEAD_BLOCK_SLOTS // 64


@dataclass(slots=True, eq=False)
class Ticket:
    """One queued operation and what became of it."""

    operation: Operation
    done: bool = False
    count: int = 0
    seq: int = 0
    error: BaseException | None = None


class Writer:
    """The write side of a database opened with mode="rw"."""

    def __init__(self, environment: Environment, publisher: Publisher) -> None:
        self._environment = environment
        self._publisher = publisher
        self._queue: deque[Ticket] = deque()
        self._lock = threading.Lock()
        self._unpublished = False
        self.after_commit: Callable[[], None] = lambda: None

    def submit(self, operation: Operation) -> Ticket:
        """Commit one operation, alone or with others; returns its ticket (seq, count) or raises its error."""
        [ticket] = self.submit_all([operation])
        if ticket.error is not None:
            raise ticket.error
        return ticket

    def submit_all(self, operations: Sequence[Operation]) -> list[Ticket]:
        """Commit operations in order, as many in one commit as can be; each ticket has its own error."""
        tickets = [Ticket(operation) for operation in operations]
        self._queue.extend(tickets)
        try:
            with self._lock:
                while not all(ticket.done for ticket in tickets):
                    self._commit(self._take())
        except BaseException:
            # Interrupted: what nobody took up is withdrawn, else a later commit would store it.
            for ticket in tickets:
                with suppress(ValueError):
                    self._queue.remove(ticket)
            raise
        if any(ticket.error is None for ticket in tickets):
            self.after_commit()
        return tickets

    @contextmanager
    def transaction(self, *, frees: bool = False) -> Iterator[WriteTransaction]:
        """A plain transaction for the indexer's data, which changes nothing that a View shows. `frees`: see `write`."""
        with self._lock, self._environment.write(frees=frees) as txn:
            yield txn

    def renew_view(self) -> None:
        """Pin the newest state in place of the View's own, so that what `transaction` has freed since can be used."""
        with self._lock:
            if not self._unpublished:
                self._publisher.renew()

    def close(self) -> None:
        """Wait for the commit under way; later submits fail in the storage layer."""
        with self._lock:
            pass

    def _take(self) -> list[Ticket]:
        """Take the next group from the queue, in order; it ends before an operation that must not be part of it."""
        taken: list[Ticket] = []
        put: set[tuple[int, bytes]] = set()
        try:
            while self._queue and len(taken) < GROUP_OPERATIONS_MAX:
                taken.append(self._queue.popleft())
                alone = isinstance(taken[-1].operation, AllOrNothing)
                if len(taken) == 1 and (alone or not self._queue):
                    break
                puts = put_ids(taken[-1].operation)
                if len(taken) > 1 and (alone or not put.isdisjoint(puts)):
                    self._queue.appendleft(taken.pop())
                    break
                put |= puts
        except BaseException:
            self._queue.extendleft(reversed(taken))
            raise
        return taken

    def _commit(self, tickets: list[Ticket]) -> None:
        if not tickets:
            raise StorageError("an interrupt struck as this write was taken up; it was not stored, so repeat it")
        try:
            self._commit_within_room(tickets)
        except Exception as error:  # noqa: BLE001 - every caller of the group must learn of it
            for ticket in tickets:
                ticket.error, ticket.done = ticket.error or error, True
        except BaseException:
            # An interrupt concerns this thread alone: the others' operations left no trace and go into the next commit.
            self._queue.extendleft([ticket for ticket in reversed(tickets) if not ticket.done])
            raise

    def _commit_within_room(self, tickets: list[Ticket]) -> None:
        """Commit; if the disk is full, those that free room alone, with the room that is kept for them."""
        freeing = [ticket for ticket in tickets if frees_room(ticket.operation)]
        full = self._refusal(tickets, frees=len(freeing) == len(tickets))
        for make_room in (self._let_go, self._environment.reserve.give, self._let_go) if full and freeing else ():
            if make_room() and self._refusal(freeing, frees=True) is None:
                for ticket in tickets:
                    if not ticket.done:
                        ticket.error, ticket.done = full, True
                return
        if full is not None:
            raise full

    def _refusal(self, tickets: list[Ticket], *, frees: bool) -> StorageFullError | None:
        """Commit; the error if the disk is full."""
        try:
            self._commit_all(tickets, frees=frees)
        except StorageFullError as error:
            # Its frames hold the View of that commit, and so the pages that could be used again.
            error.__traceback__ = error.__context__ = None
            return error
        return None

    def _let_go(self) -> bool:
        """Commit without a change: pages that the last commit freed can be used when the View is of a later one."""
        if self._unpublished:
            return False
        try:
            with self._environment.write(frees=True) as txn:
                counters = txn.get(Table.STATE, COUNTERS_KEY)
                txn.put(
                    Table.STATE, COUNTERS_KEY, counters or codec.encode_struct(Table.STATE, COUNTERS_KEY, Counters())
                )
        except StorageFullError:
            return False
        self._publisher.renew()
        return True

    def _commit_all(self, tickets: list[Ticket], *, frees: bool = False) -> None:
        if self._unpublished:
            raise StoragePoisonedError(
                "a commit could not be made visible in this process; close and reopen the database"
            )
        commit = None
        try:
            with self._environment.write(frees=frees) as txn:
                commit = self._begin(txn)
                for ticket in tickets:
                    _run(ticket, commit)
                if commit.changed:
                    _write_changes(commit)
            self._finish(commit, tickets)
        except Exception:
            raise
        except BaseException:
            # An interrupt may strike right after the commit: what is stored must become visible all the same.
            if commit is not None and self._environment.committed_txn() >= commit.txn.txn_id:
                self._finish(commit, tickets)
            raise

    def _begin(self, txn: WriteTransaction) -> Commit:
        view = self._publisher.view
        return Commit(
            txn=txn,
            view=view,
            states={number: collection.state for number, collection in view.collections.items()},
            schemas={number: collection.schema for number, collection in view.collections.items()},
            now=clock.now_micros(),
        )

    def _finish(self, commit: Commit, tickets: list[Ticket]) -> None:
        """Make a commit visible and tell its callers. Calling it again after an interrupt completes it."""
        seq = commit.seq
        if self._publisher.view.seq < seq:
            # Until it is visible, the next commit would build on an old picture and damage the new one.
            self._unpublished = True
            self._publisher.publish(commit, seq)
        self._unpublished = False
        for ticket in tickets:
            ticket.seq, ticket.done = seq, True


def _run(ticket: Ticket, commit: Commit) -> None:
    """Apply one operation; its own refusal concerns it alone, a failing store concerns the whole commit.

    A refused transaction may have changed something by then, so it fails its commit, in which it is alone.
    """
    ticket.error = None
    try:
        ticket.count = ticket.operation.apply(commit)
    except StorageError:
        raise
    except VecDBError as error:
        if isinstance(ticket.operation, AllOrNothing):
            raise
        ticket.error = error


def _write_changes(commit: Commit) -> None:
    """Store metadata indexes, counters, tombstones and the log entry of a commit."""
    killed, rewritten, seq = {}, {}, commit.seq
    for number, change in commit.changes.items():
        write_indexes(commit, number, change)
        write_expiry(commit, number, change)
        key = collection_key(number)
        commit.txn.put(Table.STATE, key, codec.encode_struct(Table.STATE, key, commit.states[number]))
        slots = change.killed_slots()
        killed[number] = slots.astype("<u4").tobytes()
        if change.rewritten:
            rewritten[number] = change.rewritten_slots().astype("<u4").tobytes()
        if len(slots):
            _write_tombstones(commit, number, slots)
    key = keys.log_key(seq)
    entry = LogEntry(catalog=commit.catalog_changed, collections=killed, rewritten=rewritten)
    commit.txn.put(Table.LOG, key, codec.encode_struct(Table.LOG, key, entry))
    if seq > LOG_ENTRIES_KEPT:
        commit.txn.delete(Table.LOG, keys.log_key(seq - LOG_ENTRIES_KEPT))


def _write_tombstones(commit: Commit, number: int, slots: np.ndarray[tuple[int], np.dtype[np.uint32]]) -> None:
    """Rewrite the tombstone blocks that the killed slots fall into."""
    before = commit.view.collections.get(number)
    words = before.dead if before is not None else np.zeros(0, dtype=np.uint64)
    words = bitmap.with_bits(bitmap.resized(words, int(slots[-1]) + 1), slots)
    for block in np.unique(slots // DEAD_BLOCK_SLOTS).tolist():
        part = np.zeros(BLOCK_WORDS, dtype=np.uint64)
        stored = words[block * BLOCK_WORDS : (block + 1) * BLOCK_WORDS]
        part[: len(stored)] = stored
        key = keys.dead_key(number, block)
        commit.txn.put(Table.DEAD, key, codec.encode_bitmap(key, part))

"""Delivers groups in their order, and journals them: what is about to be stored before, what is stored after.

Promises: an item is journalled as stored only when the destination has acknowledged it, and a part only when all groups
before are done. A destination that stays away is tried again for `retry_for_s`; a record that it refuses is found and
becomes a failure, while the others are stored.
Invariants: `_sent` has the groups that were written down and not all done before, in order; `_ready` those of them that
are still to be handed out, or to be again.
Concurrency: one thread delivers; `done` is set when it ends.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vecdb.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    MalformedRequestError,
    ModelMismatchError,
    OverloadedError,
    TransactionEndedError,
    UnavailableError,
    VecDBError,
)
from vecdb.ingest.journal.journal import Journal
from vecdb.ingest.journal.states import JournalChanges, leaving
from vecdb.ingest.pipeline.breaker import pause
from vecdb.ingest.pipeline.calls import Call
from vecdb.ingest.pipeline.config import BEGUN_GROUPS, JOURNAL_S, POISON_STREAK, STOP_POLL_S
from vecdb.ingest.pipeline.control import Budget, Control, Halted
from vecdb.ingest.pipeline.destination import Acknowledged, Destination, Swap
from vecdb.ingest.pipeline.events import Retrying
from vecdb.ingest.pipeline.groups import Group, Settled, failure_of, told
from vecdb.ingest.pipeline.tally import Tally

TRANSIENT = (UnavailableError, OverloadedError, DeadlineExceededError)
"""Errors of a destination that go away by waiting."""

ABOUT_ALL = (ModelMismatchError, MalformedRequestError, TransactionEndedError)
"""Refusals that are not about a record."""


@dataclass(slots=True, eq=False)
class _Sent:
    """A group that was written down; `seq` is set once it is stored."""

    group: Group
    settled: Settled
    swap: Swap | None = None
    seq: int | None = None


class Delivery:
    """The thread that delivers. It is the Supply of its destination."""

    def __init__(
        self,
        destination: Destination,
        journal: Journal,
        groups: queue.SimpleQueue[Group | None],
        budget: Budget,
        control: Control,
        tally: Tally,
        *,
        dim: int,
        retry_for_s: float,
    ) -> None:
        self._destination, self._journal, self._groups = destination, journal, groups
        self._budget, self._control, self._tally = budget, control, tally
        self._dim, self._retry_for_s = dim, retry_for_s
        self._head: Group | None = None
        self._calls: Iterator[Call] = iter(())
        self._call: Call | None = None
        self._ended = False
        self._error: BaseException | None = None
        self._sent: deque[_Sent] = deque()
        self._ready: deque[_Sent] = deque()
        self._changes = JournalChanges()
        self._gained: Counter[str] = Counter()
        self._counted: dict[str, int] = {}
        self._journalled_at = time.monotonic()
        self._failing_since: float | None = None
        self._failures = 0
        self.is_complete = False
        self._thread = threading.Thread(target=self._run, name="vecdb-deliver", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def join(self) -> None:
        """Wait until all is delivered, or the run has failed. `is_complete` says which."""
        self._thread.join()

    # --- the supply --------------------------------------------------------------------------------------------------

    @property
    def is_ended(self) -> bool:
        return self._ended and not self._ready

    def take(self, timeout_s: float) -> Swap | None:
        end = time.monotonic() + timeout_s
        while not self.is_ended:
            self._control.check()
            if self._ready:
                return self._ready.popleft().swap
            groups = self._next_groups(max(end - time.monotonic(), 0.0))
            if not groups:
                break
            self._begin(groups)
        if self._changes and (self._ended or time.monotonic() - self._journalled_at > JOURNAL_S):
            self._write()
        return None

    def _next_groups(self, timeout_s: float) -> list[Group]:
        """The next group whose calls are done, and those behind it that are ready now; none when there is none yet."""
        groups: list[Group] = []
        while len(groups) < BEGUN_GROUPS and (group := self._next(0.0 if groups else timeout_s)) is not None:
            groups.append(group)
        return groups

    def _next(self, timeout_s: float) -> Group | None:
        """The next group whose calls are done; None when there is none yet, or none any more."""
        end = time.monotonic() + timeout_s
        if self._head is None:
            try:
                self._head = self._groups.get(timeout=timeout_s)
            except queue.Empty:
                return None
            if self._head is None:
                self._ended = True
                return None
            self._calls = self._head.calls()
            self._call = next(self._calls, None)
        while self._call is not None:
            if not self._call.done.wait(max(end - time.monotonic(), 0.0)):
                return None
            if self._call.error is not None:
                self._error, self._ended = self._call.error, True
                return None
            self._call = next(self._calls, None)
        group, self._head = self._head, None
        return group

    def _begin(self, groups: Sequence[Group]) -> None:
        """Write down what is about to be stored, and make it ready. What is nothing to a destination is done."""
        for group in groups:
            sent = self._settled(group)
            self._sent.append(sent)
            if sent.swap is None:
                sent.seq = 0
                continue
            self._changes.intended += sent.settled.writes(0)
            self._changes.intended += map(leaving, sent.settled.vanished)
            self._ready.append(sent)
        self._advance()
        if self._changes.intended:
            self._write()

    def _settled(self, group: Group) -> _Sent:
        """A group with what is to be delivered of it; its failures are told of."""
        failed_before = len(group.changes.failed)
        sent = _Sent(group, group.settle(self._dim))
        for failure in group.changes.failed[failed_before:]:
            self._tally.add(failed=1)
            self._tally.tell(told(failure))
        sent.swap = sent.settled.swap(sent)
        return sent

    def _acknowledged(self, ack: Acknowledged) -> None:
        sent: _Sent = ack.swap.completes
        sent.seq = ack.seq
        self._failing_since, self._failures = None, 0
        self._advance()

    # --- the journal -------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Take up what is done, as far as all before it is."""
        while self._sent and self._sent[0].seq is not None:
            self._done(self._sent.popleft())

    def _done(self, sent: _Sent) -> None:
        changes, more, settled = self._changes, sent.group.changes, sent.settled
        changes.stored += settled.writes(sent.seq or 0)
        changes.stored += more.stored
        changes.removed += more.removed
        changes.failed += more.failed
        changes.cleared += more.cleared
        changes.parts += more.parts
        changes.removed_parts += more.removed_parts
        if sent.seq:
            changes.position = max(changes.position or 0, sent.seq)
        self._gained.update(
            stored=len(settled.entries),
            deleted=len(more.removed),
            chunks_stored=len(settled.ids),
            chunks_deleted=0 if sent.swap is None else len(sent.swap.deletes),
        )
        self._budget.give_back(sent.group.size)
        sent.swap = None  # it leads back to `sent`: both, and their vectors, would stay until circles are looked for

    def _write(self) -> None:
        """Journal what has come together, with what was counted since the last time."""
        changes, self._changes = self._changes, JournalChanges()
        gained, self._gained = self._gained, Counter()
        counts = {name: count + gained[name] for name, count in self._tally.counts().to_dict().items()}
        changes.counters.update({name: count - self._counted.get(name, 0) for name, count in counts.items()})
        del changes.counters["bytes_queued"]  # of the moment
        changes.counters = +changes.counters
        self._journal.write(changes)
        self._counted, self._journalled_at = counts, time.monotonic()
        if gained:
            self._tally.add(**gained)

    # --- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            try:
                self._deliver()
            finally:
                self._write()
            self.is_complete = self._error is None
        except Halted:
            return
        except BaseException as error:  # noqa: BLE001  the run ends with it
            self._error = error
        if self._error is not None and not isinstance(self._error, Halted):
            self._control.fail(self._error)

    def _deliver(self) -> None:
        while not self._ended or self._sent:
            self._ready = deque(sent for sent in self._sent if sent.seq is None)
            try:
                self._destination.deliver(self, self._acknowledged)
            except TRANSIENT as error:
                self._wait(error)
            except InvalidRequestError as error:
                self._isolate(error)

    def _wait(self, error: VecDBError) -> None:
        """Wait for a destination that does not answer for now; raises when it has been too long."""
        now = time.monotonic()
        since = self._failing_since = now if self._failing_since is None else self._failing_since
        if now - since >= self._retry_for_s:
            raise type(error)(
                f"the destination has taken nothing for {now - since:.0f} s: {error.message}. Nothing is lost: what "
                "was embedded is kept, and the next run goes on from there; retry_for_s gives it longer",
                **error.details,
            ) from error
        self._failures += 1
        wait = min(pause(self._failures, error), since + self._retry_for_s - now)
        self._tally.add(retries=1)
        self._tally.tell(Retrying("destination", self._failures, wait, error.message))
        self._control.pause(max(wait, STOP_POLL_S))

    # --- refusals ----------------------------------------------------------------------------------------------------

    def _isolate(self, error: InvalidRequestError) -> None:
        """Deliver the items of the group that was refused one by one; what is refused again is a failure."""
        sent = next((one for one in self._sent if one.seq is None), None)
        if sent is None or isinstance(error, ABOUT_ALL):
            raise error
        kept, seq = [], 0
        for entry, single in sent.settled.singles():
            swap = single.swap(None)
            try:
                seq = max(seq, 0 if swap is None else self._deliver_one(swap))
            except InvalidRequestError as refusal:
                if entry is None or isinstance(refusal, ABOUT_ALL):
                    raise
                sent.group.changes.failed.append(failure := failure_of(entry, refusal))
                self._tally.add(failed=1)
                self._tally.tell(told(failure))
            else:
                kept += [] if entry is None else [entry]
        if not kept and len(sent.settled.entries) >= POISON_STREAK:
            raise error
        sent.settled = sent.settled.only(kept, sent.settled.vanished)
        sent.seq = seq
        self._advance()

    def _deliver_one(self, swap: Swap) -> int:
        """Deliver one swap; returns its seq."""
        single = Single(swap)
        while single.seq is None:
            try:
                self._destination.deliver(single, single.acknowledged)
            except TRANSIENT as error:
                self._wait(error)
                single = Single(swap)
        self._failing_since, self._failures = None, 0
        return single.seq


class Single:
    """A supply of one swap."""

    def __init__(self, swap: Swap) -> None:
        self._swap: Swap | None = swap
        self.seq: int | None = None

    @property
    def is_ended(self) -> bool:
        return self._swap is None

    def take(self, timeout_s: float) -> Swap | None:
        del timeout_s
        swap, self._swap = self._swap, None
        return swap

    def acknowledged(self, ack: Acknowledged) -> None:
        """The swap is stored."""
        self.seq = ack.seq

"""Reads the parts of sources, several at a time where that is asked for, and gives their events in order.

Parts are listed by whoever takes the events; threads read them ahead, each into a conduit of its own.
Promises: events come in the order of `read_sources`, however many readers there are; ids given twice are found in that
order too. What was read and not yet taken is bounded. What a slow source (a pipe) gave is there within READ_POLL_S.
Invariants: the conduits in `_ahead` are in the order of their parts.
Concurrency: one thread takes the events; readers end with the run, but for one that waits for a pipe, which ends with
the process.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TypeAlias

from vecdb.errors import MissingExtraError, VecDBError
from vecdb.ingest.pipeline.config import (
    ITEM_BYTES,
    LOOK_ITEMS,
    NOTIFY_ITEMS,
    READ_AHEAD_PARTS,
    READ_BYTES,
    READ_ITEMS,
    READ_POLL_S,
)
from vecdb.ingest.pipeline.control import HALTED, Control, Halted
from vecdb.ingest.sources.item import Event, Item, PartEnd, Position, Problem, SourceEnd
from vecdb.ingest.sources.seen import SeenIds, repeated
from vecdb.ingest.sources.source import Known, Part, Source, read_part

Wanted: TypeAlias = Callable[[str], bool]
"""Whether a part, by its key, is to be read at all."""


class _Unchecked(SeenIds):
    """Takes any id: ids are compared later, in the order of the parts."""

    def check(self, found: Item | Problem) -> Item | Problem:
        return found


class Conduit:
    """Events of one part on their way from its reader, who waits when they are too many."""

    def __init__(self, bytes_max: int, control: Control) -> None:
        self._bytes_max, self._control = bytes_max, control
        self._events: deque[Event] = deque()
        self._weights: deque[int] = deque()
        self._changed = threading.Condition()
        self._added = self._taken = self._count = 0
        self._ended = False
        self._error: BaseException | None = None

    def put(self, event: Event) -> None:
        """Add an event (the reader's side)."""
        weight = weight_of(event)
        self._weights.append(weight)  # before the event: whoever takes that takes its weight
        self._events.append(event)
        self._added += weight
        self._count += 1
        if self._count % NOTIFY_ITEMS == 0 or self._added - self._taken > self._bytes_max:
            with self._changed:
                self._changed.notify()
                while self._added - self._taken > self._bytes_max and self._events:
                    if self._control.is_aborted or self._control.is_stopping:
                        raise Halted(HALTED)
                    self._changed.wait(READ_POLL_S)

    def end(self, error: BaseException | None = None) -> None:
        """There are no more (the reader's side)."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify()

    def take(self) -> list[Event] | None:
        """Some events; none when there are none yet, None when there are no more. Raises what the reader met."""
        if not self._events:
            with self._changed:
                if not self._events and not self._ended:
                    self._changed.wait(READ_POLL_S)
        ended = self._ended  # before looking for events: after the last of them it is True
        found: list[Event] = []
        size, events, weight = 0, self._events, self._weights.popleft
        while events and len(found) < READ_ITEMS and size < READ_BYTES:
            found.append(events.popleft())
            size += weight()
        if found:
            with self._changed:
                self._taken += size
                self._changed.notify()
            return found
        if not ended:
            return []
        if self._error is not None:
            raise self._error
        return None


def weight_of(event: Event) -> int:
    """Bytes of memory that an event takes, about."""
    if type(event) is not Item:
        return ITEM_BYTES
    size = ITEM_BYTES if event.text is None else ITEM_BYTES + len(event.text)
    return size if event.vector is None else size + event.vector.nbytes


@dataclass(frozen=True, slots=True)
class _Task:
    part: Part
    conduit: Conduit


class Reading:
    """The events of sources, read by threads."""

    def __init__(
        self,
        sources: Iterable[Source],
        known: Known,
        control: Control,
        *,
        readers: int,
        bytes_max: int,
        wanted: Wanted = lambda _key: True,
    ) -> None:
        self._known, self._control, self._wanted = known, control, wanted
        self._ids, self._listed = SeenIds(), SeenIds()
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._ahead: deque[Conduit | Event] = deque()
        self._limit = READ_AHEAD_PARTS * readers
        self._conduit_bytes = bytes_max // self._limit
        self._listing = self._list(sources)
        self._threads = [
            threading.Thread(target=self._work, name=f"vecdb-read-{number}", daemon=True) for number in range(readers)
        ]
        for thread in self._threads:
            thread.start()

    def batches(self) -> Iterator[list[Event]]:
        """Events in order, some at a time; an empty list from time to time while there are none."""
        while True:
            self._list_ahead()
            if not self._ahead:
                return
            first = self._ahead[0]
            if not isinstance(first, Conduit):
                self._ahead.popleft()
                yield [first]
                continue
            duplicates = 0
            while (events := first.take()) is not None:
                if events:
                    events, found = self._checked(events, duplicates)
                    duplicates += found
                yield events
            self._ahead.popleft()

    def close(self) -> None:
        """Let the readers end."""
        for _ in self._threads:
            self._tasks.put(None)

    def _list_ahead(self) -> None:
        while len(self._ahead) < self._limit:
            listed = next(self._listing, None)
            if listed is None:
                return
            if isinstance(listed, Part):
                conduit = Conduit(self._conduit_bytes, self._control)
                self._ahead.append(conduit)
                self._tasks.put(_Task(listed, conduit))
            else:
                self._ahead.append(listed)

    def _list(self, sources: Iterable[Source]) -> Iterator[Part | Event]:
        """Parts to read, and what becomes of those that cannot be; see `sources.source.read_source`."""
        for source in sources:
            complete = True
            try:
                for part in source.parts():
                    if isinstance(part, Problem):
                        complete = complete and part.scope == "item"
                        yield part
                    elif not self._listed.add(part.key):
                        message = "was read before in this run; name it once, or tell its two sources apart by prefix="
                        yield Problem(part.key, part.position, message)
                    elif self._wanted(part.key):
                        yield part
            except MissingExtraError:
                raise
            except (VecDBError, OSError) as error:
                yield _unlisted(source, error)
                complete = False
            yield SourceEnd(source.name, complete)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            self._read(task)

    def _read(self, task: _Task) -> None:
        conduit = task.conduit
        try:
            known = self._known(task.part.key)
            with closing(_events_of(task.part, known)) as events:
                for number, event in enumerate(events):
                    conduit.put(event)
                    if number % LOOK_ITEMS == 0 and (self._control.is_aborted or self._control.is_stopping):
                        break
        except Halted:
            conduit.end()
        except BaseException as error:  # noqa: BLE001  whoever takes the events raises it
            conduit.end(error)
        else:
            conduit.end()

    def _checked(self, events: list[Event], before: int) -> tuple[list[Event], int]:
        """The events of a part with problems in place of ids that were given before, and how many these are."""
        items = [(place, event) for place, event in enumerate(events) if type(event) is Item]
        duplicates = 0
        are_new = self._ids.add_many([item.id for _, item in items])
        if not all(are_new):
            for (place, item), is_new in zip(items, are_new, strict=True):
                if not is_new:
                    events[place] = repeated(item)
                    duplicates += 1
        last, count = events[-1], before + duplicates
        if isinstance(last, PartEnd) and count:
            # what has problems is looked at again next time
            events[-1] = replace(last, fingerprint=None, items=last.items - count, problems=last.problems + count)
        return events, duplicates


def _events_of(part: Part, known: str | None) -> Generator[Event]:
    yield from read_part(part, known, _Unchecked())


def _unlisted(source: Source, error: Exception) -> Problem:
    if isinstance(error, VecDBError):
        return Problem("", Position(source.name), error.message, "source", None, error.reason)
    reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
    return Problem("", Position(source.name), f"cannot be read: {reason}", "source")

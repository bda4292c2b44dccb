"""The plan of a bulk load: batches over one stream, acknowledged as they are stored, several of them under way.

Promises: a batch is stored once, or the error says that it was not: after a stream breaks, what was not acknowledged is
sent again on a new one under the same numbers. The first batch that is refused ends the load, once all before it and
those under way are answered.
Invariants: no more is unanswered than the server's newest window allows.
Concurrency: as plans.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from vecdb._pb.v1 import ingest_service_pb2 as pb
from vecdb.client import methods
from vecdb.client.calling import Progress
from vecdb.client.parts import cut
from vecdb.client.plans import Open, Plan, Pull, Receive, Send, Sleep
from vecdb.client.retrying import Attempts
from vecdb.client.session import new_request_id
from vecdb.client.targets import Target
from vecdb.config import BATCH_RECORDS_MAX, INGEST_PART_BYTES
from vecdb.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    LimitExceededError,
    OverloadedError,
    UnavailableError,
    VecDBError,
)
from vecdb.types import WriteResult
from vecdb.wire.choices import INGEST_MODES
from vecdb.wire.ids import put_ids
from vecdb.wire.status import read_error
from vecdb.wire.writes import Batch, put_batch, read_batch

COLUMNS: Final = ("ids", "vectors", "metadata")
OPTIONS: Final = ("if_version", "expires_at", "model", "delete")
NAMES: Final = frozenset({"ids", "records", "delete"})
"""One of them says that a dict is a batch."""
TRANSIENT: Final = (OverloadedError, UnavailableError)


class Numbered(NamedTuple):
    """A batch as it is sent: put into bytes once, since to ask a message for its size takes as long as that."""

    number: int
    body: bytes


class Load:
    """How far one load has come: what is stored, what is under way, what is still to be sent."""

    def __init__(self, target: Target, mode: str, progress: Progress | None, *, total: int = 0) -> None:
        self.target = target
        self._start = pb.IngestStart(collection=target.name, request_id=new_request_id())
        self._start.mode = INGEST_MODES.number(mode)  # type: ignore[assignment]  # an enum is an int
        self._mode = mode
        self._progress = progress
        self._total = total
        self._taken = self._stored = self._seq = 0
        self._numbers = 0
        self._first: dict[int, int] = {}
        self._waiting: deque[Numbered] = deque()
        self._unanswered: dict[int, Numbered] = {}
        self._unanswered_bytes = 0
        self._window = pb.IngestWindow()
        self.failure: VecDBError | None = None

    @property
    def is_idle(self) -> bool:
        """True when nothing is under way or waits to be sent."""
        return not self._unanswered and not self._waiting

    @property
    def wants_more(self) -> bool:
        """True when another batch can be taken and sent at once."""
        return self.failure is None and not self._waiting and self._has_room(0)

    def begin(self) -> pb.IngestRequest:
        """The first message of a new stream; what the last one left unanswered waits to be sent again."""
        self._waiting.extendleft(reversed(self._unanswered.values()))
        self._unanswered, self._unanswered_bytes = {}, 0
        self._window = pb.IngestWindow()
        return pb.IngestRequest(start=self._start)

    def take_checked(self, item: Any) -> None:
        """Take a batch of the caller; one that is wrong ends the load like one that the server refuses."""
        try:
            self._take(item)
        except VecDBError as error:
            self._end(error, self._taken)

    def _take(self, item: Any) -> None:
        batch = item if isinstance(item, Batch) else self._read(item)
        for part in self._parts(batch):
            self._numbers += 1
            self._first[self._numbers] = self._taken
            self._taken += len(part)
            request = pb.IngestRequest()
            request.batch.number = self._numbers
            if part.ids or part.delete is None:
                put_batch(request.batch.records, part)
            if part.delete is not None:
                put_ids(request.batch.delete, part.delete)
            self._waiting.append(Numbered(self._numbers, request.SerializeToString()))

    def _parts(self, batch: Batch) -> list[Batch]:
        """The batch in parts, each of which is stored as a whole; one that also deletes is a whole in itself."""
        room = self.target.session.room_bytes
        if batch.delete is None:
            return cut(batch, min(INGEST_PART_BYTES, room), BATCH_RECORDS_MAX)
        if batch.size_bytes > room or max(len(batch), len(batch.delete)) > BATCH_RECORDS_MAX:
            raise LimitExceededError(
                f"a batch with `delete` is stored in one commit; this one has {len(batch)} records and "
                f"{len(batch.delete)} ids to delete, about {batch.size_bytes} bytes; {BATCH_RECORDS_MAX} of each and "
                f"{room} bytes fit, so divide it"
            )
        return [batch]

    def next_to_send(self) -> bytes | None:
        """The next message, when there is one and the window has room for it. It counts as sent."""
        if not self._waiting or not self._has_room(len(self._waiting[0].body)):
            return None
        request = self._waiting.popleft()
        self._unanswered[request.number] = request
        self._unanswered_bytes += len(request.body)
        return request.body

    def hear(self, response: pb.IngestResponse) -> bool:
        """Take in what the server says; True when a batch was stored. Raises what ends the stream."""
        event = response.WhichOneof("event")
        if event == "started":
            self._window = response.started
        elif event == "window":
            self._window = response.window
        elif event == "ack":
            self._answered(response.ack.number)
            self._stored += response.ack.count
            self._seq = max(self._seq, self.target.session.saw(response.ack.seq))
            if self._progress is not None:
                self._progress(self._stored, max(self._total, self._taken))
            return True
        elif event == "failure":
            self._refused(response.failure)
        elif event == "draining":
            raise UnavailableError("the server is stopping in the middle of a load")
        return False

    def result(self) -> WriteResult:
        """What was stored, or the error of the batch that was not."""
        if self.failure is not None:
            self.failure.details["stored"] = self._stored
            raise self.failure
        return WriteResult(seq=self._seq, count=self._stored)

    def _has_room(self, size: int) -> bool:
        if len(self._unanswered) >= self._window.batches_max:
            return False
        return not self._unanswered or self._unanswered_bytes + size <= self._window.bytes_max

    def _answered(self, number: int) -> None:
        request = self._unanswered.pop(number, None)
        if request is not None:
            self._unanswered_bytes -= len(request.body)

    def _refused(self, failure: pb.IngestFailure) -> None:
        error = read_error(failure.error)
        if isinstance(error, TRANSIENT):
            raise error  # on a new stream it is sent again
        self._answered(failure.number)
        self._end(error, self._first.get(failure.number, 0))

    def _end(self, error: VecDBError, first: int) -> None:
        """Send no more; the first thing that goes wrong is what is told."""
        if self.failure is None:
            error.details.setdefault("first", first)
            self.failure = error
            self._waiting.clear()

    def _read(self, item: Any) -> Batch:
        """A batch as callers give it: the arguments of `upsert`, as a tuple or by name, or a list of records."""
        if isinstance(item, Mapping) and not item.keys().isdisjoint(NAMES):
            arguments = dict(item)
            if "records" in arguments and "ids" not in arguments:
                arguments["ids"] = arguments.pop("records")
            arguments.setdefault("ids", [])
        elif isinstance(item, tuple) and 2 <= len(item) <= len(COLUMNS):
            arguments = dict(zip(COLUMNS, item, strict=False))
        elif isinstance(item, list):
            arguments = {"ids": item}
        else:
            raise InvalidRequestError(
                f"a batch is {type(item).__name__}; give (ids, vectors) or (ids, vectors, metadata), a dict with the "
                "arguments of upsert and, for ids to be deleted with them, delete, or a list of records"
            )
        values = {name: arguments.pop(name, None) for name in COLUMNS}
        options = {name: arguments.pop(name, None) for name in OPTIONS}
        if arguments:
            raise InvalidRequestError(f"a batch has {min(map(str, arguments))!r:.60}, which {self._mode} does not take")
        return read_batch(self.target.main_field, *values.values(), **options)


def ingest(load: Load, source: Iterator[Any]) -> Plan[WriteResult]:
    """Load all batches of `source`; see `RemoteCollection.ingest`."""
    caller = load.target.caller
    attempts = Attempts(caller.session.retries, caller.timeout_s)
    supply = Supply(source)
    while True:
        moved = False
        try:
            stream = yield Open(methods.INGEST, None, caller.long_timeout_s)
            try:
                yield Send(stream, load.begin())
                while (response := (yield Receive(stream))) is not None:
                    if load.hear(response):
                        moved = True
                        attempts.begin_again()
                    yield from _send(load, stream, supply)
                    if load.is_idle and (supply.is_empty or load.failure is not None):
                        yield Send(stream, None)
                        yield from _hear_out(stream)
                        return load.result()
            finally:
                stream.cancel()
            raise UnavailableError("the server ended the stream of a load before all was answered")
        except VecDBError as error:
            # A stream that made headway and reached its own deadline is simply continued on another.
            pause = 0.0 if moved and isinstance(error, DeadlineExceededError) else attempts.pause_after(error)
            if pause is None or load.failure is error:
                raise
        yield Sleep(pause)


def _send(load: Load, stream: Any, supply: Supply) -> Plan[None]:
    """Send as much as the window allows, taking batches from the caller as they are needed."""
    while True:
        while (request := load.next_to_send()) is not None:
            yield Send(stream, request)
        if not load.wants_more or supply.is_empty:
            return
        item = yield Pull(supply.source)
        if item:
            load.take_checked(*item)
        else:
            supply.is_empty = True


def _hear_out(stream: Any) -> Plan[None]:
    """Let the server end the stream, which counts there as done and not as cancelled. All is answered already."""
    try:
        while (yield Receive(stream)) is not None:
            pass
    except VecDBError:
        return


class Supply:
    """The caller's batches, and whether there are no more."""

    def __init__(self, source: Iterator[Any]) -> None:
        self.source = source
        self.is_empty = False


def iterator_of(source: Iterable[Any] | AsyncIterable[Any]) -> Any:
    """An iterator over either kind of iterable, for a driver that can wait for both."""
    return aiter(source) if isinstance(source, AsyncIterable) else iter(source)

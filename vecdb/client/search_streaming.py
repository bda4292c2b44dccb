"""Plans of a search over a stream: one batch is answered while the next are under way.

Promises: results come in the order of the batches, each from one state. Each is asked for once more on a new stream
when the one it was sent on breaks, within the limits of `retrying`. What is wrong with a batch is raised in its turn,
and ends the search.
Invariants: at most SEARCH_STREAM_AHEAD batches are unanswered while the caller has what was found before.
Concurrency: as plans; one step at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final

from vecdb.checks.options import check_count
from vecdb.client import methods
from vecdb.client.plans import Open, Plan, Pull, Receive, Send, Sleep, Stream
from vecdb.client.retrying import Attempts
from vecdb.client.targets import Target
from vecdb.errors import DeadlineExceededError, UnavailableError, VecDBError
from vecdb.types import BatchResult
from vecdb.wire.hits import read_hits
from vecdb.wire.search_requests import stream_request
from vecdb.wire.status import read_error
from vecdb.wire.vectors import as_queries

SEARCH_STREAM_AHEAD: Final = 3
"""Batches under way at once: one is searched, one waits at the server, one is on its way there or back."""

DEFAULTS: Final[Mapping[str, Any]] = {
    "field": None,
    "ef": None,
    "target_recall": None,
    "exact": False,
    "filter": None,
    "strict": False,
    "with_metadata": False,
    "with_vectors": False,
    "min_seq": None,
}


class SearchStream:
    """A search over many batches, to be taken step by step."""

    def __init__(self, target: Target, source: Iterator[Any], limit: object, options: Mapping[str, Any]) -> None:
        self._target = target
        self._source: Iterator[Any] | None = source
        self._limit = check_count("limit", limit)
        options = {**DEFAULTS, **options}
        self._options = {**options, "min_seq": target.session.min_seq(options["min_seq"])}
        self._with_metadata = bool(options["with_metadata"])
        self._unanswered: deque[tuple[bytes, int]] = deque()
        self._number = 0
        self._failure: VecDBError | None = None
        self._stream: Stream | None = None

    def step(self) -> Plan[BatchResult | None]:
        """The result of the next batch, None after the last."""
        caller = self._target.caller
        attempts = Attempts(caller.session.retries, caller.timeout_s)
        while True:
            try:
                yield from self._send()
                if not self._unanswered:
                    yield from self._finish()
                    if self._failure is not None:
                        raise self._failure
                    return None
                assert self._stream is not None
                reply = yield Receive(self._stream)
                if reply is None:
                    raise UnavailableError("the server ended the stream of a search before all was answered")
                break
            except VecDBError as error:
                # A stream that reached its own deadline is simply continued on another.
                is_late = self._stream is not None and isinstance(error, DeadlineExceededError)
                pause = 0.0 if is_late else attempts.pause_after(error)
                self.close()
                if pause is None or error is self._failure:
                    raise
            yield Sleep(pause)
        _, count = self._unanswered.popleft()
        if reply.HasField("error"):
            raise read_error(reply.error)
        found = read_hits(reply.hits, count, with_metadata=self._with_metadata)
        return BatchResult(results=tuple(found), limit=self._limit)

    def close(self) -> None:
        """Give up what is under way."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.cancel()

    def _send(self) -> Plan[None]:
        """Send what there is room for: first, on a new stream, what an old one left unanswered."""
        again = len(self._unanswered) if self._stream is None else 0
        while again or (self._source is not None and len(self._unanswered) < SEARCH_STREAM_AHEAD):
            if again:
                body = self._unanswered[-again][0]
                again -= 1
            elif (taken := (yield from self._take())) is None:
                return
            else:
                body = taken
            if self._stream is None:
                self._stream = yield Open(methods.SEARCH_STREAM, None, self._target.caller.long_timeout_s)
            yield Send(self._stream, body)

    def _take(self) -> Plan[bytes | None]:
        """The next batch of the caller as a request, None when there are no more."""
        assert self._source is not None
        item = yield Pull(self._source)
        if not item:
            self._source = None
            return None
        try:
            rows = as_queries(item[0])
            search = self._target.requests.batch(rows, self._limit, self._options)
        except VecDBError as error:
            self._source, self._failure = None, error  # told once those before are answered
            return None
        self._number += 1
        body = stream_request(self._number, search)
        self._unanswered.append((body, len(rows)))
        return body

    def _finish(self) -> Plan[None]:
        """Let the server end the stream, which counts there as done and not as cancelled."""
        stream, self._stream = self._stream, None
        if stream is None:
            return
        yield Send(stream, None)
        try:
            while (yield Receive(stream)) is not None:
                pass
        except VecDBError:
            return

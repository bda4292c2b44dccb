"""Gathers what is to be embedded into calls of the model, and finds what need not be embedded again.

Promises: a text is in one call at most as long as that is under way, whichever items have it; what is in the cache is
in none. A call is within the limits of its model.
Invariants: `_pending` has the keys of calls that are not finished; a key leaves it only when its row is in the cache.
Concurrency: one thread fills, any thread finishes calls; a single get, set or pop of a dict needs no lock.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from operator import is_not
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecdb.errors import VecDBError
from vecdb.fingerprint import ModelFingerprint
from vecdb.ingest.embedders.checked import estimated_tokens
from vecdb.ingest.embedders.protocol import EmbedderLimits
from vecdb.ingest.journal.cache import EmbeddingCache
from vecdb.ingest.pipeline.config import IDLE_TEXTS, STOP_POLL_S
from vecdb.ingest.pipeline.control import Control
from vecdb.ingest.sources.item import Image

Given: TypeAlias = str | Image
"""What is embedded."""


@dataclass(slots=True, eq=False)
class Call:
    """Texts (or images) for one call of the model, and what became of each: a row, or in `failures` why not.

    `error` is what ended the whole call: the run ends with it.
    """

    given: list[Given] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    cost: int = 0
    rows: NDArray[np.float32] | None = None
    failures: dict[int, VecDBError] = field(default_factory=dict)
    error: BaseException | None = None
    done: threading.Event = field(default_factory=threading.Event)


Place: TypeAlias = tuple[Call, int]
"""A call, and the number of a text in it."""


class Calls:
    """The calls of one model that are being filled or under way; `ready` has those that are full, None after the last.

    `sent` counts these, `asked` the texts that were put into calls.
    """

    def __init__(
        self, model: ModelFingerprint, limits: EmbedderLimits, cache: EmbeddingCache, control: Control, *, most: int
    ) -> None:
        self._model, self._limits, self._cache, self._control = model, limits, cache, control
        self._pending: dict[bytes, Place] = {}
        self._lock = threading.Lock()
        self._room = threading.Semaphore(most)
        self._open = Call()
        self.ready: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self.sent = self.asked = self._finished = 0

    def find(self, keys: Sequence[bytes], given: Callable[[int], Given]) -> list[NDArray[np.float32] | Place]:
        """For each key a row of the cache, or the call that will have it; `given` tells what is to be embedded."""
        # before the cache is asked: what is finished in between is in the cache by then
        found: list[NDArray[np.float32] | Place | None] = list(map(self._pending.get, keys))
        open_places = [place for place, one in enumerate(found) if one is None]
        is_open = len(open_places) == len(keys)
        rows = self._cache.get_many(self._model, keys if is_open else [keys[place] for place in open_places])
        if is_open and not any(map(is_not, rows, repeat(None))):  # most are new, or none is
            texts = list(map(given, open_places))
            return self._placed_new(keys, texts)  # type: ignore[return-value]  # places are what it gives
        missing = []
        for place, row in zip(open_places, rows, strict=True):
            found[place] = row
            if row is None:
                missing.append(place)
        if missing:
            texts = list(map(given, missing))
            places = self._placed([keys[place] for place in missing], texts, tokens_of(texts))
            for place, made in zip(missing, places, strict=True):
                found[place] = made
        return found  # type: ignore[return-value]  # none is None any more

    @property
    def is_idle(self) -> bool:
        """True when no call is under way or waits."""
        with self._lock:
            return self.sent == self._finished

    def flush(self) -> None:
        """Send the call that is being filled, if there is anything in it."""
        if self._open.given:
            call, self._open = self._open, Call()
            while not self._room.acquire(timeout=STOP_POLL_S):
                self._control.check()
            self.sent += 1
            self.ready.put(call)

    def finished(self, call: Call) -> None:
        """A call has its rows, and they are in the cache."""
        for key in call.keys:
            self._pending.pop(key, None)
        with self._lock:
            self._finished += 1
        self._room.release()
        call.done.set()

    def _placed_new(self, keys: Sequence[bytes], given: Sequence[Given]) -> list[Place]:
        """`_placed` of what is in no call yet: many at once where that comes to the same."""
        tokens = tokens_of(given)
        limits = self._limits
        if len(set(keys)) < len(keys) or not are_texts(given) or max(tokens, default=0) > limits.text_tokens:
            return self._placed(keys, given, tokens)
        places: list[Place] = []
        start = 0
        while start < len(keys):
            call, size = self._open, len(self._open.given)
            stop = min(len(keys), start + limits.batch_texts - size, start + IDLE_TEXTS - size % IDLE_TEXTS)
            cost = sum(tokens[start:stop])
            if call.cost + cost > limits.batch_tokens or not are_texts(call.given[:1]):
                return places + self._placed(keys[start:], given[start:], tokens[start:])
            made: list[Place] = list(zip(repeat(call), range(size, size + stop - start), strict=False))
            self._pending.update(zip(keys[start:stop], made, strict=True))
            places += made
            call.given += given[start:stop]
            call.keys += keys[start:stop]
            call.tokens += tokens[start:stop]
            call.cost += cost
            self.asked += stop - start
            self._flush_if_due()
            start = stop
        return places

    def _flush_if_due(self) -> None:
        """Send the open call when it is full, or now and then when the model has nothing else to do."""
        size = len(self._open.given)
        if size >= self._limits.batch_texts or (size % IDLE_TEXTS == 0 and self.is_idle):
            self.flush()

    def _placed(self, keys: Sequence[bytes], given: Sequence[Given], tokens: Sequence[int]) -> list[Place]:
        """Put what is to be embedded into calls."""
        pending, limits, places = self._pending, self._limits, []
        for key, one, count in zip(keys, given, tokens, strict=True):
            place = pending.get(key)  # twice among the keys of one `find`, or in two of them
            if place is None:
                cost = min(count, limits.text_tokens)
                call = self._open
                if call.given and (call.cost + cost > limits.batch_tokens or type(call.given[0]) is not type(one)):
                    self.flush()
                    call = self._open
                size = len(call.given)
                place = pending[key] = (call, size)
                call.given.append(one)
                call.keys.append(key)
                call.tokens.append(count)
                call.cost += cost
                self.asked += 1
                self._flush_if_due()
            places.append(place)
        return places


def are_texts(given: Sequence[Given]) -> bool:
    """Whether none is an image."""
    return set(map(type, given)) <= {str}


def tokens_of(given: Sequence[Given]) -> list[int]:
    """Tokens of each, about; an image counts as one."""
    if are_texts(given):
        return estimated_tokens(given)  # type: ignore[arg-type]  # as was just seen
    return [estimated_tokens([one])[0] if isinstance(one, str) else 1 for one in given]

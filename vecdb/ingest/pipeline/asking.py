"""Asks a model for the rows of a call, and does not let one text that it cannot take stop the others.

What fails for now is asked again (see `breaker`). What is refused is halved until the texts are found that the model
cannot take; they are failures of the call, and nothing else is. A call that fails again and again, while the provider
answers others, is halved too; a text alone is asked for once more after that is known. A provider that refuses
everything ends the run: it is asked for the row of a text that is surely good after POISON_STREAK refused ones.
Promises: each row is in the cache, on the disk, before anything else is asked for; so a crash costs at most the call
under way, and nothing that came back is asked for again. The exception is a batch that came back unusable.
Concurrency: any thread, each with a call of its own.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from vecdb.errors import (
    EmbeddingError,
    InvalidConfigError,
    InvalidRequestError,
    MissingExtraError,
    ProviderRefusedError,
    ProviderUnavailableError,
    VecDBError,
)
from vecdb.ingest.embedders.protocol import Embedder, ImageEmbedder
from vecdb.ingest.journal.cache import EmbeddingCache
from vecdb.ingest.pipeline.breaker import Breaker
from vecdb.ingest.pipeline.calls import Call, Given
from vecdb.ingest.pipeline.config import CONTROL_TEXT, POISON_STREAK, SPLIT_AFTER
from vecdb.ingest.pipeline.control import Control
from vecdb.ingest.pipeline.events import Retrying
from vecdb.ingest.pipeline.images import checked_bytes
from vecdb.ingest.pipeline.tally import Tally

ABOUT_THE_REQUEST: Final = frozenset({None, 400, 404, 413, 414, 415, 422})
"""Statuses of refusals that may be about one text; others (401, 402, 403 …) are about whoever asks. 404 is what some
gateways say of a request that is too large; of a model that is not there, the control text will tell."""

SERVER_ERROR: Final = 500


class Asking:
    """A model that is asked, and what is known of how it fares."""

    def __init__(
        self, embedder: Embedder, cache: EmbeddingCache, breaker: Breaker, control: Control, tally: Tally
    ) -> None:
        self._embedder, self._cache, self._breaker = embedder, cache, breaker
        self._control, self._tally = control, tally
        self._refused_in_a_row = 0
        self._controls = self._probes = 0

    def fill(self, call: Call) -> None:
        """Ask until each text of the call has a row or a failure. Raises what must end the run, and Halted."""
        call.rows = np.empty((len(call.given), self._embedder.fingerprint.dim), dtype=np.float32)
        pieces = deque([list(range(len(call.given)))])
        while pieces:
            piece = pieces.popleft()
            if piece:
                pieces.extendleft(reversed(self._piece(call, piece)))

    def _piece(self, call: Call, piece: list[int]) -> list[list[int]]:
        """Ask for some texts; returns those that are to be asked for next, in pieces."""
        failures, first_failed, is_suspect = 0, time.monotonic(), False
        while True:
            asked = piece
            if self._breaker.admit() and len(piece) > 1:
                self._probes += 1
                asked = [piece[self._probes % len(piece)]]
            try:
                self._ask(call, asked)
            except ProviderUnavailableError as error:
                self._postpone(error, failures)
                # a probe of another text says nothing about the piece
                failures += asked is piece and may_be_about_the_request(error)
                if failures and asked is piece and (is_suspect or failures % SPLIT_AFTER == 0):
                    if len(piece) > 1:
                        return _halves(piece)
                    if is_suspect:
                        self._give_up(call, piece[0], error)
                        return []
                    # Where others are answered this one may be, too: an outage may have ended just now.
                    is_suspect = self._breaker.is_alive_since(first_failed) or self._takes_control()
            except EmbeddingError as error:
                self._breaker.succeeded()  # it answers
                if is_about_all(error):
                    raise
                return self._refused(call, asked, error) + _without(piece, asked)
            except InvalidRequestError as error:
                self._breaker.withdrawn()
                if is_about_all(error):
                    raise
                return self._refused(call, asked, error) + _without(piece, asked)
            else:
                self._refused_in_a_row = 0
                return _without(piece, asked)

    def _ask(self, call: Call, asked: Sequence[int]) -> None:
        is_whole = len(asked) == len(call.given)
        given = call.given if is_whole else [call.given[place] for place in asked]
        keys = call.keys if is_whole else [call.keys[place] for place in asked]
        self._tally.add(calls=1)
        rows = self._embed(given)
        assert call.rows is not None
        call.rows[slice(None) if is_whole else asked] = rows
        # looked up when the call was filled; to look again takes as long as to store
        self._cache.put_many(self._embedder.fingerprint, keys, rows, are_new=True)
        self._breaker.succeeded()
        self._tally.add(embedded=len(asked), tokens=sum(call.tokens[place] for place in asked))

    def _embed(self, given: Sequence[Given]) -> NDArray[np.float32]:
        if isinstance(given[0], str):
            return self._embedder.embed(cast("Sequence[str]", given))
        images = [checked_bytes(image, place) for place, image in enumerate(given) if not isinstance(image, str)]
        return cast(ImageEmbedder, self._embedder).embed_images(images)

    def _postpone(self, error: ProviderUnavailableError, failures: int) -> None:
        """Wait after a failure."""
        wait = self._breaker.failed(error)
        self._tally.add(retries=1)
        self._tally.tell(Retrying("provider", failures + 1, wait, error.message))
        self._control.pause(wait)

    def _refused(self, call: Call, asked: list[int], error: VecDBError) -> list[list[int]]:
        """What to ask for next after a refusal: halves, or a text that the error names by itself, and those around it.

        What is named is the first, so many bad texts in one call cost no more than each of them by itself.
        """
        if len(asked) == 1:
            self._give_up(call, asked[0], error)
            return []
        named = error.details.get("index")
        if isinstance(named, int) and 0 <= named < len(asked):
            return [asked[:named], [asked[named]], asked[named + 1 :]]
        return _halves(asked)

    def _give_up(self, call: Call, place: int, error: VecDBError) -> None:
        """A text that the model cannot take. Raises when it takes nothing at all."""
        if isinstance(error, EmbeddingError):  # else no provider was asked: the text itself is at fault
            self._refused_in_a_row += 1
            if self._refused_in_a_row >= POISON_STREAK and not self._takes_control():
                raise type(error)(
                    f"the model takes none of the last {self._refused_in_a_row} texts, nor one that is surely good; "
                    f"the last one because: {error.message}",
                    **error.details,
                ) from error
        call.failures[place] = error

    def _takes_control(self) -> bool:
        """Whether the model embeds a text that is surely good; another one each time, so that none is paid twice."""
        self._controls += 1
        try:
            self._tally.add(calls=1)
            self._embedder.embed([CONTROL_TEXT.format(number=self._controls)])
        except (EmbeddingError, InvalidRequestError):
            return False
        self._breaker.succeeded()
        self._refused_in_a_row = 0
        return True


def is_about_all(error: VecDBError) -> bool:
    """Whether what went wrong would go wrong for every text."""
    if isinstance(error, ProviderRefusedError):
        return error.details.get("status") not in ABOUT_THE_REQUEST
    return isinstance(error, (InvalidConfigError, MissingExtraError))


def may_be_about_the_request(error: ProviderUnavailableError) -> bool:
    """Whether a text may be what a provider stumbles over: not where it says when to come again, or is not there."""
    status: Any = error.details.get("status")
    if "retry_after_s" in error.details:
        return False
    if status is None:
        return error.details.get("cause") in {None, "TimeoutError", "RemoteDisconnected", "IncompleteRead"}
    return bool(status >= SERVER_ERROR)


def _halves(piece: list[int]) -> list[list[int]]:
    middle = len(piece) // 2
    return [piece[:middle], piece[middle:]]


def _without(piece: list[int], asked: list[int]) -> list[list[int]]:
    """What of a piece was not asked for."""
    if len(asked) == len(piece):
        return []
    left = set(asked)
    return [[place for place in piece if place not in left]]

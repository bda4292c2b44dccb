"""Remembers which ids were given, in 16 bytes each, to find those that are given twice.

Promises: two ids are taken for the same only if their texts are (5 and "5" are: their chunks would have one id).
Invariants: `_runs` are sorted, each at least twice as long as the next.
Concurrency: not thread-safe.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vecdb.ingest.sources.config import ID_HASH_BYTES, IDS_RECENT_MAX, SHOWN_CHARS_MAX
from vecdb.ingest.sources.item import Item, Problem
from vecdb.types import RecordId

HASH_TYPE = np.dtype(f"S{ID_HASH_BYTES}")
_BEGUN: Final = blake2b(digest_size=ID_HASH_BYTES - 1)


class SeenIds:
    """A set of ids that only grows."""

    def __init__(self) -> None:
        self._recent: set[bytes] = set()
        self._runs: list[npt.NDArray[Any]] = []

    def check(self, found: Item | Problem) -> Item | Problem:
        """What was found, or a problem in its place when another item had its id before."""
        if isinstance(found, Problem) or self.add(found.id):
            return found
        return repeated(found)

    def add(self, record_id: RecordId) -> bool:
        """Remember an id; False when it was known."""
        return self.add_many([record_id])[0]

    def add_many(self, record_ids: Sequence[RecordId]) -> list[bool]:
        """Remember ids; for each False when it was known, from before or from its place in the list."""
        keys = _hashes(record_ids)
        known = self._settled(keys) if self._runs else frozenset()
        given = set(keys)
        if len(given) == len(keys) and given.isdisjoint(self._recent) and not known:  # as nearly always
            self._recent |= given
            if len(self._recent) >= IDS_RECENT_MAX:
                self._settle()
            return [True] * len(keys)
        fresh = []
        for key in keys:
            is_new = key not in self._recent and key not in known
            fresh.append(is_new)
            if is_new:
                self._recent.add(key)
        if len(self._recent) >= IDS_RECENT_MAX:
            self._settle()
        return fresh

    def _settled(self, keys: Sequence[bytes]) -> AbstractSet[bytes]:
        """Those that are in one of the runs: one search in each for all of them, since a search costs its call."""
        asked = np.array(keys, dtype=HASH_TYPE)
        found: set[bytes] = set()
        for run in self._runs:
            places = np.minimum(np.searchsorted(run, asked), len(run) - 1)
            found.update(keys[place] for place in np.flatnonzero(run[places] == asked).tolist())
        return found

    def _settle(self) -> None:
        run = np.sort(np.array(list(self._recent), dtype=HASH_TYPE))
        self._recent.clear()
        while self._runs and len(self._runs[-1]) < 2 * len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]))
        self._runs.append(run)


def repeated(item: Item) -> Problem:
    """The problem in place of an item whose id another one had before."""
    message = (
        f"the id {str(item.id)!r:.{SHOWN_CHARS_MAX}} was given before in this run; the first one stays "
        "(files of several sources are told apart by prefix=)"
    )
    return Problem(item.part, item.position, message, "item", None, "DUPLICATE_ID")


def _hashes(record_ids: Sequence[RecordId]) -> list[bytes]:
    copy, found = _BEGUN.copy, []
    for record_id in record_ids:
        one = copy()
        one.update((record_id if type(record_id) is str else str(record_id)).encode("utf-8", "surrogatepass"))
        # numpy strips NULs at the end of what it compares: the last byte is never one
        found.append(one.digest() + b".")
    return found

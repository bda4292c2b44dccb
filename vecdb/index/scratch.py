"""Owns the buffers a kernel call may overwrite: one Scratch per thread, reused from call to call.

Invariants: the visited bitset is all zero between calls. Concurrency: a Scratch serves one call at a time.
"""

from __future__ import annotations

import threading
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from vecdb.config import SIGN_BLOCK
from vecdb.index.config import RANKED_MATCHES_MAX
from vecdb.kernels import layout
from vecdb.kernels.column import aligned_empty, aligned_zeros

CHOSEN_ROWS: Final = 256
"""Room for chosen neighbours: twice the largest m, and some."""

KEYS_EXTRA: Final = 16
"""Room around sorted keys: a guard in front, and the rest of the last step."""

RERANK_EXTRA: Final = 16
"""Candidates ranked exactly beyond 2 * limit, against the error of the int8 codes."""

GREAT_EFFORT: Final = 3
"""Times the usual candidates are an effort beyond which more are ranked. Sentence embeddings need 100 for recall .99
of 10, which is less; to keep 200 of them sorted takes them 8 % more time."""

GATHER_ROWS: Final = 1_024
"""Id rows gathered by one call."""

Needs: TypeAlias = tuple[int, int, int, int]
"""What a search needs of a Scratch, as `Scratch.reserve` takes it."""


def ranked_rows(limit: int, effort: int) -> int:
    """The most candidates ranked exactly for `limit` results; a multiple of 8, as sorted keys come.

    Not more than `effort`, but what `search.worth_ranking` always ranks: rows that nobody ranks need no place in sorted
    lists. For 10 results with up to 16 expanded, 16 instead of 40 find the same in 3 to 6 % less time (sift-like,
    clustered). A great effort keeps ever more: where many rows have nearly the same codes, only so recall grows with
    it. In 200 tight clusters of 250 rows no effort found more than .61 of the nearest with 40.
    """
    usual = 2 * limit + RERANK_EXTRA
    most = usual + 2 * max(effort - GREAT_EFFORT * usual, 0)
    return (min(most, max(limit + (limit >> 2) + 4, effort)) + 7) // 8 * 8


def ranked_matches(limit: int, effort: int) -> int:
    """`ranked_rows` among the rows that a filter keeps, where a search without one has this effort."""
    usual = 2 * limit + RERANK_EXTRA
    return ranked_rows(limit, max(usual, min(effort, RANKED_MATCHES_MAX)))


class Scratch:
    """Reusable buffers: visited bitset, work list, pool, prepared query and one query's results. Grows on demand."""

    def __init__(self) -> None:
        self.words = np.zeros(layout.SCRATCH_WORDS, dtype=np.int64)
        self.address = int(self.words.ctypes.data)
        self._buffers: dict[int, npt.NDArray[Any]] = {}
        self._sizes = [0, 0, 0, 0]
        self._request: Needs = (-1, -1, -1, -1)
        self._gathered_size = 0
        self.count = np.zeros(1, dtype=np.int32)
        self.count_address = int(self.count.ctypes.data)
        self.figures = np.zeros((1, layout.STATS), dtype=np.int32)
        self.figures_address = int(self.figures.ctypes.data)
        self.skip = np.full(1, -1, dtype=np.int64)
        self.skip_address = int(self.skip.ctypes.data)
        self.wanted_rows = aligned_empty((GATHER_ROWS,), np.int32)
        self.wanted_rows_address = int(self.wanted_rows.ctypes.data)
        self.wanted_slots = aligned_empty((GATHER_ROWS,), np.uint32)
        self.wanted_slots_address = int(self.wanted_slots.ctypes.data)
        self.reserve_gathered(64)
        self._put(layout.CHOSEN, aligned_empty((CHOSEN_ROWS,), np.int32))
        self._put(layout.ESTIMATES, aligned_empty((SIGN_BLOCK,), np.int32))
        self.reserve(64, 64, 64, 16)

    def reserve(self, rows: int, pool: int, dim: int, limit: int) -> None:
        """Make room for `rows` rows, exactly `pool` candidates, `dim` components (padded) and `limit` results."""
        self.reserve_for((rows, pool, dim, limit))

    def reserve_for(self, request: Needs) -> None:
        """`reserve`, for who asks for the same again and again."""
        if request == self._request:
            return
        rows, pool, dim, limit = request
        if rows > self._sizes[0]:
            visited = aligned_zeros(((rows + 511) // 512 * 64,), np.uint8)
            self._put(layout.VISITED, visited)
            self._put(layout.SEEN, aligned_empty((rows + 2,), np.int32))
        self.words[layout.VISITED_BYTES // 8] = (rows + 511) // 512 * 64
        # A packed search keeps as many candidates as are ranked, however few are expanded.
        keys = max(pool, ranked_matches(limit, 0))
        if keys > self._sizes[1]:
            self._put(layout.POOL, aligned_empty((keys + KEYS_EXTRA,), np.int64))
            self._put(layout.RESULTS, aligned_empty((keys + KEYS_EXTRA,), np.int64))
        self.words[layout.POOL_MAX // 8] = pool
        if dim > self._sizes[2]:
            self._put(layout.QUERY_CODES, aligned_empty((dim,), np.int16))
            self._put(layout.QUERY, aligned_empty((dim,), np.float32))
            self._put(layout.ROTATED, aligned_empty((layout.SEXTET * layout.sextets(dim),), np.int32))
            self._put(layout.ROTATION_ROOM, aligned_empty((dim,), np.int32))
            self._put(layout.TABLES, aligned_empty((layout.tables_bytes(dim),), np.uint8))
            self.query = aligned_empty((dim,), np.float32)
            self.query_address = int(self.query.ctypes.data)
        if limit > self._sizes[3]:
            self._reserve_results(limit)
        held = (rows, keys, dim, limit)
        self._sizes = [max(old, new) for old, new in zip(self._sizes, held, strict=True)]
        # Last, so that a call that fails half way is not taken for one that made room.
        self._request = request

    def reserve_gathered(self, size: int) -> None:
        """Make room for `size` bytes of gathered rows."""
        if size > self._gathered_size:
            self.gathered = aligned_empty((size,), np.uint8)
            self.gathered_address = int(self.gathered.ctypes.data)
            self._gathered_size = size

    def _reserve_results(self, limit: int) -> None:
        self._put(layout.BEST, aligned_empty((limit + 1,), np.int64))
        self._put(layout.BEST_ROWS, aligned_empty((limit + 1,), np.int32))
        self.slots = aligned_empty((limit,), np.uint32)
        self.slots_address = int(self.slots.ctypes.data)
        self.distances = aligned_empty((limit,), np.float32)
        self.distances_address = int(self.distances.ctypes.data)
        self.rows = aligned_empty((limit,), np.int32)
        self.rows_address = int(self.rows.ctypes.data)

    def found(self) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """Copies of the slots, distances and rows that a search of one query left here."""
        count = self.count.item(0)
        return self.slots[:count].copy(), self.distances[:count].copy(), self.rows[:count].copy()

    @property
    def scored(self) -> int:
        """Rows scored by the last graph search."""
        return int(self.words[layout.SEEN_COUNT // 8])

    def _put(self, place: int, array: npt.NDArray[Any]) -> None:
        self.words[place // 8] = array.ctypes.data
        self._buffers[place] = array


class _ThreadScratch(threading.local):
    def __init__(self) -> None:
        self.scratch = Scratch()


_thread = _ThreadScratch()


def thread_scratch() -> Scratch:
    """The Scratch of the calling thread."""
    return _thread.scratch

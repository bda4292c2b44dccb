"""Builds and extends graphs by deterministic, lock-free batch insertion on int8 codes.

Rows are inserted in batches that double up to a share of all rows (ParlayANN's prefix doubling): each batch is searched
for on the graph frozen before it, then the reverse links are added grouped by target. Rows of upper levels go first, so
that the descent soon has somewhere to land. Each upper level is a small graph built by the same routine. Rows of a
batch are searched for in an order in which near rows are near, for what they meet is then still in the cache: the
upper levels tell which ones are.

Promises: the graph depends on the arguments only, not on threads or timing; no link leads to a missing row; rows with
equal codes never crowd out others. Cost: about n * ef_construction * 13 distances.
Concurrency: pure functions; `threads` workers each with its own Scratch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import log
from typing import Final

import numpy as np
import numpy.typing as npt

from vecdb.config import BATCH_ROWS_MIN, UPPER_LEVELS_MAX
from vecdb.errors import ClosedError
from vecdb.index.duplicates import hang_duplicates, representatives, unlink_duplicates
from vecdb.index.graph import Graph, Int32Array, empty_graph
from vecdb.index.hashing import splitmix64
from vecdb.index.quantize import AUGMENTED_DIMS, Int8Array
from vecdb.index.scratch import thread_scratch
from vecdb.index.segment import Plan
from vecdb.index.workers import Threads, Workers
from vecdb.kernels import layout
from vecdb.kernels.column import Column, aligned_empty
from vecdb.kernels.native import kernels

Progress = Callable[[int, int], None]
Cancelled = Callable[[], bool]
Complete = Callable[[], bool]

BATCH_SHARE: Final = 0.02
"""Largest batch as a share of all rows: rows of one batch do not see each other."""

INSERT_PIECE: Final = 16
LINK_PIECE: Final = 256
SORT_PIECE: Final = 4_096
FILL_PIECE: Final = 512
COUNT_ROWS: Final = 1 << 19
ALPHA: Final = 64
"""Pruning slack in 1/64 of squared distance; 64 is HNSW's own rule."""

POOL_EXTRA: Final = 512
"""Candidates a pruned row may have beyond ef_construction: reverse links of one batch, or a repaired neighbourhood."""


NO_PLACES: Final = np.empty(0, dtype=np.int32)
"""Places of the rows above the top level."""


def expanded_of(candidates: int) -> int:
    """How many of the candidates of a new row are expanded: three quarters, rounded up to a multiple of 8.

    The links of farther ones hardly ever lead to candidates. On wordnet-minilm a walk with 152 of 200 takes 15 % less
    time than with all, with 104 of 200 37 %; recall is the same within noise, but for .001 at .99 with 104.
    """
    return (3 * candidates // 4 + 7) // 8 * 8


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What every step of one build shares."""

    m: int
    ef_construction: int
    workers: Workers
    progress: Progress
    cancelled: Cancelled
    augmented: int


@dataclass(frozen=True, slots=True)
class UpperLevels:
    """The upper arrays of a Graph (see there), over any numbering of rows."""

    rows: Int32Array
    down: Int32Array
    links: Int32Array
    starts: Int32Array

    @property
    def entry(self) -> int:
        """Upper number of the first node of the top level; -1 without levels."""
        return int(self.starts[-2]) if len(self.starts) > 1 else -1


def row_levels(slots: npt.NDArray[np.uint32], m: int) -> npt.NDArray[np.uint8]:
    """Level of each row, floor(-ln(u) / ln(m)) with u drawn from its slot: a row keeps its level for ever."""
    uniform = ((splitmix64(slots.astype(np.uint64)) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return np.minimum(np.floor(-np.log(uniform) / log(m)), UPPER_LEVELS_MAX).astype(np.uint8)


def build_graph(
    codes: Int8Array,
    levels: npt.NDArray[np.uint8],
    *,
    m: int,
    ef_construction: int,
    threads: Threads = 1,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    augmented: int = 0,
    complete: Complete | None = None,
) -> Graph:
    """Build the graph of `codes` (n, padded) int8, rows of `levels` (n,).

    `progress(done, total)` is called after each batch; `cancelled()` is asked before each, and if true ClosedError is
    raised. `augmented` is `Quantizer.augmented`. `complete()` is asked once all rows are inserted: if false, the graph
    is returned as it is then, to be extended by rows that came meanwhile; free links are filled once it is complete.
    """
    degree = 2 * m
    links = _fresh_links(len(codes), degree)
    ready = np.zeros(len(codes), dtype=np.uint8)
    return _grow(codes, levels, links, ready, m, ef_construction, threads, progress, cancelled, augmented, complete)


def extend_graph(
    graph: Graph,
    codes: Int8Array,
    keep: npt.NDArray[np.bool_] | None,
    levels: npt.NDArray[np.uint8],
    *,
    ef_construction: int,
    threads: Threads = 1,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    augmented: int = 0,
    complete: Complete | None = None,
) -> Graph:
    """Drop rows from `graph` and insert new ones: cheaper than building afresh while most rows stay.

    `keep` (graph.rows,) says which old rows stay (None: all); they are renumbered densely, in order. `codes` and
    `levels` hold the kept old rows, then the new ones. Neighbourhoods of dropped rows are repaired; upper levels are
    rebuilt. Asks and raises as `build_graph`.
    """
    kept = graph.rows if keep is None else int(keep.sum())
    links = _fresh_links(len(codes), 2 * graph.m)
    if kept == graph.rows:
        links[:kept] = graph.links
    elif kept:
        with Workers(threads) as workers:
            links[:kept] = _repaired_links(graph, codes, np.asarray(keep), kept, ef_construction, workers, augmented)
    ready = np.zeros(len(codes), dtype=np.uint8)
    ready[:kept] = links[:kept, 0] >= 0
    m = graph.m
    return _grow(codes, levels, links, ready, m, ef_construction, threads, progress, cancelled, augmented, complete)


def _fresh_links(rows: int, degree: int) -> Int32Array:
    links: Int32Array = aligned_empty((rows, degree), np.int32)
    links.fill(-1)
    return links


def _grow(
    codes: Int8Array,
    levels: npt.NDArray[np.uint8],
    links: Int32Array,
    ready: npt.NDArray[np.uint8],
    m: int,
    ef_construction: int,
    threads: Threads,
    progress: Progress | None,
    cancelled: Cancelled | None,
    augmented: int,
    complete: Complete | None,
) -> Graph:
    """Insert the rows that are not `ready` into `links`, and build the upper levels over all."""
    if not len(codes):
        return empty_graph(m)
    first_rows = representatives(codes)
    leads = first_rows == np.arange(len(codes))
    ready &= leads
    if ready.any():
        unlink_duplicates(links, first_rows)
        ready &= links[:, 0] >= 0
    order = _insertion_order(levels, leads)
    with Workers(threads) as workers:
        options = BuildOptions(m, ef_construction, workers, progress or _ignore, cancelled or _never, augmented)
        upper_order = order[levels[order] > 0]
        upper, upper_places = _build_upper(codes, levels, upper_order, options)
        pending = order[ready[order] == 0]
        fallback = int(np.argmax(ready)) if ready.any() else int(order[0])
        known = np.zeros(len(codes), dtype=np.int32)
        known[upper_order] = upper_places
        level = _Level(codes, links, ready, fallback, upper, known, options)
        level.insert(pending)
        hang_duplicates(links, first_rows)
        if complete is None or complete():
            level.finish(fill=True)
    entry = upper.entry if len(upper.rows) else fallback
    return Graph(links, upper.rows, upper.down, upper.links, upper.starts, entry, m)


def _ignore(done: int, total: int) -> None:
    """Progress nobody asked for."""


def _never() -> bool:
    return False


def _insertion_order(levels: npt.NDArray[np.uint8], leads: npt.NDArray[np.bool_]) -> Int32Array:
    """Rows to insert, highest level first, otherwise shuffled (by hash): sorted data makes poor incremental graphs."""
    rows = np.flatnonzero(leads)
    shuffled = splitmix64(rows.astype(np.uint64))
    return rows[np.lexsort((shuffled, -levels[rows].astype(np.int64)))].astype(np.int32)


# --- upper levels ----------------------------------------------------------------------------------------------------


def _build_upper(
    codes: Int8Array, levels: npt.NDArray[np.uint8], order: Int32Array, options: BuildOptions
) -> tuple[UpperLevels, Int32Array]:
    """Build levels from the top down over `order`, the rows of level >= 1, highest level first.

    Also returns the place of each of them in an order in which near rows are near.
    """
    gathered: Int8Array = aligned_empty((len(order), codes.shape[1]), np.int8)
    gathered[...] = codes[order]
    row_level = levels[order]
    stacked: list[Int32Array] = []
    places = NO_PLACES
    quiet = replace(options, progress=_ignore)
    for level in range(int(row_level[0]) if len(order) else 0, 0, -1):
        rows = int((row_level >= level).sum())
        links = _fresh_links(rows, options.m)
        above = _stack_levels(stacked, options.m)
        members = _Level(gathered[:rows], links, np.zeros(rows, dtype=np.uint8), 0, above, places, quiet)
        members.insert(np.arange(rows, dtype=np.int32))
        members.finish()
        places = members.places
        stacked.insert(0, links)
    upper = _stack_levels(stacked, options.m)
    return replace(upper, rows=order[upper.rows].astype(np.int32)), places


def _stack_levels(stacked: list[Int32Array], m: int) -> UpperLevels:
    """Flat upper numbering of level links (lowest first), each over rows 0..len - 1 of the same order."""
    starts = np.cumsum([0, *(len(links) for links in stacked)]).astype(np.int32)
    none = np.empty(0, dtype=np.int32)
    rows = [np.arange(len(links), dtype=np.int32) for links in stacked]
    down = [
        np.full(len(links), -1, dtype=np.int32) if number == 0 else (row + starts[number - 1]).astype(np.int32)
        for number, (links, row) in enumerate(zip(stacked, rows, strict=True))
    ]
    shifted = [np.where(links >= 0, links + start, -1) for links, start in zip(stacked, starts, strict=False)]
    return UpperLevels(
        rows=np.concatenate([none, *rows]).astype(np.int32),
        down=np.concatenate([none, *down]).astype(np.int32),
        links=np.concatenate([np.empty((0, m), dtype=np.int32), *shifted]).astype(np.int32),
        starts=starts,
    )


# --- one level -------------------------------------------------------------------------------------------------------


class _Level:
    """One level being built: its codes and links, and what lies above."""

    def __init__(
        self,
        codes: Int8Array,
        links: Int32Array,
        ready: npt.NDArray[np.uint8],
        fallback: int,
        upper: UpperLevels,
        upper_places: Int32Array,
        options: BuildOptions,
    ) -> None:
        self.links, self.ready, self.fallback, self.options = links, ready, fallback, options
        self.padded = codes.shape[1]
        candidates = (options.ef_construction + 7) // 8 * 8
        self.pool = candidates + POOL_EXTRA
        plan = Plan()
        plan.put(layout.ROWS, len(codes))
        plan.put(layout.PADDED, self.padded)
        plan.put_column(layout.CODES, Column.from_array(codes))
        plan.put_column(layout.LINKS, Column.from_array(links))
        plan.put_column(layout.UPPER_ROWS, Column.from_array(upper.rows))
        plan.put_column(layout.UPPER_DOWN, Column.from_array(upper.down))
        plan.put_column(layout.UPPER_LINKS, Column.from_array(upper.links))
        plan.put(layout.DEGREE, links.shape[1])
        plan.put(layout.UPPER_DEGREE, upper.links.shape[1])
        plan.put(layout.UPPER_ROW_COUNT, len(upper.rows))
        plan.put(layout.AUGMENTED, options.augmented)
        plan.put(layout.AUGMENTED_COUNT, AUGMENTED_DIMS)
        plan.put(layout.LEVELS, len(upper.starts) - 1)
        plan.put(layout.ENTRY, upper.entry if len(upper.rows) else fallback)
        plan.put(layout.EF_BUILD, candidates)
        plan.put(layout.EXPAND_BUILD, expanded_of(candidates))
        plan.put(layout.CHOSEN_MAX, links.shape[1])
        plan.put(layout.FALLBACK, fallback)
        plan.put_array(layout.READY, ready)
        plan.put(layout.ALPHA, ALPHA)
        self.plan = plan
        self.entries = self._find_entries()
        self.places = _in_order(self.entries, upper_places)

    def _find_entries(self) -> Int32Array:
        """Where the upper levels lead to from each row."""
        rows = len(self.ready)
        entries, every = np.empty(rows, dtype=np.int32), np.arange(rows, dtype=np.int32)
        source, target, plan = every.ctypes.data, entries.ctypes.data, self.plan.address
        self.options.workers.run(
            rows,
            SORT_PIECE,
            lambda first, last: _run(kernels.find_entries, plan, self.scratch(), source, target, first, last),
        )
        return entries

    def scratch(self) -> int:
        """Address of the calling thread's scratch, large enough for this level."""
        scratch = thread_scratch()
        scratch.reserve(len(self.links), self.pool, self.padded, 1)
        return scratch.address

    def insert(self, order: Int32Array) -> None:
        """Insert rows in batches that double up to BATCH_SHARE of the level."""
        total, done = len(order), 0
        largest = max(int(len(self.links) * BATCH_SHARE), BATCH_ROWS_MIN)
        if total and not self.ready.any():
            self.ready[order[0]] = 1
            done = 1
        inserted = int(self.ready.sum())
        while done < total:
            if self.options.cancelled():
                raise ClosedError("the index build was cancelled")
            size = min(inserted, largest, total - done)
            batch = order[done : done + size]
            self._insert_batch(batch[np.argsort(self.places[batch])])
            done += size
            inserted += size
            self.options.progress(done, total)

    def _insert_batch(self, batch: Int32Array) -> None:
        """Insert rows of an order in which near rows are near: they meet the same rows, still in the cache."""
        entries = self.entries[batch]
        source, begin = batch.ctypes.data, entries.ctypes.data
        plan = self.plan.address
        self.options.workers.run(
            len(batch),
            INSERT_PIECE,
            lambda first, last: _run(kernels.insert_rows, plan, self.scratch(), source, begin, first, last),
        )
        edges, starts = _reverse_edges(batch, self.links)
        where, groups = edges.ctypes.data, starts.ctypes.data
        self.options.workers.run(
            len(starts) - 1,
            LINK_PIECE,
            lambda first, last: _run(kernels.link_targets, plan, self.scratch(), where, groups, first, last),
        )
        self.ready[batch] = 1

    def finish(self, fill: bool = False) -> None:
        """Attach rows that cannot be reached, `fill` free links, then order all links by distance."""
        self._attach()
        if fill:
            self._fill()
            self._sort()
            self._even()
        self._sort()

    def _attach(self) -> None:
        rows = len(self.links)
        reached = np.zeros((rows + 7) // 8 + 8, dtype=np.uint8)
        stack = np.empty(rows + 1, dtype=np.int32)
        entry = int(self.fallback)
        kernels.attach_unreached(self.plan.address, self.scratch(), entry, reached.ctypes.data, stack.ctypes.data)

    def _fill(self) -> None:
        before, order = self.links.copy(), np.argsort(self.places).astype(np.int32)
        source, numbers, plan = before.ctypes.data, order.ctypes.data, self.plan.address
        self.options.workers.run(
            len(self.links),
            FILL_PIECE,
            lambda first, last: _run(kernels.fill_links, plan, self.scratch(), source, numbers, first, last),
        )

    def _even(self) -> None:
        """Let more links lead to rows to which few do, those with the fewest first."""
        rows, enough = len(self.links), 3 * self.links.shape[1] // 4
        counts = np.zeros(rows + 1, dtype=np.int32)
        for start in range(0, rows, COUNT_ROWS):
            counts += np.bincount(self.links[start : start + COUNT_ROWS].ravel() + 1, minlength=rows + 1)
        led = counts[1:].copy()
        few = np.flatnonzero(led < enough).astype(np.int32)
        order = few[np.argsort(led[few].astype(np.int16), kind="stable")]
        given = np.zeros(rows, dtype=np.uint8)
        plan, where = self.plan.address, order.ctypes.data
        kernels.even_links(plan, led.ctypes.data, given.ctypes.data, where, len(order))

    def _sort(self) -> None:
        plan = self.plan.address
        self.options.workers.run(
            len(self.links),
            SORT_PIECE,
            lambda first, last: _run(kernels.sort_links, plan, self.scratch(), first, last),
        )


def _in_order(entries: Int32Array, upper_places: Int32Array) -> Int32Array:
    """The place of each row in an order by the place of where it is entered from above."""
    if not len(upper_places):
        return np.arange(len(entries), dtype=np.int32)
    places = np.empty(len(entries), dtype=np.int32)
    places[np.argsort(upper_places[entries], kind="stable")] = np.arange(len(entries), dtype=np.int32)
    return places


def _run(function: Callable[..., int], *arguments: int) -> None:
    function(*arguments)


def _reverse_edges(batch: Int32Array, links: Int32Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Edges target << 32 | source of the batch's links, sorted, and where each target's group starts (plus the end)."""
    chosen = links[batch]
    used = chosen >= 0
    edges = (chosen[used].astype(np.int64) << 32) | np.broadcast_to(batch[:, None], chosen.shape)[used]
    edges.sort()
    targets = edges >> 32
    starts = np.flatnonzero(np.concatenate(([True], targets[1:] != targets[:-1]))) if len(edges) else np.empty(0)
    return edges, np.append(starts, len(edges)).astype(np.int64)


# --- dropping rows ---------------------------------------------------------------------------------------------------


def _repaired_links(
    graph: Graph,
    codes: Int8Array,
    keep: npt.NDArray[np.bool_],
    kept: int,
    ef_construction: int,
    workers: Workers,
    augmented: int = 0,
) -> Int32Array:
    """Links (kept, degree) of the kept rows in their new numbering, neighbourhoods of dropped rows repaired.

    Dropped rows are numbered behind the kept ones meanwhile: their links are walked, their codes never read.
    """
    numbers = np.empty(graph.rows + 1, dtype=np.int32)
    numbers[:-1][keep] = np.arange(kept, dtype=np.int32)
    numbers[:-1][~keep] = np.arange(kept, graph.rows, dtype=np.int32)
    numbers[-1] = -1
    links: Int32Array = np.empty_like(graph.links)
    links[numbers[:-1]] = numbers[graph.links]
    removed = np.zeros((graph.rows + 63) // 64 * 8, dtype=np.uint8)
    packed = np.packbits(np.arange(graph.rows) >= kept, bitorder="little")
    removed[: len(packed)] = packed
    none = np.zeros(1, dtype=np.uint8)
    options = BuildOptions(graph.m, ef_construction, workers, _ignore, _never, augmented)
    level = _Level(codes[:kept], links, none, 0, _stack_levels([], graph.m), NO_PLACES, options)
    level.plan.put(layout.ROWS, graph.rows)
    target = _fresh_links(kept, links.shape[1])
    workers.run(
        kept,
        LINK_PIECE,
        lambda first, last: _run(
            kernels.repair_rows,
            level.plan.address,
            level.scratch(),
            removed.ctypes.data,
            target.ctypes.data,
            first,
            last,
        ),
    )
    return target

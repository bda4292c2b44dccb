"""Walks whole B-trees by file reads and checks everything LMDB relies on, a level at a time, with numpy.

LMDB 0.9 trusts its pages: a damaged one can send it out of the page, out of the file or into an assertion. A tree that
passed `walk` can be read and written through the map: every page has the number and kind its parent names, its nodes
fill it without gap or overlap, keys ascend within a page and between the separators above it, overflow runs are what
their values name, no page is used twice, and all counters agree with what is there.

Promises: damage is a CorruptionError naming table and page, never a signal; the work is bounded by the trees' own
counters.
Invariants: nothing is read through the map. About 8 µs a page when the file is in memory.
Concurrency: pure; run it on the meta page of an open transaction, whose pages do not change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vecdb.storage.meta import EMPTY_ROOT, Meta, Tree
from vecdb.storage.pagefile import (
    BIG_DATA,
    BRANCH_PAGE,
    CURSOR_STACK,
    HEADER_BYTES,
    KEY_SIZE,
    LEAF_PAGE,
    SUB_TREE,
    TREE_BYTES,
    PageFile,
    damaged_page,
    free_pages,
)

__all__ = ["FREE", "MAIN", "TreeCounts", "check_cover", "walk"]

FREE: Final = "free"
MAIN: Final = "main"
_BATCH: Final = 256
_NODE_BYTES: Final = 8

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TreeCounts:
    """What a walk met in one tree."""

    branch_pages: int
    leaf_pages: int
    overflow_pages: int
    entries: int

    @property
    def pages(self) -> int:
        """Pages of all kinds."""
        return self.branch_pages + self.leaf_pages + self.overflow_pages


@dataclass(slots=True)
class _Walked:
    """One tree during a walk. `starts` and `lengths` are the page runs it uses."""

    name: str
    tree: Tree
    branch_pages: int = 0
    leaf_pages: int = 0
    overflow_pages: int = 0
    entries: int = 0
    starts: list[Numbers] = field(default_factory=list)
    lengths: list[Numbers] = field(default_factory=list)

    def use(self, starts: Numbers, lengths: Numbers) -> None:
        self.starts.append(starts)
        self.lengths.append(lengths)


@dataclass(slots=True)
class _Level:
    """Pages of one level of one tree, in key order, with the separators around each."""

    pages: Numbers
    lows: list[bytes]
    highs: list[bytes | None]


@dataclass(slots=True)
class _Nodes:
    """The nodes of a batch of pages, flat, in key order. `page` indexes the batch; offsets are bytes into the block."""

    page: Numbers
    first: npt.NDArray[np.bool_]
    offset: Numbers
    words: tuple[Numbers, Numbers, Numbers, Numbers]

    @property
    def key_size(self) -> Numbers:
        return self.words[3]

    @property
    def size(self) -> Numbers:
        return self.words[0] | self.words[1] << 16


def walk(
    file: PageFile, trees: Mapping[str, Tree], *, check_runs: bool = True
) -> tuple[dict[str, TreeCounts], tuple[Numbers, Numbers]]:
    """Check the named trees; return their counts and the page runs they use (first pages, lengths).

    `check_runs` reads the header of every overflow run (about 1 µs each); else only their place in the file is checked.
    """
    walked = [_Walked(name, tree) for name, tree in trees.items()]
    for one in walked:
        _walk_tree(file, one, check_runs=check_runs)
    starts = _joined([part for one in walked for part in one.starts])
    lengths = _joined([part for one in walked for part in one.lengths])
    order = np.argsort(starts, kind="stable")
    starts, lengths = starts[order], lengths[order]
    twice = np.flatnonzero(starts[1:] < starts[:-1] + lengths[:-1])
    if len(twice):
        page = int(starts[twice[0] + 1])
        owner = next(one.name for one in walked if any(page in part for part in one.starts))
        raise damaged_page(owner, page, "is used twice")
    counts = {one.name: TreeCounts(one.branch_pages, one.leaf_pages, one.overflow_pages, one.entries) for one in walked}
    return counts, (starts, lengths)


def check_cover(file: PageFile, meta: Meta, runs: tuple[Numbers, Numbers]) -> int:
    """Check that the runs of all trees and the free pages are disjoint and cover the file; return the free pages."""
    free = free_pages(file, meta)
    starts, lengths = runs
    place = np.searchsorted(starts, free, side="right") - 1
    inside = (place >= 0) & (free < starts[place] + lengths[place]) if len(starts) else np.zeros(0, dtype=np.bool_)
    if np.any(inside):
        raise damaged_page(FREE, int(free[inside][0]), "is listed as free but in use")
    lost = meta.last_page - 1 - int(lengths.sum()) - len(free)
    if lost:
        raise damaged_page(FREE, meta.free.root, f"does not account for {lost} pages that are in no tree either")
    return len(free)


def _walk_tree(file: PageFile, one: _Walked, *, check_runs: bool) -> None:
    tree = one.tree
    if tree.root == EMPTY_ROOT:
        if (tree.depth, tree.branch_pages, tree.leaf_pages, tree.overflow_pages, tree.entries) != (0, 0, 0, 0, 0):
            raise damaged_page(one.name, 0, "has counters but no root")
        return
    if not 1 <= tree.depth <= CURSOR_STACK or (one.name != FREE and (tree.flags or tree.pad)):
        raise damaged_page(one.name, tree.root, "is the root of a tree of impossible shape")
    level = _Level(np.array([min(tree.root, 2**62)], dtype=np.int64), [b""], [None])
    for depth in range(1, tree.depth + 1):
        below = _Level(np.zeros(0, dtype=np.int64), [], [])
        leaves = depth == tree.depth
        pages = len(level.pages)
        room = tree.leaf_pages if leaves else tree.branch_pages - one.branch_pages
        if pages > room or (leaves and pages != room):
            raise damaged_page(one.name, tree.root, "counts other pages than it has")
        one.use(level.pages, np.ones(pages, dtype=np.int64))
        parts = [
            _check_batch(file, one, level, slice(at, at + _BATCH), leaves=leaves, check_runs=check_runs)
            for at in range(0, pages, _BATCH)
        ]
        below.pages = _joined([part.pages for part in parts])
        below.lows = [low for part in parts for low in part.lows]
        below.highs = [high for part in parts for high in part.highs]
        if leaves:
            one.leaf_pages = pages
        else:
            one.branch_pages += pages
        level = below
    counted = (one.branch_pages, one.entries)
    overflow_differs = one.overflow_pages > tree.overflow_pages or (
        check_runs and one.overflow_pages != tree.overflow_pages
    )
    if counted != (tree.branch_pages, tree.entries) or overflow_differs:
        raise damaged_page(one.name, tree.root, "counts other pages or entries than it has")


def _check_batch(file: PageFile, one: _Walked, level: _Level, part: slice, *, leaves: bool, check_runs: bool) -> _Level:
    """Check up to _BATCH pages of one level; return the level below them (empty under leaves)."""
    pages = level.pages[part]
    # Eight spare bytes let keys be read as whole words.
    block = file.read_many(one.name, pages, file.page_size, spare=8)
    nodes = _check_layout(file, one, pages, block, leaves=leaves)
    keys = _keys(one.name, block, nodes)
    _check_order(one.name, pages, nodes, keys, leaves=leaves)
    edges = np.flatnonzero(nodes.first)
    ends = np.append(edges[1:], len(nodes.page)) - 1
    for index, (first, last) in enumerate(zip(edges.tolist(), ends.tolist(), strict=True)):
        low, high = level.lows[part.start + index], level.highs[part.start + index]
        lowest = first if leaves else first + 1
        if lowest <= last and (keys.at(lowest) < low or (high is not None and keys.at(last) >= high)):
            raise damaged_page(one.name, int(pages[index]), "has keys outside its parent's separators")
    if leaves:
        one.entries += len(nodes.page)
        _check_values(file, one, pages, block, nodes, check_runs=check_runs)
        return _Level(np.zeros(0, dtype=np.int64), [], [])
    return _children(level, part, nodes, keys)


def _check_layout(
    file: PageFile, one: _Walked, pages: Numbers, block: npt.NDArray[np.uint8], *, leaves: bool
) -> _Nodes:
    """Check page headers, and that the nodes fill each page exactly."""
    size = file.page_size
    words = block[: len(pages) * size].view("<u2").reshape(len(pages), size // 2).astype(np.int64)
    numbers = block[: len(pages) * size].view("<u8").reshape(len(pages), size // 8)[:, 0].astype(np.int64)
    lower, upper = words[:, 6], words[:, 7]
    counts = (lower - HEADER_BYTES) // 2
    fewest = 1 if leaves or one.name == FREE else 2
    bad = (numbers != pages) | (words[:, 5] != (LEAF_PAGE if leaves else BRANCH_PAGE))
    _refuse(one.name, pages, bad, "is not the tree page that its parent names")
    bad = (counts < fewest) | (lower % 2 != 0) | (lower > upper) | (upper > size)
    _refuse(one.name, pages, bad, "has impossible bounds")
    page = np.repeat(np.arange(len(pages), dtype=np.int64), counts)
    within = np.arange(len(page), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
    offset = words[page, HEADER_BYTES // 2 + within]
    bad = (offset < upper[page]) | (offset % 2 != 0) | (offset > size - _NODE_BYTES)
    _refuse(one.name, pages[page], bad, "has a node outside the page")
    at = offset // 2
    node = (words[page, at], words[page, at + 1], words[page, at + 2], words[page, at + 3])
    nodes = _Nodes(page, within == 0, page * size + offset, node)
    stored = np.where(node[2] == BIG_DATA, 8, nodes.size) if leaves else np.zeros(len(page), dtype=np.int64)
    length = (_NODE_BYTES + nodes.key_size + stored + 1) & ~1
    # In the order of their places the nodes of a page must follow each other from `upper` to the page's end.
    order = np.argsort(nodes.offset, kind="stable")
    begin, end = offset[order], (offset + length)[order]
    opens = np.append(True, page[order][1:] != page[order][:-1])
    bad = begin != np.where(opens, upper[page[order]], np.roll(end, 1))
    bad |= np.append(opens[1:], True) & (end != size)
    _refuse(one.name, pages[page[order]], bad, "has nodes that overlap or leave gaps")
    bad = nodes.key_size > KEY_SIZE
    bad |= nodes.key_size < 1 if leaves else (nodes.key_size < 1) & ~nodes.first
    if leaves:
        bad |= node[2] > SUB_TREE
        bad |= (node[2] == SUB_TREE) & ((nodes.size != TREE_BYTES) | (one.name != MAIN))
        bad |= (node[2] != SUB_TREE) & (one.name == MAIN)
    if one.name == FREE:
        bad |= (nodes.key_size != 8) & ~nodes.first
    _refuse(one.name, pages[page], bad, "has a key or value of impossible size")
    return nodes


def _refuse(name: str, pages: Numbers, bad: npt.NDArray[np.bool_], problem: str) -> None:
    if bad.any():
        raise damaged_page(name, int(pages[int(np.argmax(bad))]), problem)


@dataclass(slots=True)
class _Keys:
    """Keys of a batch. Keys of the free tree are little-endian numbers; reversed, they compare like the others."""

    raw: memoryview
    starts: list[int]
    sizes: list[int]
    words: npt.NDArray[Any]
    reverse: bool

    def at(self, index: int) -> bytes:
        start = self.starts[index]
        key = bytes(self.raw[start : start + self.sizes[index]])
        return key[::-1] if self.reverse else key


def _keys(name: str, block: npt.NDArray[np.uint8], nodes: _Nodes) -> _Keys:
    reverse = name == FREE
    # One word starting at every byte: an unaligned gather reads eight bytes of each key at once.
    words = np.ndarray((len(block) - 7,), dtype="<u8" if reverse else ">u8", buffer=block, strides=(1,))
    starts = nodes.offset + _NODE_BYTES
    return _Keys(block.data, starts.tolist(), nodes.key_size.tolist(), words, reverse)


def _check_order(name: str, pages: Numbers, nodes: _Nodes, keys: _Keys, *, leaves: bool) -> None:
    """Check that keys ascend strictly within each page; the first key of a branch stands for minus infinity."""
    skip = nodes.first[:-1] if not leaves else np.zeros(max(len(nodes.page) - 1, 0), dtype=np.bool_)
    left = np.flatnonzero(~nodes.first[1:] & ~skip)
    starts = nodes.offset + _NODE_BYTES
    sizes = nodes.key_size
    done = 0
    while len(left):
        small, large = _word(keys, starts, sizes, left, done), _word(keys, starts, sizes, left + 1, done)
        done += 8
        same = small == large
        ended = (sizes[left] <= done) | (sizes[left + 1] <= done)
        bad = (small > large) | (same & ended & (sizes[left] >= sizes[left + 1]))
        _refuse(name, pages[nodes.page[left]], bad, "has keys out of order")
        left = left[same & ~ended]


def _word(keys: _Keys, starts: Numbers, sizes: Numbers, index: Numbers, done: int) -> npt.NDArray[np.uint64]:
    """Bytes done..done+7 of the keys as big-endian numbers, zeros beyond a key's end."""
    # A key that has ended is compared no further, so a start beyond the block only must not be read.
    place = np.minimum(starts[index] + done, len(keys.words) - 1)
    word = keys.words[place].astype(np.uint64)
    excess = np.clip(8 - (sizes[index] - done), 0, 8)
    shift = (np.minimum(excess, 7) * 8).astype(np.uint64)
    masked = (word >> shift) << shift
    return np.where(excess == 8, np.uint64(0), masked)


def _children(level: _Level, part: slice, nodes: _Nodes, keys: _Keys) -> _Level:
    child = nodes.words[0] | nodes.words[1] << 16 | nodes.words[2] << 32
    lows: list[bytes] = []
    highs: list[bytes | None] = []
    for index, (page, first) in enumerate(zip(nodes.page.tolist(), nodes.first.tolist(), strict=True)):
        low = level.lows[part.start + page] if first else keys.at(index)
        if not first:
            highs[-1] = low
        lows.append(low)
        highs.append(level.highs[part.start + page])
    return _Level(child, lows, highs)


def _check_values(
    file: PageFile, one: _Walked, pages: Numbers, block: npt.NDArray[np.uint8], nodes: _Nodes, *, check_runs: bool
) -> None:
    """Check that every large value lies in the file, and that its overflow run says so too."""
    big = np.flatnonzero(nodes.words[2] == BIG_DATA)
    if not len(big):
        return
    words = np.ndarray((len(block) - 7,), dtype="<u8", buffer=block, strides=(1,))
    place = nodes.offset[big] + _NODE_BYTES + nodes.key_size[big]
    runs = np.minimum(words[place], 2**62).astype(np.int64)
    lengths = (HEADER_BYTES - 1 + nodes.size[big]) // file.page_size + 1
    bad = (runs < 2) | (runs + lengths - 1 > file.last_page)
    _refuse(one.name, pages[nodes.page[big]], bad, "has a value outside the file (truncated?)")
    if check_runs:
        lengths = _check_runs(file, one.name, runs, lengths)
    one.overflow_pages += int(lengths.sum())
    one.use(runs, lengths)


def _check_runs(file: PageFile, name: str, runs: Numbers, lengths: Numbers) -> Numbers:
    heads = file.read_many(name, runs, HEADER_BYTES)
    words = heads.view("<u2").reshape(len(runs), 8)
    counts = heads.view("<u4").reshape(len(runs), 4)[:, 3].astype(np.int64)
    bad = (heads.view("<u8")[::2].astype(np.int64) != runs) | (words[:, 5] != 0x04) | (counts < lengths)
    bad |= runs + counts - 1 > file.last_page
    _refuse(name, runs, bad, "is not the overflow run that its value names")
    return counts


def _joined(parts: Sequence[Numbers]) -> Numbers:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

"""Keeps rows with identical codes from crowding a graph: one of them stands for all, the others hang below it.

Thousands of equal rows would fill each other's links and cut off the rest of the graph. So only the first row of a
group (its representative) is inserted; the others form a tree under one of its links, which a search walks only when
they are among the nearest.

Promises: every duplicate is reachable from its representative. Deterministic.
Concurrency: pure functions, except `unlink_duplicates` and `hang_duplicates`, which write the links they are given.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vecdb.index.graph import Int32Array

HASH_SEED = 20_160_330


def representatives(codes: npt.NDArray[np.int8]) -> Int32Array:
    """(n,) int32: the lowest row with the same codes as each row (itself where it is the first or only one)."""
    rows = len(codes)
    own = np.arange(rows, dtype=np.int32)
    if rows < 2:
        return own
    hashes = _row_hashes(codes)
    order = np.argsort(hashes, kind="stable")
    in_order = hashes[order]
    starts = np.flatnonzero(np.concatenate(([True], in_order[1:] != in_order[:-1])))
    counts = np.diff(np.append(starts, rows))
    first = order[np.repeat(starts, counts)]
    candidates = np.flatnonzero(first != order)
    same = (codes[order[candidates]] == codes[first[candidates]]).all(axis=1)
    own[order[candidates[same]]] = first[candidates[same]]
    return own


def _row_hashes(codes: npt.NDArray[np.int8]) -> npt.NDArray[np.uint64]:
    """Multiply-shift hash of each row, 64 bits; equal rows have equal hashes, others are compared anyway."""
    words: npt.NDArray[np.uint64] = np.frombuffer(codes, dtype=np.uint64).reshape(len(codes), -1)
    random = np.random.default_rng(HASH_SEED)
    factors = np.asarray(random.integers(1, 2**63, words.shape[1], dtype=np.uint64)) | np.uint64(1)
    hashes = np.zeros(len(codes), dtype=np.uint64)
    for column in range(words.shape[1]):
        mixed = words[:, column] * factors[column]
        hashes += mixed ^ (mixed >> np.uint64(29))
    return hashes


def unlink_duplicates(links: Int32Array, first_rows: Int32Array) -> None:
    """Remove the links to duplicates that an earlier build left, in place.

    A row that is inserted near a group would otherwise find its candidates full of copies.
    """
    copies = first_rows != np.arange(len(first_rows), dtype=np.int32)
    if not copies.any():
        return
    gone = (links >= 0) & copies[links]
    changed = np.flatnonzero(gone.any(axis=1))
    kept = np.where(gone[changed], -1, links[changed])
    order = np.argsort(kept < 0, axis=1, kind="stable")
    links[changed] = np.take_along_axis(kept, order, axis=1)


def hang_duplicates(links: Int32Array, first_rows: Int32Array) -> None:
    """Write the links of all duplicates, and one link of each representative to the root of its tree, in place.

    `first_rows` as of `representatives`; no link leads to a duplicate yet. A representative without a free link gives
    up its last.
    """
    own = np.arange(len(first_rows), dtype=np.int32)
    copies = np.flatnonzero(first_rows != own)
    if not copies.size:
        return
    copies = copies[np.argsort(first_rows[copies], kind="stable")]
    heads = first_rows[copies]
    starts = np.flatnonzero(np.concatenate(([True], heads[1:] != heads[:-1])))
    for members in np.split(copies, starts[1:]):
        _hang_group(links, int(first_rows[members[0]]), members.astype(np.int32))


def _hang_group(links: Int32Array, head: int, members: Int32Array) -> None:
    """A tree over `members`, each with a link back to `head` and up to degree - 1 children."""
    degree = links.shape[1]
    fan = degree - 1
    links[members] = -1
    links[members, 0] = head
    children = np.arange(1, len(members))
    links[members[(children - 1) // fan], 1 + (children - 1) % fan] = members[1:]
    free = np.flatnonzero(links[head] < 0)
    links[head, free[0] if free.size else degree - 1] = members[0]

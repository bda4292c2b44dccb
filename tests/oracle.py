"""Holds an obviously correct twin of every kernel, in numpy float64 and plain Python.

Promises: a twin has its kernel's name and no cleverness; it works on matrices and sets, not on raw memory.
Distances between rows come from a matrix of all of them, so nothing is shared with the code under test.
"""

from __future__ import annotations

import heapq
import zlib
from bisect import insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int8]
Rows = list[int]
Links = list[Rows]
Scored = tuple[int, int]

BEAM: Final = 2
SCALAR: Final = 1
LIST: Final = 2


# --- distances ------------------------------------------------------------------------------------------------------


def true_distances(metric: str, vectors: npt.NDArray[Any], query: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The user's distance of every row to a query, float64."""
    rows, wanted = vectors.astype(np.float64), query.astype(np.float64)
    if metric == "l2":
        return np.asarray(np.sqrt(np.square(rows - wanted).sum(axis=1)))
    products = rows @ wanted
    if metric == "dot":
        return np.asarray(-products)
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(wanted)
    return np.asarray(1.0 - np.divide(products, norms, out=np.zeros_like(products), where=norms > 0))


def code_distance(left: npt.NDArray[Any], right: npt.NDArray[Any]) -> int:
    """Squared l2 of two code rows, in unbounded integers."""
    return sum((int(a) - int(b)) ** 2 for a, b in zip(left, right, strict=True))


def code_distances(codes: Codes, query: npt.NDArray[Any]) -> list[int]:
    """Squared l2 of every code row to query codes."""
    return [int(value) for value in np.square(codes.astype(np.int64) - query.astype(np.int64)).sum(axis=1)]


def pair_matrix(codes: Codes) -> list[list[int]]:
    """Squared l2 of every pair of code rows."""
    return [code_distances(codes, row) for row in codes]


# --- scans ----------------------------------------------------------------------------------------------------------


def scan_block(
    metric: str,
    vectors: npt.NDArray[Any],
    slots: npt.NDArray[Any],
    query: npt.NDArray[Any],
    limit: int,
    excluded: Iterable[int] = (),
) -> list[tuple[float, int]]:
    """(distance, slot) of the nearest rows that are not excluded, best first."""
    gone = set(excluded)
    distances = true_distances(metric, vectors, query)
    scored = [(float(distances[row]), int(slots[row])) for row in range(len(vectors)) if row not in gone]
    return sorted(scored)[:limit]


# --- graph search ---------------------------------------------------------------------------------------------------


@dataclass
class Upper:
    """Upper levels in flat numbering, as lists."""

    rows: Rows
    down: Rows
    links: Links
    entry: int
    levels: int


def descend(upper: Upper, distances: list[int]) -> int:
    """Greedy walk to the row where level 0 begins."""
    node = upper.entry
    for level in range(upper.levels):
        while True:
            nearer = [
                other for other in upper.links[node] if distances[upper.rows[other]] < distances[upper.rows[node]]
            ]
            if not nearer:
                break
            node = min(nearer, key=lambda other: (distances[upper.rows[other]], upper.links[node].index(other)))
        if level + 1 < upper.levels:
            node = upper.down[node]
    return upper.rows[node]


def beam_search(
    links: Links, distances: list[int], entry: int, ef: int, widest: int = 1 << 62, excluded: Iterable[int] = ()
) -> list[Scored]:
    """Best-first search with `ef` candidates, BEAM expanded at a time; excluded rows widen the pool."""
    gone = set(excluded)
    pool: list[Scored] = [(distances[entry], entry)]
    seen, expanded = {entry}, set[int]()
    capacity = ef + (entry in gone)
    while pending := [row for _, row in pool if row not in expanded][:BEAM]:
        fresh: Rows = []
        for row in pending:
            expanded.add(row)
            fresh += [other for other in links[row] if other not in seen and other not in fresh]
        seen.update(fresh)
        for row in fresh:
            if len(pool) < capacity or (distances[row], row) < pool[-1]:
                if row in gone and capacity < widest:
                    capacity += 1
                insort(pool, (distances[row], row))
                del pool[capacity:]
    return pool


def search_graph(
    links: Links,
    upper: Upper | None,
    entry: int,
    code_distance_to: list[int],
    true_distance_to: npt.NDArray[np.float64],
    slots: npt.NDArray[Any],
    limit: int,
    ef: int,
    rerank: int,
    excluded: Iterable[int] = (),
    widest: int = 1 << 62,
) -> list[tuple[float, int]]:
    """(distance, slot) of the hits of one query."""
    gone = set(excluded)
    start = entry if upper is None else descend(upper, code_distance_to)
    pool = beam_search(links, code_distance_to, start, ef, widest, gone)
    return _ranked([scored for scored in pool if scored[1] not in gone][:rerank], true_distance_to, slots, limit)


def _ranked(
    ranked: list[Scored], true_distance_to: npt.NDArray[np.float64], slots: npt.NDArray[Any], limit: int
) -> list[tuple[float, int]]:
    """(distance, slot) of the best of the candidates, of which those that are clearly behind are not looked at."""
    if len(ranked) > limit:
        last = ranked[limit - 1][0]
        least = limit + limit // 4 + 4
        ranked = ranked[:least] + [scored for scored in ranked[least:] if scored[0] <= last + 8 * last**0.5]
    rows = [row for _, row in ranked]
    return sorted((float(true_distance_to[row]), int(slots[row])) for row in rows)[:limit]


# --- packed rows ----------------------------------------------------------------------------------------------------


def rotate(values: npt.NDArray[Any], masks: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Two rounds of signs and of the Hadamard matrix on blocks of 64, components dealt out over blocks in between."""
    matrix = np.ones((1, 1), dtype=np.int64)
    for _ in range(6):
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    flipped = values.astype(np.int64) * (1 + 2 * masks[0].astype(np.int64))
    dealt = (flipped.reshape(-1, 64) @ matrix).T.ravel() * (1 + 2 * masks[1].astype(np.int64))
    rotated: npt.NDArray[np.int64] = (dealt.reshape(-1, 64) @ matrix).ravel()
    return rotated


def rotate_rows(codes: Codes, masks: npt.NDArray[Any]) -> list[npt.NDArray[np.int64] | None]:
    """The rotated rows; None where one does not fit 16 bits."""
    rotated = [rotate(row, masks) for row in codes]
    return [row if row.min() > -32_768 and row.max() < 32_768 else None for row in rotated]


@dataclass(frozen=True)
class Packed:
    """What a packed row holds of its neighbours: signs (-1 or 1) of all components, A and W."""

    signs: npt.NDArray[np.int64]
    added: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]


def pack_rows(codes: Codes, neighbours: Rows, row: int, masks: npt.NDArray[Any]) -> Packed:
    """The signs, A and W of the neighbours of a row."""
    own = rotate(codes[row], masks)
    signs, added, weights = [], [], []
    for other in neighbours:
        residual = codes[other].astype(np.int64) - codes[row]
        rotated = rotate(residual, masks)
        sign = np.where(rotated > 0, 1, -1)
        length = int(np.abs(rotated).sum())
        factor = float(residual @ residual) / (length / 64) if length else 0.0
        signs.append(sign)
        added.append(float(residual @ residual) + 2 * factor * float(sign @ own) / 64)
        weights.append(2 * factor / 64)
    return Packed(np.array(signs), np.array(added), np.array(weights))


def estimate_neighbours(packed: Packed, distance: int, query: npt.NDArray[Any], masks: npt.NDArray[Any]) -> Any:
    """Estimated squared distances of a query to the neighbours of a row, the row's own being given."""
    return distance + packed.added - packed.weights * (packed.signs @ rotate(query, masks))


def sketch_rows(codes: Codes, row: int, masks: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], float, float]:
    """Signs (-1 or 1), n2 and W of the sketch of a row."""
    rotated = rotate(codes[row], masks)
    square, length = float(codes[row].astype(np.int64) @ codes[row].astype(np.int64)), int(np.abs(rotated).sum())
    return np.where(rotated > 0, 1, -1), square, 2 * square / length if length else 0.0


def gather_sketches(codes: Codes, rows: Rows, masks: npt.NDArray[Any]) -> Packed:
    """The sketches of rows, as what a row of zeros would hold of such neighbours."""
    return Packed(*map(np.array, zip(*(sketch_rows(codes, row, masks) for row in rows), strict=True)))


def estimate_rows(
    codes: Codes, rows: Rows, query: npt.NDArray[Any], masks: npt.NDArray[Any], deviations: float = 0.0
) -> list[float]:
    """Estimated squared distances of a query, rounded to -7..7, to rows by their sketches, less some of their error."""
    rotated = rotate(query, masks)
    unit = max(int(np.abs(rotated).max()), 1) / 7
    rounded = np.sign(rotated) * np.floor(np.abs(rotated) / unit + 0.5) * unit
    squared = float(query.astype(np.int64) @ query.astype(np.int64))
    made, spare = gather_sketches(codes, rows, masks), deviations * 0.6 * 64 * squared**0.5
    estimates = made.added + squared - made.weights * (made.signs @ rounded + spare)
    return [max(float(estimate), 0.0) for estimate in estimates]


def gather_ids(column: npt.NDArray[Any], rows: Rows, slots: Rows) -> tuple[int, bytes]:
    """The ids in id rows as msgpack; or -1 - position of the first row that does not fit its slot, and nothing."""
    ids = []
    for position, (row, slot) in enumerate(zip((column[row] for row in rows), slots, strict=True)):
        size = int(row[0])
        key = row[3 : 3 + size].tobytes()
        if not 0 < size <= len(row) - 3 or zlib.crc32(key, slot) & 0xFFFF != int(row[1]) + 256 * int(row[2]):
            return -1 - position, b""
        ids.append(key)
    array = id_array(ids)
    return len(array), array


def id_array(id_keys: list[bytes]) -> bytes:
    """Ids as a msgpack array, from their keys: a type byte, then u64, UTF-8 or a UUID."""
    return _array_head(len(id_keys)) + b"".join(_id_head(key) + key[1:] for key in id_keys)


def _id_head(key: bytes) -> bytes:
    return {1: b"\xcf", 2: b"\xda" + (len(key) - 1).to_bytes(2, "big"), 3: b"\xd8\x03"}[key[0]]


def _array_head(count: int) -> bytes:
    return b"\xdd" + count.to_bytes(4, "big")


def gather_records(keys: list[bytes], values: list[bytes], seed: int) -> bytes | None:
    """Where metadata begins (u32), ids and metadata of stored records; None when a checksum does not fit."""
    id_keys, metadata = [], b""
    for key, value in zip(keys, values, strict=True):
        if zlib.crc32(value[4:], zlib.crc32(key, seed)) != int.from_bytes(value[:4], "big"):
            return None
        size = int.from_bytes(value[4:6], "big")
        start = 22 if size & 0x8000 else 14
        end = start + (size & 0x7FFF)
        id_keys.append(value[start:end])
        metadata += value[end:]
    ids = id_array(id_keys)
    return (4 + len(ids)).to_bytes(4, "little") + ids + _array_head(len(keys)) + metadata


# --- building -------------------------------------------------------------------------------------------------------


def choose_neighbours(pairs: list[list[int]], candidates: list[Scored], limit: int) -> Rows:
    """Candidates, nearest first, that no chosen one is nearer to than the target is."""
    chosen: Rows = []
    for distance, row in sorted(candidates):
        if all(pairs[row][other] >= distance and pairs[row][other] > 0 for other in chosen):
            chosen.append(row)
        if len(chosen) == limit:
            break
    return chosen


def find_entries(upper: Upper, pairs: list[list[int]]) -> Rows:
    """Where the descent from the top leads to from each row."""
    return [descend(upper, distances) for distances in pairs]


def walk_nearest(links: Links, distances: list[int], entry: int, ef: int, expand: int) -> list[Scored]:
    """The nearest `ef` rows met, of which those among the nearest `expand` are expanded, BEAM at a time."""
    pool: list[Scored] = [(distances[entry], entry)]
    seen, expanded = {entry}, set[int]()
    while pending := [row for _, row in pool[:expand] if row not in expanded][:BEAM]:
        expanded.update(pending)
        for other in [link for row in pending for link in links[row]]:
            if other not in seen:
                seen.add(other)
                pool = sorted([*pool, (distances[other], other)])[:ef]
    return pool


def insert_rows(pairs: list[list[int]], links: Links, batch: Rows, entry: int, ef: int, expand: int, m: int) -> None:
    """Give each row of a batch links to rows of the graph as it was before the batch."""
    found = {row: choose_neighbours(pairs, walk_nearest(links, pairs[row], entry, ef, expand), m) for row in batch}
    for row, chosen in found.items():
        links[row] = chosen


def link_targets(pairs: list[list[int]], links: Links, batch: Rows, degree: int) -> None:
    """Add the links back to a batch, target by target, pruning where a row would overflow."""
    sources: dict[int, Rows] = {}
    for row in sorted(batch):
        for target in links[row]:
            sources.setdefault(target, []).append(row)
    for target, rows in sources.items():
        both = links[target] + rows
        candidates = [(pairs[target][row], row) for row in both]
        links[target] = both if len(both) <= degree else choose_neighbours(pairs, candidates, degree)


def sort_links(pairs: list[list[int]], links: Links) -> Links:
    """Links of every row, nearest first."""
    return [
        [other for _, other in sorted((pairs[row][other], other) for other in own)] for row, own in enumerate(links)
    ]


def fill_links(pairs: list[list[int]], links: Links, degree: int) -> Links:
    """Links with their free places taken by the nearest rows that are two steps away."""
    filled: Links = []
    for row, own in enumerate(links):
        near = {row, *own}
        beyond = {other for link in own for other in links[link]} - near
        nearest = [other for _, other in sorted((pairs[row][other], other) for other in beyond)]
        filled.append(own + nearest[: degree - len(own)])
    return filled


def even_links(links: Links, degree: int) -> Links:
    """Links, nearest first, of which some lead to rows with few links to them instead of rows with many."""
    evened = [list(own) for own in links]
    counts = [sum(row in own for own in evened) for row in range(len(evened))]
    given = [0] * len(evened)
    enough = 3 * degree // 4
    for row in sorted((row for row, led in enumerate(counts) if led < enough), key=lambda row: (counts[row], row)):
        for host in list(evened[row]):
            own = evened[host]
            if counts[row] >= enough or given[host] >= degree // 4 or row in own:
                continue
            most = max(own[4:], key=lambda other: counts[other], default=row)
            if len(own) == degree and counts[most] <= degree:
                continue
            if len(own) == degree:
                own[own.index(most)] = row
                counts[most] -= 1
            else:
                own.append(row)
            given[host] += 1
            counts[row] += 1
    return evened


def repair_rows(pairs: list[list[int]], links: Links, removed: set[int], degree: int, walk: int) -> Links:
    """Links of the kept rows with removed neighbours replaced by the kept ones around them."""
    repaired: Links = []
    for row, own in enumerate(links):
        if row in removed:
            repaired.append([])
        elif not removed & set(own):
            repaired.append(list(own))
        else:
            around = _kept_around(links, removed, row, walk)
            repaired.append(choose_neighbours(pairs, [(pairs[row][other], other) for other in around], degree))
    return repaired


def _kept_around(links: Links, removed: set[int], row: int, walk: int) -> Rows:
    """Rows met from `row` by walking through removed ones, breadth first, at most `walk` of them."""
    met = [row, *links[row]]
    position, walked = 1, 0
    while position < len(met) and walked < walk:
        if met[position] in removed:
            met += [other for other in links[met[position]] if other not in met]
            walked += 1
        position += 1
    return [other for other in met[1:] if other not in removed]


def reachable(links: Links, entry: int) -> set[int]:
    """Rows some path leads to."""
    reached, stack = {entry}, [entry]
    while stack:
        for row in links[stack.pop()]:
            if row not in reached:
                reached.add(row)
                stack.append(row)
    return reached


def attach_unreached(pairs: list[list[int]], links: Links, entry: int, ef: int, expand: int, degree: int) -> int:
    """Link each unreached row from the nearest reached candidate with room; returns how many found none."""
    reached, left = reachable(links, entry), 0
    for row in range(len(links)):
        if row in reached:
            continue
        pool = walk_nearest(links, pairs[row], entry, ef, expand)
        hosts = [host for _, host in pool if host in reached and len(links[host]) < degree]
        if hosts:
            links[hosts[0]].append(row)
            reached |= reachable(links, row)
        else:
            left += 1
    return left


def nearest_rows(distances: Iterable[float], limit: int) -> Rows:
    """Rows of the smallest distances."""
    return [row for _, row in heapq.nsmallest(limit, ((value, row) for row, value in enumerate(distances)))]


# --- columns of metadata: a column is a list of values, one for each slot --------------------------------------------

Slot = tuple[int, list[int]]
"""State and keys of a slot: one key of a scalar, those of the elements of a list."""


def match_column(column: list[Slot], holds: Callable[[int], bool], candidates: set[int]) -> Rows:
    """Candidates with a key that holds."""
    return [slot for slot, (_, keys) in enumerate(column) if slot in candidates and any(map(holds, keys))]


def match_sizes(column: list[Slot], low: int, high: int) -> Rows:
    """Slots that are lists of low..high elements."""
    return [slot for slot, (state, keys) in enumerate(column) if state == LIST and low <= len(keys) <= high]


def copy_states(column: list[Slot], state: int) -> Rows:
    """Slots in a state."""
    return [slot for slot, (known, _) in enumerate(column) if known == state]


def gather_keys(column: list[Slot], slots: Rows) -> list[tuple[int, int]]:
    """Key (0 but for scalars) and state of each slot; beyond the column there are none."""
    found = [column[slot] if slot < len(column) else (0, []) for slot in slots]
    return [(keys[0] if state == SCALAR else 0, state) for state, keys in found]


def copy_lists(column: list[Slot], slots: Rows) -> list[list[int]]:
    """Elements of each slot that holds a list."""
    found = [column[slot] if slot < len(column) else (0, []) for slot in slots]
    return [keys if state == LIST else [] for state, keys in found]


def list_bits(words: list[int], first: int) -> list[int]:
    """Positions of the set bits, less `first`."""
    return [position - first for position in range(64 * len(words)) if words[position // 64] >> position % 64 & 1]


def scan_rows(
    metric: str, vectors: npt.NDArray[Any], slots: npt.NDArray[Any], query: npt.NDArray[Any], limit: int, rows: Rows
) -> list[tuple[float, int]]:
    """The nearest of the given rows."""
    return scan_block(metric, vectors, slots, query, limit, sorted(set(range(len(vectors))) - set(rows)))


def search_kept(
    metric: str, vectors: npt.NDArray[Any], slots: npt.NDArray[Any], query: npt.NDArray[Any], limit: int, kept: set[int]
) -> list[tuple[float, int]]:
    """The nearest of the rows whose slots a filter keeps: what a walk approximates."""
    return scan_rows(metric, vectors, slots, query, limit, [row for row, slot in enumerate(slots) if int(slot) in kept])

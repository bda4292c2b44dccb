"""Twins of the walks over packed rows: by estimates alone, and with each row compared by its codes first."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.oracle import Links, Scored, _ranked


def search_packed(
    links: Links,
    estimates: Callable[[int], list[int]],
    start: int,
    code_distance_to: list[int],
    true_distance_to: npt.NDArray[np.float64],
    slots: npt.NDArray[Any],
    limit: int,
    ef: int,
    rerank: int,
    excluded: Iterable[int] = (),
    widest: int = 1 << 62,
) -> list[tuple[float, int]]:
    """(distance, slot) of the hits of one query; `estimates` of the neighbours of a row, in the order of its links."""
    gone = set(excluded)
    pool: list[Scored] = [(0, start)]
    seen, taken, compared, waiting = {start}, set[int](), list[int](), [start]
    taken.add(start)
    wanted = ef = max(ef, limit + limit // 4) if gone else ef
    while waiting:
        expand = (3 * wanted + 3) // 4
        while len(waiting) < 3 and (row := _next(pool, taken, expand)) is not None:
            waiting.append(row)
            taken.add(row)
        row = waiting.pop(0)
        compared.append(row)
        wanted = min(ef + 4 * sum(other in gone for other in compared) // 3, widest)
        size = -(-wanted // 8) * 8
        guessed = estimates(row)
        for block in range(0, len(links[row]), 32):
            for other, guess in zip(links[row][block : block + 32], guessed[block : block + 32], strict=True):
                if other not in seen and (len(pool) < size or (guess, other) < pool[-1]):
                    seen.add(other)
                    insort(pool, (guess, other))
                    seen -= {dropped for _, dropped in pool[size:]} - taken
                    del pool[size:]
        if not waiting and (row := _next(pool, taken, (3 * wanted + 3) // 4)) is not None:
            waiting, taken = [row], taken | {row}
    compared += [row for _, row in pool if row not in taken]
    results = sorted((code_distance_to[row], row) for row in compared if row not in gone)
    return _ranked(results[:rerank], true_distance_to, slots, limit)


def search_checked(
    links: Links,
    estimates: Callable[[int], list[int]],
    start: int,
    code_distance_to: list[int],
    true_distance_to: npt.NDArray[np.float64],
    slots: npt.NDArray[Any],
    limit: int,
    ef: int,
    rerank: int,
    excluded: Iterable[int] = (),
    widest: int = 1 << 62,
) -> list[tuple[float, int]]:
    """`search_packed` for short codes."""
    gone = set(excluded)
    wanted = ef = max(ef, limit + limit // 4) if gone else ef
    pool: list[Scored] = [(code_distance_to[start], start)]
    seen, taken, waiting, asked, hops = [start], {start}, [start], list[int](), list[int]()
    most = room = max(-(-ef // 8) * 8, rerank)
    most += start in gone

    def check(rows: list[int]) -> int:
        admitted = 0
        for other in rows:
            scored = (code_distance_to[other], other)
            if len(pool) < room or scored < pool[-1]:
                insort(pool, scored)
                del pool[room:]
                admitted += other in gone
        return admitted

    while waiting:
        while len(waiting) < 3 and (row := _next(pool, taken, wanted)) is not None:
            waiting.append(row)
            taken.add(row)
        row = waiting.pop(0)
        hops.append(row)
        wanted = min(ef + sum(other in gone for other in hops), widest)
        while gone and room < min(most + len(asked), widest):
            room += 8
        bound = pool[wanted - 1][0] if len(pool) >= wanted else 1 << 62
        near = [other for other, guess in zip(links[row], estimates(row), strict=True) if guess <= bound]
        fresh = [other for other in near if other not in seen]
        most += check(asked)
        asked = fresh
        seen += fresh
        if not waiting:
            most += check(asked)
            asked = []
            if (row := _next(pool, taken, wanted)) is not None:
                waiting, taken = [row], taken | {row}
    results = [scored for scored in pool if scored[1] not in gone]
    return _ranked(results[:rerank], true_distance_to, slots, limit)


def _next(pool: list[Scored], taken: set[int], expand: int) -> int | None:
    """The first row of the pool that is not taken, among the first `expand`."""
    return next((row for _, row in pool[:expand] if row not in taken), None)


def draw_seeds(rows: int, kept: set[int], share: float) -> list[int]:
    """The kept rows that a walk among them begins at: at most 32, of twice as many draws as that should take."""
    state, seeds = 0, list[int]()
    for _ in range(int(2 * 32 / share)):
        state = (state * 1_103_515_245 + 12_345) % 2**31
        row = state * rows // 2**31
        if len(seeds) < 32 and row in kept and row not in seeds:
            seeds.append(row)
    return seeds


def walk_among_packed(
    links: Links,
    estimates: Callable[[int], list[int]],
    kept: set[int],
    seeds: list[int],
    code_distance_to: list[int],
    ef: int,
    keep: int,
) -> list[Scored]:
    """The best `keep` of the kept rows that a walk from kept row to kept row meets."""
    size, among = -(-max(ef, keep) // 8) * 8, (ef + 1) // 2
    pool = sorted((code_distance_to[row], row) for row in seeds)[:size]
    seen, taken, asked, waiting = set(seeds), set[int](), list[int](), list[int]()
    first = _next(pool, taken, 1)
    while first is not None:
        waiting, taken = [first], taken | {first}
        while waiting:
            while len(waiting) < 3 and (row := _next(pool, taken, ef)) is not None:
                waiting.append(row)
                taken.add(row)
            row = waiting.pop(0)
            bound = pool[among - 1][0] if len(pool) >= among else 1 << 62
            near = [other for other, guess in zip(links[row], estimates(row), strict=True) if guess <= bound]
            fresh = [other for other in near if other in kept and other not in seen]
            pool = sorted(pool + [(code_distance_to[other], other) for other in asked])[:size]
            asked, seen = fresh, seen | set(fresh)
        pool, asked = sorted(pool + [(code_distance_to[other], other) for other in asked])[:size], []
        first = _next(pool, taken, ef)
    return pool[:keep]

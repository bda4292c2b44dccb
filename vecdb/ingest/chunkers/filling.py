"""Fills chunks: from a start, as far as the size allows, back to the best place to end.

Places to end have levels, the best first (paragraphs, lines, sentences, words for instance). A chunk ends at the last
place of the best level within its size, if it is filled to a fair part by then; else the next level is asked.
Promises: every step goes forward, so time grows with the length of the text; no chunk has more units than its size.
Concurrency: pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np

from vecdb.ingest.chunkers.chunk import ChunkSize, HeadingPath, Span, TokenOffsets, trimmed
from vecdb.ingest.chunkers.config import FILL_MIN
from vecdb.ingest.chunkers.units import Cuts, Units, units_at_most

SPACE: Final = re.compile(r"\s++")


class Places:
    """Places in a text where a chunk may end, by level."""

    __slots__ = ("levels", "words")

    def __init__(self, text: str, levels: Sequence[Iterable[int]], fill: Sequence[float]) -> None:
        self.words = _sorted_places(found.end() for found in SPACE.finditer(text))
        given = [(_sorted_places(level), least) for level, least in zip(levels, fill, strict=True)]
        self.levels = (*given, (self.words, FILL_MIN))

    def last(self, start: int, behind: int, full: int) -> int | None:
        """The best place in (behind, full] for a chunk from `start`; None when there is only the middle of a word."""
        for places, least in self.levels:
            at = int(np.searchsorted(places, full, side="right")) - 1
            if at >= 0 and places[at] > max(behind, start + int((full - start) * least)):
                return int(places[at])
        return None


def separators(text: str, patterns: Sequence[re.Pattern[str]]) -> list[list[int]]:
    """The ends of what each pattern matches: levels for Places."""
    return [[found.end() for found in pattern.finditer(text)] for pattern in patterns]


def fill_text(
    text: str, tokenizer: TokenOffsets | None, size: ChunkSize, places_of: Callable[[str], Places]
) -> list[Span]:
    """The spans of a whole text. One that fits into a chunk is not looked into further than that takes."""
    start, end = trimmed(text, 0, len(text))
    if start == end:
        return []
    if end - start <= size.tokens or units_at_most(text, tokenizer) < size.tokens:
        return [Span(start, end)]
    units = Units(text, tokenizer)
    if units.first_after(end) - units.first_after(start + 1) < size.tokens:
        return [Span(start, end)]
    return fill(units, places_of(text), size)


def fill(
    units: Units, places: Places, size: ChunkSize, start: int = 0, end: int | None = None, path: HeadingPath = ()
) -> list[Span]:
    """The spans of the stretch [start, end) of a text."""
    text = units.text
    end = len(text) if end is None else end
    start, end = trimmed(text, start, end)
    spans: list[Span] = []
    stop = start
    while start < end:
        full = _advanced(units, start, size.tokens)
        stop = end if full >= end else places.last(start, stop, full) or full
        span = trimmed(text, start, stop)
        if span[0] < span[1]:
            spans.append(Span(*span, path))
        if stop >= end:
            break
        start = _next_start(units, places, size, start, stop)
    return spans


def _advanced(units: Units, start: int, count: int) -> int:
    """The place `count` units after `start`, which may be within one."""
    number = units.first_after(start)
    whole = int(units.cuts[number]) == start
    return int(units.cuts[min(number + count - (0 if whole else 1), len(units))])


def _next_start(units: Units, places: Places, size: ChunkSize, start: int, stop: int) -> int:
    """Where the next chunk begins: `overlap` units before `stop` or a little later, where a word does."""
    if not size.overlap:
        return stop
    back = int(units.cuts[max(0, units.first_after(stop) - size.overlap)])
    if back <= start:
        return stop
    at = int(np.searchsorted(places.words, back))
    begin = int(places.words[at]) if at < len(places.words) and places.words[at] < stop else back
    return begin if begin > start else stop


def _sorted_places(found: Iterable[int]) -> Cuts:
    return np.unique(np.fromiter(found, np.int64))

"""Counts a text in units: tokens as a tokenizer sees them, none longer than UNIT_CHARS_MAX characters.

Promises: units cover the text without gaps, so a chunk of n units has at most n · UNIT_CHARS_MAX characters whatever
the text is. The tokenizer sees pieces of COUNT_CHARS, cut at white space where there is some.
Concurrency: values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vecdb.ingest.chunkers.chunk import TokenOffsets
from vecdb.ingest.chunkers.config import COUNT_CHARS, UNIT_CHARS_MAX

WORD: Final = re.compile(r"\w{1,8}|[^\w\s]")
"""A token where no tokenizer is given: word pieces of eight letters, and each mark."""

Cuts = npt.NDArray[np.int64]


class Units:
    """The units of one text; `cuts` are their beginnings and, last, the end of the text."""

    __slots__ = ("cuts", "text")

    def __init__(self, text: str, tokenizer: TokenOffsets | None = None) -> None:
        self.text = text
        starts = [np.zeros(1, np.int64)]
        for start, end in _pieces(text):
            found = (tokenizer or word_offsets)(text[start:end])
            starts.append(np.fromiter((offset[0] for offset in found), np.int64) + start)
        joined = np.unique(np.concatenate([*starts, np.array([len(text)], np.int64)]))
        self.cuts: Cuts = _with_short_units(joined[(joined >= 0) & (joined <= len(text))])

    def __len__(self) -> int:
        return len(self.cuts) - 1

    def first_after(self, place: int) -> int:
        """Number of the first unit that begins at `place` or later."""
        return int(np.searchsorted(self.cuts, place))

    def starts_of(self, numbers: Iterable[int]) -> list[int]:
        """Where units begin."""
        return [int(self.cuts[number]) for number in numbers]


def units_at_most(text: str, tokenizer: TokenOffsets | None = None) -> int:
    """A number that `Units` has no more of, at a tenth of its cost where no tokenizer is given."""
    if tokenizer is not None or len(text) > COUNT_CHARS:
        return len(text)  # no unit is shorter than a character
    # what is long is cut at least every UNIT_CHARS_MAX characters; what stands before the first word is a unit too
    return len(WORD.findall(text)) + len(text) // UNIT_CHARS_MAX + 1


def word_offsets(text: str) -> Iterator[tuple[int, int]]:
    """Offsets of words and marks, for when the model's tokenizer is not at hand."""
    return (found.span() for found in WORD.finditer(text))


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(text):
        end = min(start + COUNT_CHARS, len(text))
        if end < len(text):
            space = max(text.rfind(" ", start, end), text.rfind("\n", start, end))
            end = space + 1 if space > start else end
        yield start, end
        start = end


def _with_short_units(cuts: Cuts) -> Cuts:
    """The cuts, and more where two are too far apart."""
    lengths = np.diff(cuts)
    long = np.flatnonzero(lengths > UNIT_CHARS_MAX)
    if not len(long):
        return cuts
    more: list[Any] = [np.arange(cuts[at] + UNIT_CHARS_MAX, cuts[at + 1], UNIT_CHARS_MAX) for at in long]
    return np.sort(np.concatenate([cuts, *more]))

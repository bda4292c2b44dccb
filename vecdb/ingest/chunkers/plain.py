"""Chunkers that know nothing of markup: fixed tokens, sentences, recursive separators, and none.

Concurrency: they are values and may be used by any thread, if their tokenizer may.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from vecdb.ingest.chunkers.chunk import ChunkSize, Span, TokenOffsets
from vecdb.ingest.chunkers.config import ABBREVIATION_CHARS_MAX, FILL_MIN
from vecdb.ingest.chunkers.filling import Places, fill_text, separators

END_OF_SENTENCE: Final = re.compile(
    r"(?<![.!?…])[.!?…]++[\"'”’»)\]]{0,4}\s++"  # looking behind, runs of dots are not tried at each dot
    r"|(?<![。！？])[。！？]++[”’」』）]{0,4}\s*+"
    r"|(?<!\s)[^\S\n]*+\n[^\S\n]*+\n\s*+"
)
ABBREVIATIONS: Final = frozenset({
    "mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "vs", "etc", "e.g", "i.e", "cf", "al", "fig", "figs", "nos",
    "vol", "pp", "ed", "eds", "inc", "ltd", "co", "corp", "dept", "est", "approx", "jan", "feb", "mar", "apr", "jun",
    "jul", "aug", "sep", "sept", "oct", "nov", "dec", "bzw", "z.b", "d.h", "u.a", "usw", "nr", "ca", "bspw", "vgl",
})  # fmt: skip
"""Words whose dot ends no sentence, in small letters."""

PARAGRAPH: Final = re.compile(r"\n[^\S\n]*+\n\s*+")
LINE: Final = re.compile(r"\n\s*+")
CLAUSE: Final = re.compile(r"[,;:，；：、]\s*+")
SEPARATORS: Final = (PARAGRAPH, LINE)


@dataclass(frozen=True, slots=True)
class WholeChunker:
    """One chunk, however long: what its model does not read of it is not found."""

    name: str = "none"

    def spans(self, text: str, language: str | None = None) -> list[Span]:  # noqa: ARG002 - the protocol's
        return [Span(0, len(text))] if text.strip() else []


@dataclass(frozen=True, slots=True)
class TokenChunker:
    """Chunks of as many tokens as fit, that end where a word does."""

    size: ChunkSize = field(default_factory=ChunkSize)
    tokenizer: TokenOffsets | None = None

    @property
    def name(self) -> str:
        return f"tokens:{self.size.tokens}:{self.size.overlap}"

    def spans(self, text: str, language: str | None = None) -> list[Span]:  # noqa: ARG002 - the protocol's
        return fill_text(text, self.tokenizer, self.size, lambda given: Places(given, (), ()))


@dataclass(frozen=True, slots=True)
class SentenceChunker:
    """Chunks of whole sentences, as many as fit; a sentence that does not fit is cut at its clauses."""

    size: ChunkSize = field(default_factory=ChunkSize)
    tokenizer: TokenOffsets | None = None

    @property
    def name(self) -> str:
        return f"sentences:{self.size.tokens}:{self.size.overlap}"

    def spans(self, text: str, language: str | None = None) -> list[Span]:  # noqa: ARG002 - the protocol's
        return fill_text(text, self.tokenizer, self.size, sentence_places)


@dataclass(frozen=True, slots=True)
class RecursiveChunker:
    """Chunks that end at a paragraph where they can, else at a line, a sentence, a word.

    `separators` are texts that take the place of paragraph and line, the best first.
    """

    size: ChunkSize = field(default_factory=ChunkSize)
    tokenizer: TokenOffsets | None = None
    separators: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        own = "".join(f":{separator!r}" for separator in self.separators)
        return f"recursive:{self.size.tokens}:{self.size.overlap}{own}"

    def spans(self, text: str, language: str | None = None) -> list[Span]:  # noqa: ARG002 - the protocol's
        patterns = [re.compile(re.escape(separator)) for separator in self.separators if separator] or SEPARATORS
        return fill_text(text, self.tokenizer, self.size, lambda given: text_places(given, patterns))


def text_places(text: str, patterns: Sequence[re.Pattern[str]] = SEPARATORS) -> Places:
    """Where prose is cut: at `patterns`, then at sentences, then at words."""
    levels = [*separators(text, patterns), list(sentence_ends(text))]
    return Places(text, levels, [FILL_MIN] * len(levels))


def sentence_places(text: str) -> Places:
    """Places behind sentences, however short the chunk is, then behind clauses and words."""
    levels = [list(sentence_ends(text)), *separators(text, (CLAUSE,))]
    return Places(text, levels, (0.0, FILL_MIN))


def sentence_ends(text: str) -> Iterator[int]:
    """Places behind sentences and the white space that follows them; dots of abbreviations end none."""
    for found in END_OF_SENTENCE.finditer(text):
        mark = text[found.start()]
        if mark != "." or not _is_abbreviated(text, found.start(), found.end()):
            yield found.end()


def _is_abbreviated(text: str, dot: int, after: int) -> bool:
    """Whether the dot belongs to the word before it: an abbreviation or initial, or a sentence that goes on small."""
    if after < len(text) and text[after].islower():
        return True
    before = text[max(0, dot - ABBREVIATION_CHARS_MAX) : dot]
    words = before.split()
    word = words[-1].lstrip("([\"'“‘«") if words and not before[-1].isspace() else ""
    return (len(word) == 1 and word.isalpha() and word.isupper()) or word.lower() in ABBREVIATIONS

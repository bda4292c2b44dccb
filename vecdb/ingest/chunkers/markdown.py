"""Cuts Markdown at its headings: a chunk never has text of two sections, and knows the headings that it is under.

Headings are lines of `#` or underlined ones; what is in a fence of code is none, nor
is one without a title.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from vecdb.ingest.chunkers.chunk import ChunkSize, HeadingPath, Span, TokenOffsets
from vecdb.ingest.chunkers.config import HEADING_CHARS_MAX
from vecdb.ingest.chunkers.filling import fill
from vecdb.ingest.chunkers.plain import text_places
from vecdb.ingest.chunkers.units import Units

HASHES: Final = re.compile(r" {0,3}(#{1,6})[ \t]+([^\s#].*)")
UNDERLINE: Final = re.compile(r" {0,3}(=+|-+)[ \t]*$")
FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")
UNDERLINE_CHARS: Final = 200
"""Only lines up to this length can be marks of a fence, or headings by what stands under them."""


@dataclass(frozen=True, slots=True)
class MarkdownChunker:
    """Chunks of sections; a long section is cut at paragraphs, lines, sentences, words."""

    size: ChunkSize = field(default_factory=ChunkSize)
    tokenizer: TokenOffsets | None = None

    @property
    def name(self) -> str:
        return f"markdown:{self.size.tokens}:{self.size.overlap}"

    def spans(self, text: str, language: str | None = None) -> list[Span]:  # noqa: ARG002 - the protocol's
        units, places = Units(text, self.tokenizer), text_places(text)
        return [
            span
            for section in sections(text)
            for span in fill(units, places, self.size, section.start, section.end, section.heading_path)
        ]


@dataclass(frozen=True, slots=True)
class _Heading:
    start: int
    end: int
    level: int
    title: str


def sections(text: str) -> list[Span]:
    """The sections with their heading paths; a heading without text of its own goes to the one below it."""
    found: list[Span] = []
    above: list[_Heading] = []
    start = 0
    headings = [*_headings(text), _Heading(len(text), len(text), 0, "")]
    for heading in headings:
        bodiless = bool(above) and not text[above[-1].end : heading.start].strip() and above[-1].level < heading.level
        if not bodiless:
            if start < heading.start:
                found.append(Span(start, heading.start, _path(above)))
            start = heading.start
        while above and above[-1].level >= heading.level:
            above.pop()
        above.append(heading)
    return found


def _path(above: list[_Heading]) -> HeadingPath:
    return tuple(heading.title for heading in above if heading.title)


def _headings(text: str) -> Iterator[_Heading]:
    fence = ""
    place, before = 0, ""
    for line in text.split("\n"):
        short = line if len(line) <= UNDERLINE_CHARS else ""
        mark = FENCE.match(short)
        end = min(place + len(line) + 1, len(text))
        if fence:
            if mark and mark[1].startswith(fence) and not short[mark.end() :].strip():
                fence = ""
        elif mark:
            fence = mark[1]
        elif hashes := HASHES.match(line[:UNDERLINE_CHARS]):
            yield _Heading(place, end, len(hashes[1]), _title(hashes[2]))
        elif before.strip() and (under := UNDERLINE.match(short)) and not HASHES.match(before):
            yield _Heading(place - len(before) - 1, end, 1 if under[1][0] == "=" else 2, _title(before))
        before = short if not (fence or mark) else ""
        place += len(line) + 1


def _title(text: str) -> str:
    return text.strip().rstrip("#").strip()[:HEADING_CHARS_MAX]

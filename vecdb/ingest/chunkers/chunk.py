"""Defines chunks, what cuts them, and how their ids are made.

Promises: `text[start:end]` of the item is the chunk's text; ids depend on the item's id and the ordinal alone.
Concurrency: values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol, TypeAlias

from vecdb.config import ID_BYTES_MAX
from vecdb.errors import InvalidRequestError
from vecdb.ingest.chunkers.config import (
    CHUNK_TOKENS_DEFAULT,
    CHUNK_TOKENS_MAX,
    CHUNK_TOKENS_MIN,
    ID_HASH_BYTES,
    OVERLAP_TOKENS_DEFAULT,
)
from vecdb.types import RecordId

TokenOffsets: TypeAlias = Callable[[str], Iterable[tuple[int, int]]]
"""A tokenizer: the (start, end) of each token of a text, in order, in characters."""

HeadingPath: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a text and the headings (or definitions) that it stands under, from the outermost."""

    start: int
    end: int
    heading_path: HeadingPath = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of an item's text, with its place among the others."""

    id: RecordId
    source_id: RecordId
    ordinal: int
    text: str
    start: int
    end: int
    heading_path: HeadingPath = ()
    previous_id: RecordId | None = None
    next_id: RecordId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkSize:
    """How large chunks are, and how much of one is repeated in the next, in tokens."""

    tokens: int = CHUNK_TOKENS_DEFAULT
    overlap: int = OVERLAP_TOKENS_DEFAULT

    def __post_init__(self) -> None:
        if not CHUNK_TOKENS_MIN <= self.tokens <= CHUNK_TOKENS_MAX:
            raise InvalidRequestError(
                f"chunks of {self.tokens} tokens: they may have {CHUNK_TOKENS_MIN} to {CHUNK_TOKENS_MAX}"
            )
        if not 0 <= self.overlap <= self.tokens // 2:
            raise InvalidRequestError(
                f"an overlap of {self.overlap} tokens: it may be 0 to half of a chunk, here {self.tokens // 2}"
            )


class Chunker(Protocol):
    """Cuts a text. Spans are in order, none is blank, and what no span covers is white space."""

    @property
    def name(self) -> str:
        """Changes whenever the spans of some text may."""
        ...

    def spans(self, text: str, language: str | None = None) -> list[Span]:
        """Where to cut; `language` is that of source code."""
        ...


def make_chunks(source_id: RecordId, text: str, spans: Sequence[Span]) -> list[Chunk]:
    """The chunks of an item that the spans of its text make."""
    ids = [chunk_id(source_id, ordinal) for ordinal in range(len(spans))]
    around = [None, *ids, None]
    return [
        Chunk(
            id=ids[ordinal],
            source_id=source_id,
            ordinal=ordinal,
            text=text[span.start : span.end],
            start=span.start,
            end=span.end,
            heading_path=span.heading_path,
            previous_id=around[ordinal],
            next_id=around[ordinal + 2],
        )
        for ordinal, span in enumerate(spans)
    ]


def chunk_id(source_id: RecordId, ordinal: int) -> str:
    """`README.md#3`; where that is too long, the beginning of the source's id and a hash of all of it."""
    name, number = str(source_id), f"#{ordinal}"
    if len(name.encode()) + len(number) <= ID_BYTES_MAX:
        return name + number
    digest = blake2b(name.encode(), digest_size=ID_HASH_BYTES).hexdigest()
    room = ID_BYTES_MAX - len(number) - len(digest) - 1
    return f"{name.encode()[:room].decode(errors='ignore')}~{digest}{number}"


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The stretch without white space at its ends; empty when there is nothing else."""
    stretch = text[start:end]
    kept = stretch.strip()
    if not kept:
        return start, start
    start += len(stretch) - len(stretch.lstrip())
    return start, start + len(kept)

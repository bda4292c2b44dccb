"""Makes chunkers by name, and cuts items with them.

"auto" takes what fits the item: headings for Markdown, definitions for code, paragraphs for other texts, and nothing
for rows that fit into one chunk anyway.
Concurrency: chunkers are values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from vecdb.errors import InvalidRequestError
from vecdb.ingest.chunkers.chunk import Chunk, Chunker, ChunkSize, Span, TokenOffsets, make_chunks
from vecdb.ingest.chunkers.code import CodeChunker
from vecdb.ingest.chunkers.markdown import MarkdownChunker
from vecdb.ingest.chunkers.plain import RecursiveChunker, SentenceChunker, TokenChunker, WholeChunker
from vecdb.types import RecordId

AUTO: Final = "auto"
NONE: Final = "none"

_MAKERS: Final[dict[str, Callable[[ChunkSize, TokenOffsets | None], Chunker]]] = {
    NONE: lambda _size, _tokenizer: WholeChunker(),
    "tokens": TokenChunker,
    "sentences": SentenceChunker,
    "recursive": RecursiveChunker,
    "markdown": MarkdownChunker,
    "code": CodeChunker,
}
CHUNKERS: Final = (AUTO, *_MAKERS)
"""Names that `--chunker` may have."""

BY_KIND: Final = {"markdown": "markdown", "code": "code"}
"""What "auto" takes for the kinds of items that have markup of their own; see `sources.item.Kind`."""


@dataclass(frozen=True, slots=True)
class ItemChunker:
    """Cuts the texts of items of all kinds; `chunker` is a name of CHUNKERS."""

    chunker: str = AUTO
    size: ChunkSize = field(default_factory=ChunkSize)
    tokenizer: TokenOffsets | None = None

    @property
    def name(self) -> str:
        """Changes whenever the chunks of some item may."""
        return f"{self.chunker}:{self.size.tokens}:{self.size.overlap}"

    def chunks(self, source_id: RecordId, text: str, kind: str = "text", language: str | None = None) -> list[Chunk]:
        """The chunks of a text, in order; none for a blank one.

        A text that is one chunk as a whole keeps the id of its source, if `kind` is "row": what has an id of its own
        is a record of that id. So does every text when the chunker is "none".
        """
        name = BY_KIND.get(kind, "recursive") if self.chunker == AUTO else self.chunker
        spans = make_chunker(name, self.size, self.tokenizer).spans(text, language)
        if len(spans) == 1 and (name == NONE or kind == "row"):
            return [_whole(source_id, text, spans[0])]
        return make_chunks(source_id, text, spans)


def make_chunker(name: str, size: ChunkSize | None = None, tokenizer: TokenOffsets | None = None) -> Chunker:
    """The chunker of that name; see CHUNKERS, "auto" apart."""
    maker = _MAKERS.get(name)
    if maker is None:
        raise InvalidRequestError(f"there is no chunker {name!r:.40}; there are {', '.join(CHUNKERS)}")
    return maker(size or ChunkSize(), tokenizer)


def _whole(source_id: RecordId, text: str, span: Span) -> Chunk:
    return Chunk(source_id, source_id, 0, text[span.start : span.end], span.start, span.end, span.heading_path)

"""Makes records of chunks: what is stored beside each vector.

A row that is one chunk is a record of the row's own id: its metadata, and its text under "text". A chunk of a longer
text has its metadata too, the chunk's text, and under "_source" where it comes from:

    id          of the document (a path in its folder, or the id of the row)
    ordinal     its number among the chunks of the document, from 0
    start, end  in characters of the document's text
    headings    that it stands under, or the definitions that it is in; left out where there are none
    previous, next   ids of the records before and behind it; left out at the ends

so that `F("_source.id") == "guide.md"` finds all of a document. Where metadata has a "text" of its own, that stays, and
the chunk's text is in `_source.text`. A text beyond STORED_TEXT_BYTES is stored in part, and `_source.cut` is true; all
of it is embedded.
Concurrency: pure functions.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final

from vecdb.ingest.chunkers.chunk import Chunk
from vecdb.ingest.pipeline.config import STORED_TEXT_BYTES
from vecdb.ingest.sources.item import Item
from vecdb.types import Metadata

TEXT: Final = "text"
SOURCE: Final = "_source"


def metadata_of_chunks(item: Item, chunks: Sequence[Chunk]) -> list[Metadata]:
    """The metadata of each chunk of an item."""
    if len(chunks) == 1 and chunks[0].id == item.id:
        return [metadata_of_whole(item, chunks[0].text)]
    return [with_text(item.metadata, chunk.text, place_of(chunk)) for chunk in chunks]


def metadata_of_whole(item: Item, text: str | None) -> Metadata:
    """The metadata of an item that is one record."""
    return item.metadata if text is None else with_text(item.metadata, text, None)


def place_of(chunk: Chunk) -> dict[str, Any]:
    """Where a chunk comes from."""
    source_id = str(chunk.source_id) if isinstance(chunk.source_id, uuid.UUID) else chunk.source_id
    place: dict[str, Any] = {"id": source_id, "ordinal": chunk.ordinal, "start": chunk.start, "end": chunk.end}
    if chunk.heading_path:
        place["headings"] = list(chunk.heading_path)
    if chunk.previous_id is not None:
        place["previous"] = chunk.previous_id
    if chunk.next_id is not None:
        place["next"] = chunk.next_id
    return place


def with_text(metadata: Metadata, text: str, place: dict[str, Any] | None) -> Metadata:
    """Metadata with a text, and with the place it is from if there is one."""
    if len(text) > STORED_TEXT_BYTES // 4:  # a character takes 4 bytes at most
        encoded = text.encode("utf-8")
        if len(encoded) > STORED_TEXT_BYTES:
            text = encoded[:STORED_TEXT_BYTES].decode("utf-8", "ignore")
            place = {**(place or {}), "cut": True}
    if TEXT in metadata:
        place = {**(place or {}), TEXT: text}
        return {**metadata, SOURCE: place}
    if place is None:
        return {**metadata, TEXT: text}
    return {**metadata, TEXT: text, SOURCE: place}

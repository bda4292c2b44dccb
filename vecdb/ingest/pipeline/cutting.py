"""Cuts items into the records that they become: ids, metadata, and for each what its vector comes from.

Promises: what cannot be a record, or not in one transaction, is a VecDBError that says so; nothing is embedded here.
Concurrency: any thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from vecdb.errors import InvalidDocumentError, LimitExceededError, VecDBError
from vecdb.fingerprint import ModelFingerprint
from vecdb.ingest.chunkers.choosing import AUTO, ItemChunker
from vecdb.ingest.embedders.checked import finished
from vecdb.ingest.embedders.protocol import Embedder, ImageEmbedder
from vecdb.ingest.journal.cache import image_key, text_key, text_keys
from vecdb.ingest.pipeline.calls import Given
from vecdb.ingest.pipeline.config import CHUNK_BYTES_EXTRA, ITEM_BYTES, TRANSACTION_BYTES_MAX
from vecdb.ingest.pipeline.records import metadata_of_chunks, metadata_of_whole, with_text
from vecdb.ingest.sources.item import Item
from vecdb.types import FloatArray, Metadata, RecordId

FILLING: Final = frozenset({AUTO, "tokens", "sentences", "recursive"})
"""Chunkers that fill chunks with as many tokens as fit."""


class Cut(msgspec.Struct, eq=False, gc=False):
    """The records of an item. Either `vector` is its only one's, or `keys` and `given` say what is embedded for each.

    `size` is what all of it takes in memory, about.
    """

    item: Item
    ids: list[RecordId]
    metadata: list[Metadata]
    keys: list[bytes] = msgspec.field(default_factory=list)
    given: list[Given] = msgspec.field(default_factory=list)
    vector: NDArray[np.float32] | None = None
    size: int = 0


class Shorts(msgspec.Struct, eq=False, gc=False):
    """Items that are one record of their own id each, as columns: what is embedded and what is stored of each.

    `sizes` are what they take in memory, about.
    """

    items: Sequence[Item]
    texts: list[str]
    keys: list[bytes]
    metadata: list[Metadata]
    sizes: list[int]


class Cutter:
    """Cuts items for one model."""

    def __init__(self, chunker: ItemChunker, embedder: Embedder) -> None:
        self._chunker = chunker
        self._model: ModelFingerprint = embedder.fingerprint
        self._takes_images = isinstance(embedder, ImageEmbedder)
        self._row_bytes = 4 * self._model.dim
        # no token is shorter than a character
        self._short_chars = chunker.size.tokens if chunker.chunker in FILLING else -1

    def taken(self, items: Sequence[Item]) -> Sequence[Item]:
        """Those that can be embedded: no images where the model embeds none."""
        return items if self._takes_images else [item for item in items if item.image is None]

    def long_places(self, items: Sequence[Item]) -> list[int]:
        """Places of those that are not short: a row of one chunk, with an id that no chunk of another item can have."""
        is_one = self._is_one
        return [
            place
            for place, item in enumerate(items)
            if not is_one(item.kind, item.text) or (type(item.id) is str and "#" in item.id)
        ]

    def _is_one(self, kind: str, text: str | None) -> bool:
        """Whether a text is one chunk at any rate, which the chunker would find out more slowly."""
        return kind == "row" and text is not None and 0 < len(text) <= self._short_chars and not text.isspace()

    def shorts(self, items: Sequence[Item]) -> Shorts:
        """The records of items that are short, all at once: a third of the time."""
        texts = [item.text.strip() for item in items if item.text is not None]
        base = self._row_bytes + ITEM_BYTES
        return Shorts(
            items,
            texts,
            text_keys(texts),
            [with_text(item.metadata, text, None) for item, text in zip(items, texts, strict=True)],
            [base + len(text) for text in texts],
        )

    def cut(self, item: Item) -> Cut:
        """The records of an item."""
        if item.vector is not None:
            return self._whole(
                Cut(item, [item.id], [metadata_of_whole(item, item.text)], vector=self._own(item.vector))
            )
        if item.image is not None:
            key = image_key(item.image.content_hash)
            return self._whole(Cut(item, [item.id], [metadata_of_whole(item, None)], [key], [item.image]))
        text = item.text or ""
        if self._is_one(item.kind, text):
            one = self.shorts([item])
            return Cut(item, [item.id], one.metadata, one.keys, list(one.texts), None, one.sizes[0])
        chunks = self._chunker.chunks(item.id, text, item.kind, language_of(item))
        texts: list[Given] = [chunk.text for chunk in chunks]
        cut = Cut(
            item,
            [chunk.id for chunk in chunks],
            metadata_of_chunks(item, chunks),
            [text_key(chunk.text) for chunk in chunks],
            texts,
        )
        stored = sum(len(chunk.text) for chunk in chunks)
        cut.size = len(text) + stored + len(chunks) * (self._row_bytes + ITEM_BYTES)
        if len(chunks) > 1:
            _check_transaction(len(chunks), stored + len(chunks) * (self._row_bytes + CHUNK_BYTES_EXTRA))
        return cut

    def _whole(self, cut: Cut) -> Cut:
        cut.size = self._row_bytes + ITEM_BYTES + len(cut.item.text or "")
        return cut

    def _own(self, vector: FloatArray) -> NDArray[np.float32]:
        """The vector that an item has, as the model promises its vectors."""
        try:
            row: NDArray[np.float32] = finished(vector[None, :], 1, self._model)[0]
        except VecDBError as error:
            raise InvalidDocumentError(f"its vector is none of {self._model}: {error.message}") from error
        return row


def language_of(item: Item) -> str | None:
    """The language of source code; None where there is none."""
    language = item.metadata.get("language") if item.kind == "code" else None
    return language if isinstance(language, str) else None


def _check_transaction(chunks: int, size: int) -> None:
    if size > TRANSACTION_BYTES_MAX:
        raise LimitExceededError(
            f"would be {chunks:,} chunks of {size:,} bytes; all of them change in one transaction, which takes "
            f"{TRANSACTION_BYTES_MAX:,}: split the document, or make its chunks larger (chunk_tokens)",
            chunks=chunks,
        )

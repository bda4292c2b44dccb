"""Says what every embedder does, and cuts texts into the batches that it takes.

Promises of every embedder: `embed` gives one row for each text in order, finite float32, of unit length where the
fingerprint says so, or raises and gives nothing. A text of nothing but white space is InvalidTextError, never a vector.
What a provider did wrong is an EmbeddingError: ProviderUnavailableError is worth trying again, the others are not.
The same text and role give the same vector in any batch, as far as the provider is deterministic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vecdb.ingest.embedders.fingerprint import ModelFingerprint

Role = Literal["document", "query"]
"""What a text is to its model; some models put different prompts before the two."""

Image = bytes | Path
"""An image file: its bytes, or where it lies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderLimits:
    """How an embedder likes to be called.

    `batch_texts` and `batch_tokens` bound one call; larger ones are cut by the embedder itself, but then a failure
    loses all of them. `text_tokens` is how much of a text the model reads; the rest of a longer one does not count.
    `parallel` is the number of calls at once that make sense.
    """

    batch_texts: int
    batch_tokens: int
    text_tokens: int
    parallel: int = 1


@runtime_checkable
class Embedder(Protocol):
    """A model that turns texts into vectors."""

    @property
    def fingerprint(self) -> ModelFingerprint:
        """Which model this is; `fingerprint.dim` is the number of components of a vector."""

    @property
    def limits(self) -> EmbedderLimits:
        """How to call it."""

    def embed(self, texts: Sequence[str], *, role: Role = "document") -> NDArray[np.float32]:
        """One row for each text, `(len(texts), dim)` float32."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens that each text costs, without asking a service; an estimate where no tokenizer is at hand."""

    def close(self) -> None:
        """Give back connections and memory. An embedder is not used afterwards."""


@runtime_checkable
class ImageEmbedder(Embedder, Protocol):
    """A model that puts texts and images into one space."""

    def embed_images(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """One row for each image, `(len(images), dim)` float32."""


def batches(counts: Sequence[int], limits: EmbedderLimits) -> Iterator[slice]:
    """Consecutive slices of texts, given their tokens, each within `limits`; a text above them has one of its own."""
    start, tokens = 0, 0
    for position, count in enumerate(counts):
        cost = min(count, limits.text_tokens)
        if position > start and (position - start >= limits.batch_texts or tokens + cost > limits.batch_tokens):
            yield slice(start, position)
            start, tokens = position, 0
        tokens += cost
    if start < len(counts):
        yield slice(start, len(counts))

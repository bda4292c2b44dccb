"""Keeps embeddings that were paid for (signatures; the bodies are being written)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vecdb.ingest.embedders.fingerprint import ModelFingerprint
from vecdb.ingest.embedders.protocol import Role


def text_key(text: str, role: Role = "document") -> bytes:
    """16 bytes: the key of a text; `image_key` that of an image, from its content hash."""
    raise NotImplementedError


def image_key(content_hash: bytes) -> bytes:
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class CacheUsage:
    rows: int
    used_bytes: int
    file_bytes: int
    max_bytes: int


class EmbeddingCache:
    """A cache in a directory, shared by any number of threads and processes."""

    @classmethod
    def open(cls, directory: Path, *, max_bytes: int = 0) -> EmbeddingCache:
        raise NotImplementedError

    def get_many(self, model: ModelFingerprint, keys: Sequence[bytes]) -> list[NDArray[np.float32] | None]:
        """The rows, in the order of `keys` (`text_key`); None: not there, or damaged."""
        raise NotImplementedError

    def has_many(self, model: ModelFingerprint, keys: Sequence[bytes]) -> list[bool]:
        """Which are there, unread; for plans."""
        raise NotImplementedError

    def put_many(self, model: ModelFingerprint, keys: Sequence[bytes], rows: NDArray[np.float32]) -> None:
        """Keep rows; on the disk when it returns."""
        raise NotImplementedError

    def usage(self) -> CacheUsage:
        raise NotImplementedError

    def close(self) -> None: ...
    def __enter__(self) -> Self:
        raise NotImplementedError

    def __exit__(self, *exc_info: object) -> None: ...

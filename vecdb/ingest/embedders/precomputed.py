"""Stands for a model that runs elsewhere: vectors come with their records, or from a table of texts and vectors.

Promises: vectors that come along are checked like those of any provider. A text that is not in the table, or any text
where there is no table, is InvalidTextError: nothing is made up.
Concurrency: any number of threads; the table is read-only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vecdb.errors import InvalidConfigError, InvalidTextError
from vecdb.ingest.embedders.checked import estimated_tokens, finished, require_texts
from vecdb.ingest.embedders.config import EMBED_TEXT_BYTES_MAX, HTTP_BATCH_TOKENS, STATIC_BATCH_TEXTS
from vecdb.ingest.embedders.fingerprint import ModelFingerprint
from vecdb.ingest.embedders.protocol import EmbedderLimits, Role

PROVIDER: Final = "precomputed"
DIGEST_BYTES: Final = 16


class PrecomputedEmbedder:
    """Vectors of the model `name`. `vectors` and `texts`, of equal length, are the table; both may be left out."""

    __slots__ = ("_rows", "_vectors", "fingerprint", "limits")

    def __init__(
        self,
        name: str,
        *,
        dim: int | None = None,
        revision: str = "",
        normalize: bool = False,
        vectors: NDArray[Any] | str | Path | None = None,
        texts: Iterable[str] | str | Path | None = None,
    ) -> None:
        if (vectors is None) != (texts is None):
            raise InvalidConfigError("a table of precomputed vectors needs both vectors and texts")
        self._vectors = None if vectors is None else _matrix(vectors)
        self._rows = {} if texts is None else {_key(text): row for row, text in enumerate(_lines(texts))}
        known = None if self._vectors is None else int(self._vectors.shape[1])
        if self._vectors is not None and len(self._rows) != len(self._vectors):
            raise InvalidConfigError(
                f"{len(self._vectors)} precomputed vectors and {len(self._rows)} different texts; give one for each"
            )
        if dim is None and known is None:
            raise InvalidConfigError("precomputed vectors have a dimension; give dim")
        if dim is not None and known is not None and dim != known:
            raise InvalidConfigError(f"dim is {dim}, and the precomputed vectors have {known} components")
        self.fingerprint = ModelFingerprint(
            provider=PROVIDER, name=name, revision=revision, dim=dim or known or 0, normalized=normalize
        )
        self.limits = EmbedderLimits(
            batch_texts=STATIC_BATCH_TEXTS, batch_tokens=HTTP_BATCH_TOKENS, text_tokens=EMBED_TEXT_BYTES_MAX
        )

    def embed(self, texts: Sequence[str], *, role: Role = "document") -> NDArray[np.float32]:
        """The rows of the table for these texts."""
        del role
        require_texts(texts)
        places = [self._place(text, index) for index, text in enumerate(texts)]
        return finished([] if self._vectors is None else self._vectors[places], len(texts), self.fingerprint)

    def accept(self, vectors: Any) -> NDArray[np.float32]:
        """Vectors that came with their records, checked: one row each, of the dimension, finite, scaled as promised."""
        return finished(vectors, len(vectors), self.fingerprint)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return estimated_tokens(texts)

    def close(self) -> None:
        """Nothing to give back: the table goes with the object."""

    def _place(self, text: str, index: int) -> int:
        row = self._rows.get(_key(text))
        if row is None:
            raise InvalidTextError(
                f"text {index} has no precomputed vector of {self.fingerprint.name!r}; give its vector instead",
                index=index,
            )
        return row


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()


def _matrix(given: NDArray[Any] | str | Path) -> NDArray[Any]:
    try:
        rows = given if isinstance(given, np.ndarray) else np.load(given, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InvalidConfigError(f"{given} holds no array of numpy", path=str(given)) from error
    if rows.ndim != 2:
        raise InvalidConfigError(f"precomputed vectors have {rows.ndim} axes; give a matrix, a row for each text")
    return rows


def _lines(given: Iterable[str] | str | Path) -> Iterable[str]:
    if isinstance(given, str | Path):
        try:
            return Path(given).read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise InvalidConfigError(f"{given} cannot be read as a line of text each", path=str(given)) from error
    return given

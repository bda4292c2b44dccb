"""Checks what goes into an embedder and what comes back, the same for every provider.

Promises: messages name the position of what is wrong and never quote a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecdb.errors import InvalidEmbeddingError, InvalidRequestError, InvalidTextError
from vecdb.ingest.embedders.config import BYTES_PER_TOKEN, EMBED_TEXT_BYTES_MAX, UNIT_LENGTH_MIN
from vecdb.ingest.embedders.fingerprint import ModelFingerprint


def require_texts(texts: Sequence[str]) -> None:
    """InvalidTextError for the first text that is no str, has nothing but white space, or is too long."""
    if isinstance(texts, str):
        raise InvalidRequestError("texts is one str; give a list of them")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidTextError(f"text {index} is {type(text).__name__}; give a str", index=index)
        if not text or text.isspace():
            raise InvalidTextError(f"text {index} is empty; leave it out", index=index)
        size = len(text) if text.isascii() else _utf8_bytes(text, index)
        if size > EMBED_TEXT_BYTES_MAX:
            raise InvalidTextError(
                f"text {index} has {size:,} bytes; the limit is {EMBED_TEXT_BYTES_MAX:,}: cut it into chunks",
                index=index,
                size=size,
            )


def _utf8_bytes(text: str, index: int) -> int:
    try:
        return len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise InvalidTextError(
            f"text {index} has a lone surrogate at character {error.start}, which no encoding holds; decode its source "
            "with errors='replace'",
            index=index,
        ) from error


def estimated_tokens(texts: Sequence[str]) -> list[int]:
    """Tokens that texts will cost about, from their bytes."""
    sizes = [len(text) if text.isascii() else len(text.encode("utf-8", "replace")) for text in texts]
    return [-(-size // BYTES_PER_TOKEN) for size in sizes]


def finished(given: Any, count: int, fingerprint: ModelFingerprint) -> NDArray[np.float32]:
    """The rows of a provider as the fingerprint promises them, or InvalidEmbeddingError.

    A model of more components (`full_dim`) is cut; rows are scaled to unit length where that is promised.
    """
    rows = _as_matrix(given, count, fingerprint)
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        index = int(np.argmin(finite))
        raise _wrong(fingerprint, f"row {index} of {count} holds NaN or infinity", index=index)
    if rows.shape[1] == fingerprint.full_dim:
        rows = rows[:, : fingerprint.dim]
    if rows.shape[1] != fingerprint.dim:
        raise _wrong(
            fingerprint,
            f"rows have {rows.shape[1]} components instead of {fingerprint.dim}",
            dim=rows.shape[1],
            expected=fingerprint.dim,
        )
    return unit_rows(rows, fingerprint) if fingerprint.normalized else np.ascontiguousarray(rows)


def unit_rows(rows: NDArray[np.float32], fingerprint: ModelFingerprint) -> NDArray[np.float32]:
    """Rows of unit length; InvalidEmbeddingError for one that has no direction."""
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    if len(lengths) and lengths.min() < UNIT_LENGTH_MIN:
        index = int(np.argmin(lengths))
        raise _wrong(fingerprint, f"row {index} of {len(rows)} is zero, which has no direction", index=index)
    scaled: NDArray[np.float32] = rows / lengths[:, None].astype(np.float32)
    return scaled


def _as_matrix(given: Any, count: int, fingerprint: ModelFingerprint) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):
            rows = np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise _wrong(fingerprint, "what came back is no matrix of numbers, or its rows differ in length") from error
    if count == 0 and rows.size == 0:
        return np.empty((0, fingerprint.full_dim or fingerprint.dim), dtype=np.float32)
    if rows.ndim != 2:
        raise _wrong(fingerprint, f"what came back has {rows.ndim} axes instead of two", axes=rows.ndim)
    if len(rows) != count:
        raise _wrong(fingerprint, f"{len(rows)} rows came back for {count} texts", rows=len(rows), expected=count)
    return rows


def _wrong(fingerprint: ModelFingerprint, what: str, **details: Any) -> InvalidEmbeddingError:
    model = f"{fingerprint.provider}:{fingerprint.name}"
    return InvalidEmbeddingError(f"the embeddings of {model} cannot be used: {what}", model=model, **details)

"""Embeds texts with the built-in model: the sum of a vector for each token, scaled to unit length.

The model is distilled from all-MiniLM-L6-v2 (see ARCHITECTURE.md, "The built-in model", and models/README.md) and lies
beside this module: `vectors.npy`, int8, a row of 256 for each token of the teacher's vocabulary; `scales.npy`, what a
row is multiplied by; `tokenizer.json`. It needs numpy and `tokenizers`, no download and no deep-learning framework.
Its ten nearest neighbours are the teacher's by .505 among 20,000 records that its training never saw; it embeds 24,000
short texts in a second of one core.

Promises: one text gives the same bits in every batch and process. A text of unknown characters alone gets the vector of
the unknown token; one without any token (control characters, say) is InvalidTextError. No vector is NaN.
Concurrency: any number of threads; the files are mapped, read-only and shared by all processes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecdb.errors import CorruptionError, InvalidTextError
from vecdb.ingest.embedders import extras
from vecdb.ingest.embedders.checked import require_texts, unit_rows
from vecdb.ingest.embedders.config import (
    STATIC_BATCH_TEXTS,
    STATIC_BATCH_TOKENS,
    STATIC_SHORT_TOKENS,
    STATIC_TOKENS_MAX,
)
from vecdb.ingest.embedders.fingerprint import ModelFingerprint
from vecdb.ingest.embedders.protocol import EmbedderLimits, Role

PROVIDER: Final = "builtin"
Tokens: TypeAlias = NDArray[np.int64]
BUILTIN: Final = Path(__file__).parent / "minilm_static"


class StaticEmbedder:
    """The built-in model, or another directory of the same form."""

    __slots__ = ("_scales", "_tokenizer", "_vectors", "fingerprint", "limits")

    def __init__(self, directory: Path = BUILTIN) -> None:
        tokenizers = extras.required("tokenizers", extra="ingest", needed_by="the built-in model")
        facts = _facts(directory)
        self._vectors: NDArray[np.int8] = _array(directory / "vectors.npy", np.int8, (facts["rows"], facts["dim"]))
        self._scales: NDArray[np.float32] = _array(directory / "scales.npy", np.float32, (facts["rows"],))
        self._tokenizer = _tokenizer(tokenizers, directory / "tokenizer.json")
        self.fingerprint = ModelFingerprint(
            provider=PROVIDER, name=facts["name"], revision=facts["revision"], dim=facts["dim"], normalized=True
        )
        self.limits = EmbedderLimits(
            batch_texts=STATIC_BATCH_TEXTS * 4,
            batch_tokens=STATIC_BATCH_TOKENS,
            text_tokens=STATIC_TOKENS_MAX,
            parallel=2,
        )

    def embed(self, texts: Sequence[str], *, role: Role = "document") -> NDArray[np.float32]:
        """One row of unit length for each text; documents and queries are embedded alike."""
        del role
        require_texts(texts)
        out = np.empty((len(texts), self.fingerprint.dim), dtype=np.float32)
        for start in range(0, len(texts), STATIC_BATCH_TEXTS):
            self._embed_into(out[start : start + STATIC_BATCH_TEXTS], texts[start : start + STATIC_BATCH_TEXTS], start)
        return out

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        require_texts(texts)
        return [len(tokens) for tokens in self._tokens(texts)]

    def close(self) -> None:
        """Nothing to give back: the map goes with the object."""

    def _embed_into(self, out: NDArray[np.float32], texts: Sequence[str], first: int) -> None:
        tokens = self._tokens(texts)
        counts = np.fromiter(map(len, tokens), dtype=np.int64, count=len(tokens))
        if not counts.all():
            index = first + int(np.argmin(counts))
            raise InvalidTextError(f"text {index} has no character that can be read; leave it out", index=index)
        flat = np.fromiter(chain.from_iterable(tokens), dtype=np.int64, count=int(counts.sum()))
        starts = np.cumsum(counts) - counts
        sums = np.empty_like(out)
        self._sum_short(sums, flat, starts, counts)
        for place in np.flatnonzero(counts > STATIC_SHORT_TOKENS).tolist():
            rows = self._rows(flat[starts[place] : starts[place] + counts[place]])
            np.add.reduce(rows, axis=0, out=sums[place])
        out[:] = unit_rows(sums, self.fingerprint)

    def _sum_short(self, sums: NDArray[np.float32], flat: Tokens, starts: Tokens, counts: Tokens) -> None:
        """Sums of the texts of at most STATIC_SHORT_TOKENS tokens: the first of each, then the second, and so on.

        That is one large addition for each place of a token instead of a small one for each text, in the same order.
        """
        order = np.argsort(-counts, kind="stable")
        order = order[counts[order] <= STATIC_SHORT_TOKENS]
        if not len(order):
            return
        starts, counts = starts[order], counts[order]
        longest_first = np.empty((len(order), sums.shape[1]), dtype=np.float32)
        for place, texts in enumerate(np.searchsorted(-counts, -np.arange(counts[0]), side="left").tolist()):
            rows = self._rows(flat[starts[:texts] + place])
            if place == 0:
                longest_first[:] = rows
            else:
                np.add(longest_first[:texts], rows, out=longest_first[:texts])
        sums[order] = longest_first

    def _rows(self, tokens: Tokens) -> NDArray[np.float32]:
        rows: NDArray[np.float32] = self._vectors[tokens] * self._scales[tokens, None]
        return rows

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        read = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in read]


def _facts(directory: Path) -> dict[str, Any]:
    path = directory / "model.json"
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(path) from error
    return facts


def _array(path: Path, dtype: type, shape: tuple[int, ...]) -> NDArray[Any]:
    try:
        found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise _damaged(path) from error
    if found.dtype != dtype or found.shape != shape:
        raise _damaged(path)
    return np.asarray(found)


def _tokenizer(library: ModuleType, path: Path) -> Any:
    try:
        found = library.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more exact
        raise _damaged(path) from error
    found.enable_truncation(STATIC_TOKENS_MAX)
    return found


def _damaged(path: Path) -> CorruptionError:
    return CorruptionError(f"{path} is missing or damaged; install vecdb again", path=str(path))


@lru_cache(maxsize=1)
def builtin() -> StaticEmbedder:
    """The built-in model, loaded once in a process."""
    return StaticEmbedder()

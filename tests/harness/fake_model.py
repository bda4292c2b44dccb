"""A model in the test's own process that counts what it was paid for, and fails as it is told.

A vector is a hash of its text, so any test can say which it should be. Texts with a word of POISONS are never embedded.
Concurrency: one caller at a time, as FunctionEmbedder sees to.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vecdb.errors import ProviderRefusedError, ProviderUnavailableError
from vecdb.ingest.embedders.function import FunctionEmbedder

DIM: Final = 8
POISONS: Final = ("refused-text", "nan-text", "short-text", "wide-text", "failing-text", "raising-text")


def vector_of(text: str) -> NDArray[np.float32]:
    """The vector of a text: eight numbers of its hash, of unit length."""
    digest = hashlib.blake2b(text.encode(), digest_size=DIM).digest()
    row = np.frombuffer(digest, dtype=np.uint8).astype(np.float32) - 127.25
    return row / np.linalg.norm(row)


class FakeModel:
    """A function that embeds. `faults` are called before each call with its number and texts, and may raise."""

    dim = DIM
    revision = "1"

    def __init__(self, batch_texts: int = 8) -> None:
        self.batch_texts = batch_texts
        self.calls = 0
        self.paid: Counter[str] = Counter()
        self.faults: list[Callable[[int, list[str]], None]] = []

    def __call__(self, texts: list[str]) -> Any:
        self.calls += 1
        for fault in self.faults:
            fault(self.calls, texts)
        for text in texts:
            for poison in POISONS:
                if poison in text:
                    return self._poisoned(poison, texts)
        self.paid.update(texts)
        return np.array([vector_of(text) for text in texts])

    def _poisoned(self, poison: str, texts: list[str]) -> Any:
        rows = np.array([vector_of(text) for text in texts])
        if poison == "refused-text":
            raise ProviderRefusedError("the service answered 400 (no)", status=400)
        if poison == "failing-text":
            raise ProviderUnavailableError("the service answered 500", status=500)
        if poison == "raising-text":
            raise ValueError(poison)
        if poison == "nan-text":
            rows[0, 0] = np.nan
        return {"short-text": rows[1:], "wide-text": np.ones((len(texts), DIM + 1))}.get(poison, rows)

    def embedder(self) -> FunctionEmbedder:
        """The embedder of this function."""
        return FunctionEmbedder(self, name="fake")


def fails(*numbers: int, **details: Any) -> Callable[[int, list[str]], None]:
    """A fault: these calls find the provider away."""

    def fault(number: int, _texts: list[str]) -> None:
        if number in numbers:
            raise ProviderUnavailableError("the service answered 503", **({"status": 503} | details))

    return fault

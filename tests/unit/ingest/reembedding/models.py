"""Two small models as Python functions, an account of what they were asked, and a collection of the old one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import vecdb
from vecdb.errors import InvalidTextError
from vecdb.ingest.embedders.opening import open_embedder
from vecdb.ingest.operation.settings import IngestSettings, load_settings
from vecdb.ingest.pipeline.events import Progressed, RunEvent
from vecdb.ingest.reembedding.roles import NEXT

OLD = "callable:tests.unit.ingest.reembedding.models:old"
NEW = "callable:tests.unit.ingest.reembedding.models:new"
POISON = "poison"

asked: list[str] = []
"""Texts that the new model was asked for, in order."""


def vector_of(text: str, dim: int) -> NDArray[np.float32]:
    """What a model of this dimension makes of a text: of unit length, and near only to itself."""
    seed = int.from_bytes(text.encode()[-8:], "big") + len(text)
    row = np.random.default_rng(seed).standard_normal(dim)
    return np.asarray(row / np.linalg.norm(row), dtype=np.float32)


def old(texts: list[str]) -> Any:
    """The old model."""
    return np.stack([vector_of(text, 8) for text in texts])


def new(texts: list[str]) -> Any:
    """The new model, which refuses poison."""
    asked.extend(texts)
    for index, text in enumerate(texts):
        if POISON in text:
            raise InvalidTextError(f"text {index} is poison", index=index)
    return np.stack([vector_of(text, 12) for text in texts])


old.dim, old.batch_texts = 8, 16  # type: ignore[attr-defined]
new.dim, new.batch_texts = 12, 16  # type: ignore[attr-defined]


class Watcher:
    """An observer that keeps events, and may do something at each progress."""

    def __init__(self) -> None:
        self.events: list[RunEvent] = []

    def observe(self, event: RunEvent) -> None:
        if not isinstance(event, Progressed):
            self.events.append(event)


def settings_for(folder: Path, model: str | None = NEW, **more: Any) -> IngestSettings:
    """Settings as the command line makes them."""
    given = {"sources": ["-"], "to": str(folder / "db"), "collection": "docs", "state": str(folder / "state")}
    return load_settings({**given, **({} if model is None else {"model": model}), **more}, {})


def texts(count: int, word: str = "text") -> list[str]:
    """Different texts."""
    return [f"{word} {number}" for number in range(count)]


def fill(collection: vecdb.Collection, wanted: Sequence[str], first: int = 0) -> None:
    """Store records with vectors of the old model."""
    ids = list(range(first, first + len(wanted)))
    collection.upsert(ids, old(list(wanted)), [{"text": text} for text in wanted])


def make(folder: Path, count: int = 40) -> None:
    """A database with a collection of the old model."""
    with vecdb.open(folder / "db") as db:
        docs = db.create_collection("docs", model=open_embedder(OLD).fingerprint)
        fill(docs, texts(count))


def wrong(collection: vecdb.Collection, field: str = "default" + NEXT, dim: int = 12) -> list[Any]:
    """Ids of the records whose vector in a field is missing, or is not that of their text."""
    found = []
    for record in collection.iterate(with_vectors=True):
        vector = record.vectors.get(field)
        if vector is None or not np.allclose(vector, vector_of(record.metadata["text"], dim), atol=1e-6):
            found.append(record.id)
    return found

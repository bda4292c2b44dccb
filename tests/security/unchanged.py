"""Checks a refused request: the class of the error, what its message names, and that nothing at all has changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from vecdb.config import EngineConfig
from vecdb.errors import VecDBError

DIM = 8
CONFIG = EngineConfig(tail_rows_index=64, threads=1, progress=False, map_bytes=1 << 32, index_loads=True)


def contents(database: Any) -> dict[str, list[tuple[Any, ...]]]:
    """Every record of every collection, comparable."""
    return {
        name: [
            (record.id, record.metadata, {field: row.tobytes() for field, row in record.vectors.items()})
            for record in database.collection(name).iterate(with_vectors=True)
        ]
        for name in database.list_collections()
    }


@contextmanager
def refused(database: Any, error: type[VecDBError], *words: str) -> Iterator[None]:
    """Expect `error` from the body, with all `words` in its message, and an unchanged database afterwards."""
    seq, before = database.seq, contents(database)
    with pytest.raises(error) as caught:
        yield
    message = str(caught.value)
    missing = [word for word in words if word not in message]
    assert not missing, f"the message does not name {missing}: {message}"
    assert len(message) < 1_000, "the message is too long to read"
    assert database.seq == seq
    assert contents(database) == before


def sample_rows(rng: np.random.Generator, count: int, dim: int = DIM) -> Any:
    """Random rows (count, dim)."""
    return rng.standard_normal((count, dim)).astype(np.float32)

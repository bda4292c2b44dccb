"""Results whose columns are read out of what a search has copied, each when it is first asked for.

A search copies what it found while it holds its View, a few hundred bytes or a few kilobytes. To make lists of ids and
dicts of metadata of it takes longer than many a search, and not everybody wants all of them.
Promises: a result never changes and needs neither View nor database. What was copied has passed its checksum; what can
not be decoded all the same is a CorruptionError when it is asked for.
Concurrency: read freely; two threads that ask first may read a column out twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import numpy as np

from vecdb.errors import CorruptionError
from vecdb.storage.codec import NOT_MSGPACK
from vecdb.storage.identifiers import read_id_array
from vecdb.storage.record_reader import ids_of, metadata_of, packed_of
from vecdb.types import SearchResult

if TYPE_CHECKING:
    from vecdb.types import FloatArray, Metric, RecordId

Item = TypeVar("Item")
ONE = np.float32(1.0)
COLUMNS = frozenset(field.name for field in fields(SearchResult))


def scores_of(distances: FloatArray, metric: Metric) -> FloatArray:
    """Turn distances (lower is better) into scores (higher is better)."""
    return ONE - distances if metric == "cosine" else -distances


class Form(NamedTuple):
    """What the copies of a search look like: the same for all its queries."""

    metric: Metric
    size: int


Copied: TypeAlias = tuple[Form, bytes, Sequence[bytes]]
"""What was copied of the hits of a query: distances (float32) and then the ids; or distances, and records in pieces."""


class LateHits(SearchResult):
    """Hits whose columns `_read_ids` and its like read out."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        """Reached only while a column has not been read out."""
        if name not in COLUMNS:
            raise AttributeError(name)
        column = None if name == "explain" else getattr(self, f"_read_{name}")()
        object.__setattr__(self, name, column)
        return column

    def __repr__(self) -> str:
        return repr(SearchResult(**{name: getattr(self, name) for name in COLUMNS}))


class FoundHits(LateHits):
    """The hits of one query."""

    __slots__ = ("_copied",)
    _copied: Copied

    @property
    def copied(self) -> Copied:
        """What was copied, for who passes it on."""
        return self._copied

    def _read_ids(self) -> list[RecordId]:
        form, kept, records = self._copied
        return read_each(records, ids_of) if records else read_id_array(kept[4 * form.size :])

    def _read_distances(self) -> FloatArray:
        form, kept, _ = self._copied
        return np.frombuffer(kept, np.float32, form.size).copy()

    def _read_scores(self) -> FloatArray:
        return scores_of(self.distances, self._copied[0].metric)

    def _read_vectors(self) -> None:
        return None

    def _read_metadata(self) -> list[Any] | None:
        records = self._copied[2]
        return read_each(records, self._decode) if records else None

    @staticmethod
    def _decode(content: bytes) -> list[Any]:
        return metadata_of(content)


class PackedHits(FoundHits):
    """The hits of one query, their metadata as the msgpack that is stored."""

    __slots__ = ()

    @staticmethod
    def _decode(content: bytes) -> list[Any]:
        return packed_of(content)


def read_each(records: Sequence[bytes], read: Callable[[bytes], list[Item]]) -> list[Item]:
    """What there is in pieces of copied records; CorruptionError when it cannot be decoded."""
    try:
        found = read(records[0]) if records else []
        for content in records[1:]:
            found += read(content)
    except NOT_MSGPACK:
        raise CorruptionError(
            "the stored metadata of a hit cannot be decoded; restore a backup, or run verify to see how much is damaged"
        ) from None
    return found


Found = TypeVar("Found", bound=FoundHits)
_new = object.__new__
_set_copied = FoundHits.__dict__["_copied"].__set__


def found_hits(kind: type[Found], copied: Copied) -> Found:
    """A result of what was copied. Two calls of C, where `__init__` of a frozen dataclass would take 2 us."""
    hits = _new(kind)
    _set_copied(hits, copied)
    return hits

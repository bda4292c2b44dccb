"""Results of many queries, whose hits are made and named when they are first asked for.

A batch is answered on all cores; to make a result of every query is work for one, and for thousands of queries it takes
as long as the searches do. So a batch keeps the columns that the kernels have left, and copies of ids or records.
Promises: as `found_hits`. Of a record that several queries have found there is one dict of metadata, which they share.
Concurrency: read freely; two threads that ask first may make the results twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from vecdb.engine.found_hits import LateHits, read_each, scores_of
from vecdb.storage.identifiers import read_id_array
from vecdb.storage.record_reader import ids_of, metadata_of
from vecdb.types import BatchResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from vecdb.types import FloatArray, Metadata, Metric, RecordId, SearchResult


class Names(Protocol):
    """What is known of hits beside their distances; they are numbered through all queries, in order."""

    def ids(self, first: int, last: int) -> list[RecordId]:
        """The ids of hits [first, last)."""

    def metadata(self, first: int, last: int) -> list[Metadata] | None:
        """Their metadata, None when it was not wanted."""

    def vectors(self, first: int, last: int) -> FloatArray | None:
        """Their vectors, None when they were not wanted."""


class BatchColumns(NamedTuple):
    """The hits of many queries: distances (q, limit), of which row i holds the hits [starts[i], starts[i + 1])."""

    metric: Metric
    distances: FloatArray
    starts: list[int]
    names: Names


class IdPieces:
    """Ids alone, in msgpack arrays of `size` hits each."""

    def __init__(self, pieces: Sequence[bytes], size: int) -> None:
        self._pieces, self._size = pieces, size
        self._ids: list[list[RecordId] | None] = [None] * len(pieces)

    def ids(self, first: int, last: int) -> list[RecordId]:
        """See Names; a query's hits are in one piece."""
        number = first // self._size
        ids = self._ids[number]
        if ids is None:
            ids = self._ids[number] = read_id_array(self._pieces[number])
        return ids[first - number * self._size : last - number * self._size]

    def metadata(self, first: int, last: int) -> None:
        """Not wanted."""

    def vectors(self, first: int, last: int) -> None:
        """Not wanted."""


class Records:
    """Records that are copied, each once."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces
        self._ids: list[RecordId] | None = None
        self._metadata: list[Metadata] | None = None

    def ids(self) -> list[RecordId]:
        """Their ids."""
        if self._ids is None:
            self._ids = read_each(self._pieces, ids_of)
        return self._ids

    def metadata(self) -> list[Metadata]:
        """Their metadata."""
        if self._metadata is None:
            self._metadata = read_each(self._pieces, metadata_of)
        return self._metadata


class ReadRecords(NamedTuple):
    """Records, each once, whose ids and metadata (None: not wanted) have been read."""

    known_ids: list[RecordId]
    known_metadata: list[Metadata] | None

    def ids(self) -> list[RecordId]:
        """Their ids."""
        return self.known_ids

    def metadata(self) -> list[Metadata] | None:
        """Their metadata."""
        return self.known_metadata


class Shared(NamedTuple):
    """Hits by their positions among the records, and among the vectors, of all of them."""

    positions: npt.NDArray[np.int64]
    records: Records | ReadRecords
    all_vectors: FloatArray | None

    def ids(self, first: int, last: int) -> list[RecordId]:
        """See Names."""
        known = self.records.ids()
        return [known[position] for position in self.positions[first:last].tolist()]

    def metadata(self, first: int, last: int) -> list[Metadata] | None:
        """See Names."""
        known = self.records.metadata()
        return None if known is None else [known[position] for position in self.positions[first:last].tolist()]

    def vectors(self, first: int, last: int) -> FloatArray | None:
        """See Names."""
        return None if self.all_vectors is None else self.all_vectors[self.positions[first:last]]


class RowHits(LateHits):
    """The hits of one query of a batch."""

    __slots__ = ("_columns", "_row")
    _columns: BatchColumns
    _row: int

    def _range(self) -> tuple[int, int]:
        starts, row = self._columns.starts, self._row
        return starts[row], starts[row + 1]

    def _read_ids(self) -> list[RecordId]:
        return self._columns.names.ids(*self._range())

    def _read_distances(self) -> FloatArray:
        first, last = self._range()
        return self._columns.distances[self._row, : last - first]

    def _read_scores(self) -> FloatArray:
        return scores_of(self.distances, self._columns.metric)

    def _read_metadata(self) -> list[Metadata] | None:
        return self._columns.names.metadata(*self._range())

    def _read_vectors(self) -> FloatArray | None:
        return self._columns.names.vectors(*self._range())


class FoundBatch(BatchResult):
    """The hits of many queries."""

    __slots__ = ("_found",)
    _found: BatchColumns

    def __getattr__(self, name: str) -> Any:
        """Reached only while the results have not been made."""
        if name != "results":
            raise AttributeError(name)
        made = tuple(_row_hits(self._found, row) for row in range(len(self._found.starts) - 1))
        object.__setattr__(self, "results", made)
        return made

    def __repr__(self) -> str:
        return repr(BatchResult(self.results, self.limit))


_new = object.__new__
_set_columns, _set_row = RowHits.__dict__["_columns"].__set__, RowHits.__dict__["_row"].__set__


def _row_hits(columns: BatchColumns, row: int) -> SearchResult:
    hits = _new(RowHits)
    _set_columns(hits, columns)
    _set_row(hits, row)
    return hits


def found_batch(columns: BatchColumns, limit: int) -> BatchResult:
    """A result of what was kept."""
    batch = _new(FoundBatch)
    object.__setattr__(batch, "limit", limit)
    object.__setattr__(batch, "_found", columns)
    return batch

"""Defines the value types of the public API: metrics, fields, records, hits and results. No behaviour, no I/O.

Promises: everything here is immutable for its holder, cheap to import (numpy only) and the same for every front.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias, TypedDict, overload

import numpy as np
import numpy.typing as npt

from vecdb.fingerprint import ModelFingerprint

RecordId: TypeAlias = str | int | uuid.UUID
"""A record's key: returned as the type it was given in."""

Metadata: TypeAlias = dict[str, Any]
"""JSON-like: None, bool, int (64 bit), float, str, datetime, lists and dicts with str keys."""

Expiry: TypeAlias = datetime | Literal["never"]
"""When a record ceases to exist; a datetime without a zone is UTC."""

Metric: TypeAlias = Literal["cosine", "dot", "l2"]
"""distance: cosine `1 - cos`, dot `-<a, b>`, l2 Euclidean (rooted). score: `-distance`, but `cos` for cosine."""

VectorDtype: TypeAlias = Literal["float32", "float16"]
Durability: TypeAlias = Literal["fsync", "async"]
Mode: TypeAlias = Literal["rw", "r"]
Builder: TypeAlias = Literal["vecdb", "hnswlib"]
Layout: TypeAlias = Literal["auto", "packed", "compact"]
"""How segments keep what searches read: packed rows are the fastest, compact ones take a quarter of their space."""

IndexKind: TypeAlias = Literal["keyword", "int", "float", "bool", "datetime", "text", "geo"]
"""What a metadata index holds: whole strs, numbers, truth values, instants, words of strs, or places."""

FloatArray: TypeAlias = npt.NDArray[np.float32]
VectorLike: TypeAlias = npt.ArrayLike
"""One vector (dim,) or a batch (n, dim); float32 C-contiguous arrays are taken without a copy."""

Models: TypeAlias = ModelFingerprint | Mapping[str, ModelFingerprint]
"""The model of the vectors of a call; by field, where it has vectors of several."""

DEFAULT_FIELD = "default"
"""Name of the single unnamed field of a collection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A named vector of a collection.

    `m` and `ef_construction` are HNSW's M and efConstruction; `dtype` is what is stored, the truth for scores. `model`
    is the embedding model whose vectors these are: writes and queries that name another one are refused. `follows` are
    paths of the metadata that the vectors are made of: an update that changes one of them, and gives no new vector,
    removes the old one, so that a vector here is never that of another text. `layout` "packed" needs 32 dimensions and
    an `m` that is a multiple of 16; "auto" packs from 96 dimensions on.
    """

    dim: int
    metric: Metric = "cosine"
    dtype: VectorDtype = "float32"
    m: int = 16
    ef_construction: int = 200
    builder: Builder = "vecdb"
    layout: Layout = "auto"
    model: ModelFingerprint | None = None
    follows: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("dim", "m", "ef_construction"):
            value = getattr(self, name)
            if isinstance(value, np.integer):  # as numpy's reductions and shapes in frames give them
                object.__setattr__(self, name, int(value))


@dataclass(frozen=True, slots=True)
class Record:
    """A stored record. `vectors` maps field names to arrays and is empty unless asked for.

    `version` is the seq of the commit that last wrote it (see `if_version=` of the writes). At `expires_at` (UTC) it
    ceases to exist; None for never.
    """

    id: RecordId
    metadata: Metadata
    version: int
    expires_at: datetime | None = None
    vectors: Mapping[str, FloatArray] = field(default_factory=dict)

    @property
    def vector(self) -> FloatArray | None:
        """The only vector of a record that has one; of one that has several, that of the field "default", if any."""
        if len(self.vectors) == 1:
            return next(iter(self.vectors.values()))
        return self.vectors.get(DEFAULT_FIELD)


@dataclass(frozen=True, slots=True)
class Hit:
    """One search answer: `score` higher is better, `distance` lower is better (see Metric)."""

    id: RecordId
    score: float
    distance: float
    metadata: Metadata | None = None
    vector: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class WriteResult:
    """An acknowledged write: it is in every search that sees `seq` or later.

    A batch that a client must send in parts has one such commit for each part; `seq` is then that of the last and
    `count` the sum. Each part is stored as a whole or not at all.
    """

    seq: int
    count: int


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """A metadata index: `ready` once it holds every record; until then filters look at the records."""

    path: str
    kind: IndexKind
    ready: bool


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Figures of the numbers at a path; `min`, `max` and `mean` are None when there are none."""

    count: int
    min: int | float | None
    max: int | float | None
    sum: int | float
    mean: float | None


@dataclass(frozen=True, slots=True)
class FilterStep:
    """One condition of a filter: how it was answered, how many of the records it was asked of match, and the time."""

    clause: str
    how: str
    matches: int
    microseconds: float

    def __str__(self) -> str:
        return f"{self.clause}: {self.how}, {self.matches:,} matches, {self.microseconds:,.0f} µs"


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """What was done in one segment (or the tail).

    "graph", "graph of the matches" (among them alone, from a query far from all of them), "scan of the matches" (by
    their codes, or, if it says so, by sketches first), "exact scan" (of the matches), or one after the other.

    `matches` are the rows that the filter keeps there (all live rows without a filter); `estimated` is the number that
    the plan was chosen by. `ef` is 0 where no graph was searched, `hops` are the rows whose links were followed.
    """

    where: str
    plan: str
    rows: int
    matches: int
    estimated: int
    ef: int
    scored: int
    hops: int

    def __str__(self) -> str:
        graph = f", ef {self.ef}, {self.hops:,} hops" if self.ef else ""
        known = f"{self.matches:,} of {self.rows:,} rows match (estimated {self.estimated:,})"
        return f"{self.where}: {self.plan}, {known}, {self.scored:,} scored{graph}"


@dataclass(frozen=True, slots=True)
class Explain:
    """How a search was answered. `ef` is the largest used in a segment; times are in microseconds, by stage.

    `matches` counts the records that the filter matches, None without one; `steps` are its conditions as they were
    evaluated, empty when the matches were remembered from an earlier search.
    """

    plan: str
    ef: int
    tail_rows: int
    segments: int
    microseconds: Mapping[str, float]
    matches: int | None = None
    remembered: bool = False
    steps: tuple[FilterStep, ...] = ()
    parts: tuple[SegmentPlan, ...] = ()

    def __str__(self) -> str:
        times = ", ".join(f"{name} {value:,.0f} µs" for name, value in self.microseconds.items())
        lines = [f"{self.plan}: ef {self.ef}, {self.segments} segment(s), {self.tail_rows} tail row(s); {times}"]
        if self.matches is not None:
            source = "remembered" if self.remembered else "evaluated now"
            lines.append(f"  filter: {self.matches:,} matching records, {source}")
        lines += [f"    {step}" for step in self.steps]
        lines += [f"  {part}" for part in self.parts]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class SearchResult(Sequence[Hit]):
    """The hits of one query, best first, as a sequence of Hit and as columns. Equal: the same hits, however found."""

    ids: list[RecordId]
    scores: npt.NDArray[np.float32]
    distances: npt.NDArray[np.float32]
    metadata: list[Metadata] | None = None
    vectors: FloatArray | None = None
    explain: Explain | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> list[Hit]: ...
    def __getitem__(self, index: int | slice) -> Hit | list[Hit]:
        if isinstance(index, slice):
            return [self._hit(position) for position in range(*index.indices(len(self)))]
        return self._hit(index)

    def __iter__(self) -> Iterator[Hit]:
        nothing = [None] * len(self)
        metadata = nothing if self.metadata is None else self.metadata
        vectors = nothing if self.vectors is None else list(self.vectors)
        return map(Hit, self.ids, self.scores.tolist(), self.distances.tolist(), metadata, vectors)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SearchResult):
            return NotImplemented
        columns = (self.scores, other.scores), (self.distances, other.distances), (self.vectors, other.vectors)
        same = all(one is two or np.array_equal(one, two) for one, two in columns)  # type: ignore[arg-type]
        return self.ids == other.ids and self.metadata == other.metadata and same

    __hash__ = None  # type: ignore[assignment]  # its columns can be changed

    def _hit(self, position: int) -> Hit:
        return Hit(
            id=self.ids[position],
            score=float(self.scores[position]),
            distance=float(self.distances[position]),
            metadata=None if self.metadata is None else self.metadata[position],
            vector=None if self.vectors is None else self.vectors[position],
        )


class BatchOptions(TypedDict, total=False):
    """The options of `search_batch` by name, for `search_stream`; `filter` is a condition (see `vecdb.F`)."""

    field: str | None
    ef: int | None
    target_recall: float | None
    exact: bool
    filter: Any
    strict: bool
    with_metadata: bool
    with_vectors: bool
    min_seq: int | None
    model: ModelFingerprint | None


@dataclass(frozen=True, slots=True)
class BatchResult(Sequence[SearchResult]):
    """The hits of many queries. `ids`, `scores`, `distances` are (n, limit) arrays padded with None and NaN."""

    results: tuple[SearchResult, ...]
    limit: int

    def __len__(self) -> int:
        return len(self.results)

    @overload
    def __getitem__(self, index: int) -> SearchResult: ...
    @overload
    def __getitem__(self, index: slice) -> list[SearchResult]: ...
    def __getitem__(self, index: int | slice) -> SearchResult | list[SearchResult]:
        if isinstance(index, slice):
            return list(self.results[index])
        return self.results[index]

    @property
    def ids(self) -> npt.NDArray[np.object_]:
        """Ids as an (n, limit) object array; None where a query has fewer hits."""
        ids = np.full((len(self.results), self.limit), None, dtype=object)
        for row, result in enumerate(self.results):
            ids[row, : len(result)] = result.ids
        return ids

    @property
    def scores(self) -> FloatArray:
        """Scores as an (n, limit) array; NaN where a query has fewer hits."""
        return self._columns("scores")

    @property
    def distances(self) -> FloatArray:
        """Distances as an (n, limit) array; NaN where a query has fewer hits."""
        return self._columns("distances")

    def _columns(self, name: str) -> FloatArray:
        columns = np.full((len(self.results), self.limit), np.nan, dtype=np.float32)
        for row, result in enumerate(self.results):
            columns[row, : len(result)] = getattr(result, name)
        return columns


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a scroll; `cursor` continues it and is None at the end."""

    records: tuple[Record, ...]
    cursor: str | None

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)


@dataclass(frozen=True, slots=True)
class RecallReport:
    """Measured recall@k of approximate against exact search, with a 95 % confidence interval."""

    recall: float
    low: float
    high: float
    k: int
    sample: int
    ef: int | None
    target_recall: float | None


@dataclass(frozen=True, slots=True)
class FieldStats:
    """Where the vectors of one field are: bytes are those of the stored columns.

    `calibrated_with` is how many queries were given to `calibrate`, 0 where stored vectors tell what recall takes.
    """

    rows: int
    segments: int
    segment_rows: tuple[int, ...]
    tail_rows: int
    dead_rows: int
    index_bytes: int
    calibrated_with: int = 0


@dataclass(frozen=True, slots=True)
class CollectionStats:
    """Size and state of one collection."""

    name: str
    records: int
    seq: int
    fields: Mapping[str, FieldStats]


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What `verify` read. `problems` is empty for a sound database; each entry names a place."""

    pages: int
    values: int
    records: int
    chunks: int
    problems: tuple[str, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """True when nothing is damaged."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class GraphReport:
    """What was found of the graph of a segment. `unreachable` counts live rows that no path from the entry reaches."""

    rows: int
    edges: int
    levels: int
    unreachable: int
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """True when every structural invariant holds (unreachable rows are counted, not forbidden)."""
        return not self.problems


@dataclass(frozen=True, slots=True, kw_only=True)
class TLSConfig:
    """How a client makes sure of a server, and the server of it. All are paths of PEM files but `server_name`.

    `ca`: who signs the server's certificate; None for those whom this machine trusts. `cert` and `key`: the client's
    own certificate, where the server wants one. `server_name`: the name in the server's certificate, where it is not
    the host that is connected to.
    """

    ca: str | os.PathLike[str] | None = None
    cert: str | os.PathLike[str] | None = None
    key: str | os.PathLike[str] | None = None
    server_name: str | None = None

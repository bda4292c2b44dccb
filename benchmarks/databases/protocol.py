"""Says what an adapter of an embedded database provides: one collection in a directory, written, searched, reopened.

An adapter is one module of about 80 lines. It imports its library only when a Database is made, so that the list of
databases can be read where none is installed. Promises of an adapter: when `insert`, `replace` or `delete` returns, the
batch is as durable as the database makes one; hits carry all metadata, as the Python values that were written; nothing
is cached between searches; telemetry is off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from benchmarks.databases.conditions import Condition

Matrix: TypeAlias = npt.NDArray[np.float32]
Metadata: TypeAlias = Mapping[str, Any]
Hits: TypeAlias = list[tuple[str, Metadata]]
"""Ids and metadata, the nearest first."""

COLUMNS: Final[Mapping[str, str]] = {
    "words": "strings",
    "pos": "string",
    "lexicographer_file": "integer",
    "gloss_length": "integer",
    "text": "string",
    "bucket": "integer",
    "region": "integer",
}
"""The metadata of every record. Databases with a schema declare it."""

INDEXED: Final = ("bucket", "region")
"""Columns that filters are about; a database with indexes of metadata makes one of each."""


@dataclass(frozen=True, slots=True)
class Place:
    """A directory with one collection, and how many threads may work on it."""

    path: Path
    dim: int
    metric: str
    threads: int


class Database(Protocol):
    """One collection. `create` or `open` comes first, `close` last; ids are str, vectors (n, dim) float32."""

    def create(self) -> None:
        """Make a collection in the directory, which is empty."""

    def open(self) -> None:
        """Open what an earlier process made."""

    def insert(self, ids: Sequence[str], vectors: Matrix, metadata: Sequence[Metadata]) -> None:
        """Store records whose ids are new, durably."""

    def replace(self, ids: Sequence[str], vectors: Matrix, metadata: Sequence[Metadata]) -> None:
        """Store new vectors and metadata of records that exist, durably."""

    def delete(self, ids: Sequence[str]) -> None:
        """Delete records that exist, durably."""

    def make_ready(self) -> None:
        """Return when all records are indexed as well as they will be."""

    def set_effort(self, effort: int) -> None:
        """Set the one parameter that trades speed for recall."""

    def search(self, query: Matrix, k: int) -> Hits:
        """The k records nearest to one query (dim,)."""

    def search_filtered(self, query: Matrix, k: int, column: str, below: int) -> Hits:
        """The k nearest of those whose `column`, one of INDEXED, is less; only asked when the database has filters."""

    def search_batch(self, queries: Matrix, k: int) -> list[Hits]:
        """The k nearest of every query (q, dim) in one call; only asked when the database has such a call."""

    def close(self) -> None:
        """Leave the directory so that another process can open it."""


class ChecksFilters(Database, Protocol):
    """A Database that answers any condition of `benchmarks.databases.conditions`."""

    def count_matching(self, condition: Condition) -> int:
        """How many records match."""

    def search_matching(self, query: Matrix, k: int, condition: Condition) -> Hits:
        """The k nearest of those that match."""

    def index_everything(self) -> None:
        """Index every column that conditions are about, not only INDEXED ones; returns when it is done."""


class MakeDatabase(Protocol):
    """Makes a Database, importing its library."""

    def __call__(self, place: Place) -> Database: ...


@dataclass(frozen=True, slots=True)
class DatabaseSpec:
    """One row of a comparison: a database with one kind of index.

    `distributions` are what pip installs (their versions are recorded); `efforts` are swept from cheap to dear;
    `batch_reason` and `filter_reason` say why there is no such part, empty when there is; `environment` is "main", or
    the name of a separate environment where pins clash; `tuning` says in a sentence how it follows its own advice;
    `stored_by` names the database whose files this one searches in another way, `checks` says that it is a
    `ChecksFilters`, `all_efforts` that each effort is of interest, even when a lesser one found enough.
    """

    name: str
    make: MakeDatabase
    distributions: tuple[str, ...]
    efforts: tuple[int, ...]
    tuning: str
    metrics: tuple[str, ...] = ("cosine", "dot", "l2")
    batch_reason: str = ""
    filter_reason: str = ""
    environment: str = "main"
    stored_by: str = ""
    checks: bool = False
    all_efforts: bool = False


class NoBatch:
    """For databases whose API answers one query a call."""

    def search_batch(self, queries: Matrix, k: int) -> list[Hits]:
        raise NotImplementedError

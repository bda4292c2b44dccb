"""sqlite-vec: a virtual table of SQLite that compares a query with every vector; it has no approximate index."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from benchmarks.databases.protocol import COLUMNS, INDEXED, DatabaseSpec, Hits, Matrix, Metadata, NoBatch, Place

METRICS = {"cosine": "cosine", "l2": "L2"}
TYPES = {"string": "text", "integer": "integer", "strings": "text"}
NAMES = ", ".join(COLUMNS)
PLACES = ", ".join("?" * (2 + len(COLUMNS)))
INSERT = f"INSERT INTO docs (id, vector, {NAMES}) VALUES ({PLACES})"  # noqa: S608 - names of this module
SELECT = f"SELECT id, {NAMES} FROM docs WHERE vector MATCH ? AND k = ?"  # noqa: S608 - as above


class SqliteVec(NoBatch):
    """A vec0 table: bucket and region metadata columns for filters, the others auxiliary columns."""

    def __init__(self, place: Place) -> None:
        self._library: Any = import_module("sqlite_vec")
        self._place, self._sqlite = place, _sqlite_with_extensions()
        self._connection: Any = None

    def open(self) -> None:
        connection = self._sqlite.connect(self._place.path / "sqlite.db")
        connection.enable_load_extension(True)
        self._library.load(connection)
        connection.enable_load_extension(False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        self._connection = connection

    def create(self) -> None:
        self.open()
        columns = [f"{'' if name in INDEXED else '+'}{name} {TYPES[kind]}" for name, kind in COLUMNS.items()]
        vector = f"vector float[{self._place.dim}] distance_metric={METRICS[self._place.metric]}"
        self._connection.execute(
            f"CREATE VIRTUAL TABLE docs USING vec0(id text primary key, {vector}, {', '.join(columns)})"
        )

    def insert(self, ids: Sequence[str], vectors: Matrix, metadata: Sequence[Metadata]) -> None:
        with self._connection:
            self._insert(ids, vectors, metadata)

    def replace(self, ids: Sequence[str], vectors: Matrix, metadata: Sequence[Metadata]) -> None:
        with self._connection:
            self._delete(ids)
            self._insert(ids, vectors, metadata)

    def delete(self, ids: Sequence[str]) -> None:
        with self._connection:
            self._delete(ids)

    def _insert(self, ids: Sequence[str], vectors: Matrix, metadata: Sequence[Metadata]) -> None:
        rows = zip(ids, vectors, metadata, strict=True)
        values = ((key, vector, *_columns(fields)) for key, vector, fields in rows)
        self._connection.executemany(INSERT, values)

    def _delete(self, ids: Sequence[str]) -> None:
        self._connection.executemany("DELETE FROM docs WHERE id = ?", ((key,) for key in ids))

    def make_ready(self) -> None:
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def set_effort(self, effort: int) -> None:
        """Every search is exact."""

    def search(self, query: Matrix, k: int) -> Hits:
        rows = self._connection.execute(f"{SELECT} ORDER BY distance", (query, k))
        return [(key, _metadata(values)) for key, *values in rows]

    def search_filtered(self, query: Matrix, k: int, column: str, below: int) -> Hits:
        rows = self._connection.execute(f"{SELECT} AND {column} < ? ORDER BY distance", (query, k, below))
        return [(key, _metadata(values)) for key, *values in rows]

    def close(self) -> None:
        self._connection.close()


def _sqlite_with_extensions() -> Any:
    """Python's own sqlite3, or pysqlite3 where Python was built without loadable extensions."""
    own = import_module("sqlite3")
    return own if hasattr(own.Connection, "enable_load_extension") else import_module("pysqlite3")


def _columns(fields: Metadata) -> list[Any]:
    return [json.dumps(fields[name]) if kind == "strings" else fields[name] for name, kind in COLUMNS.items()]


def _metadata(values: Sequence[Any]) -> Metadata:
    pairs = zip(COLUMNS.items(), values, strict=True)
    return {name: json.loads(value) if kind == "strings" else value for (name, kind), value in pairs}


SPEC = DatabaseSpec(
    name="sqlite-vec",
    make=SqliteVec,
    distributions=("sqlite-vec",),
    efforts=(0,),
    metrics=("cosine", "l2"),
    tuning="A vec0 table, bucket and region metadata columns, the rest auxiliary; write-ahead log, synchronous = FULL.",
    batch_reason="its query answers one vector",
)

"""vecdb: the database of this project, as its README shows it; searched with a fixed effort, for a recall, or exactly.

The last two search what the first has written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial, reduce
from typing import Any, Final

from benchmarks.databases.conditions import COMPARISONS, JOINS, Condition
from benchmarks.databases.protocol import INDEXED, DatabaseSpec, Hits, Matrix, Metadata, Place

NAME = "docs"
ALSO_INDEXED: Final = {"words": "keyword", "pos": "keyword", "lexicographer_file": "int", "gloss_length": "int"}
Options = Mapping[str, Any]


def fixed(effort: int) -> Options:
    """The effort is ef."""
    return {"ef": effort}


def targeted(effort: int) -> Options:
    """The effort is the recall asked for, in thousandths."""
    return {"target_recall": effort / 1000}


def exact(effort: int) -> Options:
    """Every record that matches is compared."""
    del effort
    return {"exact": True}


class Vecdb:
    """A vecdb database with one collection."""

    def __init__(self, place: Place, *, options: Callable[[int], Options] = fixed) -> None:
        import vecdb

        self._library: Any = vecdb
        self._place, self._options_of, self._options = place, options, options(950)
        self._database: Any = None
        self._collection: Any = None

    def create(self) -> None:
        self._database = self._library.open(self._place.path)
        self._collection = self._database.create_collection(NAME, dim=self._place.dim, metric=self._place.metric)
        for name in INDEXED:
            self._collection.create_index(name, "int")

    def open(self) -> None:
        self._database = self._library.open(self._place.path)
        self._collection = self._database.collection(NAME)

    def insert(self, ids: Sequence[str], vectors: Matrix, metadata: Sequence[Metadata]) -> None:
        self._collection.upsert(ids, vectors, metadata)

    def replace(self, ids: Sequence[str], vectors: Matrix, metadata: Sequence[Metadata]) -> None:
        self.insert(ids, vectors, metadata)

    def delete(self, ids: Sequence[str]) -> None:
        self._collection.delete(ids)

    def make_ready(self) -> None:
        self._collection.optimize()

    def set_effort(self, effort: int) -> None:
        self._options = self._options_of(effort)

    def search(self, query: Matrix, k: int) -> Hits:
        return _hits(self._collection.search(query, k, **self._options))

    def search_filtered(self, query: Matrix, k: int, column: str, below: int) -> Hits:
        return self.search_matching(query, k, ["lt", column, below])

    def search_batch(self, queries: Matrix, k: int) -> list[Hits]:
        return [_hits(one) for one in self._collection.search_batch(queries, k, with_metadata=True, **self._options)]

    def search_matching(self, query: Matrix, k: int, condition: Condition) -> Hits:
        kept = filter_of(condition, self._library.F)
        return _hits(self._collection.search(query, k, filter=kept, **self._options))

    def count_matching(self, condition: Condition) -> int:
        return int(self._collection.count(filter_of(condition, self._library.F)))

    def index_everything(self) -> None:
        for name, kind in ALSO_INDEXED.items():
            self._collection.create_index(name, kind)

    def close(self) -> None:
        self._database.close()


def _hits(found: Any) -> Hits:
    return list(zip(found.ids, found.metadata, strict=True))


def filter_of(condition: Condition, field: Callable[[str], Any]) -> Any:
    """A condition as vecdb's expression; `field` is vecdb's F."""
    name, *parts = condition
    if name in JOINS:
        return reduce(JOINS[name], (filter_of(part, field) for part in parts))
    if name == "not":
        return ~filter_of(parts[0], field)
    column, value = parts
    if name in COMPARISONS:
        return COMPARISONS[name](field(column), value)
    return field(column).in_(value) if name == "in" else field(column).contains(value)


EFFORTS: Final = (10, 14, 20, 28, 36, 48, 64, 80, 100, 128, 160, 200, 256, 384, 512)
SPEC = DatabaseSpec(
    name="vecdb",
    make=Vecdb,
    distributions=("vecdb", "numba", "lmdb"),
    efforts=EFFORTS,
    tuning=(
        "Its defaults (m 16, ef_construction 200, every batch synced to the disk), indexes of bucket and region;"
        " optimize() after the last write."
    ),
    checks=True,
)
SPEC_TARGET = replace(
    SPEC,
    name="vecdb-target",
    make=partial(Vecdb, options=targeted),
    efforts=(900, 950, 980, 990),
    tuning="Searches what vecdb wrote with target_recall; its efforts are the recall asked for, in thousandths.",
    stored_by="vecdb",
    checks=False,
    all_efforts=True,
)
SPEC_EXACT = replace(
    SPEC_TARGET,
    name="vecdb-exact",
    make=partial(Vecdb, options=exact),
    efforts=(0,),
    tuning="Searches what vecdb wrote with exact=True: every record that matches is compared.",
)

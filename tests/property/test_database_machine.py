"""A random sequence of calls against the engine and against a dict; whatever the order, they must agree.

Profiles: HYPOTHESIS_PROFILE=torture runs many more and longer sequences.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import vecdb
from tests.harness.model import Model, assert_exact_hits, assert_hits, id_order
from vecdb.config import EngineConfig
from vecdb.errors import RecordExistsError, RecordNotFoundError
from vecdb.types import Field, FloatArray, RecordId

DIMS = {"a": 8, "b": 3}
CONFIG = EngineConfig(tail_rows_index=24, threads=1, progress=False, map_bytes=1 << 31)
EXAMPLES, STEPS = 25, 30
TORTURE_EXAMPLES, TORTURE_STEPS = 1_000, 100

KEYS = st.integers(0, 119)
SEEDS = st.integers(0, 2**32 - 1)
COUNTS = st.sampled_from([1, 2, 5, 17, 40])
LIMITS = st.sampled_from([1, 3, 10, 200])
METADATA = st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=8) | st.none(), max_size=3).filter(
    lambda d: all(not isinstance(v, int) or -(2**63) <= v < 2**64 for v in d.values())
)


def record_id(key: int) -> RecordId:
    """A key as int or str by turns."""
    return key if key % 2 else f"k{key}"


class DatabaseMachine(RuleBasedStateMachine):
    """One collection of two fields in a directory, with a reader beside the writer."""

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp(prefix="vecdb-machine-"))
        self.db: Any = vecdb.open(self.base / "db", config=CONFIG, durability="async")
        self.reader: Any = None
        self.backups = 0
        self.seq = 0

    @initialize(metric=st.sampled_from(["cosine", "dot", "l2"]), dtype=st.sampled_from(["float32", "float16"]))
    def create(self, metric: Any, dtype: Any) -> None:
        fields = {"a": Field(dim=DIMS["a"], metric=metric, dtype=dtype), "b": Field(dim=DIMS["b"], metric="l2", m=4)}
        self.docs = self.db.create_collection("docs", fields=fields)
        self.model = Model(fields)

    def teardown(self) -> None:
        if self.reader is not None:
            self.reader.close()
        self.db.close()
        shutil.rmtree(self.base)

    def acknowledged(self, seq: int) -> None:
        assert seq > self.seq
        self.seq = seq

    def batch(self, key: int, count: int, seed: int) -> tuple[list[RecordId], list[dict[str, FloatArray]]]:
        """Ids from `key` on, each with a random vector in one field or both; small ints make ties and equal vectors."""
        rng = np.random.default_rng(seed)
        ids = [record_id((key + n) % 120) for n in range(count)]
        vectors = []
        for _ in ids:
            names = ["a"] if rng.random() < 0.2 else ["b"] if rng.random() < 0.2 else ["a", "b"]
            vectors.append({name: self.vector(rng, name) for name in names})
        return ids, vectors

    def vector(self, rng: np.random.Generator, name: str) -> FloatArray:
        row = rng.integers(-3, 4, DIMS[name]).astype(np.float32)
        row[0] = row[0] or 1.0  # cosine has no zero vector
        return row if rng.random() < 0.5 else row + rng.standard_normal(DIMS[name]).astype(np.float32)

    @rule(key=KEYS, count=COUNTS, seed=SEEDS, metadata=METADATA)
    def upsert(self, key: int, count: int, seed: int, metadata: dict[str, Any]) -> None:
        ids, vectors = self.batch(key, count, seed)
        records = [{"id": i, "vectors": v, "metadata": metadata} for i, v in zip(ids, vectors, strict=True)]
        result = self.docs.upsert(records)
        assert result.count == count
        self.acknowledged(result.seq)
        for i, v in zip(ids, vectors, strict=True):
            self.model.put(i, metadata, **v)

    @rule(key=KEYS, count=COUNTS, seed=SEEDS)
    def insert(self, key: int, count: int, seed: int) -> None:
        ids, vectors = self.batch(key, count, seed)
        records = [{"id": i, "vectors": v} for i, v in zip(ids, vectors, strict=True)]
        try:
            self.acknowledged(self.docs.insert(records).seq)
        except RecordExistsError:
            assert any(i in self.model.entries for i in ids)
            return
        assert not any(i in self.model.entries for i in ids)
        for i, v in zip(ids, vectors, strict=True):
            self.model.put(i, None, **v)

    @rule(key=KEYS, count=COUNTS)
    def delete(self, key: int, count: int) -> None:
        ids = [record_id((key + n) % 120) for n in range(count)]
        result = self.docs.delete(ids=ids)
        assert result.count == self.model.delete(ids)

    @rule(key=KEYS, metadata=METADATA)
    def update_metadata(self, key: int, metadata: dict[str, Any]) -> None:
        try:
            self.acknowledged(self.docs.update(record_id(key), metadata=metadata).seq)
        except RecordNotFoundError:
            assert record_id(key) not in self.model.entries
            return
        entry = self.model.entries[record_id(key)]
        entry.metadata = entry.metadata | metadata  # update merges the top-level keys

    @rule(key=KEYS, name=st.sampled_from(["a", "b"]), seed=SEEDS)
    def update_vector(self, key: int, name: str, seed: int) -> None:
        vector = self.vector(np.random.default_rng(seed), name)
        try:
            self.acknowledged(self.docs.update(record_id(key), vectors={name: vector}).seq)
        except RecordNotFoundError:
            assert record_id(key) not in self.model.entries
            return
        entry = self.model.entries[record_id(key)]
        self.model.put(record_id(key), entry.metadata, **(entry.vectors | {name: vector}))

    @rule(key=KEYS)
    def get(self, key: int) -> None:
        self.same_record(self.docs.get(record_id(key), with_vectors=True), record_id(key))

    def same_record(self, record: Any, expected_id: RecordId) -> None:
        entry = self.model.entries.get(expected_id)
        if entry is None:
            assert record is None
            return
        assert (record.id, record.metadata) == (expected_id, entry.metadata)
        assert record.vectors.keys() == entry.vectors.keys()
        assert all(np.array_equal(record.vectors[name], row) for name, row in entry.vectors.items())

    @rule(
        name=st.sampled_from(["a", "b"]), limit=LIMITS, seed=SEEDS, exact=st.booleans(), ef=st.sampled_from([None, 1])
    )
    def search(self, name: str, limit: int, seed: int, ef: int | None, *, exact: bool) -> None:
        query = self.vector(np.random.default_rng(seed), name)
        self.check_search(self.docs, query, name, limit, exact=exact, ef=None if exact else ef)

    def check_search(self, docs: Any, query: FloatArray, name: str, limit: int, **options: Any) -> None:
        result = docs.search(query, field=name, limit=limit, **options)
        check = assert_exact_hits if options.get("exact") else assert_hits
        check(self.model, result, query, limit, name)
        assert result.metadata == [self.model.entries[i].metadata for i in result.ids]

    @rule(limit=st.sampled_from([1, 7, 1_000]))
    def scroll(self, limit: int) -> None:
        page = self.docs.scroll(limit=limit, with_vectors=True)
        records = list(page)
        while page.cursor is not None and len(records) < 30:
            page = self.docs.scroll(limit=limit, cursor=page.cursor, with_vectors=True)
            records += page
        expected = sorted(self.model.entries, key=id_order)
        assert [record.id for record in records] == expected[: len(records)]
        assert len(records) == len(expected) or page.cursor is not None
        for record in records:
            self.same_record(record, record.id)

    @rule()
    def optimize(self) -> None:
        self.docs.optimize()
        for name in DIMS:
            stats = self.docs.stats().fields[name]
            assert stats.segments <= 1
            assert stats.dead_rows == 0
            assert stats.tail_rows < CONFIG.tail_rows_index
            assert stats.rows == len(self.model.ids_of(name))

    @rule()
    def wait_indexed(self) -> None:
        self.docs.wait_indexed(timeout_s=60)

    @rule()
    def reopen(self) -> None:
        if self.reader is not None:
            self.reader.close()
            self.reader = None
        self.db.close()
        self.db = vecdb.open(self.base / "db", config=CONFIG, durability="async")
        self.docs = self.db.collection("docs")

    @rule(seed=SEEDS)
    def read_in_a_reader(self, seed: int) -> None:
        if self.reader is None:
            self.reader = vecdb.open(self.base / "db", mode="r", config=CONFIG)
        self.reader.refresh()
        docs = self.reader.collection("docs")
        assert docs.count() == len(self.model.entries)
        self.check_search(docs, self.vector(np.random.default_rng(seed), "a"), "a", 10, exact=True)

    @precondition(lambda self: self.backups < 2)
    @rule(compact=st.booleans())
    def backup(self, *, compact: bool) -> None:
        self.backups += 1
        path = self.base / f"backup{self.backups}"
        self.db.backup(path, compact=compact)
        with vecdb.open(path, mode="r", config=CONFIG) as copy:
            docs = copy.collection("docs")
            assert docs.count() == len(self.model.entries)
            self.check_search(docs, np.ones(DIMS["b"], dtype=np.float32), "b", 10, exact=True)

    @rule()
    def verify(self) -> None:
        report = self.db.verify()
        assert report.ok, report.problems
        for name in DIMS:
            graphs = self.docs.validate(field=name)
            listed = graphs if isinstance(graphs, (list, tuple)) else [graphs]
            assert not [problem for graph in listed for problem in graph.problems]

    @invariant()
    def counts_agree(self) -> None:
        if hasattr(self, "docs"):
            assert self.docs.count() == len(self.docs) == len(self.model.entries)


TestDatabase = DatabaseMachine.TestCase
_thorough = settings.get_current_profile_name() == "torture"
TestDatabase.settings = settings(
    max_examples=TORTURE_EXAMPLES if _thorough else EXAMPLES,
    stateful_step_count=TORTURE_STEPS if _thorough else STEPS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

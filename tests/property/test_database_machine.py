"""A random sequence of calls against the engine and against a dict; whatever the order, they must agree.

Profiles: HYPOTHESIS_PROFILE=torture runs many more and longer sequences.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import vecdb
from tests.harness.model import Model, assert_exact_hits, assert_hits, id_order
from tests.oracle_filters import filter_matches
from vecdb import F, Filter
from vecdb.config import EngineConfig
from vecdb.engine import clock
from vecdb.engine.expiry import instant
from vecdb.errors import RecordExistsError, RecordNotFoundError, VersionConflictError
from vecdb.types import Field, FloatArray, IndexKind, RecordId

DIMS = {"a": 8, "b": 3}
CONFIG = EngineConfig(tail_rows_index=24, threads=1, progress=False, map_bytes=1 << 31, index_loads=True)
EXAMPLES, STEPS = 25, 30
TORTURE_EXAMPLES, TORTURE_STEPS = 1_000, 100

KEYS = st.integers(0, 119)
SEEDS = st.integers(0, 2**32 - 1)
COUNTS = st.sampled_from([1, 2, 5, 17, 40])
STEP_MICROS = 1_000_000
LIFETIMES = st.sampled_from([None, None, 1, 3])
"""Steps of the clock until a record expires; None: it does not."""

LIMITS = st.sampled_from([1, 3, 10, 200])
TAGS = st.lists(st.sampled_from("abc"), max_size=2)
SMALL = st.fixed_dictionaries({}, optional={"n": st.integers(0, 5) | st.sampled_from(("a", 1.5)), "tags": TAGS})
VALUES = st.integers(-(2**63), 2**64 - 1) | st.text(max_size=8) | st.none()
ANY = st.dictionaries(st.text(max_size=4), VALUES, max_size=3)
METADATA = SMALL | ANY
INDEXES: tuple[tuple[str, IndexKind], ...] = (("n", "int"), ("n", "keyword"), ("tags", "keyword"))
FILTERS = (
    F("n") >= 3,
    ~(F("n") < 2),
    F("n").in_([1, "a"]) | F("tags").contains("b"),
    F("tags").size() == 2,
    (F("n") != 4) & F("n").exists(),
)


def record_id(key: int) -> RecordId:
    """A key as int or str by turns."""
    return key if key % 2 else f"k{key}"


class DatabaseMachine(RuleBasedStateMachine):
    """One collection of two fields in a directory, with a reader beside the writer, and one that only transactions use.

    Searches and counts include what has expired until it is removed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now: int = 0
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(clock, "now_micros", lambda: self.now)
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
        self.db.create_collection("log", dim=1, metric="l2")
        self.logged = 0

    def teardown(self) -> None:
        self.patch.undo()
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

    def expiry(self, lifetime: int | None) -> int | None:
        """When what is written now expires."""
        return None if lifetime is None else self.now + lifetime * STEP_MICROS

    @rule(steps=st.integers(1, 2))
    def time_goes_by(self, steps: int) -> None:
        self.now += steps * STEP_MICROS
        if hasattr(self, "model"):
            self.model.now = self.now

    @rule(key=KEYS, count=COUNTS, seed=SEEDS, metadata=METADATA, lifetime=LIFETIMES)
    def upsert(self, key: int, count: int, seed: int, metadata: dict[str, Any], lifetime: int | None) -> None:
        ids, vectors = self.batch(key, count, seed)
        records = [{"id": i, "vectors": v, "metadata": metadata} for i, v in zip(ids, vectors, strict=True)]
        expires = self.expiry(lifetime)
        result = self.docs.upsert(records, expires_at=None if expires is None else instant(expires))
        assert result.count == count
        self.acknowledged(result.seq)
        for i, v in zip(ids, vectors, strict=True):
            self.model.put(i, metadata, version=result.seq, expires=expires, **v)

    @rule(key=KEYS, count=COUNTS, seed=SEEDS, wrong=st.integers(0, 3))
    def upsert_under_versions(self, key: int, count: int, seed: int, wrong: int) -> None:
        """The right versions but for every `wrong`-th (0: none)."""
        ids, vectors = self.batch(key, count, seed)
        versions = [self.model.version(i) + (wrong > 0 and n % wrong == 0) for n, i in enumerate(ids)]
        records: Any = [
            {"id": i, "vectors": v, "if_version": n} for i, v, n in zip(ids, vectors, versions, strict=True)
        ]
        conflicts = sum(n != self.model.version(i) for i, n in zip(ids, versions, strict=True))
        if conflicts:
            with pytest.raises(VersionConflictError, match=f"^{conflicts} of {count} "):
                self.docs.upsert(records)
            return
        result = self.docs.upsert(records)
        self.acknowledged(result.seq)
        for i, v in zip(ids, vectors, strict=True):
            self.model.put(i, None, version=result.seq, expires=None, **v)

    @rule(key=KEYS, count=COUNTS, off=st.sampled_from([0, 0, 1]))
    def delete_under_versions(self, key: int, count: int, off: int) -> None:
        ids = [record_id((key + n) % 120) for n in range(count)]
        versions = [self.model.version(ids[0]) + off, *[None] * (count - 1)]
        try:
            result = self.docs.delete(ids, if_version=versions)
        except VersionConflictError:
            assert off
            return
        assert not off
        assert result.count == self.model.delete(ids)

    @rule(key=KEYS, seed=SEEDS, inserted=KEYS, metadata=METADATA, lifetime=LIFETIMES, off=st.sampled_from([0, 0, 1]))
    def transaction(
        self, key: int, seed: int, inserted: int, metadata: dict[str, Any], lifetime: int | None, off: int
    ) -> None:
        """Delete, insert, and update what was inserted, with an entry in another collection: all or nothing."""
        gone, [[new], [vectors]] = [record_id(key)], self.batch(inserted, 1, seed)
        expires = self.expiry(lifetime)
        there = gone != [new] and self.model.alive(new) is not None
        tx = self.db.transaction()

        def write_all() -> None:
            with tx:
                tx.collection("log").insert([self.logged], [[1.0]])
                tx.collection("docs").delete(gone, if_version=self.model.version(gone[0]) + off)
                tx.collection("docs").insert([{"id": new, "vectors": vectors}])
                tx.collection("docs").update(
                    new, metadata=metadata, expires_at=None if expires is None else instant(expires)
                )

        if off or there:
            with pytest.raises(VersionConflictError if off else RecordExistsError):
                write_all()
            return
        write_all()
        self.acknowledged(tx.result.seq)
        self.logged += 1
        self.model.delete(gone)
        self.model.put(new, metadata, version=tx.result.seq, expires=expires, **vectors)

    @rule(key=KEYS, count=COUNTS, seed=SEEDS)
    def insert(self, key: int, count: int, seed: int) -> None:
        ids, vectors = self.batch(key, count, seed)
        records = [{"id": i, "vectors": v} for i, v in zip(ids, vectors, strict=True)]
        try:
            seq = self.docs.insert(records).seq
        except RecordExistsError:
            assert any(self.model.alive(i) for i in ids)
            return
        assert not any(self.model.alive(i) for i in ids)
        self.acknowledged(seq)
        for i, v in zip(ids, vectors, strict=True):
            self.model.put(i, None, version=seq, expires=None, **v)

    @rule(key=KEYS, count=COUNTS)
    def delete(self, key: int, count: int) -> None:
        ids = [record_id((key + n) % 120) for n in range(count)]
        result = self.docs.delete(ids=ids)
        assert result.count == self.model.delete(ids)

    @rule(key=KEYS, metadata=METADATA, lifetime=LIFETIMES)
    def update_metadata(self, key: int, metadata: dict[str, Any], lifetime: int | None) -> None:
        expires = self.expiry(lifetime)
        try:
            seq = self.docs.update(
                record_id(key), metadata=metadata, expires_at=None if expires is None else instant(expires)
            ).seq
        except RecordNotFoundError:
            assert self.model.alive(record_id(key)) is None
            return
        self.acknowledged(seq)
        entry = self.model.alive(record_id(key))
        assert entry is not None
        entry.metadata = entry.metadata | metadata  # update merges the top-level keys
        entry.version, entry.expires = seq, entry.expires if expires is None else expires

    @rule(key=KEYS)
    def clear_expiry(self, key: int) -> None:
        entry = self.model.alive(record_id(key))
        if entry is not None:
            entry.version = self.docs.update(record_id(key), expires_at="never", if_version=entry.version).seq
            entry.expires = None
            self.acknowledged(entry.version)

    @rule(key=KEYS, name=st.sampled_from(["a", "b"]), seed=SEEDS)
    def update_vector(self, key: int, name: str, seed: int) -> None:
        vector = self.vector(np.random.default_rng(seed), name)
        try:
            seq = self.docs.update(record_id(key), vectors={name: vector}).seq
        except RecordNotFoundError:
            assert self.model.alive(record_id(key)) is None
            return
        self.acknowledged(seq)
        entry = self.model.alive(record_id(key))
        assert entry is not None
        vectors = entry.vectors | {name: vector}
        self.model.put(record_id(key), entry.metadata, version=seq, expires=entry.expires, **vectors)

    @rule(key=KEYS, count=COUNTS, seed=SEEDS, changed=KEYS)
    def set_vectors(self, key: int, count: int, seed: int, changed: int) -> None:
        """Whoever is not there, or of another version than is said of one of them, is passed over."""
        ids, vectors = self.batch(key, count, seed)
        versions = [self.model.version(i) + (i == record_id(changed)) or None for i in ids]
        columns = {name: [one.get(name) for one in vectors] for name in DIMS}
        result = self.docs.set_vectors(ids, columns, if_version=versions, skip_changed=True)
        kept = [i for i in ids if self.model.alive(i) is not None and i != record_id(changed)]
        assert result.count == len(kept)
        if not kept:
            return
        self.acknowledged(result.seq)
        for i, v in zip(ids, vectors, strict=True):
            entry = self.model.alive(i)
            if entry is not None and i in kept:
                both = entry.vectors | v
                self.model.put(i, entry.metadata, version=result.seq, expires=entry.expires, **both)

    @rule(seed=SEEDS)
    def replace_field(self, seed: int) -> None:
        """Another field, of some of the records, takes the place of "b", which goes."""
        rng = np.random.default_rng(seed)
        chosen = {i: self.vector(rng, "b") for i in self.model.living() if rng.random() < 0.8}
        self.docs.add_field("next", Field(dim=DIMS["b"], metric="l2", m=4))
        if chosen:
            result = self.docs.set_vectors(list(chosen), {"next": list(chosen.values())})
            self.acknowledged(result.seq)
        self.docs.switch_field("b", "next", keep_as="old")
        self.docs.drop_field("old")
        for i, entry in self.model.entries.items():
            entry.vectors.pop("b", None)
            if i in chosen:
                entry.vectors["b"], entry.version = chosen[i], result.seq

    @rule(key=KEYS)
    def get(self, key: int) -> None:
        self.same_record(self.docs.get(record_id(key), with_vectors=True), record_id(key))

    def same_record(self, record: Any, expected_id: RecordId) -> None:
        entry = self.model.alive(expected_id)
        assert (expected_id in self.docs) == (entry is not None)
        if entry is None:
            assert record is None
            return
        assert (record.id, record.metadata, record.version) == (expected_id, entry.metadata, entry.version)
        assert record.expires_at == (None if entry.expires is None else instant(entry.expires))
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
        expected = sorted(filter(self.model.alive, self.model.entries), key=id_order)
        assert [record.id for record in records] == expected[: len(records)]
        assert len(records) == len(expected) or page.cursor is not None
        for record in records:
            self.same_record(record, record.id)

    @rule(index=st.sampled_from(INDEXES), drop=st.booleans())
    def index(self, index: tuple[str, IndexKind], *, drop: bool) -> None:
        known = [(found.path, found.kind) for found in self.docs.indexes]
        if drop and index in known:
            self.docs.drop_index(*index)
        else:
            self.docs.create_index(*index, exist_ok=True)

    @rule(wanted=st.sampled_from(FILTERS), seed=SEEDS)
    def filtered(self, wanted: Filter, seed: int) -> None:
        want = [i for i, entry in self.model.living().items() if filter_matches(wanted, entry.metadata)]
        assert [record.id for record in self.docs.iterate(filter=wanted)] == sorted(want, key=id_order)
        assert self.docs.count(wanted) == len(want)
        field = [i for i in want if "a" in self.model.entries[i].vectors]
        hits = self.docs.search(self.vector(np.random.default_rng(seed), "a"), 9, field="a", filter=wanted)
        assert set(hits.ids) <= set(field)
        assert len(hits) == min(9, len(field))

    @rule(wanted=st.sampled_from(FILTERS))
    def delete_matching(self, wanted: Filter) -> None:
        want = [i for i, entry in self.model.living().items() if filter_matches(wanted, entry.metadata)]
        result = self.docs.delete(filter=wanted)
        assert result.count == len(want)
        self.model.delete(want)

    @rule()
    def optimize(self) -> None:
        self.docs.optimize()
        for name in DIMS:
            stats = self.docs.stats().fields[name]
            assert stats.segments <= 1
            assert stats.dead_rows == 0
            assert stats.tail_rows < CONFIG.tail_rows_index
            stored = sum(name in entry.vectors for entry in self.model.entries.values())
            assert len(self.model.ids_of(name)) <= stats.rows <= stored, "expired records may have been removed"

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
        assert docs.count() == len(self.model.living())
        self.check_search(docs, self.vector(np.random.default_rng(seed), "a"), "a", 10, exact=True)

    @precondition(lambda self: self.backups < 2)
    @rule(compact=st.booleans())
    def backup(self, *, compact: bool) -> None:
        self.backups += 1
        path = self.base / f"backup{self.backups}"
        self.db.backup(path, compact=compact)
        with vecdb.open(path, mode="r", config=CONFIG) as copy:
            docs = copy.collection("docs")
            assert docs.count() == len(self.model.living())
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
            assert self.docs.count() == len(self.docs) == len(self.model.living())
            assert self.db.collection("log").count() == self.logged


TestDatabase = DatabaseMachine.TestCase
_thorough = settings.get_current_profile_name() == "torture"
TestDatabase.settings = settings(
    max_examples=TORTURE_EXAMPLES if _thorough else EXAMPLES,
    stateful_step_count=TORTURE_STEPS if _thorough else STEPS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

"""Fields that change while others write, search and index: what is refused, what is freed, what is never mixed."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest

import vecdb
from tests.unit.engine.filling import CONFIG, DIM, field_of, fill, rows, stored_keys
from tests.unit.engine.test_compaction import during_a_job, indexer_of
from vecdb.engine.bulk import BulkWrites
from vecdb.engine.expired import RemoveExpired
from vecdb.engine.schema import CollectionSchema
from vecdb.errors import ConflictError, CorruptionError, FieldNotFoundError
from vecdb.fingerprint import ModelFingerprint
from vecdb.storage import codec, keys
from vecdb.storage.keys import Table
from vecdb.types import Field

NEXT = Field(dim=DIM, metric="l2", m=4, ef_construction=16)
FIELD_TABLES = (Table.TAIL, Table.SEGMENTS, Table.CHUNKS)


@pytest.fixture
def filled(docs: vecdb.Collection) -> vecdb.Collection:
    """50 records, each with a vector in "default" and another in "next"."""
    fill(docs, 50)
    docs.add_field("next", NEXT)
    docs.set_vectors(list(range(50)), {"next": rows(50, seed=9)})
    return docs


def keys_of_field(db: vecdb.Database, number: int) -> list[bytes]:
    """Keys of rows and segments of a field of collection 1."""
    prefix = keys.field_prefix(1, number)
    found = stored_keys(db, *FIELD_TABLES)
    return [key for table in FIELD_TABLES for key in found[table] if key.startswith(prefix)]


# --- writes on their way ----------------------------------------------------------------------------------------------


def test_a_write_prepared_before_a_switch_is_not_stored_as_what_the_name_means_now(
    db: vecdb.Database, filled: vecdb.Collection
) -> None:
    bulk = BulkWrites(db, "docs")
    prepared = [bulk.upsert([1], rows(1)), bulk.set_vectors([2], {"next": rows(1)}), bulk.update(3, vector=rows(1)[0])]
    filled.switch_field("default", "next")
    outcomes = bulk.commit(prepared)
    assert all(isinstance(outcome, ConflictError) for outcome in outcomes)
    assert db.verify().problems == ()


def test_a_write_to_a_field_that_was_dropped_meanwhile_is_refused(db: vecdb.Database, filled: vecdb.Collection) -> None:
    bulk = BulkWrites(db, "docs")
    prepared = [bulk.set_vectors([2], {"next": rows(1)}), bulk.upsert([99], rows(1))]
    filled.drop_field("next")
    refused, stored = bulk.commit(prepared)
    assert isinstance(refused, ConflictError)
    assert isinstance(stored, vecdb.WriteResult)


def test_a_write_that_was_prepared_before_a_field_was_added_counts_it_in(
    db: vecdb.Database, docs: vecdb.Collection
) -> None:
    """The record that it replaces has a row in the new field, which must die with it."""
    fill(docs, 3)
    bulk = BulkWrites(db, "docs")
    prepared = [bulk.upsert([1], rows(1)), bulk.delete(2), bulk.update(0, vector=rows(1)[0])]
    docs.add_field("next", NEXT)
    docs.set_vectors([0, 1, 2], {"next": rows(3)})
    assert all(isinstance(outcome, vecdb.WriteResult) for outcome in bulk.commit(prepared))
    assert docs.stats().fields["next"].rows == 1
    found = docs.get(0, with_vectors=True)
    assert found is not None
    assert set(found.vectors) == {"default", "next"}
    assert db.verify().problems == ()


def test_the_removal_of_what_has_expired_counts_in_a_field_added_meanwhile(
    db: vecdb.Database, docs: vecdb.Collection
) -> None:
    docs.upsert([1, 2], rows(2), expires_at=[datetime(2000, 1, 1, tzinfo=UTC), None])
    prepared = RemoveExpired(docs._schema, np.arange(2, dtype=np.uint32))
    docs.add_field("next", NEXT)
    docs.set_vectors([2], {"next": rows(1)})
    assert db.submit(prepared).count == 1
    assert docs.count() == docs.stats().fields["next"].rows == 1
    assert db.verify().problems == ()


def test_what_is_prepared_after_a_switch_by_who_was_there_before_it_is_stored(
    db: vecdb.Database, filled: vecdb.Collection
) -> None:
    bulk = BulkWrites(db, "docs")
    filled.switch_field("default", "next", keep_as="before")
    assert isinstance(bulk.commit([bulk.upsert([1], rows(1))])[0], vecdb.WriteResult)
    found = filled.get(1, with_vectors=True)
    assert found is not None
    assert set(found.vectors) == {"default"}


# --- searches and jobs under way --------------------------------------------------------------------------------------


def test_searches_during_switches_see_one_field_or_the_other(docs: vecdb.Collection) -> None:
    """In either field another record is the nearest, and every hit comes with the vector it was found by."""
    query, near = np.ones(DIM, dtype=np.float32), np.ones((1, DIM), dtype=np.float32)
    docs.add_field("next", NEXT)
    docs.upsert(["old", "new"], {"default": np.concatenate([near, near + 5]), "next": np.concatenate([near + 5, near])})
    seen: list[tuple[object, float, float]] = []
    ended = threading.Event()

    def search() -> None:
        while not ended.is_set():
            hit = docs.search(query, 1, with_vectors=True)[0]
            assert hit.vector is not None
            seen.append((hit.id, hit.distance, float(np.linalg.norm(hit.vector - query))))

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    while {found for found, *_ in seen} != {"old", "new"}:
        docs.switch_field("default", "next")
    ended.set()
    for thread in threads:
        thread.join()
    assert {(distance, measured) for _, distance, measured in seen} == {(0.0, 0.0)}


def test_a_field_dropped_during_its_job_takes_the_job_with_it(
    db: vecdb.Database, filled: vecdb.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped: list[str] = []

    def drop_once() -> None:
        if not dropped:
            dropped.append("default")
            filled.drop_field("default")

    during_a_job(monkeypatch, drop_once)
    filled.optimize()
    assert dropped
    assert keys_of_field(db, 0) == []
    assert filled.stats().fields["next"].segments == 1
    assert db.verify().problems == ()


def test_a_switch_during_a_job_leaves_the_segment_with_its_field(
    db: vecdb.Database, filled: vecdb.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    during_a_job(monkeypatch, lambda: filled.switch_field("default", "next"))
    filled.optimize()
    stats = filled.stats().fields
    assert [stats[name].segments for name in ("default", "next")] == [1, 1]
    assert filled.search(rows(50)[7], 1).ids == filled.search(rows(50, seed=9)[7], 1, field="next").ids == [7]
    assert db.verify().problems == ()


# --- space ----------------------------------------------------------------------------------------------------------


def test_what_a_dropped_field_held_is_freed_in_the_background(db: vecdb.Database, filled: vecdb.Collection) -> None:
    filled.optimize()
    filled.set_vectors([1], {"next": rows(1)})
    assert {key[:6] for key in keys_of_field(db, 1)} == {keys.field_prefix(1, 1)}
    filled.drop_field("next")
    indexer_of(db)._work()
    assert keys_of_field(db, 1) == []
    assert keys_of_field(db, 0) != []


def test_what_a_crash_left_of_a_dropped_field_is_freed_at_the_next_open(tmp_path: Path) -> None:
    with vecdb.open(tmp_path / "db", config=CONFIG) as db:
        docs = db.create_collection("docs", dim=DIM, metric="l2")
        docs.add_field("next", NEXT)
        docs.upsert(list(range(50)), {"default": rows(50), "next": rows(50)})
        docs.optimize()
        docs.drop_field("next")
        assert keys_of_field(db, 1) != []
    with vecdb.open(tmp_path / "db", config=CONFIG) as db:
        assert keys_of_field(db, 1) == []
        assert db.collection("docs").search(rows(50)[7], 1).ids == [7]


def test_numbers_of_dropped_fields_are_not_used_again(filled: vecdb.Collection) -> None:
    filled.drop_field("next")
    filled.add_field("next", NEXT)
    assert [field.number for field in filled._schema.fields] == [0, 2]
    assert filled.stats().fields["next"].rows == 0


# --- fields that are filled -------------------------------------------------------------------------------------------


def test_filling_a_field_leaves_records_and_the_other_fields_where_they_are(
    db: vecdb.Database, docs: vecdb.Collection
) -> None:
    fill(docs, 50)
    docs.optimize()
    view = field_of(db)
    docs.add_field("next", NEXT)
    docs.set_vectors(list(range(49, -1, -1)), {"next": rows(50, seed=9)[::-1].copy()})
    assert field_of(db).segments[0] is view.segments[0]
    assert (field_of(db).segments[0].dead_count, field_of(db).tail.live) == (0, 0)
    assert docs.search(rows(50, seed=9)[7], 1, field="next").ids == [7]


def test_rows_that_are_numbered_by_arrival_are_sealed_found_and_read_again(tmp_path: Path) -> None:
    """Filled in two parts, of which an index job takes the first; what is killed between is dead after a restart."""
    x = rows(60, seed=9)
    with vecdb.open(tmp_path / "db", config=CONFIG) as db:
        docs = db.create_collection("docs", dim=DIM, metric="l2")
        fill(docs, 60)
        docs.add_field("next", NEXT)
        docs.set_vectors(list(range(40, 60)), {"next": x[40:]})
        docs.optimize()
        docs.set_vectors(list(range(40)), {"next": x[:40]})
        docs.delete([3, 50])
        docs.set_vectors([5], {"next": -x[5:6]})
        before = [docs.search(row, 3, field="next", exact=True).ids for row in x]
        assert docs.stats().fields["next"].rows == 58
    with vecdb.open(tmp_path / "db", config=CONFIG) as db:
        docs = db.collection("docs")
        assert docs.stats().fields["next"].rows == 58
        assert [docs.search(row, 3, field="next", exact=True).ids for row in x] == before
        docs.optimize()
        assert docs.stats().fields["next"].segment_rows == (58,)
        assert [docs.search(row, 3, field="next", exact=True).ids for row in x] == before
        assert stored_keys(db, Table.TAIL)[Table.TAIL] == []
        assert db.verify().problems == ()


def test_operations_of_one_transaction_see_what_those_before_them_filled(
    db: vecdb.Database, docs: vecdb.Collection
) -> None:
    fill(docs, 4)
    docs.add_field("next", NEXT)
    with db.transaction() as tx:
        inside = tx.collection("docs")
        inside.set_vectors([1, 2], {"next": rows(2)})
        inside.update(2, vector=rows(1)[0])
        inside.delete(filter=~vecdb.F.has_vector("next"))
    assert [record.id for record in docs.iterate()] == [1, 2]
    found = docs.get(2, with_vectors=True)
    assert found is not None
    assert found.vectors["next"].tolist() == rows(2)[1].tolist()
    assert db.verify().problems == ()


# --- the catalog ------------------------------------------------------------------------------------------------------


def catalog_value(db: vecdb.Database) -> bytes:
    key = keys.catalog_key("docs")
    with db._environment.begin_read() as txn:
        value = txn.get(Table.CATALOG, key)
        assert value is not None
        return bytes(codec.open_value(Table.CATALOG, key, value))


def test_a_catalog_of_before_there_were_models_is_read() -> None:
    field = {
        "number": 0,
        "name": "default",
        "dim": 3,
        "metric": "l2",
        "dtype": "float32",
        "m": 4,
        "ef_construction": 8,
        "builder": "vecdb",
    }
    stored = msgspec.msgpack.encode({"number": 1, "name": "docs", "fields": [field], "ttl_field": None})
    schema = msgspec.msgpack.decode(stored, type=CollectionSchema)
    assert schema.field(None).public() == Field(dim=3, metric="l2", m=4, ef_construction=8)


def test_what_a_field_does_not_have_takes_no_room_in_the_catalog(db: vecdb.Database, docs: vecdb.Collection) -> None:
    assert docs.fields
    before = msgspec.msgpack.decode(catalog_value(db))
    assert set(before["fields"][0]).isdisjoint({"model", "added", "follows"})


def test_a_model_outlives_the_process_with_where_it_was_found(tmp_path: Path) -> None:
    model = ModelFingerprint(provider="onnx", name="m", dim=DIM, location="/models/m")
    with vecdb.open(tmp_path / "db", config=CONFIG) as db:
        db.create_collection("docs", model=model)
    with vecdb.open(tmp_path / "db", mode="r", config=CONFIG) as db:
        found = db.collection("docs").model()
    assert found is not None
    assert found.to_dict() == model.to_dict()


def test_a_catalog_that_lists_a_field_without_a_state_is_damage(tmp_path: Path) -> None:
    with vecdb.open(tmp_path / "db", config=CONFIG) as db:
        docs = db.create_collection("docs", dim=DIM)
        docs.add_field("next", NEXT)
        schema = docs._schema
        fields = (schema.fields[0], msgspec.structs.replace(schema.fields[1], number=7))
        key = keys.catalog_key("docs")
        with db._environment.write() as txn:
            txn.put(Table.CATALOG, key, codec.encode_struct(Table.CATALOG, key, schema.with_fields(fields)))
    with pytest.raises(CorruptionError, match="state"):
        vecdb.open(tmp_path / "db", config=CONFIG)


def test_a_record_whose_only_vector_followed_a_text_is_no_damage(db: vecdb.Database) -> None:
    made = db.create_collection("texts", fields={"default": Field(dim=DIM, follows=("text",))})
    made.upsert(["a", "b"], rows(2), [{"text": "one"}, {"text": "two"}])
    made.update("a", metadata={"text": "changed"})
    assert made.search(rows(1)[0]).ids == ["b"]
    assert db.verify().problems == ()


def test_a_handle_of_a_dropped_field_is_told_which_there_are(filled: vecdb.Collection) -> None:
    filled.drop_field("next")
    with pytest.raises(FieldNotFoundError, match="'default'"):
        filled.upsert([1], {"next": rows(1)})

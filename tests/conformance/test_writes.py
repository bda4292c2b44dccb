"""What upsert, insert, update and delete do to the records, and what they acknowledge."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from tests.conformance.conftest import DIM
from tests.conformance.fronts import CollectionLike, DatabaseLike
from vecdb.errors import (
    InvalidMetadataError,
    InvalidRequestError,
    RecordExistsError,
    RecordNotFoundError,
    TransactionEndedError,
    VersionConflictError,
)
from vecdb.types import Field, RecordId

PAST, FUTURE = datetime(2000, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, 12, tzinfo=UTC)


def rows(rng: np.random.Generator, count: int) -> Any:
    return rng.standard_normal((count, DIM)).astype(np.float32)


def vector(docs: CollectionLike, record_id: RecordId) -> Any:
    return docs.get(record_id, with_vectors=True).vector


def test_upsert_of_columns_stores_every_record(docs: CollectionLike, rng: np.random.Generator) -> None:
    x = rows(rng, 5)
    result = docs.upsert(list("abcde"), x, [{"n": n} for n in range(5)])
    assert result.count == 5
    records = docs.get(list("abcde"), with_vectors=True)
    assert [record.id for record in records] == list("abcde")
    assert [record.metadata for record in records] == [{"n": n} for n in range(5)]
    np.testing.assert_array_equal([record.vector for record in records], x)


def test_upsert_of_records_stores_every_record(docs: CollectionLike, rng: np.random.Generator) -> None:
    x = rows(rng, 2)
    docs.upsert([{"id": "a", "vector": x[0], "metadata": {"n": 0}}, {"id": "b", "vector": x[1].tolist()}])
    assert docs.get("a").metadata == {"n": 0}
    assert docs.get("b").metadata == {}
    np.testing.assert_array_equal(vector(docs, "b"), x[1])


def test_metadata_may_be_left_out(docs: CollectionLike, rng: np.random.Generator) -> None:
    docs.upsert(["a"], rows(rng, 1))
    assert docs.get("a").metadata == {}


@pytest.mark.parametrize(
    "convert",
    [
        pytest.param(lambda x: x, id="float32"),
        pytest.param(lambda x: x.astype(np.float64), id="float64"),
        pytest.param(lambda x: x.tolist(), id="lists"),
        pytest.param(list, id="list-of-arrays"),
        pytest.param(np.asfortranarray, id="column-major"),
        pytest.param(lambda x: np.repeat(x, 2, axis=1)[:, ::2], id="strided"),
        pytest.param(lambda x: x[::-1][::-1], id="negative-strides"),
        pytest.param(lambda x: x.astype(">f4"), id="big-endian"),
    ],
)
def test_every_form_of_the_same_vectors_is_stored_alike(
    docs: CollectionLike, rng: np.random.Generator, convert: Any
) -> None:
    x = rows(rng, 3)
    docs.upsert([1, 2, 3], convert(x))
    np.testing.assert_array_equal([vector(docs, i) for i in (1, 2, 3)], x)


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint8", "float16"])
def test_vectors_of_other_numbers_are_stored_as_their_values(docs: CollectionLike, dtype: str) -> None:
    x = np.arange(1, 2 * DIM + 1, dtype=dtype).reshape(2, DIM)
    docs.upsert(["a", "b"], x)
    np.testing.assert_array_equal(vector(docs, "b"), x[1].astype(np.float32))


def test_read_only_vectors_are_accepted(docs: CollectionLike, rng: np.random.Generator) -> None:
    x = rows(rng, 2)
    x.setflags(write=False)
    assert docs.upsert(["a", "b"], x).count == 2


def test_changing_the_callers_array_after_a_write_changes_nothing_stored(
    docs: CollectionLike, rng: np.random.Generator
) -> None:
    x = rows(rng, 1)
    kept = x.copy()
    docs.upsert(["a"], x)
    x[:] = 7.0
    np.testing.assert_array_equal(vector(docs, "a"), kept[0])


def test_ids_come_back_as_the_type_they_were_given_in(docs: CollectionLike, rng: np.random.Generator) -> None:
    ids: list[RecordId] = ["1", 1, uuid.UUID(int=1), 0, 2**64 - 1, "ü" * 100, uuid.uuid4()]
    docs.upsert(ids, rows(rng, len(ids)))
    got = [record.id for record in docs.get(ids)]
    assert got == ids
    assert [type(i) for i in got] == [type(i) for i in ids]
    assert {(type(i), i) for i in docs.search(rows(rng, 1)[0], limit=10, exact=True).ids} == {(type(i), i) for i in ids}


def test_an_int_its_text_and_its_uuid_are_three_ids(docs: CollectionLike, rng: np.random.Generator) -> None:
    docs.upsert([7, "7", uuid.UUID(int=7)], rows(rng, 3))
    docs.delete(ids=[7])
    assert 7 not in docs
    assert "7" in docs
    assert uuid.UUID(int=7) in docs


def test_numpy_ids_are_stored_as_ints(docs: CollectionLike, rng: np.random.Generator) -> None:
    docs.upsert(np.arange(3), rows(rng, 3))
    assert docs.get(2).id == 2
    assert type(docs.get(2).id) is int


def test_upsert_replaces_the_whole_record(docs: CollectionLike, rng: np.random.Generator) -> None:
    x = rows(rng, 2)
    docs.upsert(["a"], x[:1], [{"old": True}])
    docs.upsert(["a"], x[1:], [{"new": True}])
    assert docs.get("a").metadata == {"new": True}
    np.testing.assert_array_equal(vector(docs, "a"), x[1])
    assert docs.count() == 1


def test_upsert_without_metadata_clears_the_old_metadata(docs: CollectionLike, rng: np.random.Generator) -> None:
    docs.upsert(["a"], rows(rng, 1), [{"old": True}])
    docs.upsert(["a"], rows(rng, 1))
    assert docs.get("a").metadata == {}


def test_insert_stores_new_records(docs: CollectionLike, rng: np.random.Generator) -> None:
    assert docs.insert(["a", "b"], rows(rng, 2)).count == 2
    assert docs.count() == 2


def test_insert_of_a_stored_id_changes_nothing(docs: CollectionLike, rng: np.random.Generator) -> None:
    docs.insert(["b"], rows(rng, 1), [{"n": 1}])
    with pytest.raises(RecordExistsError, match="'b'"):
        docs.insert(["a", "b", "c"], rows(rng, 3))
    assert docs.count() == 1
    assert docs.get("b").metadata == {"n": 1}


def test_update_of_metadata_keeps_the_vector(docs: CollectionLike, rng: np.random.Generator) -> None:
    x = rows(rng, 1)
    docs.upsert(["a"], x, [{"n": 1}])
    docs.update("a", metadata={"n": 2})
    assert docs.get("a").metadata == {"n": 2}
    np.testing.assert_array_equal(vector(docs, "a"), x[0])


def test_update_of_metadata_keeps_the_keys_it_does_not_name(docs: CollectionLike, rng: np.random.Generator) -> None:
    docs.upsert(["a"], rows(rng, 1), [{"n": 1, "kept": {"x": 1}}])
    docs.update("a", metadata={"n": None, "new": 3})
    assert docs.get("a").metadata == {"n": None, "kept": {"x": 1}, "new": 3}


def test_update_of_a_vector_keeps_the_metadata(docs: CollectionLike, rng: np.random.Generator) -> None:
    x = rows(rng, 2)
    docs.upsert(["a"], x[:1], [{"n": 1}])
    docs.update("a", vector=x[1])
    assert docs.get("a").metadata == {"n": 1}
    np.testing.assert_array_equal(vector(docs, "a"), x[1])
    assert docs.search(x[1], limit=1)[0].distance == pytest.approx(0, abs=1e-6)


def test_update_of_a_missing_id_is_an_error(docs: CollectionLike) -> None:
    with pytest.raises(RecordNotFoundError, match="'ghost'"):
        docs.update("ghost", metadata={"n": 2})


def test_delete_counts_only_the_ids_that_existed(docs: CollectionLike, rng: np.random.Generator) -> None:
    docs.upsert(["a", "b", "c"], rows(rng, 3))
    assert docs.delete(ids=["a", "ghost", "c"]).count == 2
    assert docs.count() == 1
    assert docs.delete(ids=["a"]).count == 0


def test_a_deleted_id_can_be_inserted_again(docs: CollectionLike, rng: np.random.Generator) -> None:
    x = rows(rng, 2)
    docs.upsert(["a"], x[:1], [{"n": 1}])
    docs.delete(ids=["a"])
    assert docs.get("a") is None
    docs.insert(["a"], x[1:])
    assert docs.get("a").metadata == {}
    np.testing.assert_array_equal(vector(docs, "a"), x[1])


def test_every_acknowledged_write_has_a_higher_seq(
    db: DatabaseLike, docs: CollectionLike, rng: np.random.Generator
) -> None:
    seqs = [
        docs.upsert(["a"], rows(rng, 1)).seq,
        docs.insert(["b"], rows(rng, 1)).seq,
        docs.update("a", metadata={"n": 1}).seq,
        docs.delete(ids=["b"]).seq,
    ]
    assert seqs == sorted(set(seqs))
    assert db.seq >= seqs[-1]


def test_an_empty_batch_is_accepted_and_changes_nothing(docs: CollectionLike) -> None:
    assert docs.upsert([], np.empty((0, DIM), dtype=np.float32)).count == 0
    assert docs.delete(ids=[]).count == 0
    assert docs.count() == 0


def test_metadata_of_every_kind_comes_back_equal(docs: CollectionLike, rng: np.random.Generator) -> None:
    metadata = {
        "none": None,
        "true": True,
        "zero": 0,
        "low": -(2**63),
        "high": 2**64 - 1,
        "float": 0.1,
        "tiny": 5e-324,
        "text": "naïve 漢字 \U0001f600 \x00",
        "": "an empty key",
        "list": [1, [2, [3, None]], {"x": []}],
        "dict": {"a": {"b": {"c": "d"}}},
    }
    docs.upsert(["a"], rows(rng, 1), [metadata])
    got = docs.get("a").metadata
    assert got == metadata
    assert got["true"] is True
    assert type(got["zero"]) is int
    assert docs.search(rows(rng, 1)[0], limit=1)[0].metadata == metadata


def test_a_datetime_in_metadata_comes_back_as_the_same_instant(docs: CollectionLike, rng: np.random.Generator) -> None:
    from datetime import UTC, datetime, timedelta, timezone

    here = datetime(2024, 2, 29, 23, 59, 59, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    docs.upsert(["a"], rows(rng, 1), [{"at": here, "nested": [{"at": here}]}])
    got = docs.get("a").metadata
    assert got["at"] == here == got["nested"][0]["at"]
    assert got["at"].astimezone(UTC) == here.astimezone(UTC)


def test_changing_returned_metadata_changes_nothing_stored(docs: CollectionLike, rng: np.random.Generator) -> None:
    docs.upsert(["a"], rows(rng, 1), [{"list": [1]}])
    docs.get("a").metadata["list"].append(2)
    assert docs.get("a").metadata == {"list": [1]}


def test_a_record_may_lack_a_field(db: DatabaseLike, rng: np.random.Generator) -> None:
    both = db.create_collection("both", fields={"text": Field(dim=8), "image": Field(dim=4, metric="l2")})
    text, image = rng.standard_normal((3, 8)), rng.standard_normal((3, 4))
    both.upsert(["a"], {"text": text[:1], "image": image[:1]})
    both.upsert([{"id": "b", "vectors": {"text": text[1]}}, {"id": "c", "vectors": {"image": image[2]}}])
    assert both.count() == 3
    assert set(both.search(text[0], field="text", limit=10).ids) == {"a", "b"}
    assert set(both.search(image[0], field="image", limit=10).ids) == {"a", "c"}
    assert set(both.get("b", with_vectors=True).vectors) == {"text"}


def test_update_of_one_field_keeps_the_others(db: DatabaseLike, rng: np.random.Generator) -> None:
    both = db.create_collection("both", fields={"text": Field(dim=8), "image": Field(dim=4, metric="l2")})
    text, image = rng.standard_normal((2, 8)), rng.standard_normal((1, 4))
    both.upsert(["a"], {"text": text[:1], "image": image})
    both.update("a", vectors={"text": text[1]})
    vectors = both.get("a", with_vectors=True).vectors
    np.testing.assert_array_equal(vectors["text"], text[1].astype(np.float32))
    np.testing.assert_array_equal(vectors["image"], image[0].astype(np.float32))


def test_update_can_add_a_field_the_record_lacked(db: DatabaseLike, rng: np.random.Generator) -> None:
    both = db.create_collection("both", fields={"text": Field(dim=8), "image": Field(dim=4, metric="l2")})
    image = rng.standard_normal(4)
    both.upsert([{"id": "b", "vectors": {"text": rng.standard_normal(8)}, "metadata": {"n": 1}}])
    both.update("b", vectors={"image": image})
    assert both.search(image, field="image", limit=1).ids == ["b"]
    assert both.get("b").metadata == {"n": 1}


# --- versions and conditions ------------------------------------------------------------------------------------------


def test_the_version_of_a_record_is_the_seq_of_its_last_write(docs: CollectionLike, rng: np.random.Generator) -> None:
    first = docs.upsert(["a", "b"], rows(rng, 2)).seq
    second = docs.update("a", metadata={"n": 1}).seq
    third = docs.insert(["c"], rows(rng, 1)).seq
    fourth = docs.update("b", vector=rows(rng, 1)[0]).seq
    assert [record.version for record in docs.get(list("abc"))] == [second, fourth, third]
    assert [record.version for record in docs.iterate()] == [second, fourth, third]
    assert first < second < third < fourth


def test_a_write_under_the_version_that_is_stored_succeeds(docs: CollectionLike, rng: np.random.Generator) -> None:
    version = docs.upsert(["a"], rows(rng, 1), if_version=0).seq
    version = docs.upsert(["a"], rows(rng, 1), if_version=version).seq
    version = docs.update("a", metadata={"n": 1}, if_version=version).seq
    assert docs.delete("a", if_version=version).count == 1


@pytest.mark.parametrize("wrong", [0, 1])
def test_a_write_under_another_version_changes_nothing(
    docs: CollectionLike, rng: np.random.Generator, wrong: int
) -> None:
    seq = docs.upsert(["a"], rows(rng, 1), [{"n": 1}]).seq
    writes: list[Callable[[], Any]] = [
        lambda: docs.upsert(["new", "a"], rows(rng, 2), if_version=[None, wrong]),
        lambda: docs.update("a", metadata={"n": 2}, if_version=wrong),
        lambda: docs.delete(["a"], if_version=wrong),
    ]
    for write in writes:
        with pytest.raises(VersionConflictError, match=f"'a' expected {wrong}, found {seq}"):
            write()
    assert (docs.count(), docs.get("a").version, docs.get("a").metadata) == (1, seq, {"n": 1})


def test_a_missing_record_conflicts_with_every_version_but_none(docs: CollectionLike, rng: np.random.Generator) -> None:
    writes: list[Callable[[], Any]] = [
        lambda: docs.upsert(["a"], rows(rng, 1), if_version=7),
        lambda: docs.update("a", metadata={}, if_version=7),
        lambda: docs.delete("a", if_version=7),
    ]
    for write in writes:
        with pytest.raises(VersionConflictError, match="'a' expected 7, found 0"):
            write()


def test_a_conflict_names_five_ids_and_counts_all(docs: CollectionLike, rng: np.random.Generator) -> None:
    with pytest.raises(VersionConflictError) as caught:
        docs.upsert(list(range(9)), rows(rng, 9), if_version=[None, *[3] * 8])
    assert (caught.value.details["ids"], caught.value.details["count"]) == ([1, 2, 3, 4, 5], 8)


def test_records_may_carry_their_conditions(docs: CollectionLike, rng: np.random.Generator) -> None:
    x = rows(rng, 2)
    seq = docs.upsert(["a"], x[:1]).seq
    batch = [{"id": "a", "vector": x[1], "if_version": seq}, {"id": "b", "vector": x[0], "if_version": 0}]
    assert docs.upsert(batch).count == 2
    with pytest.raises(VersionConflictError, match="2 of 2"):
        docs.upsert(batch)


@pytest.mark.parametrize("wrong", [-1, True, "1", 1.5, [1, 2], [None, None], {"a": 1}])
def test_a_condition_that_is_no_version_is_refused(docs: CollectionLike, rng: np.random.Generator, wrong: Any) -> None:
    with pytest.raises(InvalidRequestError, match="if_version"):
        docs.upsert(["a"], rows(rng, 1), if_version=wrong)
    with pytest.raises(InvalidRequestError, match="if_version"):
        docs.delete(["a"], if_version=wrong)


def test_insert_takes_no_condition(docs: CollectionLike, rng: np.random.Generator) -> None:
    with pytest.raises(InvalidRequestError, match="use upsert"):
        docs.insert([{"id": "a", "vector": rows(rng, 1)[0], "if_version": 0}])


# --- transactions -----------------------------------------------------------------------------------------------------


def test_a_transaction_over_collections_is_one_commit(
    db: DatabaseLike, docs: CollectionLike, rng: np.random.Generator
) -> None:
    other = db.create_collection("other", dim=DIM)
    docs.upsert(["old"], rows(rng, 1))
    with db.transaction() as tx:
        tx.collection("docs").insert(["a"], rows(rng, 1))
        tx.collection("other").upsert([1, 2], rows(rng, 2))
        tx.collection("docs").update("a", metadata={"n": 1})
        tx.collection("docs").delete("old")
        assert (docs.count(), other.count()) == (1, 0)
    assert tx.result.count == 5
    versions = {docs.get("a").version, other.get(1).version, other.get(2).version}
    assert versions == {tx.result.seq}
    assert (docs.get("a").metadata, docs.get("old"), other.count()) == ({"n": 1}, None, 2)


def test_an_exception_in_the_block_discards_all_of_it(
    db: DatabaseLike, docs: CollectionLike, rng: np.random.Generator
) -> None:
    seq, tx = db.seq, db.transaction()

    def fail_inside() -> None:
        with tx:
            tx.collection("docs").upsert(["a"], rows(rng, 1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert (docs.count(), db.seq) == (0, seq)
    with pytest.raises(TransactionEndedError, match="no result"):
        _ = tx.result


@pytest.mark.parametrize("error", [RecordExistsError, RecordNotFoundError, VersionConflictError])
def test_an_error_at_the_commit_stores_nothing_of_any_collection(
    db: DatabaseLike, docs: CollectionLike, rng: np.random.Generator, error: type[Exception]
) -> None:
    other = db.create_collection("other", dim=DIM)
    seq = docs.upsert(["kept"], rows(rng, 1), [{"n": 1}]).seq
    failing: dict[type[Exception], Callable[[Any], Any]] = {
        RecordExistsError: lambda c: c.insert(["kept"], rows(rng, 1)),
        RecordNotFoundError: lambda c: c.update("ghost", metadata={}),
        VersionConflictError: lambda c: c.delete("kept", if_version=seq),  # its own update came before
    }

    def write_all() -> None:
        with db.transaction() as tx:
            tx.collection("other").upsert([1], rows(rng, 1))
            tx.collection("docs").update("kept", metadata={"n": 2}, vector=rows(rng, 1)[0])
            failing[error](tx.collection("docs"))

    with pytest.raises(error):
        write_all()
    assert (other.count(), docs.count(), docs.get("kept").metadata, db.seq) == (0, 1, {"n": 1}, seq)
    assert db.verify().problems == ()


# --- expiry -----------------------------------------------------------------------------------------------------------


def test_an_expired_record_is_absent_for_reads_by_id(docs: CollectionLike, rng: np.random.Generator) -> None:
    docs.upsert(list("abcd"), rows(rng, 4), expires_at=[PAST, FUTURE, "never", None])
    assert [record and record.expires_at for record in docs.get(list("abcd"))] == [None, FUTURE, None, None]
    assert ["a" in docs, "b" in docs] == [False, True]
    assert [record.id for record in docs.iterate()] == list("bcd")
    page = docs.scroll(limit=2)
    assert ([record.id for record in page], docs.scroll(limit=2, cursor=page.cursor).records[0].id) == (["b", "c"], "d")


def test_a_scroll_over_expired_records_only_ends(docs: CollectionLike, rng: np.random.Generator) -> None:
    docs.upsert(list(range(5)), rows(rng, 5), expires_at=PAST)
    assert (docs.scroll(limit=2).records, docs.scroll(limit=2).cursor) == ((), None)


def test_writes_treat_an_expired_record_as_absent(docs: CollectionLike, rng: np.random.Generator) -> None:
    seq = docs.upsert(["a", "b"], rows(rng, 2), expires_at=PAST).seq
    with pytest.raises(RecordNotFoundError):
        docs.update("a", metadata={"n": 1})
    with pytest.raises(VersionConflictError, match=f"expected {seq}, found 0"):
        docs.upsert(["a"], rows(rng, 1), if_version=seq)
    assert docs.delete(["b"]).count == 0
    assert docs.insert(["a"], rows(rng, 1)).count == 1
    assert ("a" in docs, docs.count()) == (True, 1)


def test_update_sets_keeps_and_clears_the_expiry(docs: CollectionLike, rng: np.random.Generator) -> None:
    docs.upsert(["a"], rows(rng, 1))
    docs.update("a", expires_at=FUTURE)
    docs.update("a", metadata={"n": 1})
    docs.update("a", vector=rows(rng, 1)[0])
    assert docs.get("a").expires_at == FUTURE
    docs.update("a", expires_at="never")
    assert docs.get("a").expires_at is None
    docs.update("a", expires_at=PAST)
    assert docs.get("a") is None


def test_upsert_without_expiry_clears_the_old_one(docs: CollectionLike, rng: np.random.Generator) -> None:
    docs.upsert(["a"], rows(rng, 1), expires_at=FUTURE)
    docs.upsert(["a"], rows(rng, 1))
    assert docs.get("a").expires_at is None


@pytest.mark.parametrize("given", [FUTURE.replace(tzinfo=None), FUTURE.isoformat(), FUTURE - timedelta(0)])
def test_a_ttl_field_in_the_metadata_is_the_expiry(db: DatabaseLike, rng: np.random.Generator, given: Any) -> None:
    news = db.create_collection("news", dim=DIM, ttl_field="life.until")
    news.upsert(["a", "b"], rows(rng, 2), [{"life": {"until": given}}, {"life": 3}])
    assert [record.expires_at for record in news.get(["a", "b"])] == [FUTURE, None]
    news.update("a", metadata={"life": {"until": None}})
    assert news.get("a").expires_at is None
    news.update("b", metadata={"life": {"until": given}}, expires_at=FUTURE + timedelta(days=1))
    assert news.get("b").expires_at == FUTURE + timedelta(days=1)
    news.update("b", metadata={"n": 1})
    assert news.get("b").expires_at == FUTURE


@pytest.mark.parametrize("wrong", [5, "soon", [], True, "9999-12-31T23:59:59-01:00"])
def test_a_ttl_value_that_is_no_instant_is_refused(db: DatabaseLike, rng: np.random.Generator, wrong: Any) -> None:
    news = db.create_collection("news", dim=DIM, ttl_field="until")
    with pytest.raises(InvalidMetadataError, match="record 1, key 'until'"):
        news.upsert(["a", "b"], rows(rng, 2), [{}, {"until": wrong}])
    news.upsert(["a"], rows(rng, 1))
    with pytest.raises(InvalidMetadataError, match="key 'until'"):
        news.update("a", metadata={"until": wrong})
    assert news.get("a").metadata == {}


@pytest.mark.parametrize("wrong", [5, "soon", [5], [PAST, PAST], PAST.date(), {}])
def test_an_expiry_that_is_no_instant_is_refused(docs: CollectionLike, rng: np.random.Generator, wrong: Any) -> None:
    with pytest.raises(InvalidRequestError, match="expires_at"):
        docs.upsert(["a"], rows(rng, 1), expires_at=wrong)
    assert docs.count() == 0

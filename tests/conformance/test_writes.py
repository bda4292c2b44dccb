"""What upsert, insert, update and delete do to the records, and what they acknowledge."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import pytest

from tests.conformance.conftest import DIM
from tests.conformance.fronts import CollectionLike, DatabaseLike
from vecdb.errors import RecordExistsError, RecordNotFoundError
from vecdb.types import Field, RecordId


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

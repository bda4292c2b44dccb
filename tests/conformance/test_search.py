"""What search answers: the truth, in order, never short, never dead, whatever is indexed and whatever was deleted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.conformance.conftest import DIM
from tests.conformance.fronts import CollectionLike, DatabaseLike
from tests.harness.model import Model, assert_exact_hits, assert_hits, low_rank, recall
from vecdb.errors import DimensionMismatchError, InvalidRequestError
from vecdb.types import Field, Metric, VectorDtype

ROWS = 1_200
RECALL_FLOOR = 0.9


def filled(
    db: DatabaseLike, rng: np.random.Generator, metric: Metric = "cosine", dtype: VectorDtype = "float32"
) -> tuple[CollectionLike, Model, Any]:
    """A collection with segments, a tail, replaced and deleted rows; its model; queries like its rows."""
    docs = db.create_collection("docs", dim=DIM, metric=metric, dtype=dtype)
    model = Model.single(DIM, metric, dtype)
    x = low_rank(rng, ROWS + 20, DIM)
    for start in range(0, ROWS, 200):
        ids = list(range(start, start + 200))
        docs.upsert(ids, x[start : start + 200], [{"n": i} for i in ids])
        model.put_columns(ids, x[start : start + 200], [{"n": i} for i in ids])
    docs.wait_indexed()
    gone = list(range(0, ROWS, 7))
    docs.delete(ids=gone)
    model.delete(gone)
    moved = list(range(1, ROWS, 35))
    docs.upsert(moved, -x[moved])
    model.put_columns(moved, -x[moved])
    return docs, model, x[ROWS:]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_exact_search_is_brute_force(
    db: DatabaseLike, rng: np.random.Generator, metric: Metric, dtype: VectorDtype
) -> None:
    docs, model, queries = filled(db, rng, metric, dtype)
    for query in queries:
        assert_exact_hits(model, docs.search(query, limit=25, exact=True), query, 25)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_default_search_finds_nearly_all_of_the_truth(
    db: DatabaseLike, rng: np.random.Generator, metric: Metric, dtype: VectorDtype
) -> None:
    docs, model, queries = filled(db, rng, metric, dtype)
    recalls = []
    for query in queries:
        result = docs.search(query, limit=10)
        assert_hits(model, result, query, 10)
        recalls.append(recall(model, result, query, 10))
    assert np.mean(recalls) >= RECALL_FLOOR


@pytest.mark.parametrize("options", [{"ef": 1}, {"ef": 400}, {"target_recall": 0.5}, {"target_recall": 0.99}])
def test_effort_options_never_cost_hits_or_truth(
    db: DatabaseLike, rng: np.random.Generator, options: dict[str, Any]
) -> None:
    docs, model, queries = filled(db, rng)
    for query in queries:
        assert_hits(model, docs.search(query, limit=30, **options), query, 30)


def test_more_effort_does_not_lower_recall(db: DatabaseLike, rng: np.random.Generator) -> None:
    docs, model, queries = filled(db, rng, "l2")

    def mean_recall(**options: Any) -> float:
        return float(np.mean([recall(model, docs.search(q, limit=10, **options), q, 10) for q in queries]))

    assert mean_recall(ef=10) <= mean_recall(ef=300) + 1e-9
    assert mean_recall(ef=300) >= 0.95
    assert mean_recall(target_recall=0.99) >= 0.95


@pytest.mark.parametrize("options", [{}, {"exact": True}, {"ef": 64}, {"target_recall": 0.9}])
def test_a_batch_answers_as_its_queries_one_by_one(
    db: DatabaseLike, rng: np.random.Generator, options: dict[str, Any]
) -> None:
    docs, _, queries = filled(db, rng)
    batch = docs.search_batch(queries, limit=12, with_metadata=True, **options)
    assert len(batch) == len(queries)
    for query, result in zip(queries, batch, strict=True):
        single = docs.search(query, limit=12, **options)
        assert result.ids == single.ids
        np.testing.assert_array_equal(result.distances, single.distances)
        assert result.metadata == single.metadata
    assert batch.ids.shape == batch.scores.shape == batch.distances.shape == (len(queries), 12)


@pytest.mark.parametrize("count", [0, 1, 12])
def test_a_stream_answers_as_its_batches_one_by_one(db: DatabaseLike, rng: np.random.Generator, count: int) -> None:
    docs, _, _ = filled(db, rng)
    batches = [rng.standard_normal((size, DIM)) for size in rng.integers(0, 30, count)]
    found = list(docs.search_stream(batches, 7, ef=50, with_metadata=True))
    assert len(found) == count
    for queries, result in zip(batches, found, strict=True):
        wanted = docs.search_batch(queries, 7, ef=50, with_metadata=True)
        assert [one.ids for one in result] == [one.ids for one in wanted]
        assert [one.metadata for one in result] == [one.metadata for one in wanted]


def test_a_batch_of_a_stream_that_is_wrong_is_an_error(db: DatabaseLike, rng: np.random.Generator) -> None:
    docs, _, queries = filled(db, rng)
    with pytest.raises(DimensionMismatchError):
        list(docs.search_stream([queries, queries[:, :3], queries], 5))


def test_a_stream_may_be_left(db: DatabaseLike, rng: np.random.Generator) -> None:
    docs, _, queries = filled(db, rng)
    stream = docs.search_stream([queries] * 50, 5)
    assert next(stream)[0].ids == docs.search(queries[0], 5).ids
    del stream
    assert docs.count() > 0


def test_an_empty_batch_of_queries_has_no_results(docs: CollectionLike) -> None:
    assert len(docs.search_batch(np.empty((0, DIM), dtype=np.float32), limit=5)) == 0


def test_an_empty_collection_answers_with_no_hits(docs: CollectionLike, rng: np.random.Generator) -> None:
    query = rng.standard_normal(DIM)
    assert len(docs.search(query, limit=5)) == 0
    assert docs.search(query, exact=True).ids == []
    assert docs.search_batch([query, query], limit=5).ids.tolist() == [[None] * 5] * 2


def test_one_record_is_found_by_any_query(docs: CollectionLike, rng: np.random.Generator) -> None:
    docs.upsert(["only"], rng.standard_normal((1, DIM)))
    docs.optimize()
    assert docs.search(rng.standard_normal(DIM), limit=10).ids == ["only"]


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_search_is_full_and_true_at_every_moment_of_a_load(
    db: DatabaseLike, rng: np.random.Generator, metric: Metric
) -> None:
    docs = db.create_collection("docs", dim=8, metric=metric)
    model = Model.single(8, metric)
    for step in range(12):
        x = low_rank(rng, 60, 8)
        ids = [f"{step}-{i}" for i in range(60)]
        docs.upsert(ids, x)
        model.put_columns(ids, x)
        gone = [f"{step // 2}-{i}" for i in range(step, step + 5)]
        docs.delete(ids=gone)
        model.delete(gone)
        query = rng.standard_normal(8)
        assert_hits(model, docs.search(query, limit=20), query, 20)
        assert_exact_hits(model, docs.search(query, limit=20, exact=True), query, 20)


@pytest.mark.parametrize("when", ["tail", "indexed", "optimized"])
def test_results_are_full_after_deleting_nearly_everything(
    db: DatabaseLike, rng: np.random.Generator, when: str
) -> None:
    docs = db.create_collection("docs", dim=DIM)
    model = Model.single(DIM)
    x = low_rank(rng, 700, DIM)
    docs.upsert(list(range(700)), x)
    model.put_columns(list(range(700)), x)
    if when != "tail":
        docs.optimize()
    gone = [i for i in range(700) if i % 50]
    docs.delete(ids=gone)
    model.delete(gone)
    if when == "optimized":
        docs.optimize()
    for query in x[:10]:
        assert_exact_hits(model, docs.search(query, limit=20), query, 20)
    assert len(docs.search(x[0], limit=10, ef=1)) == 10


def test_results_are_full_when_only_the_farthest_records_are_left(db: DatabaseLike, rng: np.random.Generator) -> None:
    docs = db.create_collection("docs", dim=8, metric="l2")
    x = rng.standard_normal((600, 8)).astype(np.float32)
    docs.upsert(list(range(600)), x)
    docs.optimize()
    order = np.argsort(((x - x[0]) ** 2).sum(axis=1))
    docs.delete(ids=order[:-5].tolist())
    assert sorted(docs.search(x[0], limit=10).ids) == sorted(order[-5:].tolist())


def test_a_replaced_vector_is_never_found_again(db: DatabaseLike, rng: np.random.Generator) -> None:
    docs = db.create_collection("docs", dim=DIM, metric="l2")
    x = rng.standard_normal((500, DIM)).astype(np.float32)
    docs.upsert(list(range(500)), x)
    docs.optimize()
    odd = set(range(1, 500, 2))
    docs.upsert(list(range(0, 500, 2)), x[::2] + 100)
    for i in range(0, 500, 50):
        assert all(hit.id in odd for hit in docs.search(x[i], limit=250))
        assert docs.search(x[i] + 100, limit=1)[0].id == i


def test_thousands_of_identical_vectors_are_all_returned(db: DatabaseLike) -> None:
    docs = db.create_collection("docs", dim=8, metric="l2")
    docs.upsert(list(range(1_500)), np.ones((1_500, 8)))
    docs.optimize()
    result = docs.search(np.ones(8), limit=1_500)
    assert sorted(result.ids) == list(range(1_500))
    assert not result.distances.any()


@pytest.mark.parametrize("metric", ["dot", "l2"])
def test_a_zero_vector_is_an_ordinary_vector_of_dot_and_l2(
    db: DatabaseLike, rng: np.random.Generator, metric: Metric
) -> None:
    docs = db.create_collection("docs", dim=8, metric=metric)
    docs.upsert(["zero", "other"], [np.zeros(8), np.ones(8)])
    docs.optimize()
    assert len(docs.search(rng.standard_normal(8), limit=2)) == 2
    assert len(docs.search(np.zeros(8), limit=2)) == 2


@pytest.mark.parametrize("metric", ["dot", "l2"])
def test_huge_and_tiny_components_keep_their_order(db: DatabaseLike, metric: Metric) -> None:
    docs = db.create_collection("docs", dim=4, metric=metric)
    scales = [1e17, 1e10, 1.0, 1e-20, 1e-40]
    docs.upsert([f"{s:g}" for s in scales], [[s, 0, 0, 0] for s in scales])
    docs.optimize()
    result = docs.search([1e17, 0, 0, 0], limit=5)
    assert np.isfinite(result.distances).all()
    assert result.ids[:2] == ["1e+17", "1e+10"]


@pytest.mark.parametrize("dim", [1, 2, 3, 63, 65, 257])
@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_odd_dimensions_search_right(db: DatabaseLike, rng: np.random.Generator, metric: Metric, dim: int) -> None:
    docs = db.create_collection("docs", dim=dim, metric=metric)
    model = Model.single(dim, metric)
    x = rng.standard_normal((300, dim)).astype(np.float32)
    docs.upsert(list(range(300)), x)
    model.put_columns(list(range(300)), x)
    docs.optimize()
    query = rng.standard_normal(dim)
    assert_hits(model, docs.search(query, limit=10), query, 10)
    assert_exact_hits(model, docs.search(query, limit=10, exact=True), query, 10)


def test_hits_carry_metadata_and_vectors_only_as_asked(docs: CollectionLike, rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, DIM)).astype(np.float32)
    docs.upsert([0, 1, 2], x, [{"n": n} for n in range(3)])
    plain = docs.search(x[1], limit=2)
    assert plain[0].metadata == {"n": 1}
    assert plain[0].vector is None
    assert docs.search(x[1], limit=2, with_metadata=False).metadata is None
    full = docs.search(x[1], limit=2, with_vectors=True, with_metadata=False)
    np.testing.assert_array_equal(full[0].vector, x[1])
    batch = docs.search_batch(x, limit=1, with_vectors=True)
    np.testing.assert_array_equal([result[0].vector for result in batch], x)


def test_queries_may_be_lists_float64_or_strided(docs: CollectionLike, rng: np.random.Generator) -> None:
    x = rng.standard_normal((50, DIM)).astype(np.float32)
    docs.upsert(list(range(50)), x)
    expected = docs.search(x[3], limit=5).ids
    for query in (x[3].tolist(), x[3].astype(np.float64), np.repeat(x[3], 2)[::2], tuple(x[3].tolist())):
        assert docs.search(query, limit=5).ids == expected


def test_the_callers_query_is_left_alone(docs: CollectionLike, rng: np.random.Generator) -> None:
    docs.upsert([1, 2], rng.standard_normal((2, DIM)))
    query = rng.standard_normal(DIM).astype(np.float32)
    kept = query.copy()
    docs.search(query, limit=2)
    np.testing.assert_array_equal(query, kept)


def test_cosine_does_not_depend_on_the_length_of_query_or_rows(db: DatabaseLike, rng: np.random.Generator) -> None:
    docs = db.create_collection("docs", dim=DIM)
    x = rng.standard_normal((100, DIM)).astype(np.float32)
    docs.upsert(list(range(100)), x * rng.uniform(0.001, 1000, (100, 1)))
    short, long = (docs.search(x[5] * scale, limit=5, exact=True) for scale in (0.01, 100.0))
    assert short.ids == long.ids
    assert short[0].id == 5
    np.testing.assert_allclose(short.scores, long.scores, atol=1e-5)
    assert short[0].score == pytest.approx(1.0, abs=1e-5)


def test_explain_tells_what_was_done(db: DatabaseLike, rng: np.random.Generator) -> None:
    docs, _, queries = filled(db, rng)
    assert docs.search(queries[0]).explain is None
    explained = docs.search(queries[0], explain=True).explain
    assert explained is not None
    assert explained.ef > 0
    assert explained.microseconds
    assert explained.segments >= 1
    assert explained.plan in str(explained)


def test_min_seq_of_an_acknowledged_write_sees_it(docs: CollectionLike, rng: np.random.Generator) -> None:
    x = rng.standard_normal((1, DIM))
    seq = docs.upsert(["new"], x).seq
    assert docs.search(x[0], limit=1, min_seq=seq).ids == ["new"]
    assert docs.search_batch(x, limit=1, min_seq=seq)[0].ids == ["new"]


@pytest.mark.parametrize("options", [{}, {"exact": True}, {"ef": 20}])
def test_identical_requests_at_one_seq_have_identical_results(
    db: DatabaseLike, rng: np.random.Generator, options: dict[str, Any]
) -> None:
    docs, _, queries = filled(db, rng)
    docs.wait_indexed()
    for query in queries[:5]:
        first, again = (docs.search(query, limit=20, **options) for _ in range(2))
        assert first.ids == again.ids
        np.testing.assert_array_equal(first.distances, again.distances)


def test_named_fields_are_searched_separately(db: DatabaseLike, rng: np.random.Generator) -> None:
    fields = {"text": Field(dim=8), "image": Field(dim=12, metric="l2", dtype="float16")}
    both = db.create_collection("both", fields=fields)
    model = Model(fields)
    text, image = low_rank(rng, 500, 8), low_rank(rng, 500, 12)
    records = []
    for i in range(500):
        vectors = {name: rows[i] for name, rows in (("text", text), ("image", image)) if i % 5 or name == "text"}
        records.append({"id": i, "vectors": vectors})
        model.put(i, None, **vectors)
    both.upsert(records)
    both.optimize()
    gone = list(range(0, 500, 3))
    both.delete(ids=gone)
    model.delete(gone)
    for i in range(10):
        assert_exact_hits(model, both.search(text[i], field="text", limit=15, exact=True), text[i], 15, "text")
        assert_exact_hits(model, both.search(image[i], field="image", limit=15, exact=True), image[i], 15, "image")
        assert_hits(model, both.search(image[i], field="image", limit=15), image[i], 15, "image")


def test_measured_recall_is_near_the_recall_seen_by_a_caller(db: DatabaseLike, rng: np.random.Generator) -> None:
    docs, _, _ = filled(db, rng)
    report = docs.measure_recall(k=10, sample=100)
    assert report.low <= report.recall <= report.high
    assert report.recall >= RECALL_FLOOR
    assert (report.k, report.sample) == (10, 100)
    assert docs.measure_recall(k=10, sample=50, ef=1).recall <= report.recall + 0.05


def test_queries_that_recall_is_calibrated_with_are_kept_and_forgotten(
    db: DatabaseLike, rng: np.random.Generator
) -> None:
    docs, _, _ = filled(db, rng)
    docs.optimize()
    queries = rng.standard_normal((60, DIM)).astype(np.float32)
    result = docs.calibrate(queries)
    assert result.count == 60
    stats = docs.stats()
    assert stats.seq >= result.seq
    assert stats.fields["default"].calibrated_with == 60
    assert docs.calibrate(None).count == 0
    assert docs.stats().fields["default"].calibrated_with == 0
    with pytest.raises(InvalidRequestError, match="give 50 at least"):
        docs.calibrate(queries[:3])

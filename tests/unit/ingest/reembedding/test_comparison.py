"""Comparing two fields: overlap, known pairs, samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

import vecdb
from vecdb import Field
from vecdb.errors import InvalidRequestError
from vecdb.ingest.reembedding.comparison import compare_queries, compare_stored
from vecdb.ingest.reembedding.queries import Query
from vecdb.types import FloatArray

COUNT = 40


@pytest.fixture
def docs(tmp_path: Path) -> Iterator[vecdb.Collection]:
    with vecdb.open(tmp_path / "db") as db:
        yield db.create_collection("docs", fields={"old": Field(dim=2), "new": Field(dim=3)})


def angles(count: int) -> FloatArray:
    turns = np.arange(count) * (np.pi / count)
    return np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32)


def deeper(flat: FloatArray) -> FloatArray:
    return np.hstack([flat, np.zeros((len(flat), 1), dtype=np.float32)])


def embed_old(texts: Sequence[str]) -> FloatArray:
    return angles(COUNT)[[int(text) for text in texts]]


def embed_new(texts: Sequence[str]) -> FloatArray:
    return deeper(embed_old(texts))


def embed_shifted(texts: Sequence[str]) -> FloatArray:
    """A model that sees each query 15 records further on."""
    return deeper(embed_old([str((int(text) + 15) % COUNT) for text in texts]))


def filled(docs: vecdb.Collection) -> vecdb.Collection:
    docs.upsert(list(range(COUNT)), {"old": angles(COUNT), "new": deeper(angles(COUNT))})
    return docs


def test_models_that_find_the_same_overlap_fully(docs: vecdb.Collection) -> None:
    report = compare_stored(filled(docs), "old", "new", k=5, sample=20)
    assert (report.queries, report.records, report.overlap, report.examples) == (20, COUNT, 1.0, ())


def test_a_stored_record_does_not_find_itself(docs: vecdb.Collection) -> None:
    filled(docs).update(3, vectors={"new": np.array([0, 0, 1])})
    report = compare_stored(docs, "old", "new", k=2, sample=COUNT)
    assert report.examples
    assert all(example.query not in (*example.old, *example.new) for example in report.examples)


def test_the_least_alike_queries_are_shown_first(docs: vecdb.Collection) -> None:
    filled(docs)
    queries = [Query("20"), Query("5")]
    asked = ("old", embed_old), ("new", lambda texts: deeper(embed_old(["21" if t == "20" else "35" for t in texts])))
    report = compare_queries(docs, *asked, queries, k=4)
    assert [example.query for example in report.examples] == ["5", "20"]
    assert report.examples[0].overlap == 0
    assert 0 < report.overlap < 1


def test_the_overlap_is_the_mean_share_of_hits_that_both_find(docs: vecdb.Collection) -> None:
    filled(docs)
    wrong = compare_queries(docs, ("old", embed_old), ("new", embed_shifted), [Query("10")], k=3)
    right = compare_queries(docs, ("old", embed_old), ("new", embed_new), [Query("10")], k=3)
    both = compare_queries(docs, ("old", embed_old), ("old", embed_old), [Query("10"), Query("11")], k=3)
    assert (wrong.overlap, right.overlap, both.overlap) == (0.0, 1.0, 1.0)
    assert (wrong.same_first, right.same_first) == (0.0, 1.0)


def test_known_pairs_tell_which_model_finds_them(docs: vecdb.Collection) -> None:
    filled(docs)
    queries = [Query("10", (frozenset([10]), frozenset([25]))), Query("12", (frozenset(["12", 12]),))]
    report = compare_queries(docs, ("old", embed_old), ("new", embed_shifted), queries, k=3)
    assert report.pairs is not None
    assert (report.pairs.pairs, report.pairs.only_old, report.pairs.only_new) == (3, 2, 1)
    assert report.pairs.old_recall == pytest.approx(2 / 3)
    assert report.pairs.new_recall == pytest.approx(1 / 3)
    assert report.pairs.old_mrr == pytest.approx(2 / 3)


def test_pairs_that_name_no_record_are_counted_apart(docs: vecdb.Collection) -> None:
    queries = [Query("10", (frozenset([10]), frozenset(["none"])))]
    report = compare_queries(filled(docs), ("old", embed_old), ("new", embed_new), queries, k=3)
    assert report.pairs is not None
    assert (report.pairs.pairs, report.pairs.unknown, report.pairs.new_recall) == (1, 1, 1.0)


def test_only_records_with_both_vectors_are_compared(docs: vecdb.Collection) -> None:
    filled(docs)
    docs.upsert(list(range(100, 110)), {"old": angles(10)})
    report = compare_stored(docs, "old", "new", k=5, sample=100)
    assert (report.records, report.overlap) == (COUNT, 1.0)


def test_one_seed_gives_one_sample_and_another_a_different_one(docs: vecdb.Collection) -> None:
    unlike = np.random.default_rng(0).normal(size=(400, 3))
    docs.upsert(list(range(400)), {"old": angles(400), "new": unlike})
    reports = [compare_stored(docs, "old", "new", k=4, sample=10, seed=seed) for seed in (1, 1, 2)]
    assert reports[0] == reports[1]
    assert [one.queries for one in reports] == [10, 10, 10]
    assert reports[0].examples != reports[2].examples


def test_nothing_can_be_compared_before_anything_is_embedded(docs: vecdb.Collection) -> None:
    docs.upsert([1], {"old": angles(1)})
    with pytest.raises(InvalidRequestError, match="vector of both models yet"):
        compare_stored(docs, "old", "new")

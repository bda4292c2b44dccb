"""Checks data sets: read as they were written, prepared once, and their exact answers against brute force."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.datasets import Dataset, DatasetError, load, names, recall, true_distances
from benchmarks.datasets import store as dataset_store
from benchmarks.datasets.files import read_vectors
from benchmarks.datasets.store import content_digest, prepared
from benchmarks.datasets.synthetic import RECIPES, base_blocks

METRICS = ["cosine", "dot", "l2"]


def made(place: Path, base: npt.NDArray[Any], queries: npt.NDArray[Any], metric: str) -> Dataset:
    """A prepared data set of these rows."""
    return prepared("made", metric, (len(base), base.shape[1]), [base], queries, place / f"made-{metric}")


def brute_force(dataset: Dataset) -> npt.NDArray[np.float64]:
    """All distances, one by one."""
    base, queries = (np.asarray(rows, dtype=np.float64) for rows in (dataset.base, dataset.queries))
    if dataset.metric == "l2":
        return np.asarray([[np.linalg.norm(query - row) for row in base] for query in queries])
    return (1.0 if dataset.metric == "cosine" else 0.0) - queries @ base.T


@pytest.mark.parametrize("metric", METRICS)
def test_true_distances_equal_brute_force(metric: str, tmp_path: Path, rng: np.random.Generator) -> None:
    dataset = made(tmp_path, rng.standard_normal((300, 12)), rng.standard_normal((9, 12)), metric)
    want = np.sort(brute_force(dataset), axis=1)[:, :7]
    assert np.allclose(true_distances(dataset, 7, tmp_path), want, atol=1e-6)


def test_true_distances_survive_cancellation(tmp_path: Path, rng: np.random.Generator) -> None:
    """Rows far from the origin and near each other: |a|^2 - 2ab + |b|^2 in float32 keeps no digit of their distance."""
    base = 1_000.0 + 0.01 * rng.standard_normal((60, 16))
    dataset = made(tmp_path, base, base[:4], "l2")
    assert np.allclose(true_distances(dataset, 3, tmp_path), np.sort(brute_force(dataset), axis=1)[:, :3], atol=1e-4)


def test_exact_answers_are_kept(tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = made(tmp_path, rng.standard_normal((50, 4)), rng.standard_normal((3, 4)), "l2")
    first = true_distances(dataset, 5, tmp_path)
    monkeypatch.setattr("benchmarks.datasets.truth._exact", None)
    assert (true_distances(dataset, 5, tmp_path) == first).all()


@pytest.mark.parametrize("metric", METRICS)
def test_the_true_neighbours_have_recall_1(metric: str, tmp_path: Path, rng: np.random.Generator) -> None:
    dataset = made(tmp_path, rng.standard_normal((200, 8)), rng.standard_normal((6, 8)), metric)
    labels = np.argsort(brute_force(dataset), axis=1)[:, :5]
    assert recall(dataset, true_distances(dataset, 5, tmp_path), labels) == 1.0


def test_a_repeated_or_missing_label_counts_once_or_not(tmp_path: Path) -> None:
    base = np.arange(10, dtype=np.float32).reshape(-1, 1)
    dataset = made(tmp_path, base, np.zeros((1, 1)), "l2")
    bounds = true_distances(dataset, 4, tmp_path)
    assert recall(dataset, bounds, np.array([[0, 0, 0, 1]])) == 0.5
    assert recall(dataset, bounds, np.array([[0, -1, -1, -1]])) == 0.25
    assert recall(dataset, bounds, np.array([[0, 1, 2, 10_000]])) == 0.75


def test_ties_are_no_misses(tmp_path: Path) -> None:
    dataset = made(tmp_path, np.ones((10, 3)), np.ones((1, 3)), "l2")
    assert recall(dataset, true_distances(dataset, 2, tmp_path), np.array([[8, 3]])) == 1.0


def test_more_neighbours_than_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there are 3 base rows"):
        true_distances(made(tmp_path, np.ones((3, 2)), np.ones((1, 2)), "l2"), 4, tmp_path)


def test_rows_for_cosine_have_unit_length(tmp_path: Path, rng: np.random.Generator) -> None:
    dataset = made(tmp_path, rng.standard_normal((30, 5)), rng.standard_normal((4, 5)), "cosine")
    assert np.allclose(np.linalg.norm(dataset.base, axis=1), 1.0, atol=1e-6)
    assert np.allclose(np.linalg.norm(dataset.queries, axis=1), 1.0, atol=1e-6)


def test_an_interrupted_preparation_leaves_nothing_that_opens(tmp_path: Path) -> None:
    def blocks() -> Any:
        yield np.ones((2, 2))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepared("made", "l2", (4, 2), blocks(), np.ones((1, 2)), tmp_path / "made")
    assert not list(tmp_path.iterdir())


def test_the_digest_depends_on_every_component(rng: np.random.Generator) -> None:
    base, queries = (rng.standard_normal((9, 3)).astype(np.float32) for _ in range(2))
    before = content_digest(base, queries, "l2")
    base[8, 2] += 1
    assert content_digest(base, queries, "l2") != before
    assert content_digest(base, queries, "dot") != content_digest(base, queries, "l2")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_makes_the_same_bytes_every_time(name: str, tmp_path: Path) -> None:
    first = load(name, rows=20_000, queries=50, cache=tmp_path / "one")
    second = load(name, rows=20_000, queries=50, cache=tmp_path / "two")
    assert first.digest == second.digest
    assert first.base.shape == (20_000, RECIPES[name].dim)
    assert len(first.queries) == 50


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_made_block_by_block(name: str) -> None:
    blocks = list(base_blocks(RECIPES[name], 40_000))
    assert len(blocks) == 3
    assert sum(map(len, blocks)) == 40_000


def test_sift_like_rows_are_whole_numbers_from_0_to_255(tmp_path: Path) -> None:
    base = np.asarray(load("sift-like", rows=1_000, queries=10, cache=tmp_path).base)
    assert (base == np.rint(base)).all()
    assert base.min() == 0
    assert base.max() <= 255


def test_duplicates_repeat_rows_many_times(tmp_path: Path) -> None:
    base = np.asarray(load("duplicates", rows=20_000, queries=10, cache=tmp_path).base)
    distinct, counts = np.unique(base, axis=0, return_counts=True)
    assert len(distinct) < 10_000
    assert counts.max() > 500


def write_texmex(path: Path, rows: npt.NDArray[Any], code: str) -> None:
    """A file as texmex lays it out."""
    path.write_bytes(b"".join(struct.pack(f"<i{len(row)}{code}", len(row), *row.tolist()) for row in rows))


@pytest.mark.parametrize(
    ("suffix", "code", "dtype"), [("fvecs", "f", "f4"), ("bvecs", "B", "u1"), ("ivecs", "i", "i4")]
)
def test_texmex_files_are_read_as_written(suffix: str, code: str, dtype: str, tmp_path: Path) -> None:
    rows = np.arange(60).reshape(12, 5).astype(dtype)
    write_texmex(tmp_path / f"rows.{suffix}", rows, code)
    assert (read_vectors(tmp_path / f"rows.{suffix}") == rows).all()


def test_a_file_of_vectors_becomes_base_and_held_out_queries(tmp_path: Path, rng: np.random.Generator) -> None:
    rows = rng.standard_normal((300, 6)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    dataset = load(str(tmp_path / "rows.npy"), queries=100, cache=tmp_path / "cache")
    assert (dataset.base.shape, dataset.queries.shape, dataset.metric) == ((200, 6), (100, 6), "l2")
    together = {row.tobytes() for row in np.vstack([dataset.base, dataset.queries])}
    assert together == {row.tobytes() for row in rows}


def test_a_file_of_queries_beside_is_taken(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.ones((9, 2), dtype=np.float32))
    np.save(tmp_path / "rows.queries.npy", np.zeros((4, 2), dtype=np.float32))
    dataset = load(str(tmp_path / "rows.npy"), metric="dot", cache=tmp_path / "cache")
    assert (len(dataset.base), len(dataset.queries), dataset.metric) == (9, 4, "dot")


def test_a_prepared_set_is_opened_without_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load("ood", rows=500, queries=10, cache=tmp_path)
    monkeypatch.setattr("benchmarks.datasets.catalogue.prepared", None)
    assert load("ood", rows=500, queries=10, cache=tmp_path).digest == first.digest


def test_wordnet_is_read_from_its_directory(tmp_path: Path, rng: np.random.Generator) -> None:
    np.save(tmp_path / "vectors.f16.npy", rng.standard_normal((50, 8)).astype(np.float16))
    dataset = load("wordnet-minilm", queries=10, data=tmp_path, cache=tmp_path / "cache")
    assert (dataset.base.shape, dataset.queries.shape, dataset.metric) == ((40, 8), (10, 8), "cosine")


def test_hdf5_files_of_ann_benchmarks_are_read(tmp_path: Path, rng: np.random.Generator) -> None:
    h5py: Any = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "set.hdf5", "w") as file:
        file["train"], file["test"] = rng.standard_normal((20, 3)), rng.standard_normal((5, 3))
        file.attrs["distance"] = "angular"
    dataset = load(str(tmp_path / "set.hdf5"), cache=tmp_path / "cache")
    assert (len(dataset.base), len(dataset.queries), dataset.metric) == (20, 5, "cosine")


def test_an_unknown_name_lists_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=", ".join(names())):
        load("glove", cache=tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x05\x00\x00\x00abc", b"\xff\xff\xff\xff" * 4])
def test_a_file_that_is_no_texmex_file_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "rows.fvecs").write_bytes(content)
    with pytest.raises(DatasetError, match=r"rows\.fvecs"):
        load(str(tmp_path / "rows.fvecs"), cache=tmp_path / "cache")


def test_wordnet_without_a_directory_says_how_to_name_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VECDB_DATA", raising=False)
    with pytest.raises(DatasetError, match="--data"):
        load("wordnet-minilm", cache=tmp_path)


def test_an_unknown_metric_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no metric 'manhattan'"):
        made(tmp_path, np.ones((3, 2)), np.ones((1, 2)), "manhattan")


def test_the_cache_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(dataset_store.CACHE_VARIABLE, str(tmp_path))
    assert dataset_store.cache_root(None) == tmp_path

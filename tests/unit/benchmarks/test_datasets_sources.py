"""Checks where data sets come from and what is wrong with them: bad input, companions, caches that were cut off."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.datasets import Dataset, DatasetError, load, true_distances, truth
from benchmarks.datasets.files import read_hdf5, read_vectors
from benchmarks.datasets.store import as_unit_rows, prepared
from benchmarks.datasets.synthetic import RECIPES, base_blocks, queries_of
from benchmarks.datasets.wordnet import split


def small(place: Path) -> Dataset:
    """Twenty rows on a line, and two queries."""
    rows = np.arange(20, dtype=np.float32).reshape(-1, 1)
    return prepared("small", "l2", rows.shape, [rows], rows[:2] + 0.25, place / "small")


def test_rows_far_from_the_others_keep_their_true_neighbours(tmp_path: Path, rng: np.random.Generator) -> None:
    """Their mean is elsewhere, so float32 confuses many more of them than the margin holds."""
    near = rng.standard_normal((9_000, 8))
    far = 20_000.0 + rng.standard_normal((3_000, 8))
    base = np.vstack([near, far]).astype(np.float32)
    queries = base[9_000:9_005] + np.float32(0.25)
    dataset = prepared("far", "l2", base.shape, [base], queries, tmp_path / "far")
    wide = base.astype(np.float64)
    want = [np.sort(np.sqrt(np.square(wide - query).sum(axis=1)))[:10] for query in queries.astype(np.float64)]
    assert not truth._candidates(dataset, dataset.queries, 10, np.dtype(np.float32))[1].any()
    assert np.allclose(true_distances(dataset, 10, tmp_path), want, rtol=1e-6)


def test_queries_are_answered_alike_in_any_number_of_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load("clustered", rows=3_000, queries=25, cache=tmp_path)
    whole = truth._exact(dataset, 5)
    monkeypatch.setattr(truth, "BLOCK_QUERIES", 7)
    monkeypatch.setattr(truth, "BLOCK_ROWS", 500)
    assert np.allclose(truth._exact(dataset, 5), whole, rtol=1e-6)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00", b"no array"])
def test_exact_answers_that_were_cut_off_are_found_again(content: bytes, tmp_path: Path) -> None:
    dataset = small(tmp_path)
    first = true_distances(dataset, 3, tmp_path)
    place = next((tmp_path / "truth").iterdir())
    place.write_bytes(content)
    assert (true_distances(dataset, 3, tmp_path) == first).all()
    assert (np.load(place, allow_pickle=False) == first).all()


def test_an_interrupted_search_keeps_no_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(path: Path, _: object) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    dataset = small(tmp_path / "data")
    monkeypatch.setattr(np, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        true_distances(dataset, 3, tmp_path)
    assert not list((tmp_path / "truth").iterdir())


def test_a_folder_that_was_cut_off_is_prepared_again(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "base.npy").write_bytes(b"half")
    assert len(small(tmp_path).base) == 20


def test_what_a_killed_preparation_left_is_removed_after_a_day(tmp_path: Path) -> None:
    left, under_way = tmp_path / ".small-left", tmp_path / ".small-now"
    for folder in (left, under_way):
        folder.mkdir()
    os.utime(left, (0, 0))
    small(tmp_path)
    assert not left.exists()
    assert under_way.exists()


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_components_that_are_no_numbers_are_refused(wrong: float, tmp_path: Path) -> None:
    rows = np.ones((30, 2), dtype=np.float32)
    rows[7, 1] = wrong
    np.save(tmp_path / "rows.npy", rows)
    with pytest.raises(DatasetError, match="no finite numbers"):
        load(str(tmp_path / "rows.npy"), queries=5, cache=tmp_path)


def test_queries_of_another_dimension_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.ones((9, 2)))
    np.save(tmp_path / "rows.queries.npy", np.ones((3, 4)))
    with pytest.raises(DatasetError, match="2 dimensions"):
        load(str(tmp_path / "rows.npy"), cache=tmp_path)


def test_queries_that_changed_are_read_again(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.ones((9, 2)))
    np.save(tmp_path / "rows.queries.npy", np.ones((3, 2)))
    load(str(tmp_path / "rows.npy"), cache=tmp_path)
    np.save(tmp_path / "rows.queries.npy", np.ones((4, 2)))
    assert len(load(str(tmp_path / "rows.npy"), cache=tmp_path).queries) == 4


def test_texmex_queries_are_found_beside_their_base(tmp_path: Path) -> None:
    for name, count in (("sift_base", 9), ("sift_query", 4)):
        rows = np.ones((count, 2), dtype="<f4")
        heads = np.full((count, 1), 2, dtype="<i4").view("<f4")
        np.hstack([heads, rows]).tofile(tmp_path / f"{name}.fvecs")
    dataset = load(str(tmp_path / "sift_base.fvecs"), cache=tmp_path)
    assert (len(dataset.base), len(dataset.queries)) == (9, 4)


@pytest.mark.parametrize("name", ["rows.npy", "rows.fvecs", "rows.hdf5"])
def test_a_file_that_is_missing_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=name):
        load(str(tmp_path / name), cache=tmp_path)


@pytest.mark.parametrize("name", ["rows.npy", "rows.fvecs", "rows.bvecs"])
def test_an_empty_file_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(DatasetError, match=name):
        read_vectors(tmp_path / name)


def test_hdf5_without_its_library_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "set.hdf5").write_bytes(b"anything")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(DatasetError, match="h5py"):
        read_hdf5(tmp_path / "set.hdf5")


@pytest.mark.parametrize(("rows", "queries"), [(0, 5), (-1, 5), (10, 0)])
def test_sizes_below_one_are_refused(rows: int, queries: int, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="at least one"):
        load("clustered", rows=rows, queries=queries, cache=tmp_path)


def test_more_rows_than_a_file_has_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.ones((30, 2)))
    with pytest.raises(DatasetError, match="25 base rows, not 26"):
        load(str(tmp_path / "rows.npy"), rows=26, queries=5, cache=tmp_path)


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_wordnet_is_split_as_documented_with_unit_rows(metric: str, tmp_path: Path, rng: np.random.Generator) -> None:
    rows = rng.standard_normal((50, 8)).astype(np.float16)
    np.save(tmp_path / "vectors.f16.npy", rows)
    dataset = load("wordnet-minilm", metric=metric, queries=10, data=tmp_path, cache=tmp_path / "cache")
    base, queries = split(50, 10)
    assert np.allclose(dataset.base, as_unit_rows(rows[base]), atol=1e-6)
    assert np.allclose(dataset.queries, as_unit_rows(rows[queries]), atol=1e-6)


def test_out_of_distribution_queries_point_away_from_the_base() -> None:
    recipe = RECIPES["ood"]
    base, queries = as_unit_rows(next(base_blocks(recipe, 2_000))), as_unit_rows(queries_of(recipe, 500))
    of_base, of_queries = base.mean(axis=0), queries.mean(axis=0)
    assert min(np.linalg.norm(of_base), np.linalg.norm(of_queries)) > 0.5
    assert abs(float(of_base @ of_queries)) < 0.1
    nearest = (queries @ base[500:].T).max(axis=1).mean()
    assert nearest < (base[:500] @ base[500:].T).max(axis=1).mean() - 0.3

"""Checks that packed and compact segments hold the same records through merges, deletions, filters and reopening."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import vecdb
from tests.conformance.small import SMALL
from vecdb import F
from vecdb.errors import InvalidRequestError
from vecdb.index import calibrate
from vecdb.kernels.layout import CHECKED_PADDED
from vecdb.types import Layout, Metric

DIM = 64
ROWS = 700
LAYOUTS: list[Layout] = ["packed", "compact"]


def vectors_of(rng: np.random.Generator, rows: int = ROWS) -> npt.NDArray[np.float32]:
    """Rows of intrinsic dimension 12."""
    return (rng.standard_normal((rows, 12)) @ rng.standard_normal((12, DIM))).astype(np.float32)


def filled(
    db: vecdb.Database, layout: Layout, vectors: npt.NDArray[np.float32], metric: Metric = "cosine"
) -> vecdb.Collection:
    """A collection whose rows went through several segments and merges, a tenth of them replaced, a tenth deleted."""
    docs = db.create_collection("docs", dim=DIM, metric=metric, layout=layout)
    for start in range(0, len(vectors), 100):
        part = range(start, min(start + 100, len(vectors)))
        docs.upsert(list(part), vectors[part.start : part.stop], [{"third": row % 3} for row in part])
        docs.wait_indexed()
    again = list(range(0, len(vectors), 10))
    docs.upsert(again, vectors[again], [{"third": row % 3} for row in again])
    docs.delete(ids=list(range(5, len(vectors), 10)))
    docs.optimize()
    return docs


def mean_recall(docs: vecdb.Collection, queries: npt.NDArray[np.float32], **options: Any) -> float:
    """Recall@10 against the exact search."""
    found = docs.search_batch(queries, 10, ef=160, **options)
    truth = docs.search_batch(queries, 10, exact=True, **options)
    return float(np.mean([len(set(mine.ids) & set(true.ids)) / 10 for mine, true in zip(found, truth, strict=True)]))


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_both_layouts_find_the_records_after_merges_and_deletions(
    layout: Layout, metric: Metric, tmp_path: Path, rng: np.random.Generator
) -> None:
    with vecdb.open(tmp_path / "db", config=SMALL) as db:
        docs = filled(db, layout, vectors_of(rng), metric)
        queries = vectors_of(rng, 20)
        assert mean_recall(docs, queries) > 0.9
        assert mean_recall(docs, queries, filter=F("third") == 1) > 0.9
        assert db.verify().ok
        assert all(report.ok for report in docs.validate())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_reader_and_the_next_writer_find_the_same_hits(
    layout: Layout, tmp_path: Path, rng: np.random.Generator
) -> None:
    queries = vectors_of(rng, 10)
    with vecdb.open(tmp_path / "db", config=SMALL) as db:
        docs = filled(db, layout, vectors_of(rng))
        before = [hits.ids for hits in docs.search_batch(queries, 10)]
        with vecdb.open(tmp_path / "db", mode="r", config=SMALL) as reader:
            assert [hits.ids for hits in reader.collection("docs").search_batch(queries, 10)] == before
    with vecdb.open(tmp_path / "db", config=SMALL) as db:
        docs = db.collection("docs")
        assert docs.fields["default"].layout == layout
        assert [hits.ids for hits in docs.search_batch(queries, 10)] == before
        docs.upsert(list(range(2_000, 2_150)), vectors_of(rng, 150))
        docs.optimize()
        assert mean_recall(docs, queries) > 0.9


def test_packed_segments_take_more_room_and_compact_ones_less(tmp_path: Path, rng: np.random.Generator) -> None:
    sizes = {}
    for layout in LAYOUTS:
        with vecdb.open(tmp_path / layout, config=SMALL) as db:
            sizes[layout] = filled(db, layout, vectors_of(rng)).stats().fields["default"].index_bytes
    assert sizes["packed"] > sizes["compact"] + ROWS * 0.8 * DIM


@pytest.mark.parametrize(
    ("dim", "m", "packed"), [(96, 16, True), (95, 16, False), (384, 8, False), (384, 24, False), (96, 64, True)]
)
def test_auto_packs_what_can_be_packed(dim: int, m: int, packed: bool, tmp_path: Path) -> None:
    with vecdb.open(tmp_path / "db", config=SMALL) as db:
        db.create_collection("docs", dim=dim, m=m)
        assert db.schema_of("docs").field(None).packed is packed


@pytest.mark.parametrize(("dim", "m"), [(31, 16), (384, 24)])
def test_packed_rows_that_cannot_be_are_refused_with_what_would_do(dim: int, m: int, tmp_path: Path) -> None:
    with (
        vecdb.open(tmp_path / "db", config=SMALL) as db,
        pytest.raises(InvalidRequestError, match="m a multiple of 16"),
    ):
        db.create_collection("docs", dim=dim, m=m, layout="packed")


def test_rows_whose_signs_say_little_are_searched_by_their_codes(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gaussian rows of independent components are as hard as data can be, and these are not checked by their codes.

    As long as a step takes about as long either way, which is not left to the machine here.
    """
    monkeypatch.setattr(calibrate, "measure_times", lambda *_: (100.0, 50.0))
    with vecdb.open(tmp_path / "db", config=SMALL) as db:
        docs = db.create_collection("docs", dim=CHECKED_PADDED + 32, layout="packed")
        docs.upsert(list(range(4_000)), rng.standard_normal((4_000, CHECKED_PADDED + 32)).astype(np.float32))
        docs.optimize()
        with db.reading(None) as view:
            [segment] = view.collections[db.schema_of("docs").number].fields[0].segments
        assert segment.entry.packed
        assert segment.entry.by_codes
        assert segment.segment.by_codes


def test_a_scan_of_many_matches_by_sketches_finds_what_one_by_codes_does(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    """Few enough to be scanned, too many for their codes to be the quicker way."""
    rows, vectors = 6_000, vectors_of(rng, 6_000)
    with vecdb.open(tmp_path / "db", config=SMALL) as db:
        docs = db.create_collection("docs", dim=DIM, layout="packed")
        docs.upsert(list(range(rows)), vectors, [{"tenth": row % 10} for row in range(rows)])
        docs.optimize()
        with db.reading(None) as view:
            [segment] = view.collections[db.schema_of("docs").number].fields[0].segments
        curve = segment.segment.curve
        assert segment.segment.sketches is not None
        assert curve is not None
        assert segment.entry.by_codes or curve.sketch_ns > 0
        assert mean_recall(docs, vectors_of(rng, 20), filter=F("tenth") != 3) > 0.9
        assert mean_recall(docs, vectors_of(rng, 20), filter=F("tenth") == 3) > 0.9

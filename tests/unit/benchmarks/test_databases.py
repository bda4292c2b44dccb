"""Tests the adapters of embedded databases: the list, and every one whose library is installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecdb
from benchmarks.databases import DATABASES, SPECS
from benchmarks.databases.protocol import COLUMNS, INDEXED, Database, DatabaseSpec, Matrix, Place
from benchmarks.databases.records import BUCKETS, metadata_of, regions_of, synthetic_records, with_columns
from benchmarks.databases.vecdb_database import NAME, Vecdb

ROWS, DIM, K = 200, 8, 5


def _is_installed(spec: DatabaseSpec) -> bool:
    try:
        return all(metadata.version(name) for name in spec.distributions)
    except metadata.PackageNotFoundError:
        return False


def _params(*, installed: bool) -> list[Any]:
    return [pytest.param(spec, id=spec.name) for spec in SPECS if _is_installed(spec) is installed]


every = pytest.mark.parametrize("spec", [pytest.param(spec, id=spec.name) for spec in SPECS])
ANY_WARNING = pytest.mark.filterwarnings("ignore")
"""What a library warns of is its own affair."""

installed = pytest.mark.parametrize("spec", _params(installed=True))


# --- the list -------------------------------------------------------------------------------------------------------


def test_every_database_has_a_name_of_its_own() -> None:
    assert list(DATABASES) == [spec.name for spec in SPECS]
    assert len(DATABASES) == len(SPECS)


@every
def test_efforts_rise_from_cheap_to_dear(spec: DatabaseSpec) -> None:
    assert list(spec.efforts) == sorted(set(spec.efforts))
    assert spec.efforts


@every
def test_tuning_is_a_sentence(spec: DatabaseSpec) -> None:
    assert spec.tuning.endswith(".")


def test_listing_imports_no_library() -> None:
    libraries = "{'chromadb', 'lancedb', 'lmdb', 'numba', 'pyarrow', 'pymilvus', 'qdrant_edge', 'sqlite_vec', 'zvec'}"
    code = f"import sys, benchmarks.databases; print({libraries} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("spec", _params(installed=False))
def test_a_database_that_is_not_installed_says_so_when_made(spec: DatabaseSpec, tmp_path: Path) -> None:
    with pytest.raises(ModuleNotFoundError):
        spec.make(Place(tmp_path, DIM, "cosine", 1))


# --- records --------------------------------------------------------------------------------------------------------


def test_made_up_records_are_the_same_every_time() -> None:
    assert synthetic_records(20) == synthetic_records(20)


def test_records_have_all_columns() -> None:
    record = with_columns(synthetic_records(3), [0, 1, 2])[2]
    assert list(metadata_of(record)) == list(COLUMNS)


def test_ids_of_made_up_records_differ() -> None:
    assert len({record["id"] for record in synthetic_records(500)}) == 500


def test_a_bound_of_the_bucket_keeps_its_share() -> None:
    buckets = np.array([record["bucket"] for record in with_columns([{}] * 20_000, range(20_000))])
    assert buckets.max() < BUCKETS
    assert abs((buckets < BUCKETS // 2).mean() - 0.5) < 0.02
    assert abs((buckets < BUCKETS // 100).mean() - 0.01) < 0.005


def test_a_region_is_the_rank_in_ten_thousandths() -> None:
    places = np.random.default_rng(0).permutation(40_000).astype(np.float64)
    assert regions_of(places) == (places // 4).astype(int).tolist()


def test_rows_at_one_place_are_ranked_in_their_order() -> None:
    assert regions_of(np.zeros(4)) == [0, 2_500, 5_000, 7_500]


# --- adapters -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vectors() -> Matrix:
    rows = np.random.default_rng(0).standard_normal((ROWS, DIM)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


RECORDS = with_columns(synthetic_records(ROWS), [row * BUCKETS // ROWS for row in range(ROWS)])
IDS = [record["id"] for record in RECORDS]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, DIM, "cosine", 1)


@pytest.fixture
def database(spec: DatabaseSpec, place: Place, vectors: Matrix) -> Iterator[Database]:
    database = spec.make(place)
    database.create()
    database.insert(IDS, vectors, [metadata_of(record) for record in RECORDS])
    database.make_ready()
    database.set_effort(max(spec.efforts))
    yield database
    database.close()


def _nearest(vectors: Matrix, query: Matrix) -> list[str]:
    return [IDS[row] for row in np.argsort(-(vectors @ query))[:K]]


@installed
@ANY_WARNING
def test_a_search_finds_the_nearest_best_first(database: Database, vectors: Matrix) -> None:
    assert [key for key, _ in database.search(vectors[3], K)] == _nearest(vectors, vectors[3])


@installed
@ANY_WARNING
def test_hits_carry_the_metadata_that_was_written(database: Database, vectors: Matrix) -> None:
    key, found = database.search(vectors[3], K)[0]
    assert (key, dict(found)) == (IDS[3], metadata_of(RECORDS[3]))


@installed
@ANY_WARNING
def test_a_batch_finds_what_single_searches_find(spec: DatabaseSpec, database: Database, vectors: Matrix) -> None:
    if not spec.batch_reason:
        assert database.search_batch(vectors[:4], K) == [database.search(query, K) for query in vectors[:4]]


@pytest.mark.parametrize("column", INDEXED)
@installed
@ANY_WARNING
def test_a_filter_leaves_only_records_that_match(
    spec: DatabaseSpec, database: Database, vectors: Matrix, column: str
) -> None:
    if not spec.filter_reason:
        values = [found[column] for _, found in database.search_filtered(vectors[3], K, column, BUCKETS // 2)]
        assert len(values) == K
        assert max(values) < BUCKETS // 2


def test_vecdb_answers_filters_of_the_benchmark_from_indexes(place: Place) -> None:
    database = Vecdb(place)
    database.create()
    database.close()
    with vecdb.open(place.path, mode="r") as opened:
        indexes = opened.collection(NAME).indexes
    assert {index.path: index.kind for index in indexes} == dict.fromkeys(INDEXED, "int")


@installed
@ANY_WARNING
def test_a_replaced_record_has_its_new_vector_and_metadata(database: Database, vectors: Matrix) -> None:
    changed = metadata_of(RECORDS[3]) | {"text": "changed"}
    database.replace([IDS[3]], -vectors[3:4], [changed])
    key, found = database.search(-vectors[3], 1)[0]
    assert (key, found["text"]) == (IDS[3], "changed")


@installed
@ANY_WARNING
def test_a_deleted_record_is_gone(database: Database, vectors: Matrix) -> None:
    database.delete([IDS[3]])
    assert IDS[3] not in [key for key, _ in database.search(vectors[3], K)]


@installed
@ANY_WARNING
def test_another_database_object_finds_what_was_written(spec: DatabaseSpec, place: Place, vectors: Matrix) -> None:
    first = spec.make(place)
    first.create()
    first.insert(IDS, vectors, [metadata_of(record) for record in RECORDS])
    first.make_ready()
    first.close()
    second = spec.make(place)
    second.open()
    second.set_effort(max(spec.efforts))
    found = [key for key, _ in second.search(vectors[7], K)]
    second.close()
    assert found == _nearest(vectors, vectors[7])

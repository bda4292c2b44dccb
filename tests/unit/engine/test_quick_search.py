"""Checks that a search asked again answers as the long way does, and that it notices whatever has changed."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import vecdb
from vecdb import F
from vecdb.config import RECORD_BUFFER_BYTES
from vecdb.engine.config import PREPARED_LIMIT_MAX, PREPARED_MAX
from vecdb.engine.database import Database
from vecdb.engine.packed import PackedCollection
from vecdb.errors import (
    ClosedError,
    DimensionMismatchError,
    FieldNotFoundError,
    InvalidRequestError,
    NonFiniteVectorError,
)
from vecdb.types import SearchResult

ROWS, DIM = 1_100, 8
"""More rows than stay in a tail."""


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with vecdb.open(tmp_path / "db", config=vecdb.EngineConfig(background=False)) as opened:
        yield opened


@pytest.fixture
def docs(db: Database) -> vecdb.Collection:
    return filled(db)


@pytest.fixture(scope="module")
def still() -> Iterator[vecdb.Collection]:
    """A collection that nobody writes to."""
    with vecdb.open(":memory:", config=vecdb.EngineConfig(background=False)) as opened:
        yield filled(opened)


def filled(db: Database) -> vecdb.Collection:
    """A collection at rest."""
    found = db.create_collection("docs", dim=DIM, metric="l2")
    vectors = rows(np.random.default_rng(5), ROWS)
    found.upsert([f"id {row}" for row in range(ROWS)], vectors, [{"n": row} for row in range(ROWS)])
    found.create_index("n", "int")
    found.optimize()
    return found


def rows(rng: np.random.Generator, count: int) -> Any:
    return rng.standard_normal((count, DIM)).astype(np.float32)


def quick(docs: vecdb.Collection, query: Any, *args: Any, **options: Any) -> SearchResult:
    """The answer of a prepared search."""
    for _ in range(3):
        found = docs.search(query, *args, **options)
    assert type(found) is not SearchResult
    return found


@pytest.mark.parametrize("limit", [1, 10, 100, PREPARED_LIMIT_MAX])
@pytest.mark.parametrize("with_metadata", [True, False])
@pytest.mark.parametrize("below", [None, 3, 90, 500])
def test_a_prepared_search_answers_as_the_long_way(
    still: vecdb.Collection, rng: np.random.Generator, limit: int, with_metadata: bool, below: int | None
) -> None:
    kept = None if below is None else F("n") < below
    for query in rows(rng, 5):
        found = quick(still, query, limit, ef=300, filter=kept, with_metadata=with_metadata)
        assert found == still.search_batch(query[None], limit, ef=300, filter=kept, with_metadata=with_metadata)[0]
        assert len(found) == min(limit, ROWS if below is None else below)


def test_a_query_may_be_anything_that_a_first_one_may(still: vecdb.Collection, rng: np.random.Generator) -> None:
    [query] = rows(rng, 1)
    found = quick(still, query)
    for spelled in (query.tolist(), query.astype(np.float64), np.repeat(query, 2)[::2]):
        assert quick(still, spelled) == found


@pytest.mark.parametrize(
    ("query", "options", "error"),
    [
        (np.full(DIM, np.nan, np.float32), {}, NonFiniteVectorError),
        (np.zeros(DIM + 1, np.float32), {}, DimensionMismatchError),
        (np.zeros(DIM, np.float32), {"limit": True}, InvalidRequestError),
        (np.zeros(DIM, np.float32), {"limit": 1.0}, InvalidRequestError),
        (np.zeros(DIM, np.float32), {"limit": 1, "target_recall": True}, InvalidRequestError),
        (np.zeros(DIM, np.float32), {"limit": 1, "field": ["default"]}, FieldNotFoundError),
    ],
)
def test_what_is_wrong_is_told_after_a_search_was_prepared(
    still: vecdb.Collection, query: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    quick(still, np.zeros(DIM, np.float32), **({"limit": 1, "target_recall": 1.0} if options else {}))
    with pytest.raises(error):
        still.search(query, **options)


def test_the_next_search_sees_every_write(docs: vecdb.Collection, rng: np.random.Generator) -> None:
    [query] = rows(rng, 1)
    best = quick(docs, query).ids[0]
    docs.delete(best)
    assert best not in [docs.search(query) for _ in range(3)][-1].ids
    docs.upsert(["new"], query[None], [{"n": 1}])
    assert docs.search(query).ids[0] == "new"
    docs.update("new", metadata={"n": 2})
    assert docs.search(query).metadata == docs.search_batch(query[None], with_metadata=True)[0].metadata


def test_a_reader_sees_a_write_with_its_next_search(
    db: Database, docs: vecdb.Collection, rng: np.random.Generator
) -> None:
    [query] = rows(rng, 1)
    with vecdb.open(db.path, mode="r", config=vecdb.EngineConfig(background=False)) as reader:
        before = quick(reader.collection("docs"), query)
        docs.update(before.ids[0], metadata={"n": -1})
        after = reader.collection("docs").search(query)
        assert after.metadata is not None
        assert (after.ids, after.metadata[0]) == (before.ids, {"n": -1})


def test_a_search_after_the_end_is_refused(db: Database, docs: vecdb.Collection, rng: np.random.Generator) -> None:
    [query] = rows(rng, 1)
    found = quick(docs, query)
    db.close()
    with pytest.raises(ClosedError):
        docs.search(query)
    assert found.metadata is not None
    assert [hit.id for hit in found] == [f"id {record['n']}" for record in found.metadata]


def test_threads_have_answers_of_their_own(still: vecdb.Collection, rng: np.random.Generator) -> None:
    queries = rows(rng, 200)
    wanted = [one.ids for one in still.search_batch(queries, ef=300)]
    wrong: list[int] = []

    def ask(first: int) -> None:
        wrong.extend(row for row in range(first, 200, 4) if still.search(queries[row], ef=300).ids != wanted[row])

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_records_too_long_to_be_copied_are_found_all_the_same(db: Database, rng: np.random.Generator) -> None:
    docs = db.create_collection("long", dim=DIM)
    text = "x" * (RECORD_BUFFER_BYTES // 5)
    docs.upsert(range(20), rows(rng, 20), [{"text": text, "n": row} for row in range(20)])
    docs.optimize()
    for query in rows(rng, 3):
        found = docs.search(query)
        assert found.metadata == [{"text": text, "n": record_id} for record_id in found.ids]


def test_no_more_searches_are_kept_than_allowed(still: vecdb.Collection, rng: np.random.Generator) -> None:
    [query] = rows(rng, 1)
    for limit in range(1, 3 * PREPARED_MAX):
        still.search(query, limit)
    with still._database.reading() as view:
        assert 0 < len(still._view(view).prepared) <= PREPARED_MAX


def test_packed_hits_have_their_metadata_as_it_is_stored(still: vecdb.Collection, rng: np.random.Generator) -> None:
    [query] = rows(rng, 1)
    plain = quick(still, query)
    packed: Any = quick(PackedCollection(still._database, still._schema), query)
    assert plain.metadata is not None
    assert packed.metadata == list(map(msgspec.msgpack.encode, plain.metadata))


def test_a_result_can_be_copied_and_compared(still: vecdb.Collection, rng: np.random.Generator) -> None:
    first, second = rows(rng, 2)
    found = quick(still, first)
    assert pickle.loads(pickle.dumps(still.search(first))) == found == still.search(first)
    assert found != still.search(second)
    assert found != 1


@pytest.mark.parametrize("options", [{}, {"with_metadata": True}, {"with_metadata": True, "with_vectors": True}])
def test_results_of_a_batch_are_those_of_its_queries(
    still: vecdb.Collection, rng: np.random.Generator, options: dict[str, Any]
) -> None:
    queries = rows(rng, 150)
    batch = still.search_batch(queries, 7, ef=300, **options)
    assert list(batch) == [still.search(query, 7, ef=300, **{"with_metadata": False, **options}) for query in queries]
    assert batch.ids.tolist() == [one.ids for one in batch]
    assert batch[3] is batch[3]


def test_a_late_result_is_printed_as_any(still: vecdb.Collection, rng: np.random.Generator) -> None:
    [query] = rows(rng, 1)
    assert repr(quick(still, query)).startswith("SearchResult(ids=['id ")
    assert repr(still.search_batch(query[None])).startswith("BatchResult(results=(SearchResult(ids=['id ")

"""Whatever valid ids, metadata and vectors go in come out equal, and search agrees with brute force."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import vecdb
from tests.harness.model import Model, assert_exact_hits, assert_hits, id_order
from vecdb.config import EngineConfig
from vecdb.types import RecordId

CONFIG = EngineConfig(tail_rows_index=16, threads=1, progress=False, map_bytes=1 << 31, index_loads=True)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
IDS: st.SearchStrategy[RecordId] = st.one_of(
    st.integers(0, 2**64 - 1), TEXT.filter(lambda t: 0 < len(t.encode()) <= 256), st.uuids()
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXT,
    st.datetimes(timezones=st.just(UTC)),
)
METADATA = st.dictionaries(
    TEXT, st.recursive(SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXT, v, max_size=3)), max_size=4
)


@pytest.fixture(scope="module")
def database() -> Iterator[Any]:
    """One database for all examples; each makes and drops its collection."""
    with vecdb.open(":memory:", config=CONFIG) as opened:
        yield opened


def same(a: Any, b: Any) -> bool:
    """Equal in value and in type, at every level."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, datetime):
        return isinstance(b, datetime) and a == b
    return type(a) is type(b) and a == b


@settings(max_examples=100, suppress_health_check=list(HealthCheck), deadline=None)
@given(records=st.dictionaries(IDS, METADATA, min_size=1, max_size=8))
def test_ids_and_metadata_come_back_as_they_went_in(database: Any, records: dict[RecordId, Any]) -> None:
    docs = database.create_collection("docs", dim=2, metric="l2")
    try:
        ids = list(records)
        docs.upsert(ids, np.zeros((len(ids), 2)), list(records.values()))
        got = docs.get(ids)
        assert [(type(r.id), r.id) for r in got] == [(type(i), i) for i in ids]
        assert all(same(record.metadata, records[record.id]) for record in got)
        assert [record.id for record in docs.iterate()] == sorted(ids, key=id_order)
    finally:
        database.drop_collection("docs")


@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    rows=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 60), st.integers(1, 20)),
        elements=st.floats(-100, 100, width=32, allow_subnormal=True),
    ),
    metric=st.sampled_from(["cosine", "dot", "l2"]),
    dtype=st.sampled_from(["float32", "float16"]),
    limit=st.integers(1, 70),
    indexed=st.booleans(),
)
def test_any_small_collection_is_searched_truly(
    database: Any, rows: Any, metric: Any, dtype: Any, limit: int, *, indexed: bool
) -> None:
    kept = rows.astype(dtype).astype(np.float32)
    assume(metric != "cosine" or (np.linalg.norm(kept, axis=1) > 1e-3).all())
    docs = database.create_collection("docs", dim=rows.shape[1], metric=metric, dtype=dtype)
    try:
        ids = list(range(len(rows)))
        model = Model.single(rows.shape[1], metric, dtype)
        model.put_columns(ids, rows)
        docs.upsert(ids, rows)
        if indexed:
            docs.optimize()
        np.testing.assert_array_equal([r.vector for r in docs.get(ids, with_vectors=True)], kept)
        assert_hits(model, docs.search(rows[0], limit=limit), rows[0], limit)
        assert_exact_hits(model, docs.search(rows[0], limit=limit, exact=True), rows[0], limit)
    finally:
        database.drop_collection("docs")

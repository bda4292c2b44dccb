"""Checks that a filter means the same whoever answers it: the plain reading, the predicate, scans and every index."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vecdb
from tests.oracle_filters import filter_matches
from tests.strategies_filters import PATHS, conditions, filters, metadata
from vecdb.config import EngineConfig
from vecdb.filters import F, Filter, filter_from_dict, filter_to_dict, nodes, parse_path, read_filter
from vecdb.filters.nodes import And, Or
from vecdb.filters.predicate import metadata_predicate
from vecdb.types import IndexKind

QUIET = EngineConfig(background=False, progress=False)
KINDS: tuple[IndexKind, ...] = ("keyword", "int", "float", "bool", "datetime", "text", "geo")
ids = st.one_of(st.text(min_size=1, max_size=3), st.integers(0, 2**64 - 1), st.uuids())
record_leaves = st.one_of(
    st.builds(nodes.HasId, st.lists(ids, max_size=3).map(tuple)),
    st.builds(nodes.HasVector, st.just("default")),
    st.builds(lambda index, more: nodes.Slice(index, index + more), st.integers(0, 5), st.integers(1, 5)),
)


@settings(max_examples=400)
@given(filters(), metadata())
def test_the_predicate_is_the_meaning_that_is_written_down(wanted: Filter, record: dict[str, Any]) -> None:
    assert metadata_predicate(wanted)(record) == filter_matches(wanted, record)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    st.lists(metadata(), min_size=12, max_size=25),
    st.lists(st.one_of(conditions, filters()), min_size=10, max_size=25),
    st.lists(st.tuples(st.sampled_from(PATHS), st.sampled_from(KINDS)), min_size=8, max_size=24, unique=True),
    st.integers(0, 25),
)
def test_an_index_never_changes_what_a_filter_matches(
    records: list[dict[str, Any]],
    wanted: list[Filter],
    indexes: list[tuple[str, IndexKind]],
    before: int,
) -> None:
    """Some records are stored before the indexes are created and some after; some are then changed or deleted."""
    vectors = np.arange(1, len(records) + 1, dtype=np.float32).reshape(-1, 1)
    with vecdb.open(":memory:", config=QUIET) as db:
        docs = db.create_collection("docs", dim=1, metric="l2")
        _upsert(docs, list(range(before)), vectors, records)
        for path, kind in indexes:
            docs.create_index(path, kind)
        _upsert(docs, list(range(before, len(records))), vectors, records)
        alive = dict(enumerate(records))
        if len(records) > 3:
            docs.delete([1])
            docs.update(2, metadata=records[0])
            del alive[1]
            alive[2] = {**records[2], **records[0]}
        for one in wanted:
            want = sorted(number for number, record in alive.items() if filter_matches(one, record))
            assert [record.id for record in docs.iterate(filter=one)] == want, f"{one} with {indexes}"
            assert docs.count(one) == len(want)
            assert sorted(docs.search([0.0], 100, filter=one).ids, key=int) == want


def _upsert(
    docs: vecdb.Collection, chosen: list[int], vectors: np.ndarray[Any, Any], records: list[dict[str, Any]]
) -> None:
    known = [number for number in chosen if number < len(records)]
    if known:
        docs.upsert(known, vectors[known], [records[number] for number in known])


@given(filters(st.one_of(conditions, record_leaves)))
def test_a_filter_comes_back_from_its_dict(wanted: Filter) -> None:
    assert _flat(filter_from_dict(filter_to_dict(wanted))) == _flat(wanted)


@given(filters(st.one_of(conditions, record_leaves)))
def test_a_printed_filter_builds_the_same_filter(wanted: Filter) -> None:
    names: dict[str, Any] = {"F": F, "And": And, "Or": Or, "datetime": _Module, "UUID": UUID}
    assert _flat(eval(str(wanted), names)) == _flat(wanted)  # noqa: S307 - what vecdb never does, a test may


class _Module:
    """What `datetime.datetime(...)` and `datetime.timezone.utc` need."""

    datetime = datetime

    class timezone:  # noqa: N801 - its name in Python
        utc = UTC


def _flat(wanted: Filter) -> Any:
    """A filter with what means the same spelled the same: nested ands, ands of one part."""
    if isinstance(wanted, (And, Or)):
        parts: list[Any] = []
        for part in map(_flat, wanted.parts):
            parts += part[1] if isinstance(part, tuple) and part[0] is type(wanted) else [part]
        return parts[0] if len(parts) == 1 else (type(wanted), parts)
    return (nodes.Not, _flat(wanted.part)) if isinstance(wanted, nodes.Not) else (type(wanted), str(wanted))


@given(filters(), metadata())
def test_a_negation_is_the_complement(wanted: Filter, record: dict[str, Any]) -> None:
    assert metadata_predicate(~wanted)(record) is not metadata_predicate(wanted)(record)


@given(filters(), filters(), metadata())
def test_de_morgan_holds(first: Filter, second: Filter, record: dict[str, Any]) -> None:
    assert metadata_predicate(~(first & second))(record) == metadata_predicate(~first | ~second)(record)


junk = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(
                st.sampled_from(
                    (
                        "$and",
                        "$or",
                        "$not",
                        "$nor",
                        "$id",
                        "$slice",
                        "$in",
                        "$gte",
                        "$size",
                        "$geo_box",
                        "$match",
                        "a",
                        "a[]",
                        "a[",
                    )
                ),
                st.text(max_size=3),
            ),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=500)
@given(junk)
def test_anything_else_is_a_filter_or_a_typed_error(given_: Any) -> None:
    try:
        found = read_filter(given_)
    except vecdb.errors.InvalidFilterError:
        return
    assert found is None or isinstance(found, Filter)


def test_a_dict_that_holds_itself_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["$not"] = endless
    with pytest.raises(vecdb.errors.InvalidFilterError, match="nested deeper"):
        read_filter(endless)
    listed: dict[str, Any] = {"$or": []}
    listed["$or"].append(listed)
    with pytest.raises(vecdb.errors.InvalidFilterError, match="nested deeper"):
        read_filter(listed)


@pytest.mark.parametrize(
    ("path", "metadata"),
    [
        ("$and", {"$and": 1}),
        ("$in.b", {"$in": {"b": 1}}),
        ("a\\.b", {"a.b": 1}),
        ("a\\[\\]", {"a[]": 1}),
        ("\\\\", {"\\": 1}),
        ("$", {"$": 1}),
    ],
)
def test_a_path_of_odd_characters_leads_there_from_either_spelling(path: str, metadata: dict[str, Any]) -> None:
    wanted = F(path) == 1
    assert metadata_predicate(wanted)(metadata)
    assert metadata_predicate(filter_from_dict(filter_to_dict(wanted)))(metadata)


BAD_PATHS = ["", ".", "a.", "a..b", "a[", "a[0]", "[]", "a[]b", "a\\", "\ud800", "x" * 513, 7, None, ["a"]]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_path_that_is_none_is_a_typed_error(path: Any) -> None:
    with pytest.raises(vecdb.errors.InvalidFilterError):
        parse_path(path)

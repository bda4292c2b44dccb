"""What a filter does to searches, counts, pages, facets and writes, with and without indexes, on every front."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from tests.conformance.conftest import DIM
from tests.conformance.fronts import CollectionLike, DatabaseLike
from tests.harness.model import low_rank
from tests.oracle_filters import filter_matches
from vecdb import F, Filter
from vecdb.errors import (
    IndexExistsError,
    IndexNotFoundError,
    InvalidFilterError,
    InvalidRequestError,
    UnindexedFilterError,
)

COUNT = 400
LANGS = ("en", "de", "fr", "日本")
START = datetime(2020, 1, 1, tzinfo=UTC)


def record(number: int) -> dict[str, Any]:
    """Metadata of every kind."""
    found: dict[str, Any] = {
        "year": 2000 + number % 25,
        "lang": LANGS[number % 4],
        "price": number / 8,
        "draft": number % 5 == 0,
        "tags": ["a", "b", "c"][: number % 4],
        "author": {"name": f"name {number % 7}"},
        "seen": START + timedelta(days=number),
        "place": {"lat": number % 90, "lon": -number % 180},
        "text": f"The {('quick', 'slow')[number % 2]} brown fox number {number}",
    }
    if number % 10 == 3:
        del found["year"]
    if number % 10 == 7:
        found["lang"] = None
    return found


KINDS = {
    "year": "int",
    "lang": "keyword",
    "price": "float",
    "draft": "bool",
    "tags": "keyword",
    "author.name": "keyword",
    "seen": "datetime",
    "place": "geo",
    "text": "text",
}
FILTERS: list[Filter] = [
    F("year") >= 2010,
    (F("year") >= 2005) & (F("year") < 2012) & (F("lang") == "de"),
    F("year") != 2001,
    F("lang").in_(["en", "日本", "xx"]) | (F("price") < 3.5),
    ~F("lang").is_null() & F("lang").not_in(["en"]),
    F("tags").contains_all(["a", "b"]),
    F("tags").size() == 2,
    F("author.name").prefix("name 3") | F("author.name").icontains("NAME 5"),
    F("draft") == True,  # noqa: E712 - it builds a filter
    (F("seen") >= START + timedelta(days=100)) & (F("seen") < "2020-06-01"),
    F("place").geo_radius(10, -10, 500_000),
    F("text").match("quick fox") & ~F("text").match("number 8", "phrase"),
    F("year").exists() & (F("missing") == 1),
    ~F("missing").exists() & (F("price") == 7),
]


@pytest.fixture
def vectors(rng: np.random.Generator) -> Any:
    return low_rank(rng, COUNT, DIM)


@pytest.fixture(params=["indexed", "indexed later", "not indexed"])
def filled(request: pytest.FixtureRequest, docs: CollectionLike, vectors: Any) -> CollectionLike:
    """Records 0..COUNT-1, some in segments and some in the tail."""

    def index() -> None:
        for path, kind in KINDS.items():
            docs.create_index(path, kind)

    if request.param == "indexed":
        index()
    docs.upsert(list(range(300)), vectors[:300], [record(number) for number in range(300)])
    docs.optimize()
    docs.upsert(list(range(300, COUNT)), vectors[300:], [record(number) for number in range(300, COUNT)])
    if request.param == "indexed later":
        index()
    return docs


def matching(wanted: Filter) -> list[int]:
    """Numbers of the records that match."""
    return [number for number in range(COUNT) if filter_matches(wanted, record(number))]


def test_counts_and_pages_are_those_of_the_matching_records(filled: CollectionLike) -> None:
    for wanted in FILTERS:
        want = matching(wanted)
        assert filled.count(wanted) == len(want), wanted
        assert [found.id for found in filled.iterate(filter=wanted)] == want, wanted


@pytest.mark.parametrize("limit", [1, 10, 500])
def test_a_search_returns_the_nearest_matches_and_never_too_few(
    filled: CollectionLike, vectors: Any, limit: int
) -> None:
    for wanted in FILTERS:
        want = matching(wanted)
        hits = filled.search(vectors[5] + 0.1, limit, filter=wanted)
        assert len(hits) == min(limit, len(want)), wanted
        assert {hit.id for hit in hits} <= set(want), wanted
        exact = filled.search(vectors[5] + 0.1, limit, filter=wanted, exact=True)
        assert len(set(hits.ids) & set(exact.ids)) >= 0.9 * len(exact), wanted
        assert list(hits.distances) == sorted(hits.distances), wanted


def test_an_exact_search_is_the_brute_force_one(filled: CollectionLike, vectors: Any) -> None:
    wanted = FILTERS[1]
    want = matching(wanted)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    order = sorted(want, key=lambda number: (-float(unit[number] @ unit[7]), number))
    assert filled.search(vectors[7], 5, filter=wanted, exact=True).ids == order[:5]


def test_a_batch_finds_what_its_queries_find_alone(filled: CollectionLike, vectors: Any) -> None:
    wanted = F("year") >= 2010
    batch = filled.search_batch(vectors[:6], 5, filter=wanted)
    assert [found.ids for found in batch] == [filled.search(vector, 5, filter=wanted).ids for vector in vectors[:6]]


def test_dicts_and_built_filters_mean_the_same(filled: CollectionLike, vectors: Any) -> None:
    built = (F("year") >= 2005) & F("tags").contains("a")
    spelled = {"year": {"$gte": 2005}, "tags": {"$contains": "a"}}
    assert filled.count(spelled) == filled.count(built) > 0
    assert filled.search(vectors[0], 9, filter=spelled).ids == filled.search(vectors[0], 9, filter=built).ids


def test_ids_fields_and_slices_are_filters_too(filled: CollectionLike) -> None:
    assert [found.id for found in filled.iterate(filter=F.id.in_([3, 399, "ghost"]))] == [3, 399]
    assert filled.count(F.has_vector("default")) == COUNT
    parts = [[found.id for found in filled.iterate(filter=F.slice(part, 3))] for part in range(3)]
    assert sorted(number for part in parts for number in part) == list(range(COUNT))
    assert min(map(len, parts)) > COUNT / 6


def test_a_filter_sees_what_was_written_deleted_and_updated(filled: CollectionLike, vectors: Any) -> None:
    before = filled.count(F("lang") == "de")
    filled.delete([1, 5])
    filled.update(0, metadata={"lang": "de"})
    filled.upsert([9], vectors[:1], [{"lang": "en"}])
    assert filled.count(F("lang") == "de") == before - 3 + 1
    assert 0 in filled.search(vectors[0], 3, filter=F("lang") == "de").ids
    assert filled.count({"lang": "en", "year": {"$exists": False}}) == filled.count(
        (F("lang") == "en") & ~F("year").exists()
    )


def test_records_are_deleted_by_filter(filled: CollectionLike) -> None:
    wanted = (F("year") < 2010) | F("draft").is_null()
    gone = matching(wanted)
    assert filled.delete(filter=wanted).count == len(gone)
    assert [found.id for found in filled.iterate()] == [number for number in range(COUNT) if number not in gone]
    assert filled.delete(filter=wanted).count == 0


def test_records_are_updated_by_filter(filled: CollectionLike) -> None:
    wanted = F("lang") == "fr"
    want = matching(wanted)
    assert filled.update(filter=wanted, metadata={"lang": "xx", "new": 1}).count == len(want)
    assert filled.count(wanted) == 0
    assert [found.id for found in filled.iterate(filter=F("new") == 1)] == want


def test_a_transaction_filters_what_it_has_written_itself(
    db: DatabaseLike, filled: CollectionLike, vectors: Any
) -> None:
    with db.transaction() as tx:
        docs = tx.collection("docs")
        docs.upsert(["new"], vectors[:1], [{"lang": "de"}])
        docs.update(0, metadata={"lang": "de"})
        docs.delete([1])
        docs.delete(filter=F("lang") == "de")
        docs.update(filter=F("lang") == "en", metadata={"lang": "de"})
    want = {number for number in matching(F("lang") == "en") if number != 0}
    assert {found.id for found in filled.iterate(filter=F("lang") == "de")} == want


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("path", ["year", "lang", "price", "seen", "draft", "tags"])
def test_pages_in_the_order_of_a_path_have_every_match_once(
    docs: CollectionLike, vectors: Any, path: str, descending: bool
) -> None:
    docs.create_index(path, KINDS[path])
    docs.upsert(list(range(COUNT)), vectors, [record(number) for number in range(COUNT)])
    wanted = F("price") >= 5
    found: list[Any] = []
    cursor = None
    while True:
        page = docs.scroll(37, cursor, filter=wanted, order_by=path, descending=descending)
        found += page
        cursor = page.cursor
        if cursor is None:
            break
    assert sorted(one.id for one in found) == matching(wanted)
    keys = [_sort_key(one.metadata.get(path), descending) for one in found]
    known = [key for key in keys if key is not None]
    assert keys[: len(known)] == known, "those without a value come last"
    assert known == sorted(known, reverse=descending)
    ties = [[one.id for one in found if one.metadata.get(path) == value] for value in (None, 2003, "de", True)]
    assert all(part == sorted(part) for part in ties)


def _sort_key(value: Any, descending: bool) -> Any:
    if isinstance(value, list):
        return (max(value) if descending else min(value)) if value else None
    return value


def test_a_page_goes_on_while_others_write(docs: CollectionLike, vectors: Any) -> None:
    docs.create_index("year", "int")
    docs.upsert(list(range(COUNT)), vectors, [record(number) for number in range(COUNT)])
    first = docs.scroll(100, order_by="year")
    docs.upsert([1_000, 1_001], vectors[:2], [{"year": 1_900}, {"year": 2_100}])
    docs.delete([first.records[0].id, first.records[-1].id])
    seen = [found.id for found in first]
    cursor = first.cursor
    while cursor is not None:
        page = docs.scroll(100, cursor, order_by="year")
        seen, cursor = seen + [found.id for found in page], page.cursor
    assert len(seen) == len(set(seen))
    assert set(range(COUNT)) <= set(seen)
    assert 1_001 in seen


def test_an_order_needs_an_index(filled: CollectionLike) -> None:
    with pytest.raises(InvalidRequestError, match="create_index"):
        filled.scroll(order_by="missing")


def test_facets_count_the_matches_by_value(filled: CollectionLike) -> None:
    wanted = F("year") >= 2010
    for path in ("lang", "year", "draft", "tags"):
        values: dict[Any, int] = {}
        for number in matching(wanted):
            value = record(number).get(path)
            for one in value if isinstance(value, list) else [value]:
                if one is not None:
                    values[one] = values.get(one, 0) + 1
        found = filled.facet(path, filter=wanted)
        assert found == values
        assert list(found.values()) == sorted(values.values(), reverse=True)
    assert len(filled.facet("year", limit=3)) == 3


def test_aggregates_sum_up_the_numbers_of_the_matches(filled: CollectionLike) -> None:
    wanted = F("lang") == "de"
    prices = [record(number)["price"] for number in matching(wanted)]
    found = filled.aggregate("price", filter=wanted)
    assert (found.count, found.min, found.max) == (len(prices), min(prices), max(prices))
    assert found.sum == pytest.approx(sum(prices))
    assert found.mean == pytest.approx(sum(prices) / len(prices))
    nothing = filled.aggregate("price", filter=F("year") > 3000)
    assert (nothing.count, nothing.min, nothing.max, nothing.sum, nothing.mean) == (0, None, None, 0, None)


def test_strict_refuses_a_condition_that_no_index_answers(docs: CollectionLike, vectors: Any) -> None:
    docs.create_index("year", "int")
    docs.upsert(list(range(9)), vectors[:9], [record(number) for number in range(9)])
    assert docs.count(F("year") >= 2005, strict=True) == 4
    with pytest.raises(UnindexedFilterError, match="create_index on 'price'"):
        docs.search(vectors[0], filter=(F("year") >= 2005) & (F("price") > 0), strict=True)
    with pytest.raises(UnindexedFilterError):
        docs.count(F("price") > 0, strict=True)


def test_an_explanation_tells_how_the_filter_and_the_search_went(docs: CollectionLike, vectors: Any) -> None:
    docs.create_index("year", "int")
    docs.upsert(list(range(COUNT)), vectors, [record(number) for number in range(COUNT)])
    docs.optimize()
    docs.upsert(["tail"], vectors[:1], [{"year": 2020}])
    wanted = (F("year") >= 2010) & (F("lang") == "de")
    explain = docs.search(vectors[3], 5, filter=wanted, explain=True).explain
    assert explain is not None
    assert explain.matches == docs.count(wanted)
    assert [step.how.split(",")[0].split(" of ")[0] for step in explain.steps] == ["int index", "scan"]
    assert [part.where for part in explain.parts] == ["segment 0", "tail"]
    assert sum(part.matches for part in explain.parts) == explain.matches
    assert set(explain.microseconds) == {"filter", "search", "records"}
    text = str(explain)
    assert "F('year') >= 2010: int index" in text
    assert "scan of" in text
    again = docs.search(vectors[3], 5, filter=wanted, explain=True).explain
    assert again is not None
    assert again.remembered


def test_a_search_without_a_filter_explains_itself_too(docs: CollectionLike, vectors: Any) -> None:
    docs.upsert(list(range(COUNT)), vectors)
    docs.optimize()
    explain = docs.search(vectors[3], 5, explain=True).explain
    assert explain is not None
    assert explain.matches is None
    assert explain.parts[0].plan == "graph"
    assert 0 < explain.parts[0].scored <= COUNT


def test_indexes_are_listed_dropped_and_made_once(docs: CollectionLike) -> None:
    docs.create_index("year", "int")
    docs.create_index("year", "keyword")
    docs.create_index("year", "int", exist_ok=True)
    with pytest.raises(IndexExistsError, match="exist_ok"):
        docs.create_index("year", "int")
    assert [(index.path, index.kind, index.ready) for index in docs.indexes] == [
        ("year", "int", True),
        ("year", "keyword", True),
    ]
    docs.drop_index("year", "int")
    assert [index.kind for index in docs.indexes] == ["keyword"]
    docs.drop_index("year")
    with pytest.raises(IndexNotFoundError, match="there are: none"):
        docs.drop_index("year")


@pytest.mark.parametrize(
    ("path", "kind", "error"),
    [("year", "number", InvalidRequestError), (7, "int", InvalidRequestError), ("a..b", "int", InvalidFilterError)],
)
def test_an_index_that_cannot_be_is_refused(docs: CollectionLike, path: Any, kind: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        docs.create_index(path, kind)
    assert docs.indexes == ()


BAD_FILTERS: list[tuple[Any, str]] = [
    ({"year": {"$gtee": 1}}, "did you mean"),
    ({"year": {"$gte": None}}, "year"),
    ({"year": [1, 2]}, "\\$in"),
    ({"$or": {"a": 1}}, "list of filters"),
    ({"year": {"$gt": True}}, "no order"),
    ({"year": float("nan")}, "nan"),
    ({"a": {"$size": -1}}, "from 0 on"),
    ({"": 1}, "1 to 512"),
    ("year > 3", "not read"),
    (F("year"), "without a condition"),
    (3, "give one built with F"),
    ({"$slice": [3, 3]}, "numbered from 0"),
    ({"p": {"$geo_radius": {"lat": 1}}}, "meters"),
    ({"p": {"$geo_box": {"south": 5, "west": 0, "north": 1, "east": 0}}}, "exchange"),
    ({"t": {"$match": "..."}}, "no word"),
]


@pytest.mark.parametrize(("wanted", "message"), BAD_FILTERS, ids=[message for _, message in BAD_FILTERS])
def test_a_bad_filter_says_what_is_wrong_and_what_to_write(docs: CollectionLike, wanted: Any, message: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: docs.count(wanted),
        lambda: docs.search(np.ones(DIM), filter=wanted),
        lambda: docs.scroll(filter=wanted),
        lambda: docs.delete(filter=wanted),
    ]
    for call in calls:
        with pytest.raises(InvalidFilterError, match=message):
            call()

"""Checks pages in the order of a path, and what facets count, where conformance tests do not go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import vecdb
from vecdb import F
from vecdb.config import EngineConfig
from vecdb.engine.terms import TermReader, term_order
from vecdb.errors import InvalidRequestError


@pytest.fixture
def db() -> Iterator[vecdb.Database]:
    with vecdb.open(":memory:", config=EngineConfig(background=False, progress=False)) as db:
        yield db


@pytest.fixture
def docs(db: vecdb.Database) -> vecdb.Collection:
    return db.create_collection("docs", dim=1, metric="l2")


def put(docs: vecdb.Collection, metadata: list[dict[str, Any]], first: int = 0) -> None:
    ids = list(range(first, first + len(metadata)))
    docs.upsert(ids, np.ones((len(ids), 1)), metadata)


def pages(docs: vecdb.Collection, limit: int, **options: Any) -> list[Any]:
    found: list[Any] = []
    cursor = None
    while True:
        page = docs.scroll(limit, cursor, **options)
        found += [record.id for record in page.records]
        cursor = page.cursor
        if cursor is None:
            return found


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("limit", [1, 7, 400])
def test_pages_of_few_values_are_in_id_order_within_a_value(
    docs: vecdb.Collection, limit: int, *, descending: bool
) -> None:
    """So many records share a value that their ids are walked over, not sorted, for all but the largest page."""
    values: list[Any] = [["b", "a"], "b", "c", None, [], ["c"]]
    put(docs, [{"s": values[number % 6], "n": number % 3} for number in range(300)])
    docs.create_index("s", "keyword")
    docs.create_index("n", "int")
    rank = {0: "b", 1: "b", 2: "c", 5: "c"} if descending else {0: "a", 1: "b", 2: "c", 5: "c"}
    valued = [number for number in range(300) if number % 6 in rank]
    expected = sorted(valued, key=lambda number: (ord(rank[number % 6]) * (-1 if descending else 1), number))
    expected += [number for number in range(300) if number % 6 not in rank]
    assert pages(docs, limit, order_by="s", descending=descending) == expected
    by_number = sorted(range(300), key=lambda number: (-(number % 3) if descending else number % 3, number))
    assert pages(docs, limit, order_by="n", descending=descending) == by_number


def test_pages_by_filter_are_in_id_order_whether_ids_are_sorted_or_walked(docs: vecdb.Collection) -> None:
    put(docs, [{"n": number} for number in range(600)])
    for first, stop in ((599, 600), (580, 600), (0, 300), (300, 600), (0, 600)):
        for limit in (1, 10, 1_000):
            assert pages(docs, limit, filter=(F("n") >= first) & (F("n") < stop)) == list(range(first, stop))


def test_a_cursor_of_another_order_is_refused(docs: vecdb.Collection) -> None:
    put(docs, [{"n": number, "s": f"s{number}"} for number in range(9)])
    docs.create_index("n", "int")
    docs.create_index("s", "keyword")
    for first, second in (("n", "s"), ("s", "n")):
        with pytest.raises(InvalidRequestError, match="another order"):
            docs.scroll(2, docs.scroll(2, order_by=first).cursor, order_by=second)


@pytest.mark.parametrize("descending", [False, True])
def test_a_page_goes_on_although_an_index_made_anew_has_forgotten_the_value_it_ended_at(
    docs: vecdb.Collection, *, descending: bool
) -> None:
    put(docs, [{"s": text} for text in ("d", "d", "c", "c", "b", "b", "a", "a")])
    docs.create_index("s", "keyword")
    page = docs.scroll(3, order_by="s", descending=descending)
    assert [record.metadata["s"] for record in page.records][-1] == ("c" if descending else "b")
    docs.delete(filter=F("s").in_(["b", "c"]))
    docs.drop_index("s")
    docs.create_index("s", "keyword")
    rest = docs.scroll(9, page.cursor, order_by="s", descending=descending)
    assert [record.id for record in rest.records] == ([6, 7] if descending else [0, 1])


def test_the_order_of_terms_follows_new_ones_and_stays_right_for_older_views(
    db: vecdb.Database, docs: vecdb.Collection
) -> None:
    put(docs, [{"s": f"{(number * 7) % 200:03}"} for number in range(200)])
    docs.create_index("s", "keyword")
    assert pages(docs, 50, order_by="s") == sorted(range(200), key=lambda number: (number * 7) % 200)
    with db.reading() as view:
        put(docs, [{"s": text} for text in ("0505", "", "zz")], first=200)
        expected = ["", "000", "050", "0505", "051", "199", "zz"]
        found = [record.metadata["s"] for record in docs.iterate(order_by="s")]
        assert [text for text in found if text in expected] == expected
        assert found == sorted(found)
        old, [index] = view.collection(docs._number, "docs"), view.collection(docs._number, "docs").indexes
        terms = TermReader(view.txn, view.lock, old.schema.number, index.state.number)
        order = term_order(terms, index.state.next_code, index.orders)
        texts = [terms.text(code) for code in order.codes.tolist()]
        assert texts == sorted(texts)
        assert len(texts) == 200
    put(docs, [{"s": f"n{number}"} for number in range(100)], first=300)  # so many new ones that all are read again
    found = [record.metadata["s"] for record in docs.iterate(order_by="s")]
    assert found == sorted(found)
    assert len(found) == 303


@pytest.mark.parametrize("kind", [None, "int", "bool", "float"])
def test_a_facet_counts_true_and_one_together_since_a_dict_holds_them_as_one(docs: vecdb.Collection, kind: Any) -> None:
    put(docs, [{"a": value} for value in (True, 1, 1.0, [1, True, True], False, 2, "x")])
    if kind is not None:
        docs.create_index("a", kind)
    assert docs.facet("a") == {1: 4, 0: 1, 2: 1, "x": 1}


@pytest.mark.parametrize("kind", [None, "int", "keyword"])
def test_a_facet_counts_a_record_once_for_an_element_that_its_list_repeats(docs: vecdb.Collection, kind: Any) -> None:
    put(docs, [{"a": value} for value in ([1, 1, 2], [], [2, 1, 2], 2, ["x", "x"], ["y", "x"])])
    if kind is not None:
        docs.create_index("a", kind)
    assert docs.facet("a") == {2: 3, 1: 2, "x": 2, "y": 1}
    assert docs.aggregate("a").count == 7

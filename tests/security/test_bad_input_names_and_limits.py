"""Ids, names, options and limits: each bad one is refused by name, limits hold at their maximum and not beyond."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import pytest

import vecdb
from tests.security.unchanged import CONFIG, DIM, refused
from vecdb.config import (
    BATCH_RECORDS_MAX,
    COLLECTIONS_MAX,
    DIM_MAX,
    EF_CONSTRUCTION_MAX,
    EF_MAX,
    FIELDS_MAX,
    ID_BYTES_MAX,
    LIMIT_MAX,
    M_MAX,
    M_MIN,
    SEARCH_BATCH_MAX,
    EngineConfig,
)
from vecdb.errors import (
    CollectionNotFoundError,
    DuplicateIdError,
    InvalidIdError,
    InvalidNameError,
    InvalidRequestError,
    LimitExceededError,
    RecordNotFoundError,
    VecDBError,
)
from vecdb.types import Field

QUERY = np.ones(DIM, dtype=np.float32)

BAD_IDS = [
    pytest.param("", id="empty"),
    pytest.param("x" * (ID_BYTES_MAX + 1), id="too-long"),
    pytest.param("ü" * (ID_BYTES_MAX // 2 + 1), id="too-many-bytes"),
    pytest.param("\ud800", id="lone-surrogate"),
    pytest.param(-1, id="negative"),
    pytest.param(2**64, id="beyond-u64"),
    pytest.param(2**100_000, id="astronomical"),
    pytest.param(True, id="bool"),
    pytest.param(1.0, id="float"),
    pytest.param(float("nan"), id="nan"),
    pytest.param(None, id="none"),
    pytest.param(b"a", id="bytes"),
    pytest.param(("a",), id="tuple"),
    pytest.param(["a"], id="list"),
    pytest.param({}, id="dict"),
]

BAD_NAMES = [
    pytest.param("", id="empty"),
    pytest.param("..", id="dots"),
    pytest.param("../up", id="path"),
    pytest.param("/etc", id="absolute"),
    pytest.param("a/b", id="slash"),
    pytest.param("a\x00b", id="nul"),
    pytest.param("a\n", id="newline-at-the-end"),
    pytest.param("Docs", id="uppercase"),
    pytest.param("-a", id="leading-dash"),
    pytest.param("_a", id="leading-underscore"),
    pytest.param("a b", id="space"),
    pytest.param("döcs", id="unicode"),
    pytest.param("\uff44ocs", id="full-width"),
    pytest.param("\ud800", id="lone-surrogate"),
    pytest.param("a" * 64, id="too-long"),
    pytest.param("a" * 1_000_000, id="a-million"),
    pytest.param(None, id="none"),
    pytest.param(7, id="int"),
    pytest.param(b"docs", id="bytes"),
    pytest.param(["docs"], id="list"),
]

NOT_POSITIVE_INTS = [
    pytest.param(0, id="zero"),
    pytest.param(-1, id="negative"),
    pytest.param(-(2**63), id="lowest"),
    pytest.param(2**63, id="beyond-i64"),
    pytest.param(True, id="bool"),
    pytest.param(10.0, id="float"),
    pytest.param(float("nan"), id="nan"),
    pytest.param("10", id="text"),
    pytest.param([10], id="list"),
]


@pytest.mark.parametrize("bad", BAD_IDS)
def test_a_bad_id_is_refused_by_every_call(db: Any, docs: Any, bad: Any) -> None:
    with refused(db, InvalidIdError):
        docs.upsert(["good", bad], np.ones((2, DIM)))
    with refused(db, InvalidIdError):
        docs.insert([{"id": bad, "vector": QUERY}])
    with refused(db, InvalidIdError):
        docs.delete(ids=["a", bad])
    with refused(db, InvalidIdError):
        docs.update(bad, metadata={})


@pytest.mark.parametrize("bad", [b"a", None, 1.5, True, -1, 2**64, "", "x" * (ID_BYTES_MAX + 1)])
def test_a_bad_id_is_refused_by_get(db: Any, docs: Any, bad: Any) -> None:
    with refused(db, InvalidIdError):
        docs.get([bad])


@pytest.mark.parametrize("bad", [b"a", None, 1.5, object(), "", -1])
def test_get_of_a_single_bad_id_is_refused(db: Any, docs: Any, bad: Any) -> None:
    with refused(db, InvalidIdError):
        docs.get(bad)


@pytest.mark.parametrize("ids", ["ab", b"ab", {"a": 1, "b": 2}, None, 2, {"a", "b"}])
def test_ids_that_are_not_a_list_are_refused(db: Any, docs: Any, ids: Any) -> None:
    with refused(db, InvalidRequestError, "ids"):
        docs.upsert(ids, np.ones((2, DIM)))


@pytest.mark.parametrize("ids", [b"ab", None, 1.5, object()])
def test_delete_of_what_is_neither_id_nor_list_is_refused(db: Any, docs: Any, ids: Any) -> None:
    with refused(db, InvalidIdError):
        docs.delete(ids=ids)


def test_delete_of_a_text_is_of_that_one_id(docs: Any) -> None:
    assert docs.delete(ids="ab").count == 0
    assert docs.delete(ids="a").count == 1
    assert "b" in docs


def test_ids_at_their_limits_are_stored(docs: Any) -> None:
    ids = [
        "x" * ID_BYTES_MAX,
        "ü" * (ID_BYTES_MAX // 2),
        0,
        2**64 - 1,
        uuid.UUID(int=0),
        uuid.UUID(int=2**128 - 1),
        " ",
    ]
    docs.upsert(ids, np.ones((len(ids), DIM)))
    assert [record.id for record in docs.get(ids)] == ids


@pytest.mark.parametrize("call", ["upsert", "insert"])
@pytest.mark.parametrize("ids", [["x", "y", "x"], [1, 2, 1], [uuid.UUID(int=5)] * 2, ["x", np.str_("x")]])
def test_duplicate_ids_in_a_batch_are_refused(db: Any, docs: Any, call: str, ids: list[Any]) -> None:
    with refused(db, DuplicateIdError, "more than once"):
        getattr(docs, call)(ids, np.ones((len(ids), DIM)))


def test_duplicate_ids_in_records_are_refused(db: Any, docs: Any) -> None:
    with refused(db, DuplicateIdError, "'x'"):
        docs.upsert([{"id": "x", "vector": QUERY}, {"id": "x", "vector": -QUERY}])


def test_update_of_an_unknown_record_is_refused(db: Any, docs: Any) -> None:
    with refused(db, RecordNotFoundError, "'ghost'"):
        docs.update("ghost", metadata={})


@pytest.mark.parametrize("bad", BAD_NAMES)
def test_a_bad_collection_name_is_refused(db: Any, bad: Any) -> None:
    with refused(db, InvalidNameError, "collection"):
        db.create_collection(bad, dim=DIM)


@pytest.mark.parametrize("bad", BAD_NAMES)
def test_a_bad_field_name_is_refused(db: Any, bad: Any) -> None:
    if isinstance(bad, list):
        return  # cannot be a key of a dict
    with refused(db, InvalidNameError, "field"):
        db.create_collection("new", fields={bad: Field(dim=DIM)})


@pytest.mark.parametrize(
    ("name", "error"),
    [("unknown", CollectionNotFoundError)]
    + [(name, InvalidNameError) for name in ("Docs", "..", "", "a\x00b", "x" * 1_000)],
)
def test_an_unknown_collection_is_named(db: Any, name: str, error: type[VecDBError]) -> None:
    with refused(db, error, "collection", repr(name)[:60]):
        db.collection(name)
    with refused(db, error, "collection", repr(name)[:60]):
        db.drop_collection(name)
    assert name not in db


@pytest.mark.parametrize("name", ["a", "0", "a" * 63, "a-b_c"])
def test_names_within_the_rule_are_accepted(db: Any, name: str) -> None:
    assert db.create_collection(name, dim=DIM).name == name


@pytest.mark.parametrize("limit", NOT_POSITIVE_INTS)
def test_a_bad_limit_is_refused_by_every_search_and_scroll(db: Any, docs: Any, limit: Any) -> None:
    with refused(db, InvalidRequestError, "limit"):
        docs.search(QUERY, limit=limit)
    with refused(db, InvalidRequestError, "limit"):
        docs.search_batch([QUERY], limit=limit)
    with refused(db, InvalidRequestError, "limit"):
        docs.scroll(limit=limit)


def test_limit_holds_at_its_maximum_and_not_beyond(db: Any, docs: Any) -> None:
    assert len(docs.search(QUERY, limit=LIMIT_MAX)) == len(docs)
    assert len(docs.scroll(limit=LIMIT_MAX)) == len(docs)
    with refused(db, LimitExceededError, "limit", str(LIMIT_MAX)):
        docs.search(QUERY, limit=LIMIT_MAX + 1)
    with refused(db, LimitExceededError, "limit", str(LIMIT_MAX)):
        docs.scroll(limit=LIMIT_MAX + 1)


@pytest.mark.parametrize("ef", NOT_POSITIVE_INTS)
def test_a_bad_ef_is_refused(db: Any, docs: Any, ef: Any) -> None:
    with refused(db, InvalidRequestError, "ef"):
        docs.search(QUERY, ef=ef)


def test_ef_holds_at_its_maximum_and_not_beyond(db: Any, docs: Any) -> None:
    assert len(docs.search(QUERY, ef=EF_MAX)) == 10
    with refused(db, LimitExceededError, "ef", str(EF_MAX)):
        docs.search(QUERY, ef=EF_MAX + 1)


@pytest.mark.parametrize("target", [0, -0.5, 1.0001, float("nan"), float("inf"), "0.9", True, [0.9]])
def test_a_bad_target_recall_is_refused(db: Any, docs: Any, target: Any) -> None:
    with refused(db, InvalidRequestError, "target_recall"):
        docs.search(QUERY, target_recall=target)


def test_ef_beside_target_recall_is_refused(db: Any, docs: Any) -> None:
    with refused(db, InvalidRequestError, "ef", "target_recall"):
        docs.search(QUERY, ef=50, target_recall=0.9)


@pytest.mark.parametrize("cursor", ["garbage", "", "A" * 10_000, "\x00", "ü", 7, b"x", "AAAA", "/../"])
def test_a_cursor_that_no_scroll_returned_is_refused(db: Any, docs: Any, cursor: Any) -> None:
    with refused(db, InvalidRequestError, "cursor"):
        docs.scroll(cursor=cursor)


@pytest.mark.parametrize("min_seq", ["7", 1.5, -1, True])
def test_a_bad_min_seq_is_refused(db: Any, docs: Any, min_seq: Any) -> None:
    with refused(db, InvalidRequestError, "min_seq"):
        docs.search(QUERY, min_seq=min_seq)


@pytest.mark.parametrize("sample", [0, -1, 1.5, "x"])
def test_a_bad_recall_sample_is_refused(db: Any, docs: Any, sample: Any) -> None:
    with refused(db, InvalidRequestError, "sample"):
        docs.measure_recall(sample=sample)
    with refused(db, InvalidRequestError, "k"):
        docs.measure_recall(k=sample)


@pytest.mark.parametrize("timeout", ["1", float("nan"), -1])
def test_a_bad_timeout_is_refused(db: Any, docs: Any, timeout: Any) -> None:
    with refused(db, InvalidRequestError, "timeout_s"):
        docs.wait_indexed(timeout_s=timeout)


@pytest.mark.parametrize("dim", [0, -1, DIM_MAX + 1, 2**63, True, 8.0, "8", None])
def test_a_bad_dimension_is_refused(db: Any, dim: Any) -> None:
    with refused(db, InvalidRequestError, "dim"):
        db.create_collection("new", dim=dim)
    with refused(db, InvalidRequestError, "dim"):
        db.create_collection("new", fields={"text": Field(dim=dim)})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("metric", "euclid"),
        ("metric", None),
        ("metric", ["l2"]),
        ("dtype", "float64"),
        ("dtype", np.float32),
        ("builder", "faiss"),
        ("layout", "tight"),
        ("layout", None),
        ("m", M_MIN - 1),
        ("m", M_MAX + 1),
        ("m", 16.0),
        ("m", True),
        ("ef_construction", 0),
        ("ef_construction", EF_CONSTRUCTION_MAX + 1),
        ("ef_construction", "200"),
    ],
)
def test_a_bad_field_option_is_refused(db: Any, option: str, value: Any) -> None:
    with refused(db, InvalidRequestError, option):
        db.create_collection("new", dim=DIM, **{option: value})


@pytest.mark.parametrize("m", [M_MIN, M_MAX])
@pytest.mark.parametrize("ef_construction", [M_MAX, EF_CONSTRUCTION_MAX])
def test_field_options_at_their_limits_work(db: Any, m: int, ef_construction: int) -> None:
    new = db.create_collection("new", dim=DIM, m=m, ef_construction=ef_construction)
    new.upsert(list(range(100)), np.random.default_rng(0).standard_normal((100, DIM)))
    new.optimize()
    assert len(new.search(QUERY, limit=50)) == 50


def test_a_collection_needs_either_dim_or_fields(db: Any) -> None:
    with refused(db, InvalidRequestError, "dim", "fields"):
        db.create_collection("new")
    with refused(db, InvalidRequestError, "dim", "fields"):
        db.create_collection("new", dim=DIM, fields={"text": Field(dim=DIM)})
    with refused(db, InvalidRequestError, "field"):
        db.create_collection("new", fields={})


@pytest.mark.parametrize("field", [8, {"dim": 8}, None, "text"])
def test_a_field_that_is_not_a_field_is_refused(db: Any, field: Any) -> None:
    with refused(db, InvalidRequestError, "'text'", "Field"):
        db.create_collection("new", fields={"text": field})


def test_the_number_of_fields_holds_at_its_maximum_and_not_beyond(db: Any) -> None:
    fields = {f"f{n}": Field(dim=2) for n in range(FIELDS_MAX)}
    assert len(db.create_collection("most", fields=fields).fields) == FIELDS_MAX
    with refused(db, LimitExceededError, str(FIELDS_MAX)):
        db.create_collection("more", fields=fields | {"one-more": Field(dim=2)})


def test_the_number_of_collections_holds_at_its_maximum_and_not_beyond() -> None:
    with vecdb.open(":memory:", config=CONFIG) as database:
        for n in range(COLLECTIONS_MAX):
            database.create_collection(f"c{n}", dim=1)
        with refused(database, LimitExceededError, str(COLLECTIONS_MAX)):
            database.create_collection("one-more", dim=1)
        database.drop_collection("c0")
        assert database.create_collection("one-more", dim=1).count() == 0


def test_the_records_of_a_batch_hold_at_their_maximum_and_not_beyond() -> None:
    with vecdb.open(":memory:", config=EngineConfig(background=False, progress=False)) as database:
        tiny = database.create_collection("tiny", dim=1, metric="l2")
        x = np.ones((BATCH_RECORDS_MAX + 1, 1), dtype=np.float32)
        with refused(database, LimitExceededError, str(BATCH_RECORDS_MAX)):
            tiny.upsert(list(range(BATCH_RECORDS_MAX + 1)), x)
        with refused(database, LimitExceededError, str(BATCH_RECORDS_MAX)):
            tiny.delete(ids=list(range(BATCH_RECORDS_MAX + 1)))
        assert tiny.upsert(list(range(BATCH_RECORDS_MAX)), x[1:]).count == BATCH_RECORDS_MAX


def test_the_queries_of_a_batch_are_limited(db: Any, docs: Any) -> None:
    queries = np.broadcast_to(QUERY, (SEARCH_BATCH_MAX + 1, DIM))
    with refused(db, LimitExceededError, str(SEARCH_BATCH_MAX)):
        docs.search_batch(queries, limit=1)


@pytest.mark.parametrize(("option", "value"), [("mode", "w"), ("mode", None), ("durability", "maybe")])
def test_a_bad_open_option_is_refused(tmp_path: Any, option: str, value: Any) -> None:
    with pytest.raises(InvalidRequestError, match=option):
        vecdb.open(tmp_path / "new", **{option: value})
    assert not (tmp_path / "new").exists()

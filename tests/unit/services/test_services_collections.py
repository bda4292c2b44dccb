"""CollectionService: declarations, listings in pages, and metadata indexes with the progress of their building."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest

import vecdb
from tests.unit.services.asking import DIM, Asked, asking, code_from, error_from, fake_call, rows
from vecdb import errors
from vecdb._pb.v1 import collection_pb2
from vecdb._pb.v1 import collection_service_pb2 as pb
from vecdb.config import DIM_MAX, FIELDS_MAX
from vecdb.server.backing import Backing
from vecdb.server.config import PAGE_COLLECTIONS_MAX
from vecdb.server.principals import Principal
from vecdb.server.services_collections import CollectionService
from vecdb.server.settings import ServerConfig
from vecdb.wire.collections import read_collection

INT = collection_pb2.INDEX_KIND_INT


def create(name: str, *fields: dict[str, Any], **options: Any) -> pb.CreateCollectionRequest:
    return pb.CreateCollectionRequest(name=name, fields=[collection_pb2.Field(**one) for one in fields], **options)


def index(path: str = "n", **options: Any) -> pb.CreateIndexRequest:
    return pb.CreateIndexRequest(**{"collection": "docs", "path": path, "kind": INT, **options})


def test_a_collection_is_created_as_declared(asked: Asked) -> None:
    fields = ({"name": "text", "dim": 3}, {"name": "image", "dim": 5, "metric": 3, "dtype": 2, "m": 8})
    reply = asked.collections.CreateCollection(create("new", *fields, ttl_field="until"))
    made = asked.db.collection("new")
    assert reply.seq == asked.db.seq
    assert read_collection(reply.collection).fields == made.fields
    assert made.fields["image"] == vecdb.Field(dim=5, metric="l2", dtype="float16", m=8)
    assert (reply.collection.ttl_field, made.ttl_field) == ("until", "until")


def test_an_unnamed_field_is_called_default(asked: Asked) -> None:
    asked.collections.CreateCollection(create("new", {"dim": 3}))
    assert list(asked.db.collection("new").fields) == ["default"]


def test_a_name_that_is_taken_is_an_error_unless_the_same_is_wanted(asked: Asked) -> None:
    same = {"dim": DIM, "metric": 3, "m": 4, "ef_construction": 16}
    assert code_from(lambda: asked.collections.CreateCollection(create("docs", same))) == (
        grpc.StatusCode.ALREADY_EXISTS
    )
    assert asked.collections.CreateCollection(create("docs", same, exist_ok=True)).collection.name == "docs"
    other = create("docs", {"dim": DIM + 1}, exist_ok=True)
    assert isinstance(error_from(lambda: asked.collections.CreateCollection(other)), errors.CollectionExistsError)


WRONG: list[tuple[pb.CreateCollectionRequest, type[errors.VecDBError]]] = [
    (create("../x", {"dim": 3}), errors.InvalidNameError),
    (create("a" * 64, {"dim": 3}), errors.InvalidNameError),
    (create("", {"dim": 3}), errors.InvalidNameError),
    (create("new"), errors.InvalidRequestError),
    (create("new", {"dim": 0}), errors.InvalidRequestError),
    (create("new", {"dim": -1}), errors.InvalidRequestError),
    (create("new", {"dim": DIM_MAX + 1}), errors.InvalidRequestError),
    (create("new", {"dim": 2**63 - 1}), errors.InvalidRequestError),
    (create("new", {"dim": 3, "m": 1}), errors.InvalidRequestError),
    (create("new", {"dim": 3, "metric": 9}), errors.InvalidRequestError),
    (create("new", {"dim": 3}, {"dim": 3}), errors.InvalidRequestError),
    (create("new", *({"name": f"f{n}", "dim": 3} for n in range(FIELDS_MAX + 1))), errors.InvalidRequestError),
    (create("new", {"name": "A", "dim": 3}), errors.InvalidNameError),
]


@pytest.mark.parametrize(("request_", "kind"), WRONG)
def test_a_declaration_that_cannot_be_is_refused(
    asked: Asked, request_: pb.CreateCollectionRequest, kind: type[errors.VecDBError]
) -> None:
    assert isinstance(error_from(lambda: asked.collections.CreateCollection(request_)), kind)
    assert asked.db.list_collections() == ["docs"]


@pytest.mark.parametrize("fields", [1, FIELDS_MAX])
def test_as_much_as_a_declaration_may_hold_is_taken(asked: Asked, fields: int) -> None:
    request = create("new", *({"name": f"f{n}", "dim": DIM_MAX} for n in range(fields)))
    assert len(asked.collections.CreateCollection(request).collection.fields) == fields


def test_a_creation_that_is_repeated_with_its_request_id_gets_the_first_answer(asked: Asked) -> None:
    request = create("new", {"dim": 3}, request_id="one")
    assert asked.collections.CreateCollection(request) == asked.collections.CreateCollection(request)


def test_a_collection_is_returned_with_its_indexes(asked: Asked) -> None:
    asked.db.collection("docs").create_index("n", "int")
    found = read_collection(asked.collections.GetCollection(pb.GetCollectionRequest(name="docs")).collection)
    assert found.name == "docs"
    assert found.indexes == asked.db.collection("docs").indexes


def test_a_collection_that_does_not_exist_is_not_found(asked: Asked) -> None:
    for call in (
        lambda: asked.collections.GetCollection(pb.GetCollectionRequest(name="none")),
        lambda: asked.collections.DeleteCollection(pb.DeleteCollectionRequest(name="none")),
        lambda: asked.collections.ListIndexes(pb.ListIndexesRequest(collection="none")),
        lambda: asked.collections.DropIndex(pb.DropIndexRequest(collection="none", path="n")),
        lambda: list(asked.collections.CreateIndex(index(collection="none"))),
    ):
        assert isinstance(error_from(call), errors.CollectionNotFoundError)


def test_collections_are_listed_in_pages_sorted_by_name(asked: Asked) -> None:
    for name in ("zoo", "ant", "cat", "bee"):
        asked.db.create_collection(name, dim=1)
    listed, token = [], ""
    while True:
        reply = asked.collections.ListCollections(pb.ListCollectionsRequest(page_size=2, page_token=token))
        listed.append([one.name for one in reply.collections])
        token = reply.next_page_token
        if not token:
            break
    assert listed == [["ant", "bee"], ["cat", "docs"], ["zoo"]]


@pytest.mark.parametrize("size", [-1, -(2**31), PAGE_COLLECTIONS_MAX + 1, 2**31 - 1])
def test_a_page_size_beyond_the_limits_is_refused(asked: Asked, size: int) -> None:
    error = error_from(lambda: asked.collections.ListCollections(pb.ListCollectionsRequest(page_size=size)))
    assert isinstance(error, errors.LimitExceededError)
    assert error.details["option"] == "page_size"


def test_a_page_token_that_is_none_is_refused(asked: Asked) -> None:
    request = pb.ListCollectionsRequest()
    request.page_token = "docs"  # noqa: S105 - no password
    error = error_from(lambda: asked.collections.ListCollections(request))
    assert error.details["where"] == "page_token"


def test_a_listing_leaves_out_what_its_caller_may_not_see(db: vecdb.Database) -> None:
    db.create_collection("secret", dim=1)
    call = fake_call(principal=Principal("key", {"docs": "read"}))
    reply = CollectionService(Backing.of(db, ServerConfig(data=":memory:"))).ListCollections(
        pb.ListCollectionsRequest(),
        call,
    )
    assert [one.name for one in reply.collections] == ["docs"]


def test_a_deleted_collection_is_gone_at_the_seq_of_the_answer(asked: Asked) -> None:
    reply = asked.collections.DeleteCollection(pb.DeleteCollectionRequest(name="docs"))
    assert reply.seq == asked.db.seq
    assert asked.db.list_collections() == []


# --- metadata indexes -------------------------------------------------------------------------------------------------


def filled(asked: Asked) -> vecdb.Collection:
    docs: vecdb.Collection = asked.db.collection("docs")
    docs.upsert(list(range(100)), rows(100), [{"n": n} for n in range(100)])
    return docs


def test_an_index_of_stored_records_is_built_with_progress_and_comes_last(asked: Asked) -> None:
    docs = filled(asked)
    *progress, last = asked.collections.CreateIndex(index())
    assert [one.progress.total for one in progress] == [100] * len(progress)
    assert progress
    assert progress[-1].progress.done == 100
    assert (last.index.path, last.index.ready) == ("n", True)
    assert 0 < last.seq <= asked.db.seq
    assert docs.indexes[0].ready


def test_an_index_of_an_empty_collection_is_ready_at_once(asked: Asked) -> None:
    [reply] = asked.collections.CreateIndex(index())
    assert reply.index.ready


def test_an_index_is_not_waited_for_where_that_is_asked_for(asked: Asked) -> None:
    filled(asked)
    [reply] = asked.collections.CreateIndex(index(no_wait=True))
    assert not reply.index.ready


def test_an_index_that_exists_is_an_error_unless_it_may(asked: Asked) -> None:
    list(asked.collections.CreateIndex(index()))
    assert isinstance(error_from(lambda: list(asked.collections.CreateIndex(index()))), errors.IndexExistsError)
    assert list(asked.collections.CreateIndex(index(exist_ok=True)))[-1].index.path == "n"


def test_a_creation_that_broke_off_is_waited_for_when_it_is_repeated(asked: Asked) -> None:
    filled(asked)
    list(asked.collections.CreateIndex(index(no_wait=True, request_id="one")))
    again = asked.collections.CreateIndex(index(no_wait=True, request_id="one"))
    assert not list(again)[-1].index.ready, "the same request, so it is not refused"
    assert list(asked.collections.CreateIndex(index(exist_ok=True)))[-1].index.ready


@pytest.mark.parametrize("wrong", [{"path": ""}, {"path": "a" * 513}, {"kind": 0}, {"kind": 99}])
def test_an_index_that_cannot_be_is_refused(asked: Asked, wrong: dict[str, Any]) -> None:
    error = error_from(lambda: list(asked.collections.CreateIndex(index(**wrong))))
    assert isinstance(error, errors.InvalidRequestError)


def test_an_index_is_dropped_by_its_path(asked: Asked) -> None:
    list(asked.collections.CreateIndex(index()))
    reply = asked.collections.DropIndex(pb.DropIndexRequest(collection="docs", path="n"))
    assert reply.seq == asked.db.seq
    assert list(asked.collections.ListIndexes(pb.ListIndexesRequest(collection="docs")).indexes) == []
    again = pb.DropIndexRequest(collection="docs", path="n", kind=INT)
    assert isinstance(error_from(lambda: asked.collections.DropIndex(again)), errors.IndexNotFoundError)


def test_indexes_are_listed_in_the_order_of_their_creation(asked: Asked) -> None:
    for path in ("b", "a"):
        list(asked.collections.CreateIndex(index(path)))
    reply = asked.collections.ListIndexes(pb.ListIndexesRequest(collection="docs", min_seq=asked.db.seq))
    assert [one.path for one in reply.indexes] == ["b", "a"]


def test_over_a_reader_declarations_are_refused(tmp_path: Path) -> None:
    with vecdb.open(tmp_path / "db") as writer:
        writer.create_collection("docs", dim=DIM)
        with vecdb.open(tmp_path / "db", mode="r") as reader, asking(reader) as asked:
            calls = (
                lambda: asked.collections.CreateCollection(create("new", {"dim": 3})),
                lambda: asked.collections.DeleteCollection(pb.DeleteCollectionRequest(name="docs")),
                lambda: list(asked.collections.CreateIndex(index())),
                lambda: asked.collections.DropIndex(pb.DropIndexRequest(collection="docs", path="n")),
            )
            assert [type(error_from(call)) for call in calls] == [errors.ReadOnlyError] * 4
            assert asked.collections.GetCollection(pb.GetCollectionRequest(name="docs")).collection.name == "docs"

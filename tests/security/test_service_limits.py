"""Every limit of a request at its end, one beyond, negative and huge: a typed error, and nothing written."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import msgspec
import numpy as np
import pytest

from tests.fuzz.target import restore
from tests.security.served import Served, outcome_of, request_of, served
from vecdb import config
from vecdb._pb.v1 import collection_service_pb2, filter_pb2, record_service_pb2, search_service_pb2
from vecdb.server.config import PAGE_COLLECTIONS_MAX, PAGE_TOKEN_CHARS_MAX, REQUEST_ID_CHARS_MAX

INT64 = (2**63 - 1, -(2**63))
INT32 = (2**31 - 1, -(2**31))
LIMIT = "INVALID_ARGUMENT LIMIT_EXCEEDED"
REQUEST = "INVALID_ARGUMENT INVALID_REQUEST"
FILTER = "INVALID_ARGUMENT INVALID_FILTER"
METADATA = "INVALID_ARGUMENT INVALID_METADATA"
ID = "INVALID_ARGUMENT INVALID_ID"
NAME = "INVALID_ARGUMENT INVALID_NAME"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("limits")) as one:
        yield one


# --- numbers ----------------------------------------------------------------------------------------------------------

Numbers = tuple[str, str, tuple[Any, ...], tuple[Any, ...], str]
NAN = float("nan")
NUMBERS: list[Numbers] = [
    ("Search", "options.limit", (1, config.LIMIT_MAX), (0, -1, config.LIMIT_MAX + 1, *INT64), LIMIT),
    ("SearchBatch", "options.limit", (1, config.LIMIT_MAX), (0, -1, config.LIMIT_MAX + 1, *INT64), LIMIT),
    ("Search", "options.ef", (1, config.EF_MAX), (0, -1, config.EF_MAX + 1, *INT64), LIMIT),
    ("Search", "options.target_recall", (1e-9, 1.0), (0.0, -1.0, 1.0000001, 1e308, NAN, float("inf")), REQUEST),
    ("MeasureRecall", "k", (1, 10_000), (0, -1, 10_001, *INT64), LIMIT),
    ("MeasureRecall", "sample", (1, 10_000), (0, -1, 10_001, *INT64), LIMIT),
    ("MeasureRecall", "ef", (1, config.EF_MAX), (0, -1, config.EF_MAX + 1, *INT64), LIMIT),
    ("ListRecords", "page_size", (1, config.LIMIT_MAX), (-1, config.LIMIT_MAX + 1, *INT32), LIMIT),
    ("Export", "page_size", (1, config.LIMIT_MAX), (-1, config.LIMIT_MAX + 1, *INT32), LIMIT),
    (
        "ListCollections",
        "page_size",
        (1, PAGE_COLLECTIONS_MAX),
        (-1, PAGE_COLLECTIONS_MAX + 1, *INT32),
        LIMIT,
    ),
    ("FacetRecords", "limit", (1, config.FACET_VALUES_MAX), (0, -1, config.FACET_VALUES_MAX + 1, *INT64), LIMIT),
    ("WaitIndexed", "timeout_s", (5.0, 1e300), (-1.0, -1e308, NAN), REQUEST),
    ("Export", "slice.count", (2, 2**62), (0, 1), FILTER),
    ("Export", "slice.index", (0, 1), (2, 2**64 - 1), FILTER),
]


OF_NUMBERS = [f"{name} {path}" for name, path, *_ in NUMBERS]


def changed(name: str, path: str, value: Any) -> Any:
    """A valid request with one field set."""
    request = request_of(name)
    if path.endswith(".ef"):
        request.options.ClearField("target_recall")
    *places, last = path.split(".")
    setattr(functools.reduce(getattr, places, request), last, value)
    return request


@pytest.mark.parametrize(("name", "path", "taken", "_beyond", "_reason"), NUMBERS, ids=OF_NUMBERS)
def test_a_number_at_its_limit_is_taken(
    server: Served, name: str, path: str, taken: tuple[Any, ...], _beyond: object, _reason: str
) -> None:
    bodies = [changed(name, path, value).SerializeToString() for value in taken]
    assert [server.outcome(name, body) for body in bodies] == ["OK"] * len(taken)


@pytest.mark.parametrize(("name", "path", "_taken", "beyond", "reason"), NUMBERS, ids=OF_NUMBERS)
def test_a_number_beyond_its_limit_is_refused(
    server: Served, name: str, path: str, _taken: object, beyond: tuple[Any, ...], reason: str
) -> None:
    outcomes = {value: server.refuses(name, changed(name, path, value)) for value in beyond}
    assert outcomes == dict.fromkeys(beyond, reason)


def creation(name: str = "new", **field: Any) -> Any:
    """A declaration of a collection of one field."""
    return collection_service_pb2.CreateCollectionRequest(name=name, fields=[{"dim": 4, **field}])


DECLARED: list[tuple[str, tuple[int, ...], tuple[int, ...], str]] = [
    ("dim", (1, config.DIM_MAX), (0, -1, config.DIM_MAX + 1, *INT64), LIMIT),
    ("m", (config.M_MIN, config.M_MAX), (config.M_MIN - 1, config.M_MAX + 1, -1, *INT64), LIMIT),
    (
        "ef_construction",
        (config.M_DEFAULT, config.EF_CONSTRUCTION_MAX),
        (0, -1, config.M_DEFAULT - 1, config.EF_CONSTRUCTION_MAX + 1, *INT64),
        LIMIT,
    ),
]


@pytest.mark.parametrize(("field", "taken", "beyond", "reason"), DECLARED)
def test_a_declaration_has_its_limits(
    server: Served, field: str, taken: tuple[int, ...], beyond: tuple[int, ...], reason: str
) -> None:
    outcomes = {value: server.refuses("CreateCollection", creation("new", **{field: value})) for value in beyond}
    assert outcomes == dict.fromkeys(beyond, reason)
    for value in taken:
        server.ask("CreateCollection", creation("new", **{field: value}))
        server.db.drop_collection("new")


# --- names and texts --------------------------------------------------------------------------------------------------

BAD_NAMES = ["", "a" * 64, "a" * 100_000, "..", "../a", "/a", "a/b", "A", "-a", "_a", "a\0", "é", "a b", "a.b", "nul\n"]
NAMED = {
    "CreateCollection": creation,
    "GetCollection": lambda name: collection_service_pb2.GetCollectionRequest(name=name),
    "DeleteCollection": lambda name: collection_service_pb2.DeleteCollectionRequest(name=name),
    "Search": lambda name: changed("Search", "collection", name),
    "UpsertRecords": lambda name: changed("UpsertRecords", "collection", name),
    "Export": lambda name: changed("Export", "collection", name),
    "GetStats": lambda name: changed("GetStats", "collection", name),
    "Backup": lambda name: changed("Backup", "name", name),
}


@pytest.mark.parametrize("rpc", NAMED)
def test_a_name_that_breaks_the_rule_is_refused(server: Served, rpc: str) -> None:
    outcomes = {name: server.refuses(rpc, NAMED[rpc](name)) for name in BAD_NAMES}  # type: ignore[no-untyped-call]
    assert outcomes == dict.fromkeys(BAD_NAMES, NAME)


FIELDS = {
    "MeasureRecall": "field",
    "ValidateGraphs": "field",
    "Search": "options.field",
    "SearchBatch": "options.field",
}


@pytest.mark.parametrize("rpc", FIELDS)
def test_a_name_of_any_length_that_no_field_has_comes_back_cut_short(server: Served, rpc: str) -> None:
    with server.unchanged(), pytest.raises(grpc.RpcError) as caught:
        server.ask(rpc, changed(rpc, FIELDS[rpc], "x" * 50_000))
    error: Any = caught.value
    assert outcome_of(error) == "NOT_FOUND FIELD_NOT_FOUND"
    assert len(error.details()) < 300


def test_a_name_of_any_length_comes_back_cut_short_within_a_stream(server: Served) -> None:
    request = search_service_pb2.SearchStreamRequest(
        number=1, search=changed("SearchBatch", "options.field", "x" * 50_000)
    )
    [reply] = server.call("SearchStream", request.SerializeToString())
    assert search_service_pb2.SearchStreamResponse.FromString(reply).error.reason == "FIELD_NOT_FOUND"
    assert len(reply) < 1_000


def test_the_longest_name_is_taken(server: Served) -> None:
    server.ask("CreateCollection", creation("a" * 63))
    assert server.ask("GetStats", changed("GetStats", "collection", "a" * 63)).records == 0
    server.db.drop_collection("a" * 63)


TEXTS: list[tuple[str, str, int, str]] = [
    ("UpsertRecords", "request_id", REQUEST_ID_CHARS_MAX, REQUEST),
    ("CreateCollection", "ttl_field", config.TTL_FIELD_BYTES_MAX, LIMIT),
    ("CreateIndex", "path", config.FILTER_PATH_BYTES_MAX, FILTER),
]


@pytest.mark.parametrize(("rpc", "path", "most", "reason"), TEXTS)
def test_a_text_has_its_longest(server: Served, rpc: str, path: str, most: int, reason: str) -> None:
    request = functools.partial(changed, rpc, path)
    assert [server.refuses(rpc, request("a" * size)) for size in (most + 1, 1 << 20)] == [reason] * 2
    server.ask(rpc, request("a" * most))
    restore(server.db)


def test_a_page_token_of_any_kind_is_refused(server: Served) -> None:
    tokens = ["x", "A" * 24, "A" * PAGE_TOKEN_CHARS_MAX, "A" * 1_000_000, "é", "\0"]
    for rpc in ("ListRecords", "Export", "ListCollections"):
        assert {server.refuses(rpc, changed(rpc, "page_token", token)) for token in tokens} == {REQUEST}


# --- ids, batches, metadata -------------------------------------------------------------------------------------------


def upsert(count: int = 1, **records: Any) -> Any:
    """Records for "extra", with int ids unless others are given."""
    request = record_service_pb2.UpsertRecordsRequest(collection="extra")
    if "ids" not in records:
        records["ids"] = {"ints": {"values": range(count)}}
    for name, value in records.items():
        getattr(request.records, name).MergeFrom(type(getattr(request.records, name))(**value))
    column = request.records.vectors.add().vectors
    column.dim, column.type, column.data = 4, 1, np.ones((count, 4), "<f4").tobytes()  # type: ignore[assignment]
    return request


@pytest.mark.parametrize("text", ["", "a" * (config.ID_BYTES_MAX + 1), "é" * 129, "a" * (1 << 20)])
def test_an_id_is_neither_empty_nor_too_long(server: Served, text: str) -> None:
    assert server.refuses("UpsertRecords", upsert(ids={"texts": {"values": [text]}})) == ID
    assert server.refuses("UpsertRecords", upsert(ids={"mixed": {"values": [{"text": text}]}})) == ID


def test_the_longest_and_the_largest_ids_are_taken(server: Served) -> None:
    texts = ["a" * config.ID_BYTES_MAX, "é" * 128]
    assert server.ask("UpsertRecords", upsert(2, ids={"texts": {"values": texts}})).count == 2
    assert server.ask("UpsertRecords", upsert(2, ids={"ints": {"values": [0, 2**64 - 1]}})).count == 2


def ids(count: int) -> Any:
    """So many ids that do not exist."""
    request = record_service_pb2.GetRecordsRequest(collection="extra")
    request.ids.packed_ints = np.arange(1, count + 1, dtype="<u8").tobytes()
    return request


def test_ids_are_limited_in_number(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    assert server.refuses("GetRecords", ids(config.BATCH_RECORDS_MAX + 1)) == LIMIT
    assert server.refuses("DeleteRecords", _deletion(config.BATCH_RECORDS_MAX + 1)) == LIMIT
    monkeypatch.setattr("vecdb.wire.ids.BATCH_RECORDS_MAX", 100)  # half a million take seconds
    assert server.refuses("GetRecords", ids(101)) == LIMIT
    assert len(server.ask("GetRecords", ids(100)).missing) == 100


def _deletion(count: int) -> Any:
    return record_service_pb2.DeleteRecordsRequest(collection="both", deletion={"ids": ids(count).ids})


def queries(count: int) -> Any:
    """So many queries of a collection without records."""
    request = search_service_pb2.SearchBatchRequest(collection="extra")
    request.queries.dim, request.queries.type = 4, 1  # type: ignore[assignment]
    request.queries.data = np.ones(4 * count, "<f4").tobytes()
    return request


def test_queries_are_limited_in_number(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    assert server.refuses("SearchBatch", queries(config.SEARCH_BATCH_MAX + 1)) == LIMIT
    monkeypatch.setattr("vecdb.wire.vectors.SEARCH_BATCH_MAX", 100)  # a hundred thousand take seconds
    assert server.refuses("SearchBatch", queries(101)) == LIMIT
    assert len(server.ask("SearchBatch", queries(100)).hits.counts) == 100


def nested(depth: int, form: str) -> dict[str, Any]:
    """Metadata of so many levels, the top one included."""
    value: Any = 1
    for _ in range(depth - 1):
        value = {"a": value} if form == "dict" else [value]
    return {"a": value}


def packed(metadata: dict[str, Any]) -> Any:
    """An upsert of one record with metadata as msgpack."""
    return upsert(metadata={"packed": [msgspec.msgpack.encode(metadata)]})


def plain(metadata: dict[str, Any]) -> Any:
    """An upsert of one record with metadata as messages."""
    from vecdb.wire.metadata import put_dict

    request = upsert()
    put_dict(request.records.metadata.plain.add(), metadata)
    return request


@pytest.mark.parametrize("put", [packed, plain])
@pytest.mark.parametrize("form", ["dict", "list"])
def test_metadata_is_limited_in_depth(server: Served, put: Callable[[Any], Any], form: str) -> None:
    depths = (config.METADATA_DEPTH_MAX + 1, 20)
    assert [server.refuses("UpsertRecords", put(nested(depth, form))) for depth in depths] == [METADATA] * 2
    assert server.ask("UpsertRecords", put(nested(config.METADATA_DEPTH_MAX, form))).count == 1


@pytest.mark.parametrize("depth", [40, 1_000, 10_000])
def test_metadata_packed_without_end_is_refused(server: Served, depth: int) -> None:
    for opening in (b"\x81\xa1a", b"\x91"):
        raw = b"\x81\xa1a" + opening * depth + b"\x01"
        assert server.refuses("UpsertRecords", upsert(metadata={"packed": [raw]})) == METADATA


@pytest.mark.parametrize("put", [packed, plain])
def test_metadata_is_limited_in_size(server: Served, put: Callable[[Any], Any]) -> None:
    overhead = len(msgspec.msgpack.encode({"a": "x" * 60_000})) - 60_000
    most = config.METADATA_BYTES_MAX - overhead
    sizes = (most + 1, 1 << 20)
    assert [server.refuses("UpsertRecords", put({"a": "x" * size})) for size in sizes] == [METADATA] * 2
    assert server.ask("UpsertRecords", put({"a": "x" * most})).count == 1


# --- filters ----------------------------------------------------------------------------------------------------------


def leaf(path: str = "n", **value: Any) -> filter_pb2.Filter:
    """A condition."""
    return filter_pb2.Filter(compare={"path": path, "op": 1, "value": value or {"integer": 1}})


def deep(levels: int) -> filter_pb2.Filter:
    """A filter of so many levels."""
    wanted = leaf()
    for _ in range(levels - 1):
        wanted = filter_pb2.Filter(negated=wanted)
    return wanted


def wide(count: int) -> filter_pb2.Filter:
    """A filter of so many nodes."""
    return filter_pb2.Filter(any_of={"parts": [leaf()] * (count - 1)})


def one_of(count: int) -> filter_pb2.Filter:
    """A filter with so many values."""
    return filter_pb2.Filter(is_in={"path": "n", "values": {"ints": {"values": range(count)}}})


FILTERS: dict[str, tuple[Callable[[int], filter_pb2.Filter], int]] = {
    "levels": (deep, config.FILTER_DEPTH_MAX),
    "nodes": (wide, config.FILTER_NODES_MAX),
    "values": (one_of, config.FILTER_VALUES_MAX),
    "text": (lambda size: leaf(text="a" * size), config.FILTER_TEXT_BYTES_MAX),
    "prefix": (lambda size: filter_pb2.Filter(prefix={"path": "t", "text": "a" * size}), config.FILTER_TEXT_BYTES_MAX),
    "path": (lambda size: leaf("a" * size), config.FILTER_PATH_BYTES_MAX),
    "bits": (lambda bits: leaf(big_integer=str(2 ** (bits - 1))), config.FILTER_INT_BITS_MAX),
}
FILTERED = ("CountRecords", "FacetRecords", "AggregateRecords", "ListRecords")


@pytest.mark.parametrize("what", FILTERS)
def test_a_filter_has_its_limits(server: Served, what: str) -> None:
    make, most = FILTERS[what]
    for rpc in FILTERED:
        request = request_of(rpc)
        request.filter.CopyFrom(make(most))
        server.ask(rpc, request)
        request.filter.CopyFrom(make(most + 1))
        assert server.refuses(rpc, request) == FILTER


@pytest.mark.parametrize("what", FILTERS)
def test_a_filter_that_writes_has_its_limits(server: Served, what: str) -> None:
    make, most = FILTERS[what]
    deletion = record_service_pb2.DeleteRecordsRequest(collection="docs", deletion={"filter": make(most + 1)})
    update = record_service_pb2.UpdateRecordsRequest(collection="docs", update={"filter": make(most + 1)})
    update.update.metadata.packed.append(b"\x81\xa1a\x01")
    assert server.refuses("DeleteRecords", deletion) == FILTER
    assert server.refuses("UpdateRecords", update) == FILTER


WRONG_FILTERS = {
    "too few corners": filter_pb2.Filter(geo_polygon={"path": "p", "points": [{"lat": 1, "lon": 1}] * 2}),
    "no centre": filter_pb2.Filter(geo_radius={"path": "p", "meters": 1}),
    "latitude": filter_pb2.Filter(geo_radius={"path": "p", "center": {"lat": 91}, "meters": 1}),
    "radius below zero": filter_pb2.Filter(geo_radius={"path": "p", "center": {}, "meters": -1}),
    "radius that is none": filter_pb2.Filter(geo_radius={"path": "p", "center": {}, "meters": NAN}),
    "NaN": leaf(real=NAN),
    "size of 64 bits": filter_pb2.Filter(size={"path": "p", "op": 1, "count": 2**64 - 1}),
    "digits": leaf(big_integer="1" * 41),
    "no digits": leaf(big_integer="0x10"),
    "year": leaf(instant={"seconds": 2**62}),
    "nanoseconds": leaf(instant={"nanos": -1}),
    "no path": leaf(""),
    "path that ends": leaf("a."),
    "no words": filter_pb2.Filter(match={"path": "t", "text": " "}),
    "id of a wrong size": filter_pb2.Filter(has_id={"packed_ints": b"1234567"}),
}


@pytest.mark.parametrize("what", WRONG_FILTERS)
def test_a_filter_that_means_nothing_is_refused(server: Served, what: str) -> None:
    request = record_service_pb2.CountRecordsRequest(collection="docs", filter=WRONG_FILTERS[what])
    assert server.refuses("CountRecords", request) == FILTER


# --- numbers of things ------------------------------------------------------------------------------------------------


def test_fields_are_limited_in_number(server: Served) -> None:
    def declared(count: int) -> Any:
        fields = [{"name": f"f{number}", "dim": 1} for number in range(count)]
        return collection_service_pb2.CreateCollectionRequest(name="many", fields=fields)

    assert server.refuses("CreateCollection", declared(config.FIELDS_MAX + 1)) == LIMIT
    assert len(server.ask("CreateCollection", declared(config.FIELDS_MAX)).collection.fields) == config.FIELDS_MAX
    server.db.drop_collection("many")


def test_indexes_are_limited_in_number(server: Served) -> None:
    server.ask("CreateCollection", creation("indexed"))
    outcomes = [
        server.outcome("CreateIndex", _index(f"p{number}").SerializeToString())
        for number in range(config.INDEXES_MAX + 1)
    ]
    assert outcomes == [*["OK"] * config.INDEXES_MAX, LIMIT]
    server.db.drop_collection("indexed")


def _index(path: str) -> Any:
    return collection_service_pb2.CreateIndexRequest(collection="indexed", path=path, kind=2)  # type: ignore[arg-type]


def test_collections_are_limited_in_number(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a thousand only the last ones matter here: the limit is lowered to what there is and one more."""
    monkeypatch.setattr("vecdb.engine.schema_operations.COLLECTIONS_MAX", len(server.db.list_collections()) + 1)
    server.ask("CreateCollection", creation("last"))
    assert server.refuses("CreateCollection", creation("new")) == LIMIT
    server.db.drop_collection("last")


@pytest.mark.parametrize(
    ("seq", "outcome"), [(2**63 - 1, "DEADLINE_EXCEEDED WAIT_TIMEOUT"), (2**63, LIMIT), (2**64 - 1, LIMIT)]
)
def test_a_commit_that_never_comes_is_not_waited_for_without_end(
    server: Served, monkeypatch: pytest.MonkeyPatch, seq: int, outcome: str
) -> None:
    monkeypatch.setattr("vecdb.engine.database.MIN_SEQ_WAIT_S", 0.01)
    reads = ("GetStats", "CountRecords", "GetRecords", "ListRecords", "GetServerInfo")
    assert {server.refuses(rpc, changed(rpc, "min_seq", seq)) for rpc in reads} == {outcome}

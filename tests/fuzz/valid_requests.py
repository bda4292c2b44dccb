"""One or more requests of every RPC that a server of `restored` data answers well, to begin mutations from."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.unit.server.echo import METHODS, message_of
from vecdb import F
from vecdb._pb.v1 import metadata_pb2, model_pb2, record_pb2, record_service_pb2, search_service_pb2, vectors_pb2
from vecdb.filters import Filter
from vecdb.wire.filters import put_filter
from vecdb.wire.ids import put_ids
from vecdb.wire.searches import put_options
from vecdb.wire.vectors import put_queries, put_query
from vecdb.wire.writes import put_batch, put_deletion, put_update, put_vector_update, read_batch

DIM = 4
RECORDS = 40
WIDE_FILTER: Filter = (
    ((F("n") >= 3) & (F("t") == "b") & ~F("missing").exists())
    | F("tags").contains_any(["x", 1])
    | F("t").in_(["a", "c"])
    | F("text").match("quick fox", "any")
    | F("text").prefix("the")
    | F("text").icontains("OX")
    | F("place").geo_radius(48.1, 11.6, 9_000.0)
    | F("place").geo_box(-10.0, 170.0, 10.0, -170.0)
    | F("place").geo_polygon([(0, 0), (0, 5), (5, 5)])
    | (F("tags").size() > 1)
    | F("none").is_null()
    | F.id.in_([1, 2, "a"])
    | F.has_vector("default")
    | F.slice(1, 3)
)
"""A filter with every kind of condition."""

SMALL_FILTER: Filter = (F("n") < 20) & (F("t") != "z")
MODEL: dict[str, Any] = {"provider": "builtin", "name": "m", "dim": 2, "normalized": True, "full_dim": 9}


def rows(count: int, dim: int = DIM) -> Any:
    """Vectors that are the same every time."""
    return np.random.default_rng(count * 31 + dim).standard_normal((count, dim)).astype(np.float32)


def metadata_of(number: int) -> dict[str, Any]:
    """Metadata with something for every condition of WIDE_FILTER."""
    return {
        "n": number,
        "t": "abc"[number % 3],
        "f": number / 7,
        "tags": ["x", number],
        "text": "The quick brown fox",
        "place": {"lat": 48.0 + number / 100, "lon": 11.5},
        "none": None,
        "deep": [[{"k": [1.5, 2**63]}]],
    }


def batch(ids: list[Any], **options: Any) -> record_pb2.RecordBatch:
    """Packed records for "docs"."""
    message = record_pb2.RecordBatch()
    metadata = [metadata_of(number) for number in range(len(ids))]
    put_batch(message, read_batch("default", ids, rows(len(ids)), metadata, **options))
    return message


def plain_batch() -> record_pb2.RecordBatch:
    """Records for "both" as a client by hand would write them."""
    message = record_pb2.RecordBatch()
    message.ids.mixed.values.add(text="a")
    message.ids.mixed.values.add(uuid=bytes(16))
    message.ids.mixed.values.add(integer=7)
    for name, dim in (("text", 4), ("image", 3)):
        column = message.vectors.add(field=name)
        column.vectors.dim = dim
        column.vectors.floats.values.extend(rows(2, dim).ravel().tolist())
        column.positions.extend([0, 2])
    message.vectors[0].vectors.floats.values.extend([1.0] * 4)
    message.vectors[0].positions.insert(1, 1)
    for _ in range(3):
        one = message.metadata.plain.add()
        one.values["a"].list.values.add(integer=-1)
        one.values["b"].dict.values["c"].instant.seconds = 1_700_000_000
        one.values["u"].unsigned = 2**64 - 1
        one.values["x"].null = metadata_pb2.NULL_UNSPECIFIED
        one.values["y"].real = 0.5
    message.expires_at.add(never=True)
    message.if_version.add()
    return message


def _write(method: str, records: record_pb2.RecordBatch, collection: str = "docs", **more: Any) -> Any:
    kind = getattr(record_service_pb2, f"{method}Request")
    return kind(collection=collection, records=records, **more)


def _update(target: object, **options: Any) -> Any:
    request = record_service_pb2.UpdateRecordsRequest(collection="docs")
    put_update(request.update, target, **options)
    return request


def _set_vectors(*, skip_changed: bool = False) -> Any:
    request = record_service_pb2.SetVectorsRequest(collection="docs", request_id=f"set{skip_changed}")
    given = read_batch("default", [1, 2], rows(2), None, if_version=[None, None])
    put_vector_update(request.update, given, skip_changed=skip_changed)
    request.update.vectors[0].model.CopyFrom(model_pb2.Model(**MODEL))
    return request


def _switch() -> Any:
    request = _reading("SwitchField", collection="changing", name="a", to="b")
    put_filter(request.unless, F("never").exists())
    return request


def _deletion(ids: object = None, **options: Any) -> Any:
    request = record_service_pb2.DeleteRecordsRequest(collection="docs")
    put_deletion(request.deletion, ids, **options)
    return request


def _transaction() -> Any:
    request = record_service_pb2.CommitTransactionRequest()
    request.operations.add(collection="docs", upsert=batch([50, "t"]))
    request.operations.add(collection="both", upsert=plain_batch())
    put_update(request.operations.add(collection="docs").update, 50, metadata={"n": -1}, vector=rows(1)[0])
    put_deletion(request.operations.add(collection="docs").delete, filter=F.id.in_([50, "t"]))
    return request


def _search(**options: Any) -> Any:
    request = search_service_pb2.SearchRequest(collection="docs", explain=True)
    put_query(request.query, rows(1)[0])
    put_options(request.options, 5, **options)
    return request


def _hand_search() -> Any:
    request = search_service_pb2.SearchRequest(collection="both")
    request.query.dim = 3
    request.query.floats.values.extend([0.5, 1.0, -1.0])
    put_options(request.options, 3, field="image", target_recall=0.9, with_metadata=True, with_vectors=True)
    request.options.encoding = vectors_pb2.ENCODING_PLAIN
    return request


def _search_batch(**options: Any) -> Any:
    request = search_service_pb2.SearchBatchRequest(collection="docs")
    put_queries(request.queries, rows(3))
    put_options(request.options, 5, **options)
    return request


def _reading(method: str, **fields: Any) -> Any:
    """A request of any method by its fields; `filter` is put in as a message."""
    path = next(path for path in METHODS if path.endswith(f"/{method}"))
    condition = fields.pop("filter", None)
    request = message_of(METHODS[path].input_type)(**fields)
    if condition is not None:
        put_filter(request.filter, condition)
    return request


def _collection_requests() -> dict[str, list[list[Any]]]:
    fields = [{"name": "a", "dim": 3, "metric": 3, "dtype": 2, "m": 8}, {"name": "b", "dim": 2, "builder": 2}]
    return {
        "CreateCollection": [
            [_reading("CreateCollection", name="made", fields=[{"dim": 5}], exist_ok=True)],
            [_reading("CreateCollection", name="wide", fields=fields, ttl_field="x.y")],
        ],
        "GetCollection": [[_reading("GetCollection", name="docs")]],
        "ListCollections": [[_reading("ListCollections", page_size=2)]],
        "DeleteCollection": [[_reading("DeleteCollection", name="extra")]],
        "AddField": [
            [_reading("AddField", collection="changing", field={"name": "c", "dim": 2, "model": MODEL}, exist_ok=True)],
        ],
        "DropField": [[_reading("DropField", collection="changing", field="b")]],
        "SwitchField": [
            [_reading("SwitchField", collection="changing", name="a", to="b", keep_as="kept")],
            [_switch()],
        ],
        "SetModel": [[_reading("SetModel", collection="changing", field="a", model=MODEL)]],
        "CreateIndex": [
            [_reading("CreateIndex", collection="docs", path="tags[]", kind=1, exist_ok=True)],
            [_reading("CreateIndex", collection="docs", path="place", kind=7, no_wait=True, exist_ok=True)],
        ],
        "DropIndex": [[_reading("DropIndex", collection="docs", path="n", kind=2)]],
        "ListIndexes": [[_reading("ListIndexes", collection="docs")]],
    }


def _record_requests() -> dict[str, list[list[Any]]]:
    return {
        "UpsertRecords": [
            [_write("UpsertRecords", batch([1, 2, 3], expires_at=["never", None, None], if_version=None))],
            [_write("UpsertRecords", batch(["a", "b"], if_version=[None, None]), request_id="u")],
            [_write("UpsertRecords", plain_batch(), collection="both")],
        ],
        "InsertRecords": [[_write("InsertRecords", batch([60, 61]))]],
        "UpdateRecords": [
            [_update(5, vector=rows(1)[0], metadata={"n": 2.5}, expires_at="never")],
            [_update(None, filter=SMALL_FILTER, metadata={"seen": True})],
        ],
        "SetVectors": [[_set_vectors()], [_set_vectors(skip_changed=True)]],
        "DeleteRecords": [[_deletion([7, 8], if_version=[None, None])], [_deletion(filter=F("n") == 9)]],
        "CommitTransaction": [[_transaction()]],
        "GetRecords": [
            [_reading("GetRecords", collection="docs", ids={"ints": {"values": [1, 2, 99]}}, with_vectors=True)],
            [_reading("GetRecords", collection="docs", ids={"texts": {"values": ["a"]}}, encoding=2)],
        ],
        "ListRecords": [
            [_reading("ListRecords", collection="docs", page_size=7, filter=SMALL_FILTER, with_vectors=True)],
            [_reading("ListRecords", collection="docs", order_by={"path": "n", "descending": True}, encoding=2)],
        ],
        "CountRecords": [[_reading("CountRecords", collection="docs", filter=WIDE_FILTER)]],
        "FacetRecords": [[_reading("FacetRecords", collection="docs", path="t", limit=5, filter=SMALL_FILTER)]],
        "AggregateRecords": [[_reading("AggregateRecords", collection="docs", path="f", filter=F("n") > 1)]],
    }


def _stream_requests() -> dict[str, list[list[Any]]]:
    start = _reading("Ingest", start={"collection": "docs", "mode": 1})
    named = _reading("Ingest", start={"collection": "docs", "mode": 2, "request_id": "load"})
    batches = [_reading("Ingest", batch={"number": number, "records": batch([70 + number])}) for number in (1, 2)]
    put_ids(batches[1].batch.delete, [71, "never there"])
    searches = [_reading("SearchStream", number=number, search=_search_batch()) for number in range(3)]
    return {"Ingest": [[start, *batches], [named, *batches]], "SearchStream": [searches]}


def _other_requests() -> dict[str, list[list[Any]]]:
    export = _reading("Export", collection="docs", page_size=9, filter=SMALL_FILTER, with_vectors=True)
    export.slice.index, export.slice.count = 1, 2
    calibrate = _reading("Calibrate", collection="docs")
    put_queries(calibrate.queries, np.ones((50, DIM), dtype=np.float32))
    return {
        "Search": [[_search(filter=WIDE_FILTER)], [_search(ef=50, with_vectors=True)], [_hand_search()]],
        "SearchBatch": [[_search_batch(filter=SMALL_FILTER, exact=True)]],
        "Export": [[export], [_reading("Export", collection="both", encoding=2)]],
        "GetServerInfo": [[_reading("GetServerInfo")]],
        "GetStats": [[_reading("GetStats", collection="docs")]],
        "MeasureRecall": [[_reading("MeasureRecall", collection="docs", k=3, sample=5, ef=9, seed=1)]],
        "Calibrate": [[calibrate], [_reading("Calibrate", collection="docs")]],
        "Optimize": [[_reading("Optimize", collection="docs")]],
        "WaitIndexed": [[_reading("WaitIndexed", collection="docs", timeout_s=5.0)]],
        "Verify": [[_reading("Verify")]],
        "ValidateGraphs": [[_reading("ValidateGraphs", collection="docs")]],
        "Backup": [[_reading("Backup", name="copy", compact=True)]],
        "Sync": [[_reading("Sync")]],
    }


def valid_requests() -> dict[str, list[list[Any]]]:
    """Path of every RPC -> conversations, each a list of messages."""
    named = {**_collection_requests(), **_record_requests(), **_stream_requests(), **_other_requests()}
    return {path: named[path.rpartition("/")[2]] for path in METHODS}

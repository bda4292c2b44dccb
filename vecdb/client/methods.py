"""Lists the methods of the protocol that the client calls, with the types of their messages.

Concurrency: constants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from google.protobuf.message import Message

from vecdb._pb.v1 import (
    admin_service_pb2,
    collection_service_pb2,
    ingest_service_pb2,
    record_service_pb2,
    search_service_pb2,
)

Kind: TypeAlias = Literal["unary_unary", "unary_stream", "stream_stream"]
"""Which sides of a method are streams, in gRPC's words."""

PACKAGE: Final = "vecdb.v1"


Reply = TypeVar("Reply", bound=Message)


@dataclass(frozen=True, slots=True, eq=False)
class Method(Generic[Reply]):
    """A method of the protocol; two are equal when they are the same object."""

    service: str
    name: str
    reply: type[Reply]
    kind: Kind = "unary_unary"

    @property
    def path(self) -> str:
        """The name of the method on the wire."""
        return f"/{PACKAGE}.{self.service}/{self.name}"


CREATE_COLLECTION: Final = Method(
    "CollectionService", "CreateCollection", collection_service_pb2.CreateCollectionResponse
)
GET_COLLECTION: Final = Method("CollectionService", "GetCollection", collection_service_pb2.GetCollectionResponse)
LIST_COLLECTIONS: Final = Method("CollectionService", "ListCollections", collection_service_pb2.ListCollectionsResponse)
DELETE_COLLECTION: Final = Method(
    "CollectionService", "DeleteCollection", collection_service_pb2.DeleteCollectionResponse
)
ADD_FIELD: Final = Method("CollectionService", "AddField", collection_service_pb2.AddFieldResponse)
DROP_FIELD: Final = Method("CollectionService", "DropField", collection_service_pb2.DropFieldResponse)
SWITCH_FIELD: Final = Method("CollectionService", "SwitchField", collection_service_pb2.SwitchFieldResponse)
SET_MODEL: Final = Method("CollectionService", "SetModel", collection_service_pb2.SetModelResponse)
CREATE_INDEX: Final = Method(
    "CollectionService", "CreateIndex", collection_service_pb2.CreateIndexResponse, "unary_stream"
)
DROP_INDEX: Final = Method("CollectionService", "DropIndex", collection_service_pb2.DropIndexResponse)
LIST_INDEXES: Final = Method("CollectionService", "ListIndexes", collection_service_pb2.ListIndexesResponse)

UPSERT_RECORDS: Final = Method("RecordService", "UpsertRecords", record_service_pb2.UpsertRecordsResponse)
INSERT_RECORDS: Final = Method("RecordService", "InsertRecords", record_service_pb2.InsertRecordsResponse)
UPDATE_RECORDS: Final = Method("RecordService", "UpdateRecords", record_service_pb2.UpdateRecordsResponse)
SET_VECTORS: Final = Method("RecordService", "SetVectors", record_service_pb2.SetVectorsResponse)
DELETE_RECORDS: Final = Method("RecordService", "DeleteRecords", record_service_pb2.DeleteRecordsResponse)
COMMIT: Final = Method("RecordService", "CommitTransaction", record_service_pb2.CommitTransactionResponse)
GET_RECORDS: Final = Method("RecordService", "GetRecords", record_service_pb2.GetRecordsResponse)
LIST_RECORDS: Final = Method("RecordService", "ListRecords", record_service_pb2.ListRecordsResponse)
COUNT_RECORDS: Final = Method("RecordService", "CountRecords", record_service_pb2.CountRecordsResponse)
FACET_RECORDS: Final = Method("RecordService", "FacetRecords", record_service_pb2.FacetRecordsResponse)
AGGREGATE_RECORDS: Final = Method("RecordService", "AggregateRecords", record_service_pb2.AggregateRecordsResponse)

SEARCH: Final = Method("SearchService", "Search", search_service_pb2.SearchResponse)
SEARCH_BATCH: Final = Method("SearchService", "SearchBatch", search_service_pb2.SearchBatchResponse)
SEARCH_STREAM: Final = Method("SearchService", "SearchStream", search_service_pb2.SearchStreamResponse, "stream_stream")

INGEST: Final = Method("IngestService", "Ingest", ingest_service_pb2.IngestResponse, "stream_stream")

SERVER_INFO: Final = Method("AdminService", "GetServerInfo", admin_service_pb2.GetServerInfoResponse)
STATS: Final = Method("AdminService", "GetStats", admin_service_pb2.GetStatsResponse)
MEASURE_RECALL: Final = Method("AdminService", "MeasureRecall", admin_service_pb2.MeasureRecallResponse)
CALIBRATE: Final = Method("AdminService", "Calibrate", admin_service_pb2.CalibrateResponse)
OPTIMIZE: Final = Method("AdminService", "Optimize", admin_service_pb2.OptimizeResponse, "unary_stream")
WAIT_INDEXED: Final = Method("AdminService", "WaitIndexed", admin_service_pb2.WaitIndexedResponse, "unary_stream")
VERIFY: Final = Method("AdminService", "Verify", admin_service_pb2.VerifyResponse)
VALIDATE: Final = Method("AdminService", "ValidateGraphs", admin_service_pb2.ValidateGraphsResponse)
BACKUP: Final = Method("AdminService", "Backup", admin_service_pb2.BackupResponse)
SYNC: Final = Method("AdminService", "Sync", admin_service_pb2.SyncResponse)

METHODS: Final[tuple[Method[Any], ...]] = tuple(value for value in globals().copy().values() if type(value) is Method)
"""All of them."""

"""Puts the services over one database: everything a server answers, but for health and reflection.

Promises: works over a database opened with mode="r" as well; what writes is then refused with ReadOnlyError.
Concurrency: any thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vecdb._pb.v1 import (
    admin_service_pb2_grpc,
    collection_service_pb2_grpc,
    export_service_pb2_grpc,
    ingest_service_pb2_grpc,
    record_service_pb2_grpc,
    search_service_pb2_grpc,
)
from vecdb.server.app import ServiceBinding
from vecdb.server.backing import Backing
from vecdb.server.known_searches import KnownBatches, KnownSearches
from vecdb.server.scopes import RULES
from vecdb.server.services_admin import AdminService
from vecdb.server.services_collections import CollectionService
from vecdb.server.services_export import ExportService
from vecdb.server.services_ingest import IngestService
from vecdb.server.services_records import RecordService
from vecdb.server.services_search import SearchService

if TYPE_CHECKING:
    from vecdb.engine.database import Database
    from vecdb.server.settings import ServerConfig

SEARCH: Final = "/vecdb.v1.SearchService/Search"
SEARCH_BATCH: Final = "/vecdb.v1.SearchService/SearchBatch"


def bind_services(database: Database, config: ServerConfig) -> list[ServiceBinding]:
    """All services over a database, for `Service` and `serving`. The database stays the caller's to close."""
    backing = Backing.of(database, config)
    return [
        ServiceBinding(
            "vecdb.v1.CollectionService",
            collection_service_pb2_grpc.add_CollectionServiceServicer_to_server,
            CollectionService(backing),
        ),
        ServiceBinding(
            "vecdb.v1.RecordService",
            record_service_pb2_grpc.add_RecordServiceServicer_to_server,
            RecordService(backing),
        ),
        ServiceBinding(
            "vecdb.v1.SearchService",
            search_service_pb2_grpc.add_SearchServiceServicer_to_server,
            SearchService(backing),
            {
                SEARCH: KnownSearches(backing, RULES[SEARCH].scope),
                SEARCH_BATCH: KnownBatches(backing, RULES[SEARCH_BATCH].scope),
            },
        ),
        ServiceBinding(
            "vecdb.v1.IngestService",
            ingest_service_pb2_grpc.add_IngestServiceServicer_to_server,
            IngestService(backing),
        ),
        ServiceBinding(
            "vecdb.v1.ExportService",
            export_service_pb2_grpc.add_ExportServiceServicer_to_server,
            ExportService(backing),
        ),
        ServiceBinding(
            "vecdb.v1.AdminService",
            admin_service_pb2_grpc.add_AdminServiceServicer_to_server,
            AdminService(backing),
        ),
    ]

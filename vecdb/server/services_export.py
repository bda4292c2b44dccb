"""Answers vecdb.v1.ExportService: all of a collection, or a part of it, over a stream.

Promises: a page is read when the one before was taken, from the state of that moment, and nothing is held between; the
token of each message continues after it, on another stream or another server of the same data.
Concurrency: any thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vecdb._pb.v1 import export_service_pb2 as pb
from vecdb._pb.v1 import export_service_pb2_grpc as pb_grpc
from vecdb.checks.options import check_count
from vecdb.engine.interruption import interruptible
from vecdb.server.page_tokens import FREE_TO_CHANGE, bound
from vecdb.server.record_pages import PageReader
from vecdb.server.refusals import stopping
from vecdb.wire.choices import is_packed
from vecdb.wire.reads import export_arguments

if TYPE_CHECKING:
    from vecdb.server.backing import Backing
    from vecdb.server.call import Call


class ExportService(pb_grpc.ExportServiceServicer):
    """All of ExportService."""

    def __init__(self, backing: Backing) -> None:
        self._backing = backing

    def Export(self, request: pb.ExportRequest, call: Call) -> Iterator[pb.ExportResponse]:
        arguments = export_arguments(request)
        check_count("page_size", arguments["limit"])
        packed = is_packed(request.encoding)
        same = bound(request, *FREE_TO_CHANGE)
        cursor = self._backing.tokens.read(request.page_token, same)
        collection, bytes_max = self._backing.collection(request.collection), self._backing.config.max_message_bytes
        reader = PageReader(collection, arguments, packed=packed, bytes_max=bytes_max)
        while True:
            call.check()
            with interruptible(call.check, self._backing.read_bytes_max):
                records, cursor = reader.page(cursor)
            yield pb.ExportResponse(records=records, page_token=self._backing.tokens.make(cursor, same))
            if cursor is None:
                return
            if call.is_draining:
                raise stopping()

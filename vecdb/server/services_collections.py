"""Answers vecdb.v1.CollectionService: collections, their fields and their metadata indexes.

Promises: a declaration with a request_id is made once; its reply has the seq of a commit that shows it.
Concurrency: any thread.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from vecdb._pb.v1 import collection_service_pb2 as pb
from vecdb._pb.v1 import collection_service_pb2_grpc as pb_grpc
from vecdb.engine.interruption import interruptible
from vecdb.errors import CollectionNotFoundError, IndexNotFoundError, LimitExceededError
from vecdb.server.config import PAGE_COLLECTIONS_MAX, PAGE_ROWS_DEFAULT
from vecdb.server.long_operation import LongOperation
from vecdb.wire.admin import put_progress
from vecdb.wire.collections import (
    create_arguments,
    create_index_arguments,
    drop_index_arguments,
    model_arguments,
    new_field_arguments,
    put_collection,
    put_index,
    switch_arguments,
)

if TYPE_CHECKING:
    from vecdb._pb.v1 import collection_pb2
    from vecdb.engine.collection import Collection
    from vecdb.server.backing import Backing
    from vecdb.server.call import Call
    from vecdb.types import IndexInfo

Reply = TypeVar("Reply", bound=Any)

NAMES = b"names of collections"
"""What page tokens of ListCollections are bound to."""


class CollectionService(pb_grpc.CollectionServiceServicer):
    """All of CollectionService."""

    def __init__(self, backing: Backing) -> None:
        self._backing = backing

    def CreateCollection(self, request: pb.CreateCollectionRequest, call: Call) -> pb.CreateCollectionResponse:
        def work() -> pb.CreateCollectionResponse:
            made = self._backing.database.create_collection(**create_arguments(request))
            response = pb.CreateCollectionResponse(seq=self._backing.database.seq)
            _describe(response.collection, made)
            return response

        return self._backing.request_ids.once(call, request.request_id, request, work)

    def GetCollection(self, request: pb.GetCollectionRequest, call: Call) -> pb.GetCollectionResponse:
        with interruptible(call.check):
            self._backing.reach(request.min_seq)
        response = pb.GetCollectionResponse()
        _describe(response.collection, self._backing.collection(request.name))
        return response

    def ListCollections(self, request: pb.ListCollectionsRequest, call: Call) -> pb.ListCollectionsResponse:
        size = request.page_size or PAGE_ROWS_DEFAULT
        if not 1 <= size <= PAGE_COLLECTIONS_MAX:
            raise LimitExceededError(
                f"page_size is {size}; it must be in 1..{PAGE_COLLECTIONS_MAX}", option="page_size"
            )
        after = self._backing.tokens.read(request.page_token, NAMES)
        with interruptible(call.check):
            self._backing.reach(request.min_seq)
        names = [name for name in self._backing.database.list_collections() if call.principal.may("read", name)]
        start = 0 if after is None else bisect_right(names, after)
        page = names[start : start + size]
        response = pb.ListCollectionsResponse()
        for name in page:
            with suppress(CollectionNotFoundError):  # dropped since it was listed
                found = self._backing.collection(name)
                _describe(response.collections.add(), found)
        more = start + size < len(names)
        response.next_page_token = self._backing.tokens.make(page[-1] if more else None, NAMES)
        return response

    def DeleteCollection(self, request: pb.DeleteCollectionRequest, call: Call) -> pb.DeleteCollectionResponse:
        def work() -> pb.DeleteCollectionResponse:
            self._backing.database.drop_collection(request.name)
            return pb.DeleteCollectionResponse(seq=self._backing.database.seq)

        return self._backing.request_ids.once(call, request.request_id, request, work)

    # --- fields ----------------------------------------------------------------------------------------------------

    def AddField(self, request: pb.AddFieldRequest, call: Call) -> pb.AddFieldResponse:
        arguments = new_field_arguments(request)
        return self._change(request, call, pb.AddFieldResponse(), lambda it: it.add_field(**arguments))

    def DropField(self, request: pb.DropFieldRequest, call: Call) -> pb.DropFieldResponse:
        return self._change(request, call, pb.DropFieldResponse(), lambda it: it.drop_field(request.field))

    def SwitchField(self, request: pb.SwitchFieldRequest, call: Call) -> pb.SwitchFieldResponse:
        arguments = switch_arguments(request)
        return self._change(request, call, pb.SwitchFieldResponse(), lambda it: it.switch_field(**arguments))

    def SetModel(self, request: pb.SetModelRequest, call: Call) -> pb.SetModelResponse:
        arguments = model_arguments(request)
        return self._change(request, call, pb.SetModelResponse(), lambda it: it.set_model(**arguments))

    def _change(self, request: Any, call: Call, response: Reply, change: Callable[[Collection], None]) -> Reply:
        """Change the fields of a collection; the reply has it as it is then."""

        def work() -> Reply:
            collection = self._backing.collection(request.collection)
            change(collection)
            response.seq = self._backing.database.seq
            _describe(response.collection, collection)
            return response

        return self._backing.request_ids.once(call, request.request_id, request, work)

    # --- metadata indexes ------------------------------------------------------------------------------------------

    def CreateIndex(self, request: pb.CreateIndexRequest, call: Call) -> Iterator[pb.CreateIndexResponse]:
        arguments = create_index_arguments(request)
        wait, path, kind = arguments.pop("wait"), arguments["path"], arguments["kind"]
        collection = self._backing.collection(request.collection)

        def create() -> int:
            collection.create_index(**arguments, wait=False)
            return self._backing.database.seq

        # Only the creation is done once: a client that repeats it after a break waits for the rest as it did before.
        seq = self._backing.request_ids.once(call, request.request_id, request, create)
        found = _index(collection, path, kind)
        if wait and not found.ready:
            building = LongOperation(
                lambda progress: collection.create_index(path, kind, exist_ok=True, progress=progress),
                self._backing.long_operations,
                call.principal.id,
            )
            for done, total in building.follow(call):
                response = pb.CreateIndexResponse()
                put_progress(response.progress, done, total)
                yield response
        response = pb.CreateIndexResponse(seq=seq)
        put_index(response.index, _index(collection, path, kind))
        yield response

    def DropIndex(self, request: pb.DropIndexRequest, call: Call) -> pb.DropIndexResponse:
        def work() -> pb.DropIndexResponse:
            self._backing.collection(request.collection).drop_index(**drop_index_arguments(request))
            return pb.DropIndexResponse(seq=self._backing.database.seq)

        return self._backing.request_ids.once(call, request.request_id, request, work)

    def ListIndexes(self, request: pb.ListIndexesRequest, call: Call) -> pb.ListIndexesResponse:
        with interruptible(call.check):
            self._backing.reach(request.min_seq)
        response = pb.ListIndexesResponse()
        for index in self._backing.collection(request.collection).indexes:
            put_index(response.indexes.add(), index)
        return response


def _describe(message: collection_pb2.Collection, collection: Collection) -> None:
    put_collection(
        message,
        collection.name,
        collection.fields,
        collection.ttl_field,
        collection.indexes,
        main_field=collection.main_field,
    )


def _index(collection: Collection, path: str, kind: str) -> IndexInfo:
    for index in collection.indexes:
        if (index.path, index.kind) == (path, kind):
            return index
    raise IndexNotFoundError(
        f"the {kind} index of {path!r:.80} was dropped meanwhile; create it again",
        collection=collection.name,
        path=path,
    )

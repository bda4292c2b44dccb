from vecdb._pb.v1 import collection_pb2 as _collection_pb2
from vecdb._pb.v1 import filter_pb2 as _filter_pb2
from vecdb._pb.v1 import model_pb2 as _model_pb2
from vecdb._pb.v1 import progress_pb2 as _progress_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateCollectionRequest(_message.Message):
    __slots__ = ("name", "fields", "ttl_field", "exist_ok", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_FIELD_NUMBER: _ClassVar[int]
    EXIST_OK_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    fields: _containers.RepeatedCompositeFieldContainer[_collection_pb2.Field]
    ttl_field: str
    exist_ok: bool
    request_id: str
    def __init__(self, name: _Optional[str] = ..., fields: _Optional[_Iterable[_Union[_collection_pb2.Field, _Mapping]]] = ..., ttl_field: _Optional[str] = ..., exist_ok: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateCollectionResponse(_message.Message):
    __slots__ = ("collection", "seq")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    collection: _collection_pb2.Collection
    seq: int
    def __init__(self, collection: _Optional[_Union[_collection_pb2.Collection, _Mapping]] = ..., seq: _Optional[int] = ...) -> None: ...

class GetCollectionRequest(_message.Message):
    __slots__ = ("name", "min_seq")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MIN_SEQ_FIELD_NUMBER: _ClassVar[int]
    name: str
    min_seq: int
    def __init__(self, name: _Optional[str] = ..., min_seq: _Optional[int] = ...) -> None: ...

class GetCollectionResponse(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: _collection_pb2.Collection
    def __init__(self, collection: _Optional[_Union[_collection_pb2.Collection, _Mapping]] = ...) -> None: ...

class ListCollectionsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "min_seq")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    MIN_SEQ_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    min_seq: int
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., min_seq: _Optional[int] = ...) -> None: ...

class ListCollectionsResponse(_message.Message):
    __slots__ = ("collections", "next_page_token")
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    collections: _containers.RepeatedCompositeFieldContainer[_collection_pb2.Collection]
    next_page_token: str
    def __init__(self, collections: _Optional[_Iterable[_Union[_collection_pb2.Collection, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteCollectionRequest(_message.Message):
    __slots__ = ("name", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    request_id: str
    def __init__(self, name: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class DeleteCollectionResponse(_message.Message):
    __slots__ = ("seq",)
    SEQ_FIELD_NUMBER: _ClassVar[int]
    seq: int
    def __init__(self, seq: _Optional[int] = ...) -> None: ...

class AddFieldRequest(_message.Message):
    __slots__ = ("collection", "field", "request_id", "exist_ok")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXIST_OK_FIELD_NUMBER: _ClassVar[int]
    collection: str
    field: _collection_pb2.Field
    request_id: str
    exist_ok: bool
    def __init__(self, collection: _Optional[str] = ..., field: _Optional[_Union[_collection_pb2.Field, _Mapping]] = ..., request_id: _Optional[str] = ..., exist_ok: _Optional[bool] = ...) -> None: ...

class AddFieldResponse(_message.Message):
    __slots__ = ("collection", "seq")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    collection: _collection_pb2.Collection
    seq: int
    def __init__(self, collection: _Optional[_Union[_collection_pb2.Collection, _Mapping]] = ..., seq: _Optional[int] = ...) -> None: ...

class DropFieldRequest(_message.Message):
    __slots__ = ("collection", "field", "request_id")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    collection: str
    field: str
    request_id: str
    def __init__(self, collection: _Optional[str] = ..., field: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class DropFieldResponse(_message.Message):
    __slots__ = ("collection", "seq")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    collection: _collection_pb2.Collection
    seq: int
    def __init__(self, collection: _Optional[_Union[_collection_pb2.Collection, _Mapping]] = ..., seq: _Optional[int] = ...) -> None: ...

class SwitchFieldRequest(_message.Message):
    __slots__ = ("collection", "name", "to", "keep_as", "unless", "request_id")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    KEEP_AS_FIELD_NUMBER: _ClassVar[int]
    UNLESS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    collection: str
    name: str
    to: str
    keep_as: str
    unless: _filter_pb2.Filter
    request_id: str
    def __init__(self, collection: _Optional[str] = ..., name: _Optional[str] = ..., to: _Optional[str] = ..., keep_as: _Optional[str] = ..., unless: _Optional[_Union[_filter_pb2.Filter, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class SwitchFieldResponse(_message.Message):
    __slots__ = ("collection", "seq")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    collection: _collection_pb2.Collection
    seq: int
    def __init__(self, collection: _Optional[_Union[_collection_pb2.Collection, _Mapping]] = ..., seq: _Optional[int] = ...) -> None: ...

class SetModelRequest(_message.Message):
    __slots__ = ("collection", "field", "model", "request_id")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    collection: str
    field: str
    model: _model_pb2.Model
    request_id: str
    def __init__(self, collection: _Optional[str] = ..., field: _Optional[str] = ..., model: _Optional[_Union[_model_pb2.Model, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class SetModelResponse(_message.Message):
    __slots__ = ("collection", "seq")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    collection: _collection_pb2.Collection
    seq: int
    def __init__(self, collection: _Optional[_Union[_collection_pb2.Collection, _Mapping]] = ..., seq: _Optional[int] = ...) -> None: ...

class CreateIndexRequest(_message.Message):
    __slots__ = ("collection", "path", "kind", "exist_ok", "no_wait", "request_id")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    EXIST_OK_FIELD_NUMBER: _ClassVar[int]
    NO_WAIT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    collection: str
    path: str
    kind: _collection_pb2.IndexKind
    exist_ok: bool
    no_wait: bool
    request_id: str
    def __init__(self, collection: _Optional[str] = ..., path: _Optional[str] = ..., kind: _Optional[_Union[_collection_pb2.IndexKind, str]] = ..., exist_ok: _Optional[bool] = ..., no_wait: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateIndexResponse(_message.Message):
    __slots__ = ("progress", "index", "seq")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    progress: _progress_pb2.Progress
    index: _collection_pb2.IndexInfo
    seq: int
    def __init__(self, progress: _Optional[_Union[_progress_pb2.Progress, _Mapping]] = ..., index: _Optional[_Union[_collection_pb2.IndexInfo, _Mapping]] = ..., seq: _Optional[int] = ...) -> None: ...

class DropIndexRequest(_message.Message):
    __slots__ = ("collection", "path", "kind", "request_id")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    collection: str
    path: str
    kind: _collection_pb2.IndexKind
    request_id: str
    def __init__(self, collection: _Optional[str] = ..., path: _Optional[str] = ..., kind: _Optional[_Union[_collection_pb2.IndexKind, str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class DropIndexResponse(_message.Message):
    __slots__ = ("seq",)
    SEQ_FIELD_NUMBER: _ClassVar[int]
    seq: int
    def __init__(self, seq: _Optional[int] = ...) -> None: ...

class ListIndexesRequest(_message.Message):
    __slots__ = ("collection", "min_seq")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    MIN_SEQ_FIELD_NUMBER: _ClassVar[int]
    collection: str
    min_seq: int
    def __init__(self, collection: _Optional[str] = ..., min_seq: _Optional[int] = ...) -> None: ...

class ListIndexesResponse(_message.Message):
    __slots__ = ("indexes",)
    INDEXES_FIELD_NUMBER: _ClassVar[int]
    indexes: _containers.RepeatedCompositeFieldContainer[_collection_pb2.IndexInfo]
    def __init__(self, indexes: _Optional[_Iterable[_Union[_collection_pb2.IndexInfo, _Mapping]]] = ...) -> None: ...

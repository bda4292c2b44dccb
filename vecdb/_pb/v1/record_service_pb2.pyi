from vecdb._pb.v1 import filter_pb2 as _filter_pb2
from vecdb._pb.v1 import ids_pb2 as _ids_pb2
from vecdb._pb.v1 import metadata_pb2 as _metadata_pb2
from vecdb._pb.v1 import record_pb2 as _record_pb2
from vecdb._pb.v1 import vectors_pb2 as _vectors_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UpsertRecordsRequest(_message.Message):
    __slots__ = ("collection", "records", "request_id")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    collection: str
    records: _record_pb2.RecordBatch
    request_id: str
    def __init__(self, collection: _Optional[str] = ..., records: _Optional[_Union[_record_pb2.RecordBatch, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class UpsertRecordsResponse(_message.Message):
    __slots__ = ("seq", "count")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    seq: int
    count: int
    def __init__(self, seq: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class InsertRecordsRequest(_message.Message):
    __slots__ = ("collection", "records", "request_id")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    collection: str
    records: _record_pb2.RecordBatch
    request_id: str
    def __init__(self, collection: _Optional[str] = ..., records: _Optional[_Union[_record_pb2.RecordBatch, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class InsertRecordsResponse(_message.Message):
    __slots__ = ("seq", "count")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    seq: int
    count: int
    def __init__(self, seq: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class UpdateRecordsRequest(_message.Message):
    __slots__ = ("collection", "update", "request_id")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    collection: str
    update: _record_pb2.RecordUpdate
    request_id: str
    def __init__(self, collection: _Optional[str] = ..., update: _Optional[_Union[_record_pb2.RecordUpdate, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class UpdateRecordsResponse(_message.Message):
    __slots__ = ("seq", "count")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    seq: int
    count: int
    def __init__(self, seq: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class SetVectorsRequest(_message.Message):
    __slots__ = ("collection", "update", "request_id")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    collection: str
    update: _record_pb2.VectorUpdate
    request_id: str
    def __init__(self, collection: _Optional[str] = ..., update: _Optional[_Union[_record_pb2.VectorUpdate, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class SetVectorsResponse(_message.Message):
    __slots__ = ("seq", "count")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    seq: int
    count: int
    def __init__(self, seq: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class DeleteRecordsRequest(_message.Message):
    __slots__ = ("collection", "deletion", "request_id")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    DELETION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    collection: str
    deletion: _record_pb2.RecordDeletion
    request_id: str
    def __init__(self, collection: _Optional[str] = ..., deletion: _Optional[_Union[_record_pb2.RecordDeletion, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class DeleteRecordsResponse(_message.Message):
    __slots__ = ("seq", "count")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    seq: int
    count: int
    def __init__(self, seq: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class WriteOperation(_message.Message):
    __slots__ = ("collection", "upsert", "insert", "update", "delete", "set_vectors")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    UPSERT_FIELD_NUMBER: _ClassVar[int]
    INSERT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    DELETE_FIELD_NUMBER: _ClassVar[int]
    SET_VECTORS_FIELD_NUMBER: _ClassVar[int]
    collection: str
    upsert: _record_pb2.RecordBatch
    insert: _record_pb2.RecordBatch
    update: _record_pb2.RecordUpdate
    delete: _record_pb2.RecordDeletion
    set_vectors: _record_pb2.VectorUpdate
    def __init__(self, collection: _Optional[str] = ..., upsert: _Optional[_Union[_record_pb2.RecordBatch, _Mapping]] = ..., insert: _Optional[_Union[_record_pb2.RecordBatch, _Mapping]] = ..., update: _Optional[_Union[_record_pb2.RecordUpdate, _Mapping]] = ..., delete: _Optional[_Union[_record_pb2.RecordDeletion, _Mapping]] = ..., set_vectors: _Optional[_Union[_record_pb2.VectorUpdate, _Mapping]] = ...) -> None: ...

class CommitTransactionRequest(_message.Message):
    __slots__ = ("operations", "request_id")
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    operations: _containers.RepeatedCompositeFieldContainer[WriteOperation]
    request_id: str
    def __init__(self, operations: _Optional[_Iterable[_Union[WriteOperation, _Mapping]]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CommitTransactionResponse(_message.Message):
    __slots__ = ("seq", "count")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    seq: int
    count: int
    def __init__(self, seq: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class GetRecordsRequest(_message.Message):
    __slots__ = ("collection", "ids", "with_vectors", "encoding", "min_seq")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    WITH_VECTORS_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    MIN_SEQ_FIELD_NUMBER: _ClassVar[int]
    collection: str
    ids: _ids_pb2.RecordIds
    with_vectors: bool
    encoding: _vectors_pb2.Encoding
    min_seq: int
    def __init__(self, collection: _Optional[str] = ..., ids: _Optional[_Union[_ids_pb2.RecordIds, _Mapping]] = ..., with_vectors: _Optional[bool] = ..., encoding: _Optional[_Union[_vectors_pb2.Encoding, str]] = ..., min_seq: _Optional[int] = ...) -> None: ...

class GetRecordsResponse(_message.Message):
    __slots__ = ("records", "missing")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    records: _record_pb2.Records
    missing: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, records: _Optional[_Union[_record_pb2.Records, _Mapping]] = ..., missing: _Optional[_Iterable[int]] = ...) -> None: ...

class OrderBy(_message.Message):
    __slots__ = ("path", "descending")
    PATH_FIELD_NUMBER: _ClassVar[int]
    DESCENDING_FIELD_NUMBER: _ClassVar[int]
    path: str
    descending: bool
    def __init__(self, path: _Optional[str] = ..., descending: _Optional[bool] = ...) -> None: ...

class ListRecordsRequest(_message.Message):
    __slots__ = ("collection", "page_size", "page_token", "filter", "strict", "order_by", "with_vectors", "encoding", "min_seq")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    ORDER_BY_FIELD_NUMBER: _ClassVar[int]
    WITH_VECTORS_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    MIN_SEQ_FIELD_NUMBER: _ClassVar[int]
    collection: str
    page_size: int
    page_token: str
    filter: _filter_pb2.Filter
    strict: bool
    order_by: OrderBy
    with_vectors: bool
    encoding: _vectors_pb2.Encoding
    min_seq: int
    def __init__(self, collection: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., filter: _Optional[_Union[_filter_pb2.Filter, _Mapping]] = ..., strict: _Optional[bool] = ..., order_by: _Optional[_Union[OrderBy, _Mapping]] = ..., with_vectors: _Optional[bool] = ..., encoding: _Optional[_Union[_vectors_pb2.Encoding, str]] = ..., min_seq: _Optional[int] = ...) -> None: ...

class ListRecordsResponse(_message.Message):
    __slots__ = ("records", "next_page_token")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    records: _record_pb2.Records
    next_page_token: str
    def __init__(self, records: _Optional[_Union[_record_pb2.Records, _Mapping]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CountRecordsRequest(_message.Message):
    __slots__ = ("collection", "filter", "strict", "min_seq")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    MIN_SEQ_FIELD_NUMBER: _ClassVar[int]
    collection: str
    filter: _filter_pb2.Filter
    strict: bool
    min_seq: int
    def __init__(self, collection: _Optional[str] = ..., filter: _Optional[_Union[_filter_pb2.Filter, _Mapping]] = ..., strict: _Optional[bool] = ..., min_seq: _Optional[int] = ...) -> None: ...

class CountRecordsResponse(_message.Message):
    __slots__ = ("count",)
    COUNT_FIELD_NUMBER: _ClassVar[int]
    count: int
    def __init__(self, count: _Optional[int] = ...) -> None: ...

class FacetRecordsRequest(_message.Message):
    __slots__ = ("collection", "path", "filter", "strict", "limit", "min_seq")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    MIN_SEQ_FIELD_NUMBER: _ClassVar[int]
    collection: str
    path: str
    filter: _filter_pb2.Filter
    strict: bool
    limit: int
    min_seq: int
    def __init__(self, collection: _Optional[str] = ..., path: _Optional[str] = ..., filter: _Optional[_Union[_filter_pb2.Filter, _Mapping]] = ..., strict: _Optional[bool] = ..., limit: _Optional[int] = ..., min_seq: _Optional[int] = ...) -> None: ...

class FacetRecordsResponse(_message.Message):
    __slots__ = ("counts",)
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    counts: _containers.RepeatedCompositeFieldContainer[FacetCount]
    def __init__(self, counts: _Optional[_Iterable[_Union[FacetCount, _Mapping]]] = ...) -> None: ...

class FacetCount(_message.Message):
    __slots__ = ("value", "count")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    value: _metadata_pb2.Scalar
    count: int
    def __init__(self, value: _Optional[_Union[_metadata_pb2.Scalar, _Mapping]] = ..., count: _Optional[int] = ...) -> None: ...

class AggregateRecordsRequest(_message.Message):
    __slots__ = ("collection", "path", "filter", "strict", "min_seq")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    MIN_SEQ_FIELD_NUMBER: _ClassVar[int]
    collection: str
    path: str
    filter: _filter_pb2.Filter
    strict: bool
    min_seq: int
    def __init__(self, collection: _Optional[str] = ..., path: _Optional[str] = ..., filter: _Optional[_Union[_filter_pb2.Filter, _Mapping]] = ..., strict: _Optional[bool] = ..., min_seq: _Optional[int] = ...) -> None: ...

class AggregateRecordsResponse(_message.Message):
    __slots__ = ("count", "min", "max", "sum", "mean")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    SUM_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    count: int
    min: _metadata_pb2.Scalar
    max: _metadata_pb2.Scalar
    sum: _metadata_pb2.Scalar
    mean: float
    def __init__(self, count: _Optional[int] = ..., min: _Optional[_Union[_metadata_pb2.Scalar, _Mapping]] = ..., max: _Optional[_Union[_metadata_pb2.Scalar, _Mapping]] = ..., sum: _Optional[_Union[_metadata_pb2.Scalar, _Mapping]] = ..., mean: _Optional[float] = ...) -> None: ...

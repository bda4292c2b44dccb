from vecdb._pb.v1 import filter_pb2 as _filter_pb2
from vecdb._pb.v1 import record_pb2 as _record_pb2
from vecdb._pb.v1 import record_service_pb2 as _record_service_pb2
from vecdb._pb.v1 import vectors_pb2 as _vectors_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExportRequest(_message.Message):
    __slots__ = ("collection", "filter", "strict", "order_by", "slice", "page_size", "page_token", "with_vectors", "encoding", "min_seq")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    ORDER_BY_FIELD_NUMBER: _ClassVar[int]
    SLICE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    WITH_VECTORS_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    MIN_SEQ_FIELD_NUMBER: _ClassVar[int]
    collection: str
    filter: _filter_pb2.Filter
    strict: bool
    order_by: _record_service_pb2.OrderBy
    slice: _filter_pb2.SliceFilter
    page_size: int
    page_token: str
    with_vectors: bool
    encoding: _vectors_pb2.Encoding
    min_seq: int
    def __init__(self, collection: _Optional[str] = ..., filter: _Optional[_Union[_filter_pb2.Filter, _Mapping]] = ..., strict: _Optional[bool] = ..., order_by: _Optional[_Union[_record_service_pb2.OrderBy, _Mapping]] = ..., slice: _Optional[_Union[_filter_pb2.SliceFilter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., with_vectors: _Optional[bool] = ..., encoding: _Optional[_Union[_vectors_pb2.Encoding, str]] = ..., min_seq: _Optional[int] = ...) -> None: ...

class ExportResponse(_message.Message):
    __slots__ = ("records", "page_token")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    records: _record_pb2.Records
    page_token: str
    def __init__(self, records: _Optional[_Union[_record_pb2.Records, _Mapping]] = ..., page_token: _Optional[str] = ...) -> None: ...

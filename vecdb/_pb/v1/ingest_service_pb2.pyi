from vecdb._pb.v1 import error_pb2 as _error_pb2
from vecdb._pb.v1 import ids_pb2 as _ids_pb2
from vecdb._pb.v1 import record_pb2 as _record_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class IngestMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INGEST_MODE_UNSPECIFIED: _ClassVar[IngestMode]
    INGEST_MODE_UPSERT: _ClassVar[IngestMode]
    INGEST_MODE_INSERT: _ClassVar[IngestMode]
INGEST_MODE_UNSPECIFIED: IngestMode
INGEST_MODE_UPSERT: IngestMode
INGEST_MODE_INSERT: IngestMode

class IngestRequest(_message.Message):
    __slots__ = ("start", "batch")
    START_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    start: IngestStart
    batch: IngestBatch
    def __init__(self, start: _Optional[_Union[IngestStart, _Mapping]] = ..., batch: _Optional[_Union[IngestBatch, _Mapping]] = ...) -> None: ...

class IngestStart(_message.Message):
    __slots__ = ("collection", "mode", "request_id")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    collection: str
    mode: IngestMode
    request_id: str
    def __init__(self, collection: _Optional[str] = ..., mode: _Optional[_Union[IngestMode, str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class IngestBatch(_message.Message):
    __slots__ = ("number", "records", "delete")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    DELETE_FIELD_NUMBER: _ClassVar[int]
    number: int
    records: _record_pb2.RecordBatch
    delete: _ids_pb2.RecordIds
    def __init__(self, number: _Optional[int] = ..., records: _Optional[_Union[_record_pb2.RecordBatch, _Mapping]] = ..., delete: _Optional[_Union[_ids_pb2.RecordIds, _Mapping]] = ...) -> None: ...

class IngestResponse(_message.Message):
    __slots__ = ("started", "ack", "failure", "window", "draining")
    STARTED_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    started: IngestWindow
    ack: IngestAck
    failure: IngestFailure
    window: IngestWindow
    draining: IngestDraining
    def __init__(self, started: _Optional[_Union[IngestWindow, _Mapping]] = ..., ack: _Optional[_Union[IngestAck, _Mapping]] = ..., failure: _Optional[_Union[IngestFailure, _Mapping]] = ..., window: _Optional[_Union[IngestWindow, _Mapping]] = ..., draining: _Optional[_Union[IngestDraining, _Mapping]] = ...) -> None: ...

class IngestWindow(_message.Message):
    __slots__ = ("batches_max", "bytes_max")
    BATCHES_MAX_FIELD_NUMBER: _ClassVar[int]
    BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    batches_max: int
    bytes_max: int
    def __init__(self, batches_max: _Optional[int] = ..., bytes_max: _Optional[int] = ...) -> None: ...

class IngestAck(_message.Message):
    __slots__ = ("number", "seq", "count")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    number: int
    seq: int
    count: int
    def __init__(self, number: _Optional[int] = ..., seq: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class IngestFailure(_message.Message):
    __slots__ = ("number", "error")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    number: int
    error: _error_pb2.Error
    def __init__(self, number: _Optional[int] = ..., error: _Optional[_Union[_error_pb2.Error, _Mapping]] = ...) -> None: ...

class IngestDraining(_message.Message):
    __slots__ = ("last_number",)
    LAST_NUMBER_FIELD_NUMBER: _ClassVar[int]
    last_number: int
    def __init__(self, last_number: _Optional[int] = ...) -> None: ...

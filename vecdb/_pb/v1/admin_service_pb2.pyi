from vecdb._pb.v1 import progress_pb2 as _progress_pb2
from vecdb._pb.v1 import vectors_pb2 as _vectors_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetServerInfoRequest(_message.Message):
    __slots__ = ("min_seq",)
    MIN_SEQ_FIELD_NUMBER: _ClassVar[int]
    min_seq: int
    def __init__(self, min_seq: _Optional[int] = ...) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("version", "seq", "durability", "problems", "limits", "database_uuid")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    DATABASE_UUID_FIELD_NUMBER: _ClassVar[int]
    version: str
    seq: int
    durability: str
    problems: _containers.RepeatedScalarFieldContainer[str]
    limits: ServerLimits
    database_uuid: bytes
    def __init__(self, version: _Optional[str] = ..., seq: _Optional[int] = ..., durability: _Optional[str] = ..., problems: _Optional[_Iterable[str]] = ..., limits: _Optional[_Union[ServerLimits, _Mapping]] = ..., database_uuid: _Optional[bytes] = ...) -> None: ...

class ServerLimits(_message.Message):
    __slots__ = ("message_bytes_max", "batch_records_max", "batch_bytes_max", "search_batch_max", "limit_max", "ef_max", "dim_max", "metadata_bytes_max", "metadata_depth_max", "id_bytes_max", "filter_depth_max", "filter_nodes_max", "filter_values_max", "collections_max", "fields_max", "indexes_max", "in_flight_bytes_max")
    MESSAGE_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    BATCH_RECORDS_MAX_FIELD_NUMBER: _ClassVar[int]
    BATCH_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    SEARCH_BATCH_MAX_FIELD_NUMBER: _ClassVar[int]
    LIMIT_MAX_FIELD_NUMBER: _ClassVar[int]
    EF_MAX_FIELD_NUMBER: _ClassVar[int]
    DIM_MAX_FIELD_NUMBER: _ClassVar[int]
    METADATA_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    METADATA_DEPTH_MAX_FIELD_NUMBER: _ClassVar[int]
    ID_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    FILTER_DEPTH_MAX_FIELD_NUMBER: _ClassVar[int]
    FILTER_NODES_MAX_FIELD_NUMBER: _ClassVar[int]
    FILTER_VALUES_MAX_FIELD_NUMBER: _ClassVar[int]
    COLLECTIONS_MAX_FIELD_NUMBER: _ClassVar[int]
    FIELDS_MAX_FIELD_NUMBER: _ClassVar[int]
    INDEXES_MAX_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    message_bytes_max: int
    batch_records_max: int
    batch_bytes_max: int
    search_batch_max: int
    limit_max: int
    ef_max: int
    dim_max: int
    metadata_bytes_max: int
    metadata_depth_max: int
    id_bytes_max: int
    filter_depth_max: int
    filter_nodes_max: int
    filter_values_max: int
    collections_max: int
    fields_max: int
    indexes_max: int
    in_flight_bytes_max: int
    def __init__(self, message_bytes_max: _Optional[int] = ..., batch_records_max: _Optional[int] = ..., batch_bytes_max: _Optional[int] = ..., search_batch_max: _Optional[int] = ..., limit_max: _Optional[int] = ..., ef_max: _Optional[int] = ..., dim_max: _Optional[int] = ..., metadata_bytes_max: _Optional[int] = ..., metadata_depth_max: _Optional[int] = ..., id_bytes_max: _Optional[int] = ..., filter_depth_max: _Optional[int] = ..., filter_nodes_max: _Optional[int] = ..., filter_values_max: _Optional[int] = ..., collections_max: _Optional[int] = ..., fields_max: _Optional[int] = ..., indexes_max: _Optional[int] = ..., in_flight_bytes_max: _Optional[int] = ...) -> None: ...

class GetStatsRequest(_message.Message):
    __slots__ = ("collection", "min_seq")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    MIN_SEQ_FIELD_NUMBER: _ClassVar[int]
    collection: str
    min_seq: int
    def __init__(self, collection: _Optional[str] = ..., min_seq: _Optional[int] = ...) -> None: ...

class GetStatsResponse(_message.Message):
    __slots__ = ("name", "records", "seq", "fields")
    NAME_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    name: str
    records: int
    seq: int
    fields: _containers.RepeatedCompositeFieldContainer[FieldStats]
    def __init__(self, name: _Optional[str] = ..., records: _Optional[int] = ..., seq: _Optional[int] = ..., fields: _Optional[_Iterable[_Union[FieldStats, _Mapping]]] = ...) -> None: ...

class FieldStats(_message.Message):
    __slots__ = ("field", "rows", "segments", "segment_rows", "tail_rows", "dead_rows", "index_bytes", "calibrated_with")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_ROWS_FIELD_NUMBER: _ClassVar[int]
    TAIL_ROWS_FIELD_NUMBER: _ClassVar[int]
    DEAD_ROWS_FIELD_NUMBER: _ClassVar[int]
    INDEX_BYTES_FIELD_NUMBER: _ClassVar[int]
    CALIBRATED_WITH_FIELD_NUMBER: _ClassVar[int]
    field: str
    rows: int
    segments: int
    segment_rows: _containers.RepeatedScalarFieldContainer[int]
    tail_rows: int
    dead_rows: int
    index_bytes: int
    calibrated_with: int
    def __init__(self, field: _Optional[str] = ..., rows: _Optional[int] = ..., segments: _Optional[int] = ..., segment_rows: _Optional[_Iterable[int]] = ..., tail_rows: _Optional[int] = ..., dead_rows: _Optional[int] = ..., index_bytes: _Optional[int] = ..., calibrated_with: _Optional[int] = ...) -> None: ...

class CalibrateRequest(_message.Message):
    __slots__ = ("collection", "field", "queries")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    collection: str
    field: str
    queries: _vectors_pb2.Vectors
    def __init__(self, collection: _Optional[str] = ..., field: _Optional[str] = ..., queries: _Optional[_Union[_vectors_pb2.Vectors, _Mapping]] = ...) -> None: ...

class CalibrateResponse(_message.Message):
    __slots__ = ("kept", "seq")
    KEPT_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    kept: int
    seq: int
    def __init__(self, kept: _Optional[int] = ..., seq: _Optional[int] = ...) -> None: ...

class MeasureRecallRequest(_message.Message):
    __slots__ = ("collection", "k", "sample", "ef", "target_recall", "field", "seed", "min_seq")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    EF_FIELD_NUMBER: _ClassVar[int]
    TARGET_RECALL_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MIN_SEQ_FIELD_NUMBER: _ClassVar[int]
    collection: str
    k: int
    sample: int
    ef: int
    target_recall: float
    field: str
    seed: int
    min_seq: int
    def __init__(self, collection: _Optional[str] = ..., k: _Optional[int] = ..., sample: _Optional[int] = ..., ef: _Optional[int] = ..., target_recall: _Optional[float] = ..., field: _Optional[str] = ..., seed: _Optional[int] = ..., min_seq: _Optional[int] = ...) -> None: ...

class MeasureRecallResponse(_message.Message):
    __slots__ = ("recall", "low", "high", "k", "sample", "ef", "target_recall")
    RECALL_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    EF_FIELD_NUMBER: _ClassVar[int]
    TARGET_RECALL_FIELD_NUMBER: _ClassVar[int]
    recall: float
    low: float
    high: float
    k: int
    sample: int
    ef: int
    target_recall: float
    def __init__(self, recall: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., k: _Optional[int] = ..., sample: _Optional[int] = ..., ef: _Optional[int] = ..., target_recall: _Optional[float] = ...) -> None: ...

class OptimizeRequest(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: str
    def __init__(self, collection: _Optional[str] = ...) -> None: ...

class OptimizeResponse(_message.Message):
    __slots__ = ("progress",)
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    progress: _progress_pb2.Progress
    def __init__(self, progress: _Optional[_Union[_progress_pb2.Progress, _Mapping]] = ...) -> None: ...

class WaitIndexedRequest(_message.Message):
    __slots__ = ("collection", "timeout_s")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    collection: str
    timeout_s: float
    def __init__(self, collection: _Optional[str] = ..., timeout_s: _Optional[float] = ...) -> None: ...

class WaitIndexedResponse(_message.Message):
    __slots__ = ("progress",)
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    progress: _progress_pb2.Progress
    def __init__(self, progress: _Optional[_Union[_progress_pb2.Progress, _Mapping]] = ...) -> None: ...

class VerifyRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class VerifyResponse(_message.Message):
    __slots__ = ("pages", "values", "records", "chunks", "problems", "seconds")
    PAGES_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    pages: int
    values: int
    records: int
    chunks: int
    problems: _containers.RepeatedScalarFieldContainer[str]
    seconds: float
    def __init__(self, pages: _Optional[int] = ..., values: _Optional[int] = ..., records: _Optional[int] = ..., chunks: _Optional[int] = ..., problems: _Optional[_Iterable[str]] = ..., seconds: _Optional[float] = ...) -> None: ...

class ValidateGraphsRequest(_message.Message):
    __slots__ = ("collection", "field")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    collection: str
    field: str
    def __init__(self, collection: _Optional[str] = ..., field: _Optional[str] = ...) -> None: ...

class ValidateGraphsResponse(_message.Message):
    __slots__ = ("reports",)
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    reports: _containers.RepeatedCompositeFieldContainer[GraphReport]
    def __init__(self, reports: _Optional[_Iterable[_Union[GraphReport, _Mapping]]] = ...) -> None: ...

class GraphReport(_message.Message):
    __slots__ = ("rows", "edges", "levels", "unreachable", "problems")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    LEVELS_FIELD_NUMBER: _ClassVar[int]
    UNREACHABLE_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    rows: int
    edges: int
    levels: int
    unreachable: int
    problems: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, rows: _Optional[int] = ..., edges: _Optional[int] = ..., levels: _Optional[int] = ..., unreachable: _Optional[int] = ..., problems: _Optional[_Iterable[str]] = ...) -> None: ...

class BackupRequest(_message.Message):
    __slots__ = ("name", "compact", "skip_check")
    NAME_FIELD_NUMBER: _ClassVar[int]
    COMPACT_FIELD_NUMBER: _ClassVar[int]
    SKIP_CHECK_FIELD_NUMBER: _ClassVar[int]
    name: str
    compact: bool
    skip_check: bool
    def __init__(self, name: _Optional[str] = ..., compact: _Optional[bool] = ..., skip_check: _Optional[bool] = ...) -> None: ...

class BackupResponse(_message.Message):
    __slots__ = ("name", "size_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    size_bytes: int
    def __init__(self, name: _Optional[str] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class SyncRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SyncResponse(_message.Message):
    __slots__ = ("seq",)
    SEQ_FIELD_NUMBER: _ClassVar[int]
    seq: int
    def __init__(self, seq: _Optional[int] = ...) -> None: ...

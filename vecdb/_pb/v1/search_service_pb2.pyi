from vecdb._pb.v1 import error_pb2 as _error_pb2
from vecdb._pb.v1 import filter_pb2 as _filter_pb2
from vecdb._pb.v1 import ids_pb2 as _ids_pb2
from vecdb._pb.v1 import metadata_pb2 as _metadata_pb2
from vecdb._pb.v1 import model_pb2 as _model_pb2
from vecdb._pb.v1 import vectors_pb2 as _vectors_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SearchOptions(_message.Message):
    __slots__ = ("limit", "field", "ef", "target_recall", "exact", "filter", "strict", "with_metadata", "with_vectors", "encoding", "min_seq", "model")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    EF_FIELD_NUMBER: _ClassVar[int]
    TARGET_RECALL_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    WITH_METADATA_FIELD_NUMBER: _ClassVar[int]
    WITH_VECTORS_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    MIN_SEQ_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    limit: int
    field: str
    ef: int
    target_recall: float
    exact: bool
    filter: _filter_pb2.Filter
    strict: bool
    with_metadata: bool
    with_vectors: bool
    encoding: _vectors_pb2.Encoding
    min_seq: int
    model: _model_pb2.Model
    def __init__(self, limit: _Optional[int] = ..., field: _Optional[str] = ..., ef: _Optional[int] = ..., target_recall: _Optional[float] = ..., exact: _Optional[bool] = ..., filter: _Optional[_Union[_filter_pb2.Filter, _Mapping]] = ..., strict: _Optional[bool] = ..., with_metadata: _Optional[bool] = ..., with_vectors: _Optional[bool] = ..., encoding: _Optional[_Union[_vectors_pb2.Encoding, str]] = ..., min_seq: _Optional[int] = ..., model: _Optional[_Union[_model_pb2.Model, _Mapping]] = ...) -> None: ...

class SearchRequest(_message.Message):
    __slots__ = ("collection", "query", "options", "explain")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    collection: str
    query: _vectors_pb2.Vectors
    options: SearchOptions
    explain: bool
    def __init__(self, collection: _Optional[str] = ..., query: _Optional[_Union[_vectors_pb2.Vectors, _Mapping]] = ..., options: _Optional[_Union[SearchOptions, _Mapping]] = ..., explain: _Optional[bool] = ...) -> None: ...

class SearchResponse(_message.Message):
    __slots__ = ("hits", "explain")
    HITS_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    hits: Hits
    explain: Explain
    def __init__(self, hits: _Optional[_Union[Hits, _Mapping]] = ..., explain: _Optional[_Union[Explain, _Mapping]] = ...) -> None: ...

class SearchBatchRequest(_message.Message):
    __slots__ = ("collection", "queries", "options")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    collection: str
    queries: _vectors_pb2.Vectors
    options: SearchOptions
    def __init__(self, collection: _Optional[str] = ..., queries: _Optional[_Union[_vectors_pb2.Vectors, _Mapping]] = ..., options: _Optional[_Union[SearchOptions, _Mapping]] = ...) -> None: ...

class SearchBatchResponse(_message.Message):
    __slots__ = ("hits",)
    HITS_FIELD_NUMBER: _ClassVar[int]
    hits: Hits
    def __init__(self, hits: _Optional[_Union[Hits, _Mapping]] = ...) -> None: ...

class SearchStreamRequest(_message.Message):
    __slots__ = ("number", "search")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    number: int
    search: SearchBatchRequest
    def __init__(self, number: _Optional[int] = ..., search: _Optional[_Union[SearchBatchRequest, _Mapping]] = ...) -> None: ...

class SearchStreamResponse(_message.Message):
    __slots__ = ("number", "hits", "error")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    HITS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    number: int
    hits: Hits
    error: _error_pb2.Error
    def __init__(self, number: _Optional[int] = ..., hits: _Optional[_Union[Hits, _Mapping]] = ..., error: _Optional[_Union[_error_pb2.Error, _Mapping]] = ...) -> None: ...

class Hits(_message.Message):
    __slots__ = ("counts", "ids", "scores", "distances", "metadata", "vectors")
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    DISTANCES_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    counts: _containers.RepeatedScalarFieldContainer[int]
    ids: _ids_pb2.RecordIds
    scores: _vectors_pb2.FloatColumn
    distances: _vectors_pb2.FloatColumn
    metadata: _metadata_pb2.MetadataColumn
    vectors: _vectors_pb2.Vectors
    def __init__(self, counts: _Optional[_Iterable[int]] = ..., ids: _Optional[_Union[_ids_pb2.RecordIds, _Mapping]] = ..., scores: _Optional[_Union[_vectors_pb2.FloatColumn, _Mapping]] = ..., distances: _Optional[_Union[_vectors_pb2.FloatColumn, _Mapping]] = ..., metadata: _Optional[_Union[_metadata_pb2.MetadataColumn, _Mapping]] = ..., vectors: _Optional[_Union[_vectors_pb2.Vectors, _Mapping]] = ...) -> None: ...

class Explain(_message.Message):
    __slots__ = ("plan", "ef", "tail_rows", "segments", "times", "matches", "remembered", "steps", "parts")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    EF_FIELD_NUMBER: _ClassVar[int]
    TAIL_ROWS_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    TIMES_FIELD_NUMBER: _ClassVar[int]
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    REMEMBERED_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    plan: str
    ef: int
    tail_rows: int
    segments: int
    times: _containers.RepeatedCompositeFieldContainer[StageTime]
    matches: int
    remembered: bool
    steps: _containers.RepeatedCompositeFieldContainer[FilterStep]
    parts: _containers.RepeatedCompositeFieldContainer[SegmentPlan]
    def __init__(self, plan: _Optional[str] = ..., ef: _Optional[int] = ..., tail_rows: _Optional[int] = ..., segments: _Optional[int] = ..., times: _Optional[_Iterable[_Union[StageTime, _Mapping]]] = ..., matches: _Optional[int] = ..., remembered: _Optional[bool] = ..., steps: _Optional[_Iterable[_Union[FilterStep, _Mapping]]] = ..., parts: _Optional[_Iterable[_Union[SegmentPlan, _Mapping]]] = ...) -> None: ...

class StageTime(_message.Message):
    __slots__ = ("stage", "microseconds")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    MICROSECONDS_FIELD_NUMBER: _ClassVar[int]
    stage: str
    microseconds: float
    def __init__(self, stage: _Optional[str] = ..., microseconds: _Optional[float] = ...) -> None: ...

class FilterStep(_message.Message):
    __slots__ = ("clause", "how", "matches", "microseconds")
    CLAUSE_FIELD_NUMBER: _ClassVar[int]
    HOW_FIELD_NUMBER: _ClassVar[int]
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    MICROSECONDS_FIELD_NUMBER: _ClassVar[int]
    clause: str
    how: str
    matches: int
    microseconds: float
    def __init__(self, clause: _Optional[str] = ..., how: _Optional[str] = ..., matches: _Optional[int] = ..., microseconds: _Optional[float] = ...) -> None: ...

class SegmentPlan(_message.Message):
    __slots__ = ("where", "plan", "rows", "matches", "estimated", "ef", "scored", "hops")
    WHERE_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_FIELD_NUMBER: _ClassVar[int]
    EF_FIELD_NUMBER: _ClassVar[int]
    SCORED_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    where: str
    plan: str
    rows: int
    matches: int
    estimated: int
    ef: int
    scored: int
    hops: int
    def __init__(self, where: _Optional[str] = ..., plan: _Optional[str] = ..., rows: _Optional[int] = ..., matches: _Optional[int] = ..., estimated: _Optional[int] = ..., ef: _Optional[int] = ..., scored: _Optional[int] = ..., hops: _Optional[int] = ...) -> None: ...

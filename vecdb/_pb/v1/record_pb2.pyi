import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from vecdb._pb.v1 import filter_pb2 as _filter_pb2
from vecdb._pb.v1 import ids_pb2 as _ids_pb2
from vecdb._pb.v1 import metadata_pb2 as _metadata_pb2
from vecdb._pb.v1 import vectors_pb2 as _vectors_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RecordBatch(_message.Message):
    __slots__ = ("ids", "vectors", "metadata", "if_version", "expires_at")
    IDS_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    IF_VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    ids: _ids_pb2.RecordIds
    vectors: _containers.RepeatedCompositeFieldContainer[_vectors_pb2.FieldVectors]
    metadata: _metadata_pb2.MetadataColumn
    if_version: _containers.RepeatedCompositeFieldContainer[VersionCondition]
    expires_at: _containers.RepeatedCompositeFieldContainer[Expiry]
    def __init__(self, ids: _Optional[_Union[_ids_pb2.RecordIds, _Mapping]] = ..., vectors: _Optional[_Iterable[_Union[_vectors_pb2.FieldVectors, _Mapping]]] = ..., metadata: _Optional[_Union[_metadata_pb2.MetadataColumn, _Mapping]] = ..., if_version: _Optional[_Iterable[_Union[VersionCondition, _Mapping]]] = ..., expires_at: _Optional[_Iterable[_Union[Expiry, _Mapping]]] = ...) -> None: ...

class VersionCondition(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    def __init__(self, version: _Optional[int] = ...) -> None: ...

class Expiry(_message.Message):
    __slots__ = ("at", "never")
    AT_FIELD_NUMBER: _ClassVar[int]
    NEVER_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    never: bool
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., never: _Optional[bool] = ...) -> None: ...

class RecordUpdate(_message.Message):
    __slots__ = ("id", "filter", "metadata", "vectors", "expires_at", "if_version")
    ID_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    IF_VERSION_FIELD_NUMBER: _ClassVar[int]
    id: _ids_pb2.RecordId
    filter: _filter_pb2.Filter
    metadata: _metadata_pb2.MetadataColumn
    vectors: _containers.RepeatedCompositeFieldContainer[_vectors_pb2.FieldVectors]
    expires_at: Expiry
    if_version: VersionCondition
    def __init__(self, id: _Optional[_Union[_ids_pb2.RecordId, _Mapping]] = ..., filter: _Optional[_Union[_filter_pb2.Filter, _Mapping]] = ..., metadata: _Optional[_Union[_metadata_pb2.MetadataColumn, _Mapping]] = ..., vectors: _Optional[_Iterable[_Union[_vectors_pb2.FieldVectors, _Mapping]]] = ..., expires_at: _Optional[_Union[Expiry, _Mapping]] = ..., if_version: _Optional[_Union[VersionCondition, _Mapping]] = ...) -> None: ...

class VectorUpdate(_message.Message):
    __slots__ = ("ids", "vectors", "if_version", "skip_changed")
    IDS_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    IF_VERSION_FIELD_NUMBER: _ClassVar[int]
    SKIP_CHANGED_FIELD_NUMBER: _ClassVar[int]
    ids: _ids_pb2.RecordIds
    vectors: _containers.RepeatedCompositeFieldContainer[_vectors_pb2.FieldVectors]
    if_version: _containers.RepeatedCompositeFieldContainer[VersionCondition]
    skip_changed: bool
    def __init__(self, ids: _Optional[_Union[_ids_pb2.RecordIds, _Mapping]] = ..., vectors: _Optional[_Iterable[_Union[_vectors_pb2.FieldVectors, _Mapping]]] = ..., if_version: _Optional[_Iterable[_Union[VersionCondition, _Mapping]]] = ..., skip_changed: _Optional[bool] = ...) -> None: ...

class RecordDeletion(_message.Message):
    __slots__ = ("ids", "filter", "if_version")
    IDS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    IF_VERSION_FIELD_NUMBER: _ClassVar[int]
    ids: _ids_pb2.RecordIds
    filter: _filter_pb2.Filter
    if_version: _containers.RepeatedCompositeFieldContainer[VersionCondition]
    def __init__(self, ids: _Optional[_Union[_ids_pb2.RecordIds, _Mapping]] = ..., filter: _Optional[_Union[_filter_pb2.Filter, _Mapping]] = ..., if_version: _Optional[_Iterable[_Union[VersionCondition, _Mapping]]] = ...) -> None: ...

class Records(_message.Message):
    __slots__ = ("ids", "metadata", "versions", "expiring", "expires_at", "vectors")
    IDS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    EXPIRING_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    ids: _ids_pb2.RecordIds
    metadata: _metadata_pb2.MetadataColumn
    versions: _containers.RepeatedScalarFieldContainer[int]
    expiring: _containers.RepeatedScalarFieldContainer[int]
    expires_at: _containers.RepeatedCompositeFieldContainer[_timestamp_pb2.Timestamp]
    vectors: _containers.RepeatedCompositeFieldContainer[_vectors_pb2.FieldVectors]
    def __init__(self, ids: _Optional[_Union[_ids_pb2.RecordIds, _Mapping]] = ..., metadata: _Optional[_Union[_metadata_pb2.MetadataColumn, _Mapping]] = ..., versions: _Optional[_Iterable[int]] = ..., expiring: _Optional[_Iterable[int]] = ..., expires_at: _Optional[_Iterable[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]]] = ..., vectors: _Optional[_Iterable[_Union[_vectors_pb2.FieldVectors, _Mapping]]] = ...) -> None: ...

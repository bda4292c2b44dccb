from vecdb._pb.v1 import model_pb2 as _model_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Metric(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    METRIC_UNSPECIFIED: _ClassVar[Metric]
    METRIC_COSINE: _ClassVar[Metric]
    METRIC_DOT: _ClassVar[Metric]
    METRIC_L2: _ClassVar[Metric]

class StoredType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STORED_TYPE_UNSPECIFIED: _ClassVar[StoredType]
    STORED_TYPE_FLOAT32: _ClassVar[StoredType]
    STORED_TYPE_FLOAT16: _ClassVar[StoredType]

class Builder(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BUILDER_UNSPECIFIED: _ClassVar[Builder]
    BUILDER_VECDB: _ClassVar[Builder]
    BUILDER_HNSWLIB: _ClassVar[Builder]

class Layout(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LAYOUT_UNSPECIFIED: _ClassVar[Layout]
    LAYOUT_AUTO: _ClassVar[Layout]
    LAYOUT_PACKED: _ClassVar[Layout]
    LAYOUT_COMPACT: _ClassVar[Layout]

class IndexKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INDEX_KIND_UNSPECIFIED: _ClassVar[IndexKind]
    INDEX_KIND_KEYWORD: _ClassVar[IndexKind]
    INDEX_KIND_INT: _ClassVar[IndexKind]
    INDEX_KIND_FLOAT: _ClassVar[IndexKind]
    INDEX_KIND_BOOL: _ClassVar[IndexKind]
    INDEX_KIND_DATETIME: _ClassVar[IndexKind]
    INDEX_KIND_TEXT: _ClassVar[IndexKind]
    INDEX_KIND_GEO: _ClassVar[IndexKind]
METRIC_UNSPECIFIED: Metric
METRIC_COSINE: Metric
METRIC_DOT: Metric
METRIC_L2: Metric
STORED_TYPE_UNSPECIFIED: StoredType
STORED_TYPE_FLOAT32: StoredType
STORED_TYPE_FLOAT16: StoredType
BUILDER_UNSPECIFIED: Builder
BUILDER_VECDB: Builder
BUILDER_HNSWLIB: Builder
LAYOUT_UNSPECIFIED: Layout
LAYOUT_AUTO: Layout
LAYOUT_PACKED: Layout
LAYOUT_COMPACT: Layout
INDEX_KIND_UNSPECIFIED: IndexKind
INDEX_KIND_KEYWORD: IndexKind
INDEX_KIND_INT: IndexKind
INDEX_KIND_FLOAT: IndexKind
INDEX_KIND_BOOL: IndexKind
INDEX_KIND_DATETIME: IndexKind
INDEX_KIND_TEXT: IndexKind
INDEX_KIND_GEO: IndexKind

class Field(_message.Message):
    __slots__ = ("name", "dim", "metric", "dtype", "m", "ef_construction", "builder", "model", "follows", "layout")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIM_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    M_FIELD_NUMBER: _ClassVar[int]
    EF_CONSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    BUILDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FOLLOWS_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    name: str
    dim: int
    metric: Metric
    dtype: StoredType
    m: int
    ef_construction: int
    builder: Builder
    model: _model_pb2.Model
    follows: _containers.RepeatedScalarFieldContainer[str]
    layout: Layout
    def __init__(self, name: _Optional[str] = ..., dim: _Optional[int] = ..., metric: _Optional[_Union[Metric, str]] = ..., dtype: _Optional[_Union[StoredType, str]] = ..., m: _Optional[int] = ..., ef_construction: _Optional[int] = ..., builder: _Optional[_Union[Builder, str]] = ..., model: _Optional[_Union[_model_pb2.Model, _Mapping]] = ..., follows: _Optional[_Iterable[str]] = ..., layout: _Optional[_Union[Layout, str]] = ...) -> None: ...

class Collection(_message.Message):
    __slots__ = ("name", "fields", "ttl_field", "indexes", "main_field")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_FIELD_NUMBER: _ClassVar[int]
    INDEXES_FIELD_NUMBER: _ClassVar[int]
    MAIN_FIELD_FIELD_NUMBER: _ClassVar[int]
    name: str
    fields: _containers.RepeatedCompositeFieldContainer[Field]
    ttl_field: str
    indexes: _containers.RepeatedCompositeFieldContainer[IndexInfo]
    main_field: str
    def __init__(self, name: _Optional[str] = ..., fields: _Optional[_Iterable[_Union[Field, _Mapping]]] = ..., ttl_field: _Optional[str] = ..., indexes: _Optional[_Iterable[_Union[IndexInfo, _Mapping]]] = ..., main_field: _Optional[str] = ...) -> None: ...

class IndexInfo(_message.Message):
    __slots__ = ("path", "kind", "ready")
    PATH_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    path: str
    kind: IndexKind
    ready: bool
    def __init__(self, path: _Optional[str] = ..., kind: _Optional[_Union[IndexKind, str]] = ..., ready: _Optional[bool] = ...) -> None: ...

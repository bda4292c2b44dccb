from vecdb._pb.v1 import ids_pb2 as _ids_pb2
from vecdb._pb.v1 import metadata_pb2 as _metadata_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Comparison(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMPARISON_UNSPECIFIED: _ClassVar[Comparison]
    COMPARISON_EQ: _ClassVar[Comparison]
    COMPARISON_NE: _ClassVar[Comparison]
    COMPARISON_LT: _ClassVar[Comparison]
    COMPARISON_LE: _ClassVar[Comparison]
    COMPARISON_GT: _ClassVar[Comparison]
    COMPARISON_GE: _ClassVar[Comparison]

class ContainsMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONTAINS_MODE_UNSPECIFIED: _ClassVar[ContainsMode]
    CONTAINS_MODE_ONE: _ClassVar[ContainsMode]
    CONTAINS_MODE_ANY: _ClassVar[ContainsMode]
    CONTAINS_MODE_ALL: _ClassVar[ContainsMode]

class MatchMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MATCH_MODE_UNSPECIFIED: _ClassVar[MatchMode]
    MATCH_MODE_ALL: _ClassVar[MatchMode]
    MATCH_MODE_ANY: _ClassVar[MatchMode]
    MATCH_MODE_PHRASE: _ClassVar[MatchMode]
COMPARISON_UNSPECIFIED: Comparison
COMPARISON_EQ: Comparison
COMPARISON_NE: Comparison
COMPARISON_LT: Comparison
COMPARISON_LE: Comparison
COMPARISON_GT: Comparison
COMPARISON_GE: Comparison
CONTAINS_MODE_UNSPECIFIED: ContainsMode
CONTAINS_MODE_ONE: ContainsMode
CONTAINS_MODE_ANY: ContainsMode
CONTAINS_MODE_ALL: ContainsMode
MATCH_MODE_UNSPECIFIED: MatchMode
MATCH_MODE_ALL: MatchMode
MATCH_MODE_ANY: MatchMode
MATCH_MODE_PHRASE: MatchMode

class Filter(_message.Message):
    __slots__ = ("all_of", "any_of", "negated", "compare", "is_in", "exists", "is_null", "contains", "prefix", "substring", "match", "geo_radius", "geo_box", "geo_polygon", "size", "has_id", "has_vector", "slice")
    ALL_OF_FIELD_NUMBER: _ClassVar[int]
    ANY_OF_FIELD_NUMBER: _ClassVar[int]
    NEGATED_FIELD_NUMBER: _ClassVar[int]
    COMPARE_FIELD_NUMBER: _ClassVar[int]
    IS_IN_FIELD_NUMBER: _ClassVar[int]
    EXISTS_FIELD_NUMBER: _ClassVar[int]
    IS_NULL_FIELD_NUMBER: _ClassVar[int]
    CONTAINS_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    SUBSTRING_FIELD_NUMBER: _ClassVar[int]
    MATCH_FIELD_NUMBER: _ClassVar[int]
    GEO_RADIUS_FIELD_NUMBER: _ClassVar[int]
    GEO_BOX_FIELD_NUMBER: _ClassVar[int]
    GEO_POLYGON_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    HAS_ID_FIELD_NUMBER: _ClassVar[int]
    HAS_VECTOR_FIELD_NUMBER: _ClassVar[int]
    SLICE_FIELD_NUMBER: _ClassVar[int]
    all_of: FilterList
    any_of: FilterList
    negated: Filter
    compare: CompareFilter
    is_in: InFilter
    exists: ExistsFilter
    is_null: IsNullFilter
    contains: ContainsFilter
    prefix: PrefixFilter
    substring: SubstringFilter
    match: MatchFilter
    geo_radius: GeoRadiusFilter
    geo_box: GeoBoxFilter
    geo_polygon: GeoPolygonFilter
    size: SizeFilter
    has_id: _ids_pb2.RecordIds
    has_vector: str
    slice: SliceFilter
    def __init__(self, all_of: _Optional[_Union[FilterList, _Mapping]] = ..., any_of: _Optional[_Union[FilterList, _Mapping]] = ..., negated: _Optional[_Union[Filter, _Mapping]] = ..., compare: _Optional[_Union[CompareFilter, _Mapping]] = ..., is_in: _Optional[_Union[InFilter, _Mapping]] = ..., exists: _Optional[_Union[ExistsFilter, _Mapping]] = ..., is_null: _Optional[_Union[IsNullFilter, _Mapping]] = ..., contains: _Optional[_Union[ContainsFilter, _Mapping]] = ..., prefix: _Optional[_Union[PrefixFilter, _Mapping]] = ..., substring: _Optional[_Union[SubstringFilter, _Mapping]] = ..., match: _Optional[_Union[MatchFilter, _Mapping]] = ..., geo_radius: _Optional[_Union[GeoRadiusFilter, _Mapping]] = ..., geo_box: _Optional[_Union[GeoBoxFilter, _Mapping]] = ..., geo_polygon: _Optional[_Union[GeoPolygonFilter, _Mapping]] = ..., size: _Optional[_Union[SizeFilter, _Mapping]] = ..., has_id: _Optional[_Union[_ids_pb2.RecordIds, _Mapping]] = ..., has_vector: _Optional[str] = ..., slice: _Optional[_Union[SliceFilter, _Mapping]] = ...) -> None: ...

class FilterList(_message.Message):
    __slots__ = ("parts",)
    PARTS_FIELD_NUMBER: _ClassVar[int]
    parts: _containers.RepeatedCompositeFieldContainer[Filter]
    def __init__(self, parts: _Optional[_Iterable[_Union[Filter, _Mapping]]] = ...) -> None: ...

class CompareFilter(_message.Message):
    __slots__ = ("path", "op", "value")
    PATH_FIELD_NUMBER: _ClassVar[int]
    OP_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    path: str
    op: Comparison
    value: _metadata_pb2.Scalar
    def __init__(self, path: _Optional[str] = ..., op: _Optional[_Union[Comparison, str]] = ..., value: _Optional[_Union[_metadata_pb2.Scalar, _Mapping]] = ...) -> None: ...

class InFilter(_message.Message):
    __slots__ = ("path", "values", "negated")
    PATH_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    NEGATED_FIELD_NUMBER: _ClassVar[int]
    path: str
    values: _metadata_pb2.Scalars
    negated: bool
    def __init__(self, path: _Optional[str] = ..., values: _Optional[_Union[_metadata_pb2.Scalars, _Mapping]] = ..., negated: _Optional[bool] = ...) -> None: ...

class ExistsFilter(_message.Message):
    __slots__ = ("path",)
    PATH_FIELD_NUMBER: _ClassVar[int]
    path: str
    def __init__(self, path: _Optional[str] = ...) -> None: ...

class IsNullFilter(_message.Message):
    __slots__ = ("path",)
    PATH_FIELD_NUMBER: _ClassVar[int]
    path: str
    def __init__(self, path: _Optional[str] = ...) -> None: ...

class ContainsFilter(_message.Message):
    __slots__ = ("path", "values", "mode")
    PATH_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    path: str
    values: _metadata_pb2.Scalars
    mode: ContainsMode
    def __init__(self, path: _Optional[str] = ..., values: _Optional[_Union[_metadata_pb2.Scalars, _Mapping]] = ..., mode: _Optional[_Union[ContainsMode, str]] = ...) -> None: ...

class PrefixFilter(_message.Message):
    __slots__ = ("path", "text")
    PATH_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    path: str
    text: str
    def __init__(self, path: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class SubstringFilter(_message.Message):
    __slots__ = ("path", "text")
    PATH_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    path: str
    text: str
    def __init__(self, path: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class MatchFilter(_message.Message):
    __slots__ = ("path", "text", "mode")
    PATH_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    path: str
    text: str
    mode: MatchMode
    def __init__(self, path: _Optional[str] = ..., text: _Optional[str] = ..., mode: _Optional[_Union[MatchMode, str]] = ...) -> None: ...

class GeoRadiusFilter(_message.Message):
    __slots__ = ("path", "center", "meters")
    PATH_FIELD_NUMBER: _ClassVar[int]
    CENTER_FIELD_NUMBER: _ClassVar[int]
    METERS_FIELD_NUMBER: _ClassVar[int]
    path: str
    center: GeoPoint
    meters: float
    def __init__(self, path: _Optional[str] = ..., center: _Optional[_Union[GeoPoint, _Mapping]] = ..., meters: _Optional[float] = ...) -> None: ...

class GeoBoxFilter(_message.Message):
    __slots__ = ("path", "south", "west", "north", "east")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SOUTH_FIELD_NUMBER: _ClassVar[int]
    WEST_FIELD_NUMBER: _ClassVar[int]
    NORTH_FIELD_NUMBER: _ClassVar[int]
    EAST_FIELD_NUMBER: _ClassVar[int]
    path: str
    south: float
    west: float
    north: float
    east: float
    def __init__(self, path: _Optional[str] = ..., south: _Optional[float] = ..., west: _Optional[float] = ..., north: _Optional[float] = ..., east: _Optional[float] = ...) -> None: ...

class GeoPolygonFilter(_message.Message):
    __slots__ = ("path", "points")
    PATH_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    path: str
    points: _containers.RepeatedCompositeFieldContainer[GeoPoint]
    def __init__(self, path: _Optional[str] = ..., points: _Optional[_Iterable[_Union[GeoPoint, _Mapping]]] = ...) -> None: ...

class GeoPoint(_message.Message):
    __slots__ = ("lat", "lon")
    LAT_FIELD_NUMBER: _ClassVar[int]
    LON_FIELD_NUMBER: _ClassVar[int]
    lat: float
    lon: float
    def __init__(self, lat: _Optional[float] = ..., lon: _Optional[float] = ...) -> None: ...

class SizeFilter(_message.Message):
    __slots__ = ("path", "op", "count")
    PATH_FIELD_NUMBER: _ClassVar[int]
    OP_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    path: str
    op: Comparison
    count: int
    def __init__(self, path: _Optional[str] = ..., op: _Optional[_Union[Comparison, str]] = ..., count: _Optional[int] = ...) -> None: ...

class SliceFilter(_message.Message):
    __slots__ = ("index", "count")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    index: int
    count: int
    def __init__(self, index: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

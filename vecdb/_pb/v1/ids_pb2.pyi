from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RecordId(_message.Message):
    __slots__ = ("integer", "text", "uuid")
    INTEGER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    integer: int
    text: str
    uuid: bytes
    def __init__(self, integer: _Optional[int] = ..., text: _Optional[str] = ..., uuid: _Optional[bytes] = ...) -> None: ...

class RecordIds(_message.Message):
    __slots__ = ("ints", "packed_ints", "texts", "packed_uuids", "mixed", "joined")
    INTS_FIELD_NUMBER: _ClassVar[int]
    PACKED_INTS_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    PACKED_UUIDS_FIELD_NUMBER: _ClassVar[int]
    MIXED_FIELD_NUMBER: _ClassVar[int]
    JOINED_FIELD_NUMBER: _ClassVar[int]
    ints: IntIds
    packed_ints: bytes
    texts: TextIds
    packed_uuids: bytes
    mixed: MixedIds
    joined: bytes
    def __init__(self, ints: _Optional[_Union[IntIds, _Mapping]] = ..., packed_ints: _Optional[bytes] = ..., texts: _Optional[_Union[TextIds, _Mapping]] = ..., packed_uuids: _Optional[bytes] = ..., mixed: _Optional[_Union[MixedIds, _Mapping]] = ..., joined: _Optional[bytes] = ...) -> None: ...

class IntIds(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, values: _Optional[_Iterable[int]] = ...) -> None: ...

class TextIds(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Iterable[str]] = ...) -> None: ...

class MixedIds(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[RecordId]
    def __init__(self, values: _Optional[_Iterable[_Union[RecordId, _Mapping]]] = ...) -> None: ...

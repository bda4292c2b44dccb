from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Model(_message.Message):
    __slots__ = ("provider", "name", "revision", "dim", "normalized", "full_dim", "document_prompt", "query_prompt", "location")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    DIM_FIELD_NUMBER: _ClassVar[int]
    NORMALIZED_FIELD_NUMBER: _ClassVar[int]
    FULL_DIM_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_PROMPT_FIELD_NUMBER: _ClassVar[int]
    QUERY_PROMPT_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    provider: str
    name: str
    revision: str
    dim: int
    normalized: bool
    full_dim: int
    document_prompt: str
    query_prompt: str
    location: str
    def __init__(self, provider: _Optional[str] = ..., name: _Optional[str] = ..., revision: _Optional[str] = ..., dim: _Optional[int] = ..., normalized: _Optional[bool] = ..., full_dim: _Optional[int] = ..., document_prompt: _Optional[str] = ..., query_prompt: _Optional[str] = ..., location: _Optional[str] = ...) -> None: ...

"""Maps the enums of the protocol to the words of the API and back.

Promises: a number that this version does not know is an InvalidRequestError, so that a newer peer is never misread.
Concurrency: constants and pure functions.
"""

from __future__ import annotations

from typing import Final, Protocol

from vecdb._pb.v1 import collection_pb2, filter_pb2, ingest_service_pb2, vectors_pb2
from vecdb.errors import InvalidRequestError


class _Enum(Protocol):
    def Value(self, name: str) -> int: ...  # noqa: N802 - protobuf's name


class Choices:
    """The words of one option, with the numbers of an enum. `default` is what UNSPECIFIED means, None for an error."""

    def __init__(self, option: str, enum: _Enum, prefix: str, words: str, default: str | None = None) -> None:
        self._option = option
        self._numbers = {word: enum.Value(f"{prefix}_{word.upper()}") for word in words.split()}
        self._words = {number: word for word, number in self._numbers.items()}
        if default is not None:
            self._words[0] = default

    def number(self, word: object) -> int:
        """The number of a word. InvalidRequestError names the words that there are."""
        found = self._numbers.get(word) if isinstance(word, str) else None
        if found is None:
            words = ", ".join(map(repr, self._numbers))
            raise InvalidRequestError(f"{self._option} is {word!r:.40}; it must be one of {words}", where=self._option)
        return found

    def word(self, number: int, where: str | None = None) -> str:
        """The word of a number that a message holds in its field `where`."""
        found = self._words.get(number)
        if found is None:
            known = ", ".join(f"{value} ({word})" for word, value in self._numbers.items())
            place = where or self._option
            raise InvalidRequestError(f"{place} is {number}, which means nothing here; there are {known}", where=place)
        return found


METRICS: Final = Choices("metric", collection_pb2.Metric, "METRIC", "cosine dot l2", "cosine")
STORED_TYPES: Final = Choices("dtype", collection_pb2.StoredType, "STORED_TYPE", "float32 float16", "float32")
BUILDERS: Final = Choices("builder", collection_pb2.Builder, "BUILDER", "vecdb hnswlib", "vecdb")
LAYOUTS: Final = Choices("layout", collection_pb2.Layout, "LAYOUT", "auto packed compact", "auto")
INDEX_KINDS: Final = Choices("kind", collection_pb2.IndexKind, "INDEX_KIND", "keyword int float bool datetime text geo")
VECTOR_TYPES: Final = Choices("type", vectors_pb2.VectorType, "VECTOR_TYPE", "float32 float16")
ENCODINGS: Final = Choices("encoding", vectors_pb2.Encoding, "ENCODING", "plain packed", "plain")
COMPARISONS: Final = Choices("op", filter_pb2.Comparison, "COMPARISON", "eq ne lt le gt ge")
CONTAINS_MODES: Final = Choices("mode", filter_pb2.ContainsMode, "CONTAINS_MODE", "one any all")
MATCH_MODES: Final = Choices("mode", filter_pb2.MatchMode, "MATCH_MODE", "all any phrase", "all")
INGEST_MODES: Final = Choices("mode", ingest_service_pb2.IngestMode, "INGEST_MODE", "upsert insert", "upsert")


def is_packed(encoding: int) -> bool:
    """Whether a reply is wanted in the packed form."""
    return ENCODINGS.word(encoding) == "packed"

"""Hits that are read out of a reply."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest

from vecdb._pb.v1 import search_service_pb2
from vecdb.errors import InvalidMetadataError
from vecdb.types import SearchResult
from vecdb.wire.hits import FIELDS, read_hits
from vecdb.wire.searches import put_columns

TEXTS = ["a", "b", "c"]


def message_of(**columns: Any) -> search_service_pb2.Hits:
    """The hits of two queries: one, and two."""
    numbers = np.arange(3, dtype=np.float32)
    found = SearchResult(**{"ids": TEXTS, "scores": -numbers, "distances": numbers, **columns})
    message = search_service_pb2.Hits()
    put_columns(message, [1, 2], found, packed=True)
    return message


@pytest.mark.parametrize("ids", [TEXTS, [1, 2, 3], ["a", 2, "c"]])
def test_each_result_has_its_part_of_the_columns(ids: list[Any]) -> None:
    metadata = [{"n": number} for number in range(3)]
    vectors = np.arange(6, dtype=np.float32).reshape(3, 2)
    first, second = read_hits(message_of(ids=ids, metadata=metadata, vectors=vectors), 2, with_metadata=True)
    assert (first.ids, second.ids) == (ids[:1], ids[1:])
    assert (first.metadata, second.metadata) == (metadata[:1], metadata[1:])
    assert (second.scores.tolist(), second.distances.tolist()) == ([-1.0, -2.0], [1.0, 2.0])
    assert second.vectors is not None
    assert second.vectors.tolist() == [[2.0, 3.0], [4.0, 5.0]]
    assert [hit.id for hit in second] == ids[1:]


def test_metadata_that_was_not_asked_for_is_none_and_empty_one_a_dict_each() -> None:
    message = message_of(metadata=[{}, {}, {}])
    assert [one.metadata for one in read_hits(message, 2, with_metadata=False)] == [None, None]
    assert [one.metadata for one in read_hits(message, 2, with_metadata=True)] == [[{}], [{}, {}]]


def test_a_result_is_made_with_all_fields_that_there_are() -> None:
    assert tuple(field.name for field in dataclasses.fields(SearchResult)) == FIELDS
    [_, result] = read_hits(message_of(), 2, with_metadata=False)
    again = pickle.loads(pickle.dumps(result))
    assert (again.ids, again.metadata, again.vectors, again.explain) == (["b", "c"], None, None, None)


def test_metadata_that_is_no_msgpack_is_named() -> None:
    message = message_of(metadata=[{"n": 1}] * 3)
    message.metadata.joined = message.metadata.joined.replace(b"\x81", b"\xc1", 1)
    with pytest.raises(InvalidMetadataError, match="joined"):
        read_hits(message, 2, with_metadata=True)

"""Hits that are read out of a reply when they are asked for."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vecdb._pb.v1 import search_service_pb2
from vecdb.errors import InvalidMetadataError, InvalidRequestError
from vecdb.types import Explain, SearchResult
from vecdb.wire.received_hits import read_hits
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


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_result_that_nobody_has_looked_at_can_be_copied(again: Callable[[SearchResult], SearchResult]) -> None:
    [_, result] = read_hits(message_of(metadata=[{"n": 1}] * 3), 2, with_metadata=True)
    other = again(result)
    assert (other.ids, other.metadata) == (["b", "c"], [{"n": 1}, {"n": 1}])
    assert len(other) == 2


def test_a_result_can_be_made_anew_with_other_columns() -> None:
    [result, _] = read_hits(message_of(), 2, with_metadata=False)
    explain = Explain(plan="none", ef=1, tail_rows=0, segments=0, microseconds={})
    assert dataclasses.replace(result, explain=explain).explain is explain
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.ids = []  # type: ignore[misc]  # what is tested


def test_a_column_that_does_not_fit_is_refused_before_anybody_asks_for_it() -> None:
    message = message_of(metadata=[{"n": 1}] * 3)
    del message.metadata.packed[0]
    with pytest.raises(InvalidMetadataError, match="2 entries for 3 ids"):
        read_hits(message, 2, with_metadata=True)
    message = message_of()
    message.scores.data = b"four"
    with pytest.raises(InvalidRequestError, match="scores has 1 numbers"):
        read_hits(message, 2, with_metadata=False)


def test_metadata_that_is_no_msgpack_is_an_error_when_it_is_asked_for() -> None:
    message = message_of(metadata=[{"n": 1}] * 3)
    message.metadata.packed[1] = b"\xc1"
    [result, _] = read_hits(message, 2, with_metadata=True)
    assert result.ids == ["a"]
    with pytest.raises(InvalidMetadataError, match=r"packed\[1\]"):
        result.metadata  # noqa: B018 - reading it is what is tested

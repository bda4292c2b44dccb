"""Requests of searches that are put together from parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vecdb import F, errors
from vecdb._pb.v1 import search_service_pb2 as pb
from vecdb.wire.config import HEADS_KEPT_MAX
from vecdb.wire.search_requests import SearchRequests, varint
from vecdb.wire.searches import put_options
from vecdb.wire.vectors import put_vectors

OPTIONS: dict[str, Any] = {"filter": None, "ef": None, "with_metadata": False, "min_seq": None}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("dim", [1, 3, 31, 32, 127, 8192])
@pytest.mark.parametrize("explain", [False, True])
def test_a_request_in_parts_is_read_as_the_whole_one(dim: int, dtype: str, *, explain: bool) -> None:
    row = np.arange(dim).astype(dtype)
    whole = pb.SearchRequest(collection="docs", explain=explain)
    put_vectors(whole.query, row)
    put_options(whole.options, 7, **OPTIONS)
    requests = SearchRequests("docs")
    for _ in range(2):  # made, then known
        assert pb.SearchRequest.FromString(requests.one(row, 7, OPTIONS, explain=explain)) == whole


@pytest.mark.parametrize("shape", [(0, 4), (1, 4), (100, 384)])
def test_a_batch_in_parts_is_read_as_the_whole_one(shape: tuple[int, int]) -> None:
    rows = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    options = {**OPTIONS, "filter": F("a") > 3, "with_metadata": True, "min_seq": 5}
    whole = pb.SearchBatchRequest(collection="docs")
    put_vectors(whole.queries, rows)
    put_options(whole.options, 2, **options)
    assert pb.SearchBatchRequest.FromString(SearchRequests("docs").batch(rows, 2, options)) == whole


def test_options_that_are_equal_but_not_the_same_are_told_apart() -> None:
    requests = SearchRequests("docs")

    def asked(value: object) -> Any:
        body = requests.one([1.0], 1, {**OPTIONS, "filter": F("a") == value}, explain=False)
        return pb.SearchRequest.FromString(body).options.filter

    assert asked(1) != asked(True)
    assert requests.one([1.0], 1, OPTIONS, explain=False)
    with pytest.raises(errors.InvalidRequestError):
        requests.one([1.0], True, OPTIONS, explain=False)
    with pytest.raises(errors.InvalidRequestError):
        requests.one([1.0], 1, {**OPTIONS, "ef": [3]}, explain=False)


def test_a_bounded_number_of_heads_is_kept() -> None:
    requests = SearchRequests("docs")
    for seq in range(3 * HEADS_KEPT_MAX):
        body = requests.one([1.0], 1, {**OPTIONS, "min_seq": seq}, explain=False)
        assert pb.SearchRequest.FromString(body).options.min_seq == seq
    assert len(requests._heads) <= HEADS_KEPT_MAX


@pytest.mark.parametrize(
    ("number", "written"),
    [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (300, b"\xac\x02"), (1 << 28, b"\x80\x80\x80\x80\x01")],
)
def test_numbers_are_written_as_protobuf_does(number: int, written: bytes) -> None:
    assert varint(number) == written
